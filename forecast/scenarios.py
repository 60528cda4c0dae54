"""From thousands of hours and hundreds of paths to the few blocks and scenarios a plan is made for.

Blocks come from each month's load-duration curve. Scenarios are groups of paths in order of their load. A scenario's
peak is the peak at the upper edge of its group for every series at once, so that capacity that carries it carries
every path of the group and of those below, were all series to peak together; its other blocks are group means, so that
the expected volume is kept. The upper edge of the last group is the 99th percentile, not the largest path ever drawn.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.records import Block, Demand, Float32Array, FloatArray, SeriesKey
from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

SHARES = (("peak", 0.01), ("busy", 0.14), ("day", 0.45), ("night", 0.40))
"""Blocks as shares of a month's hours in order of load."""
TOP_EDGE = 0.99


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month of the horizon: its label and the slice of hours it covers."""

    label: str
    start: int
    stop: int


def whole_months(future: pd.DatetimeIndex) -> tuple[Month, ...]:
    """Calendar months that the horizon covers from their first hour to their last."""
    labels = future.strftime("%Y-%m")
    found = []
    for label in dict.fromkeys(labels):
        where = np.flatnonzero(labels == label)
        if len(where) == pd.Period(label, freq="M").days_in_month * 24:
            found.append(Month(label, int(where[0]), int(where[-1]) + 1))
    return tuple(found)


def group_edges(scenarios: int) -> FloatArray:
    """Upper edges of the groups in probability: finer towards the loaded end, where plans differ.

    5 scenarios: 0.30, 0.60, 0.85, 0.95, 1.
    """
    if scenarios == 1:
        return np.array([1.0])
    if scenarios == 5:
        return np.array([0.30, 0.60, 0.85, 0.95, 1.0])
    # Geometric tail: each group holds 0.72 of the one below it.
    size = 0.72 ** np.arange(scenarios)
    edges = np.cumsum(size / size.sum())
    edges[-1] = 1.0
    return edges


def demand_from_paths(
    keys: tuple[SeriesKey, ...], paths: Float32Array, months: tuple[Month, ...], scenarios: int, burst_factor: float
) -> Demand:
    """Demand in requests/s, [series, month, block, scenario], from paths [series, path, hour] in requests an hour.

    The peak block is the month's largest hour times burst_factor (sub-hour peak over hour mean).
    """
    edges = group_edges(scenarios)
    lower = np.concatenate([[0.0], edges[:-1]])
    blocks = tuple(Block(name, share * HOURS_PER_MONTH) for name, share in SHARES)
    rps = np.zeros((len(keys), len(months), len(blocks), scenarios))
    cuts = np.cumsum([share for _, share in SHARES])
    inside = np.concatenate([np.arange(m.start, m.stop) for m in months])
    weight = paths[:, :, inside].sum(axis=2).sum(axis=0)
    order = np.argsort(weight, kind="stable")
    bounds = np.rint(np.concatenate([[0.0], edges]) * len(order)).astype(int)
    for s in range(scenarios):
        members = order[bounds[s] : max(bounds[s + 1], bounds[s] + 1)]
        quantile = min(edges[s], TOP_EDGE)
        for j, month in enumerate(months):
            hours = paths[:, :, month.start : month.stop]
            rps[:, j, 0, s] = np.quantile(hours.max(axis=2), quantile, axis=1) * burst_factor
            ranked = -np.sort(-hours[:, members], axis=2)
            stops = np.rint(cuts * ranked.shape[2]).astype(int)
            for b in range(1, len(blocks)):
                rps[:, j, b, s] = ranked[:, :, stops[b - 1] : stops[b]].mean(axis=(1, 2))
    # A lower block never exceeds the one above it, whatever the group means did.
    rps = np.minimum.accumulate(rps, axis=2)
    return Demand(
        series=keys,
        months=tuple(m.label for m in months),
        blocks=blocks,
        probabilities=edges - lower,
        rps=rps / SECONDS_PER_HOUR,
        notes=(
            f"peak block = largest hour x burst factor {burst_factor:g}; scenario peaks at cumulative probability "
            + ", ".join(f"{min(e, TOP_EDGE):.0%}" for e in edges)
            + ", all series at once",
        ),
    )
