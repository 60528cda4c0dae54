"""Samples of a counter into counts on a fixed grid: resets, gaps, jitter and uneven steps included."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.records import BoolArray, FloatArray

WIDTHS_S = (1.0, 5.0, 10.0, 15.0, 30.0, 60.0, 300.0, 600.0, 900.0, 1800.0, 3600.0, 7200.0, 21_600.0, 86_400.0)
GAP_STEPS = 1.5
"""A distance of more than this many steps between two samples is a gap."""
BRIDGED_STEPS = 5.5
"""Up to here the increase over a gap is spread evenly over it; beyond, its time is unknown and stays unobserved."""
LONGEST_GAP_S = 60 * 86_400.0
"""A longer one is a damaged time, not a gap (assumption, 2026-11)."""

RESET = "a counter reset: counted from 0, as Prometheus does"
BRIDGED = "after a short gap: its increase is spread evenly over the gap"
AFTER_GAP = "after a long gap: what was counted within it is not placed in time"


@dataclass(frozen=True, slots=True)
class Binned:
    """Counts (or mean readings) by grid interval: start_s [n] (multiples of width_s since 1970), value [n]; repairs by
    kind, samples repaired, and what fell into long gaps and partly covered ends.

    unseen: long gaps within which the counter went on, as (start_s, end_s, counted in it), whole grid intervals."""

    start_s: FloatArray
    value: FloatArray
    repairs: Counter[str]
    repaired: int
    unplaced: float
    unseen: tuple[tuple[float, float, float], ...] = ()


def grid_width(steps: Sequence[float]) -> float:
    """The grid interval of an export: the smallest usual width that is not below its median step (1 % tolerance)."""
    step = float(np.median(steps)) if len(steps) else 60.0
    return next((width for width in WIDTHS_S if width >= 0.99 * step), WIDTHS_S[-1])


def binned_counter(t: FloatArray, v: FloatArray, step: float, width: float) -> Binned:
    """The increase of a counter by grid interval.

    t: sample times, ascending, seconds [n]; v: readings [n], finite and not negative. The increase between two samples
    is spread evenly over the time between them; an interval counts only where samples cover all of it, so that an
    export's ends do not pass for quiet intervals.
    """
    repairs: Counter[str] = Counter()
    if len(t) < 2:
        return Binned(np.empty(0), np.empty(0), repairs, 0, 0.0)
    rise = np.diff(v)
    reset = rise < 0
    rise = np.where(reset, v[1:], rise)
    span = np.diff(t)
    gap = span > GAP_STEPS * step
    long = span > BRIDGED_STEPS * step
    repairs.update({RESET: int(reset.sum()), BRIDGED: int((gap & ~long).sum()), AFTER_GAP: int(long.sum())})
    repaired = int((reset | gap).sum())
    unplaced = float(rise[long].sum())
    starts, values = [np.empty(0)], [np.empty(0)]
    ends = np.flatnonzero(np.append(long, True))
    begin = 0
    # Between long gaps only: a time that is years off costs no grid of years.
    for end in map(int, ends):
        if end > begin:
            start, value, lost = _segment(t[begin : end + 1], rise[begin:end], width)
            starts.append(start)
            values.append(value)
            unplaced += lost
        begin = end + 1
    unseen = _unseen(t, rise, reset, long, step, width)
    return Binned(np.concatenate(starts), np.concatenate(values), +repairs, repaired, unplaced, unseen)


def _unseen(
    t: FloatArray, rise: FloatArray, reset: BoolArray, long: BoolArray, step: float, width: float
) -> tuple[tuple[float, float, float], ...]:
    """The long gaps in which requests went uncounted. A replica that comes back from 0 was away (scaled down), unless
    it has counted more since than a bridged gap would hold; one that comes back at the same count had nothing to do.
    Beyond the longest gap a time is a damaged one."""
    span = np.diff(t)
    placed = float(span[~long].sum())
    usual = BRIDGED_STEPS * step * float(rise[~long].sum()) / placed if placed else 0.0
    lost = long & (rise > np.where(reset, usual, 0.0)) & (span <= LONGEST_GAP_S)
    total = np.concatenate([[0.0], np.cumsum(rise)])
    found = []
    for k in map(int, np.flatnonzero(lost)):
        begin, end = float(np.floor(t[k] / width) * width), float(np.ceil(t[k + 1] / width) * width)
        low, high = np.interp([begin, end], t, total)
        found.append((begin, end, float(high - low)))
    return tuple(found)


def _segment(t: FloatArray, rise: FloatArray, width: float) -> tuple[FloatArray, FloatArray, float]:
    """Starts and increases of the grid intervals that samples at t [n] cover whole, and what falls outside them."""
    first = np.floor(t[0] / width) * width
    edges = first + width * np.arange(int(np.ceil((t[-1] - first) / width)) + 1)
    value = np.diff(np.interp(edges, t, np.concatenate([[0.0], np.cumsum(rise)])))
    seconds = np.diff(np.clip(edges, t[0], t[-1]))
    whole = seconds >= width * (1.0 - 1e-6)
    return edges[:-1][whole], value[whole], float(value[~whole].sum())


def binned_gauge(t: FloatArray, v: FloatArray, width: float) -> Binned:
    """The mean reading by grid interval."""
    start = np.floor(t / width) * width
    edges, index = np.unique(start, return_inverse=True)
    mean = np.bincount(index, weights=v) / np.bincount(index)
    return Binned(edges, mean, Counter(), 0, 0.0)
