"""Who is served where: the plan's routing in its design scenario, by series, pool, month and block."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from data.plan_records import FleetProblem, Route
from data.records import Configuration, FloatArray
from optimizer.extract import number
from optimizer.frame import Frame
from optimizer.merge import Members

LEAST_RPS = 1e-6


def _stand_in(whole: FleetProblem, kept: list[str], b: int) -> int:
    """The block of the model whose routes a block follows: itself, or of those that are nowhere below it the least
    loaded (optimizer/blocks.py leaves out no other)."""
    blocks, rps = whole.demand.blocks, whole.demand.rps
    if blocks[b].name in kept:
        return b
    above = [o for o, one in enumerate(blocks) if one.name in kept and (rps[:, :, o] >= rps[:, :, b]).all()]
    return min(above, key=lambda o: float(rps[:, :, o].sum()))


def _carried(frame: Frame, model: Any, m: int, k: int, b: int) -> Iterator[tuple[Configuration | None, str, float]]:
    """Where a series goes in a block of the model: configuration (None: a provider's API), region, requests/s."""
    s = frame.sets.design
    for p in frame.serving[k]:
        pool = frame.sets.pools[p]
        yield pool.configuration, pool.region, max(number(model.flow[m, k, p, b, s]), 0.0)
    if (m, k, b, s) in model.api:
        yield None, "", max(number(model.api[m, k, b, s]), 0.0)


def routes(frame: Frame, model: Any, whole: FleetProblem, members: Members) -> tuple[Route, ...]:
    """Routes of every series and block; frame and model: solved, whole: the merged problem with every block.

    Series that were planned as one share its routes by demand, and a block that was left out of the model follows the
    routes of one above it, by each series' demand.
    """
    s, names = frame.sets.design, [block.name for block in frame.problem.demand.blocks]
    blocks = whole.demand.blocks
    follows = [_stand_in(whole, names, b) for b in range(len(blocks))]
    found = []
    for k, key in enumerate(frame.problem.demand.series):
        for m, month in enumerate(whole.demand.months):
            rows: dict[tuple[Configuration | None, str], FloatArray] = {}
            for b, o in enumerate(follows):
                there = float(whole.demand.rps[k, m, o, s])
                share = float(whole.demand.rps[k, m, b, s]) / there if there > 0.0 else 0.0
                for one, region, rps in _carried(frame, model, m, k, names.index(blocks[o].name)):
                    rows.setdefault((one, region), np.zeros(len(blocks)))[b] += share * rps
            total = whole.demand.rps[k, m, :, s]
            for member, demand in members[key]:
                part = np.divide(demand[m, :, s], total, out=np.zeros(len(blocks)), where=total > 0.0)
                for (one, region), carried in rows.items():
                    mine = carried * part
                    if mine.max() > LEAST_RPS:
                        by_block = {block.name: float(x) for block, x in zip(blocks, mine, strict=True)}
                        found.append(Route(member, month, one, region, by_block))
    return tuple(found)
