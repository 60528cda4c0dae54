"""Routing: every request is served somewhere it may be, bought from a provider's API, or shed at a price."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from optimizer.frame import Frame


def add_routing(model: Any, frame: Frame) -> None:
    r"""Flow f of series k to pool p, API overflow v and shed load u meet demand d in every block and scenario:

    .. math:: \sum_{p \in P(k)} f_{mkpbs} + v_{mkbs} + u_{mkbs} = d_{kmbs}

    P(k) holds only pools in regions that may serve k's origin (residency). Shed load is always possible, so that a
    quota makes a reported shortfall and not an infeasible model. API overflow is bounded by the API's rate limit.
    """
    problem, (K, M, B, S) = frame.problem, (frame.K, frame.M, frame.B, frame.S)
    series, rps = problem.demand.series, problem.demand.rps
    overflow = {k: problem.api.get((series[k].llm, series[k].request_class)) for k in K}
    model.flow = pyo.Var(
        [(m, k, p, b, s) for m in M for k in K for p in frame.serving[k] for b in B for s in S],
        domain=pyo.NonNegativeReals,
    )
    model.shed = pyo.Var(M, K, B, S, domain=pyo.NonNegativeReals)
    model.api = pyo.Var(
        [(m, k, b, s) for m in M for k, offer in overflow.items() if offer is not None for b in B for s in S],
        domain=pyo.NonNegativeReals,
    )

    def balance(x: Any, m: int, k: int, b: int, s: int) -> Any:
        served = sum(x.flow[m, k, p, b, s] for p in frame.serving[k])
        bought = x.api[m, k, b, s] if overflow[k] is not None else 0.0
        return served + bought + x.shed[m, k, b, s] == float(rps[k, m, b, s])

    model.flow_balance = pyo.Constraint(M, K, B, S, rule=balance)

    # A provider's limit is one for all origins of a class.
    limited: dict[tuple[str, str], list[int]] = {}
    for k, offer in overflow.items():
        if offer is not None and offer.rps_max < float("inf"):
            limited.setdefault((series[k].llm, series[k].request_class), []).append(k)
    pairs = sorted(limited)
    model.api_limit = pyo.Constraint(
        M, range(len(pairs)), B, S,
        rule=lambda x, m, i, b, s: sum(x.api[m, k, b, s] for k in limited[pairs[i]]) <= problem.api[pairs[i]].rps_max,
    )  # fmt: skip
