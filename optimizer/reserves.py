"""Reserves: what a pool keeps beyond its load, so that the loss of a replica, a zone or a region is carried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pyomo.environ as pyo

from optimizer.frame import Frame

Aside = Callable[[Any, int, int, int, Any], Any]
"""(model, m, p, s, load) -> replicas needed."""


def set_aside(model: Any, frame: Frame) -> list[Aside]:
    r"""What must fit in n beside the load L of a block, all of it at once (`sum`):

    .. math:: (1 + \kappa + \omega) L + k z + c + w \le n, \qquad c \ge \gamma n, \quad w \ge \mu n

    k replicas lost in an open pool (N+k), rollout surge kappa, warm replicas omega for the ramp within the time to
    ready, c whole replicas on trial (canary), w drained for maintenance; or, where they are not called on at once
    (`max`), each of these alone beside the load.
    """
    problem, held = frame.problem, frame.problem.reserves
    k, kappa, omega = problem.failures_per_pool, problem.rollout_surge, held.warm_share
    parts: list[Callable[[Any, int, int, int, Any], Any]] = []
    if k:
        parts.append(lambda x, m, p, s, steady: k * x.open[m, p])
    if kappa or omega:
        grown = max(kappa, omega) if held.together == "max" else kappa + omega
        parts.append(lambda x, m, p, s, steady: grown * steady)
    for name, share in (("canary", held.canary_share), ("maintenance", held.maintenance_share)):
        if share > 0.0:
            parts.append(_whole_share(model, frame, name, share))
    if held.together == "max":
        return [
            *(lambda x, m, p, s, steady, part=part: steady + part(x, m, p, s, steady) for part in parts),
        ] or [lambda x, m, p, s, steady: steady]
    return [lambda x, m, p, s, steady: steady + sum(part(x, m, p, s, steady) for part in parts)]


def _whole_share(model: Any, frame: Frame, name: str, share: float) -> Aside:
    """A whole number of replicas, at least `share` of the pool's."""
    count = pyo.Var(
        frame.M, frame.P, frame.S, domain=pyo.NonNegativeIntegers, bounds=lambda _, m, p, s: (0, frame.most[p][m])
    )
    setattr(model, name, count)
    rule = pyo.Constraint(
        frame.M, frame.P, frame.S, rule=lambda x, m, p, s: count[m, p, s] >= share * x.replicas[m, p, s]
    )
    setattr(model, f"{name}_share", rule)
    return lambda x, m, p, s, steady: count[m, p, s]


def add_zone_loss(model: Any, frame: Frame) -> None:
    r"""Replicas are spread evenly over Z zones; without the fullest one the rest carries the protected load:

    .. math:: \sum_{k\ protected} f_{mkpbs} / \rho_{kp} + q_{mps} \le n_{mps}, \qquad Z q_{mps} \ge n_{mps}

    q is whole: the replicas of the fullest zone. Capacity of preemptible classes counts.
    """
    held = frame.problem.reserves
    if not held.zone_loss or held.zones < 2:
        return
    M, P, B, S = frame.M, frame.P, frame.B, frame.S
    model.zone = pyo.Var(M, P, S, domain=pyo.NonNegativeIntegers)
    model.zone_share = pyo.Constraint(
        M, P, S, rule=lambda x, m, p, s: held.zones * x.zone[m, p, s] >= x.replicas[m, p, s]
    )

    def carried(x: Any, m: int, p: int, b: int, s: int) -> Any:
        steady = [(1.0 / rate) * x.flow[m, k, p, b, s] for k, rate in frame.into[p] if frame.protected[k]]
        if not steady:
            return pyo.Constraint.Skip
        return sum(steady) + x.zone[m, p, s] <= x.replicas[m, p, s]

    model.zone_loss = pyo.Constraint(M, P, B, S, rule=carried)


def worst_blocks(frame: Frame, m: int, s: int) -> list[int]:
    """Blocks whose protected demand no other block exceeds in every series: carrying these carries all."""
    rps = frame.problem.demand.rps[[k for k in frame.K if frame.protected[k]], m, :, s]
    found = []
    for b in frame.B:
        over = [o for o in frame.B if o != b and (rps[:, o] >= rps[:, b]).all()]
        if not any((rps[:, o] > rps[:, b]).any() or o < b for o in over):
            found.append(b)
    return found


def failover_routes(frame: Frame) -> list[tuple[int, int, list[int]]]:
    """(series, lost region, pools left) of protected series that have somewhere to go."""
    regions = list(frame.problem.regions)
    found = []
    for r, region in enumerate(regions):
        for k in frame.K:
            left = [p for p in frame.serving[k] if frame.sets.pools[p].region != region]
            if frame.protected[k] and left:
                found.append((k, r, left))
    return found


def add_region_loss(model: Any, frame: Frame) -> None:
    r"""With any one region r lost, a second routing h carries the protected classes in the regions left:

    .. math:: \sum_{p \in P(k),\ p \notin r} h_{mrkps} + e_{mrks} \ge d_{kms}, \qquad
              \sum_k h_{mrkps} / \rho_{kp} \le n_{mps}

    in every promised scenario, at the demand of the worst blocks, on all replicas left (N+k is not asked for on top).
    e is exposure, priced like a broken promise for an hour a month: where a quota leaves some, the plan reports it with
    its cause and counts as infeasible, as with a shortfall. A series that no other region may or can serve has no route
    and is named in the notes.
    """
    if not frame.problem.reserves.region_loss:
        return
    routes = failover_routes(frame)
    rps = frame.problem.demand.rps
    cells = [(m, b, s) for m in frame.M for s in frame.promised for b in worst_blocks(frame, m, s)]
    model.back = pyo.Var(
        [(m, r, k, p, b, s) for m, b, s in cells for k, r, left in routes for p in left], domain=pyo.NonNegativeReals
    )
    model.exposed = pyo.Var([(m, r, k, b, s) for m, b, s in cells for k, r, _ in routes], domain=pyo.NonNegativeReals)
    left_of = {(k, r): left for k, r, left in routes}
    model.failover = pyo.Constraint(
        [(m, r, k, b, s) for m, b, s in cells for k, r, _ in routes],
        rule=lambda x, m, r, k, b, s: (
            sum(x.back[m, r, k, p, b, s] for p in left_of[k, r]) + x.exposed[m, r, k, b, s] >= float(rps[k, m, b, s])
        ),
    )
    onto: dict[tuple[int, int], list[tuple[int, float]]] = {}
    for k, r, left in routes:
        for p in left:
            onto.setdefault((p, r), []).append((k, dict(frame.into[p])[k]))
    model.failover_capacity = pyo.Constraint(
        [(m, p, r, b, s) for m, b, s in cells for p, r in onto],
        rule=lambda x, m, p, r, b, s: (
            sum((1.0 / rate) * x.back[m, r, k, p, b, s] for k, rate in onto[p, r]) <= x.replicas[m, p, s]
        ),
    )
