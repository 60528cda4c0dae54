"""Series that cannot be told apart in the plan are planned as one, and told apart again in what it says.

Two origins of the same LLM and class that the same regions may serve have the same columns in every constraint; only
their sum matters. Exact, and a third of the routing columns on a typical problem.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from data.plan_records import Exposure, FleetProblem, Shortfall
from data.records import FloatArray, SeriesKey

Members = Mapping[SeriesKey, tuple[tuple[SeriesKey, FloatArray], ...]]
"""Series of the merged problem -> the series it stands for with their demand, [month, block, scenario]."""


def merge(problem: FleetProblem) -> tuple[FleetProblem, Members]:
    """The problem with alike series summed under the name of the first, and who stands for whom."""
    groups: dict[tuple[str, str, frozenset[str]], list[int]] = {}
    for i, key in enumerate(problem.demand.series):
        alike = (key.llm, key.request_class, frozenset(problem.may_serve[key.region]))
        groups.setdefault(alike, []).append(i)
    demand, rps = problem.demand, problem.demand.rps
    firsts = [found[0] for found in groups.values()]
    members = {demand.series[found[0]]: tuple((demand.series[i], rps[i]) for i in found) for found in groups.values()}
    if len(firsts) == len(demand.series):
        return problem, members
    whole = np.stack([rps[found].sum(axis=0) for found in groups.values()])
    series = tuple(demand.series[i] for i in firsts)
    return replace(problem, demand=replace(demand, series=series, rps=whole)), members


def apart(shortfalls: tuple[Shortfall, ...], members: Members, problem: FleetProblem) -> tuple[Shortfall, ...]:
    """Shortfalls of merged series, shared out among their members by demand."""
    return tuple(
        replace(one, series=key, expected_rps=one.expected_rps * share, worst_rps=one.worst_rps * share)
        for one in shortfalls
        for key, share in _shares(one, members, problem)
    )


def exposed_apart(exposures: tuple[Exposure, ...], members: Members, problem: FleetProblem) -> tuple[Exposure, ...]:
    """Exposures of merged series, shared out among their members by demand."""
    return tuple(
        replace(one, series=key, worst_rps=one.worst_rps * share)
        for one in exposures
        for key, share in _shares(one, members, problem)
    )


def _shares(one: Shortfall | Exposure, members: Members, problem: FleetProblem) -> list[tuple[SeriesKey, float]]:
    """Members of a record's series with demand in its month and block, and their shares of it."""
    months = {label: m for m, label in enumerate(problem.demand.months)}
    blocks = {block.name: b for b, block in enumerate(problem.demand.blocks)}
    if len(members[one.series]) == 1:
        return [(one.series, 1.0)]
    rows = [rps[months[one.month], blocks[one.block]].mean() for _, rps in members[one.series]]
    total = float(np.sum(rows)) or 1.0
    shares = [(key, float(row) / total) for (key, _), row in zip(members[one.series], rows, strict=True)]
    return [(key, share) for key, share in shares if share > 0.0]
