"""Inventory: the GPUs of running replicas come from somewhere, within quotas."""

from __future__ import annotations

import math
from typing import Any

import pyomo.environ as pyo

from optimizer.capacity import load
from optimizer.frame import Frame, held_gpus


def add_inventory(model: Any, frame: Frame) -> None:
    r"""Running replicas use commitments that are active, held, on demand, or spot, within the quota:

    .. math:: \sum_{p \in g} G_p n_{mps} \le C_{mg} + H_{mg} + U_g a_{mgs} + (1 - q) t_{mgs}, \qquad
              C_{mg} + H_{mg} + U_g a_{mgs} + t_{mgs} \le Q_g

    On-demand GPUs come in whole lots U (nodes) and are held for the month; they make up at least the policy's share.
    Replicas are whole, so that single GPUs are whole of themselves; where a share of GPUs is asked for (of spot or on
    demand) they are integers, since a share of whole GPUs is not.
    """
    problem, sets, (G, M, S) = frame.problem, frame.sets, (frame.G, frame.M, frame.S)
    months = problem.demand.months
    unit = {g: frame.unit(offer) for g, offer in sets.on_demand.items()}
    shared = problem.spot_share_max > 0.0 or problem.on_demand_share_min > 0.0
    model.on_demand = pyo.Var(
        [(m, *g, s) for m in M for g in sorted(unit) for s in S],
        domain=lambda _, m, region, gpu, s: (
            pyo.NonNegativeIntegers if shared or unit[region, gpu] > 1 else pyo.NonNegativeReals
        ),
        bounds=lambda _, m, region, gpu, s: (0, math.ceil(frame.useful[region, gpu] / unit[region, gpu])),
    )
    spot = sorted(sets.spot) if problem.spot_share_max > 0.0 else []
    model.spot = pyo.Var([(m, *g, s) for m in M for g in spot for s in S], domain=pyo.NonNegativeIntegers)
    there = 1.0 - problem.spot_interrupted_share

    def hourly(x: Any, m: int, g: tuple[str, str], s: int) -> Any:
        return unit[g] * x.on_demand[(m, *g, s)] if g in unit else 0.0

    def passing(x: Any, m: int, g: tuple[str, str], s: int) -> Any:
        return x.spot[(m, *g, s)] if g in spot else 0.0

    def used(x: Any, m: int, g: tuple[str, str], s: int) -> Any:
        return sum(sets.pools[p].configuration.gpus * x.replicas[m, p, s] for p in frame.on[g])

    def supply(x: Any, m: int, region: str, gpu: str, s: int) -> Any:
        g = (region, gpu)
        if not frame.on[g]:
            return pyo.Constraint.Skip
        firm = x.committed[m, region, gpu] + held_gpus(problem, region, gpu, months[m]) + hourly(x, m, g, s)
        return used(x, m, g, s) <= firm + there * passing(x, m, g, s)

    def quota(x: Any, m: int, region: str, gpu: str, s: int) -> Any:
        limit = problem.quotas.get((region, gpu))
        if limit is None:
            return pyo.Constraint.Skip
        held = held_gpus(problem, region, gpu, months[m])
        bought = x.committed[m, region, gpu] + hourly(x, m, (region, gpu), s) + passing(x, m, (region, gpu), s)
        return bought <= max(limit - held, 0)

    def flexible(x: Any, m: int, s: int) -> Any:
        share = problem.on_demand_share_min
        if share <= 0.0 or not frame.P:
            return pyo.Constraint.Skip
        return sum(hourly(x, m, g, s) for g in unit) >= share * sum(used(x, m, g, s) for g in G)

    model.supply = pyo.Constraint(M, G, S, rule=supply)
    model.quota = pyo.Constraint(M, G, S, rule=quota)
    model.flexible = pyo.Constraint(M, S, rule=flexible)
    if spot:
        add_spot(model, frame, spot, hourly, held_gpus)


def add_spot(model: Any, frame: Frame, spot: list[tuple[str, str]], hourly: Any, held: Any) -> None:
    r"""Spot GPUs of a supply may all be taken back at once: the rest carries the protected load with its N+k,

    .. math:: \sum_{p \in g} G_p \Bigl( \sum_{k\ protected} f_{mkpbs} / \rho_{kp} + k z_{mp} \Bigr)
              \le C_{mg} + H_{mg} + U_g a_{mgs}, \qquad t_{mgs} \le \sigma (C_{mg} + H_{mg} + U_g a_{mgs} + t_{mgs})
    """
    problem, sets = frame.problem, frame.sets
    months, share, k = problem.demand.months, problem.spot_share_max, problem.failures_per_pool

    def firm(x: Any, m: int, g: tuple[str, str], s: int) -> Any:
        return x.committed[(m, *g)] + held(problem, *g, months[m]) + hourly(x, m, g, s)

    def kept(x: Any, m: int, region: str, gpu: str, b: int, s: int) -> Any:
        g = (region, gpu)
        if not frame.on[g]:
            return pyo.Constraint.Skip
        need = sum(
            sets.pools[p].configuration.gpus * (load(frame, x, m, p, b, s, protected_only=True) + k * x.open[m, p])
            for p in frame.on[g]
        )
        return need <= firm(x, m, g, s)

    model.spot_loss = pyo.Constraint([(m, *g, b, s) for m in frame.M for g in spot for b in frame.B for s in frame.S],
                                     rule=kept)  # fmt: skip
    model.spot_share = pyo.Constraint(
        [(m, *g, s) for m in frame.M for g in spot for s in frame.S],
        rule=lambda x, m, region, gpu, s: (
            (1.0 - share) * x.spot[m, region, gpu, s] <= share * firm(x, m, (region, gpu), s)
        ),
    )
