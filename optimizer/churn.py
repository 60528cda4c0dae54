"""Churn: replicas that start and stop from one month to the next, limited by region and paid for."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from optimizer.frame import Frame


def add_churn(model: Any, frame: Frame) -> None:
    r"""Replicas of a pool that start (v) and stop (w) from a month to the next, in every scenario:

    .. math:: v_{mps} - w_{mps} = n_{mps} - n_{m-1,ps}, \qquad \sum_{p \in r} G_p (v_{mps} + w_{mps}) \le X

    X is the most GPUs of a region that may change what they do in a month; each that does is paid for. What runs before
    the first month is not known, so that month may begin as it likes. A fleet whose held GPUs expire must be wound down
    in time.
    """
    problem, (M, P, S) = frame.problem, (frame.M, frame.P, frame.S)
    if not frame.churning:
        return
    after, pools = list(M[1:]), frame.sets.pools

    def most(_: Any, m: int, p: int, s: int) -> tuple[int, int]:
        return 0, frame.most[p][m]

    # Bounded, so that a month's part of the search (optimizer/parts.py) stays bounded at any price.
    model.started_replicas = pyo.Var(after, P, S, bounds=most)
    model.stopped_replicas = pyo.Var(after, P, S, bounds=most)
    model.churn = pyo.Constraint(
        after, P, S,
        rule=lambda x, m, p, s: (
            x.started_replicas[m, p, s] - x.stopped_replicas[m, p, s] == x.replicas[m, p, s] - x.replicas[m - 1, p, s]
        ),
    )  # fmt: skip
    limit = problem.churn_gpus_max
    if limit is None:
        return

    def within(x: Any, m: int, region: str, s: int) -> Any:
        here = [p for p in P if pools[p].region == region]
        if not here:
            return pyo.Constraint.Skip
        return (
            sum(pools[p].configuration.gpus * (x.started_replicas[m, p, s] + x.stopped_replicas[m, p, s]) for p in here)
            <= limit
        )

    model.churn_limit = pyo.Constraint(after, sorted(problem.regions), S, rule=within)


def churned_gpus(frame: Frame, model: Any, m: int, s: int) -> Any:
    """GPUs whose replicas start or stop at the beginning of a month, all regions."""
    if m == 0 or not frame.churning:
        return 0.0
    return sum(
        pool.configuration.gpus * (model.started_replicas[m, p, s] + model.stopped_replicas[m, p, s])
        for p, pool in enumerate(frame.sets.pools)
    )
