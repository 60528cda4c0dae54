"""Pools: whole replicas that carry their load in bottleneck seconds, opened and closed by month."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from optimizer.frame import Frame
from optimizer.reserves import set_aside


def load(frame: Frame, model: Any, m: int, p: int, b: int, s: int, protected_only: bool = False) -> Any:
    """Steady load of a pool in replicas: classes mix by bottleneck seconds."""
    return sum(
        (1.0 / rate) * model.flow[m, k, p, b, s]
        for k, rate in frame.into[p]
        if frame.protected[k] or not protected_only
    )


def add_capacity(model: Any, frame: Frame) -> None:
    r"""A pool's replicas n carry its load and what is set aside (optimizer/reserves.py):

    .. math:: \sum_k f_{mkpbs} / \rho_{kp} + \text{set aside}_{mpbs} \le n_{mps} \le N_{pm} z_{mp}

    N is what the pool would need to carry everything it may serve, within its quota. A pool that did not run the month
    before starts, y_{mp} >= z_{mp} - z_{m-1,p}, at a one-time cost: it keeps the fleet from changing its hardware every
    month for a few dollars, and from scattering over many kinds.

    Two rules of operation, which also shorten the search: an open pool has at least one replica beyond its N+k, and a
    more loaded scenario never runs fewer replicas of a pool than a less loaded one (a fleet grows with demand, it is
    not reshuffled); the second only where every series' peak agrees with the order of scenarios.
    """
    problem, (M, P, B, S) = frame.problem, (frame.M, frame.P, frame.B, frame.S)
    k = problem.failures_per_pool
    model.replicas = pyo.Var(M, P, S, domain=pyo.NonNegativeIntegers, bounds=lambda _, m, p, s: (0, frame.most[p][m]))
    model.open = pyo.Var(M, P, domain=pyo.Binary)
    model.start = pyo.Var(M, P, bounds=(0, 1))

    model.opened = pyo.Constraint(
        M, P, S, rule=lambda x, m, p, s: x.replicas[m, p, s] <= frame.most[p][m] * x.open[m, p]
    )
    model.worth_opening = pyo.Constraint(M, P, S, rule=lambda x, m, p, s: x.replicas[m, p, s] >= (k + 1) * x.open[m, p])
    model.started = pyo.Constraint(
        M, P, rule=lambda x, m, p: x.start[m, p] >= x.open[m, p] - (x.open[m - 1, p] if m else 0)
    )
    if frame.ordered:
        model.grows = pyo.Constraint(
            M, P, S[1:], rule=lambda x, m, p, s: x.replicas[m, p, s] >= x.replicas[m, p, s - 1]
        )

    aside = set_aside(model, frame)
    cases = range(len(aside))

    def carry(x: Any, m: int, p: int, b: int, s: int, case: int) -> Any:
        steady = load(frame, x, m, p, b, s)
        return aside[case](x, m, p, s, steady) <= x.replicas[m, p, s]

    model.capacity = pyo.Constraint(M, P, B, S, cases, rule=carry)
    add_rounding(model, frame)


def add_rounding(model: Any, frame: Frame) -> None:
    r"""Redundant, for the solver to round: all that pool q could carry, in replicas of q, must be carried by somebody.

    .. math:: \sum_{k \in q} d_{kmbs} / \rho_{kq} \le \sum_p a_{qp} (n_{mps} - k z_{mp})
              + \sum_{k \in q} (u_{mkbs} + v_{mkbs}) / \rho_{kq}, \qquad a_{qp} = \max_k \rho_{kp} / \rho_{kq}

    The sum of flow and capacity rows with the flows gone: whole replicas on one side and a fixed load on the other.
    """
    k, rps = frame.problem.failures_per_pool, frame.problem.demand.rps
    rates = [dict(found) for found in frame.into]
    # The peak block alone: it is what whole replicas are decided by.
    peak = 0

    def rule(x: Any, m: int, q: int, s: int) -> Any:
        mine = rates[q]
        others = {p for i in mine for p in frame.serving[i]}
        worth = {p: max(rates[p][i] / rate for i, rate in mine.items() if i in rates[p]) for p in others}
        carried = sum(worth[p] * (x.replicas[m, p, s] - k * x.open[m, p]) for p in sorted(others))
        short = sum((1.0 / rate) * x.shed[m, i, peak, s] for i, rate in mine.items())
        bought = sum((1.0 / rate) * x.api[m, i, peak, s] for i, rate in mine.items() if (m, i, peak, s) in x.api)
        return carried + short + bought >= sum(float(rps[i, m, peak, s]) / rate for i, rate in mine.items())

    model.rounding = pyo.Constraint(frame.M, frame.P, frame.S, rule=rule)
