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

from data.forecast_records import Reduction
from data.records import Block, Demand, Float32Array, FloatArray, SeriesKey
from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

SHARES = (("peak", 0.01), ("busy", 0.14), ("day", 0.45), ("night", 0.40))
"""Blocks as shares of a month's hours in order of load."""
TOP_EDGE = 0.99
PLANNED_PEAK = 0.95


@dataclass(frozen=True, slots=True)
class Month:
    """A calendar month of the horizon: its label and the slice of hours it covers."""

    label: str
    start: int
    stop: int


@dataclass(frozen=True, slots=True)
class PathSummary:
    """What the plan needs of one series' paths: mean requests an hour of each block [paths, months, blocks], largest
    hour [paths, months] and total [paths, months]."""

    blocks: FloatArray
    peak: FloatArray
    total: FloatArray


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
    if scenarios < 5:
        size = 0.72 ** np.arange(scenarios)
        edges = np.cumsum(size / size.sum())
        edges[-1] = 1.0
        return np.asarray(edges)
    # The last twentieth and the tenth below it have a fifth of the groups each; 0.85 and 0.95 are always edges.
    fifth = max(scenarios // 5, 1)
    counts = (scenarios - 2 * fifth, fifth, fifth)
    spans = ((0.0, 0.85), (0.85, 0.95), (0.95, 1.0))
    return np.concatenate([np.linspace(low, high, n + 1)[1:] for (low, high), n in zip(spans, counts, strict=True)])


def summarise(paths: Float32Array, months: tuple[Month, ...]) -> PathSummary:
    """Blocks, peaks and totals of every path of one series, paths [paths, hours]."""
    cuts = np.cumsum([share for _, share in SHARES])
    blocks = np.zeros((len(paths), len(months), len(SHARES)))
    for j, month in enumerate(months):
        ranked = np.sort(paths[:, month.start : month.stop], axis=1)[:, ::-1]
        stops = np.rint(cuts * ranked.shape[1]).astype(int)
        for b, (low, high) in enumerate(zip([0, *stops[:-1]], stops, strict=True)):
            blocks[:, j, b] = ranked[:, low:high].mean(axis=1, dtype=np.float64)
    spans = [(m.start, m.stop) for m in months]
    return PathSummary(
        blocks=blocks,
        peak=np.stack([paths[:, a:b].max(axis=1) for a, b in spans], axis=1).astype(np.float64),
        total=np.stack([paths[:, a:b].sum(axis=1, dtype=np.float64) for a, b in spans], axis=1),
    )


def demand_from_summaries(
    keys: tuple[SeriesKey, ...],
    summaries: list[PathSummary],
    months: tuple[Month, ...],
    scenarios: int,
    burst_factor: float,
) -> Demand:
    """Demand in requests/s, [series, month, block, scenario].

    The peak block is the month's largest hour times burst_factor (sub-hour peak over hour mean).
    """
    edges = group_edges(scenarios)
    lower = np.concatenate([[0.0], edges[:-1]])
    names = tuple(Block(name, share * HOURS_PER_MONTH) for name, share in SHARES)
    rps = np.zeros((len(keys), len(months), len(names), scenarios))
    order = np.argsort(np.sum([one.total.sum(axis=1) for one in summaries], axis=0), kind="stable")
    bounds = np.rint(np.concatenate([[0.0], edges]) * len(order)).astype(int)
    for i, one in enumerate(summaries):
        for s in range(scenarios):
            # More scenarios than paths can tell apart share a path.
            first = min(bounds[s], len(order) - 1)
            members = order[first : max(bounds[s + 1], first + 1)]
            rps[i, :, 0, s] = np.quantile(one.peak, min(edges[s], TOP_EDGE), axis=0) * burst_factor
            rps[i, :, 1:, s] = one.blocks[members][:, :, 1:].mean(axis=0)
    # A lower block never exceeds the one above it, whatever the group means did.
    rps = np.minimum.accumulate(rps, axis=2)
    return Demand(
        series=keys,
        months=tuple(m.label for m in months),
        blocks=names,
        probabilities=edges - lower,
        rps=rps / SECONDS_PER_HOUR,
        notes=(
            f"peak block = largest hour x burst factor {burst_factor:g}; scenario peaks at cumulative probability "
            + ", ".join(f"{min(e, TOP_EDGE):.0%}" for e in edges)
            + ", all series at once",
        ),
    )


def demand_of_paths(
    keys: tuple[SeriesKey, ...], summaries: list[PathSummary], months: tuple[Month, ...], burst_factor: float
) -> Demand:
    """Every path a scenario of its own, all equally likely: what a finished plan is tried on."""
    names = tuple(Block(name, share * HOURS_PER_MONTH) for name, share in SHARES)
    rps = np.stack([one.blocks.transpose(1, 2, 0) for one in summaries])
    rps[:, :, 0] = np.stack([one.peak.T * burst_factor for one in summaries])
    paths = rps.shape[3]
    labels = tuple(m.label for m in months)
    return Demand(keys, labels, names, np.full(paths, 1.0 / paths), rps / SECONDS_PER_HOUR)


def reduction(
    demand: Demand, summaries: list[PathSummary], months: tuple[Month, ...], sum_peak: FloatArray, burst_factor: float
) -> Reduction:
    """What the scenarios lose or add against the paths; sum_peak: largest hour of the sum of all series [paths,
    months].

    Volumes leave the peak block out: it is what capacity must carry, not what is served for its hours.
    """
    hours = np.array([block.hours for block in demand.blocks[1:]])
    volume = peak = 0.0
    upto = np.cumsum(demand.probabilities)
    planned = int(np.argmax(upto >= PLANNED_PEAK - 1e-9))
    total = np.zeros(len(months))
    for i, one in enumerate(summaries):
        planned_volume = SECONDS_PER_HOUR * np.einsum("jbs,b,s->j", demand.rps[i, :, 1:], hours, demand.probabilities)
        expected = one.blocks.mean(axis=0)[:, 1:] @ hours
        seen = expected > 0.0
        if seen.any():
            volume = max(volume, float(np.abs(planned_volume[seen] / expected[seen] - 1.0).max()))
        own = np.quantile(one.peak, PLANNED_PEAK, axis=0)
        scenario = demand.rps[i, :, 0, planned] * SECONDS_PER_HOUR / burst_factor
        total += scenario
        if (own > 0.0).any():
            peak = max(peak, float(np.abs(scenario[own > 0.0] / own[own > 0.0] - 1.0).max()))
    joint = np.quantile(sum_peak, PLANNED_PEAK, axis=0)
    over = float((total / joint - 1.0).max()) if len(joint) and (joint > 0.0).all() else 0.0
    paths = np.sum([one.blocks[:, :, 1:] @ hours for one in summaries], axis=(0, 2))
    planned_total = SECONDS_PER_HOUR * np.einsum("ijbs,b->s", demand.rps[:, :, 1:], hours)
    left = float(np.sqrt(demand.probabilities @ np.square(planned_total - demand.probabilities @ planned_total)))
    spread = 1.0 - left / float(paths.std()) if float(paths.std()) > 0.0 else 0.0
    return Reduction(volume, peak, over, spread)
