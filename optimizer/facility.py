"""Sites of one's own or in colocation: the power a region's replicas may draw and the racks its GPUs may fill."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from optimizer.frame import Frame, held_gpus


def present_gpus(frame: Frame, model: Any, m: int, g: tuple[str, str], s: int) -> Any:
    """GPUs of a supply that the plan itself brings to its region in a month and scenario; those held come on top."""
    found = model.committed[(m, *g)]
    if (m, *g, s) in model.on_demand:
        found = found + frame.unit(frame.sets.on_demand[g]) * model.on_demand[(m, *g, s)]
    if (m, *g, s) in model.spot:
        found = found + model.spot[(m, *g, s)]
    return found


def add_facility(model: Any, frame: Frame) -> None:
    r"""Running replicas draw power through the site's PUE, and every GPU that stands there takes its share of a rack:

    .. math:: \mathrm{PUE}_r \sum_{p \in r} w_{g(p)} G_p n_{mps} \le W_r, \qquad
              \sum_{g \in r} (C_{mg} + H_{mg} + U_g a_{mgs} + t_{mgs}) / R_r \le F_r

    w is the power of a GPU with its share of the server at full load, W what the site may draw at the meter, R the
    GPUs of a rack and F the racks. Replicas kept as a reserve run and draw power; a GPU that stands idle takes floor
    and no power. GPUs held already are never in the way of the first: only what is bought on top is limited.
    """
    problem, (M, S) = frame.problem, (frame.M, frame.S)
    sites = problem.facilities
    size = [pool.configuration.gpus for pool in frame.sets.pools]

    def power(x: Any, m: int, region: str, s: int) -> Any:
        site = sites[region]
        here = [p for p in frame.P if frame.sets.pools[p].region == region]
        if site.power_w is None or not here:
            return pyo.Constraint.Skip
        kw = {p: site.pue * site.gpu_w[frame.sets.pools[p].configuration.gpu] * size[p] / 1e3 for p in here}
        return sum(kw[p] * x.replicas[m, p, s] for p in here) <= site.power_w / 1e3

    def floor(x: Any, m: int, region: str, s: int) -> Any:
        site = sites[region]
        here = [g for g in frame.G if g[0] == region]
        if site.racks is None or not here:
            return pyo.Constraint.Skip
        held = sum(held_gpus(problem, *g, problem.demand.months[m]) for g in here)
        bought = sum(present_gpus(frame, x, m, g, s) for g in here)
        return bought <= max(site.racks * site.gpus_per_rack - held, 0.0)

    places = sorted(sites)
    model.power = pyo.Constraint(M, places, S, rule=power)
    model.floor = pyo.Constraint(M, places, S, rule=floor)
