"""Intervals that engines counted, made fit for counts by the hour."""

from __future__ import annotations

import numpy as np

from data.records import BoolArray, FloatArray, IntArray
from data.units import SECONDS_PER_HOUR

SMALL_LOSS = 0.05
"""What replicas counted while they went unseen is placed evenly where it is at most this share of all."""


def within_hours(at: IntArray, width: IntArray, value: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Intervals [n] (start and width in seconds, requests), those of several hours spread evenly over the hours that
    they cover: otherwise an hour would be given what was counted in all of them."""
    hours = np.maximum(width // SECONDS_PER_HOUR, 1)
    which = np.repeat(np.arange(len(at)), hours)
    place = np.arange(len(which)) - np.repeat(np.cumsum(hours) - hours, hours)
    spread: FloatArray = value[which] / hours[which]
    return at[which] + place * SECONDS_PER_HOUR, np.minimum(width[which], SECONDS_PER_HOUR), spread


def beside_unseen(
    at: IntArray, width: IntArray, value: FloatArray, gaps: FloatArray
) -> tuple[BoolArray, FloatArray, float]:
    """Which intervals [n] (start, ascending, and width in seconds, requests of a class) tell of the whole class, their
    requests, and the requests of the others.

    gaps [m, 3]: start and end (seconds) of the time in which a replica of the class went unseen, and what it counted
    in it. Gaps that meet are judged together: what they lost is placed evenly in them where it is little; else the
    other replicas' counts beside them would pass for a quiet time.
    """
    keep = np.ones(len(at), dtype=np.bool_)
    made = value.copy()
    gaps = gaps[np.argsort(gaps[:, 0], kind="stable")]
    reached = np.maximum.accumulate(gaps[:, 1])
    island = np.cumsum(np.concatenate([[False], gaps[1:, 0] >= reached[:-1]]))
    widest = int(width.max())
    for number in range(int(island[-1]) + 1 if len(gaps) else 0):
        mine = gaps[island == number]
        near = slice(*np.searchsorted(at, [mine[0, 0] - widest, mine[:, 1].max()]))
        begins, ends = at[near], at[near] + width[near]
        inside = ends > mine[0, 0]
        seen, lost = float(value[near][inside].sum()), float(mine[:, 2].sum())
        if lost > SMALL_LOSS * (seen + lost):
            keep[near] &= ~inside
            continue
        for begin, end, missed in mine:
            shared = np.clip(np.minimum(ends, end) - np.maximum(begins, begin), 0.0, None)
            made[near] += missed * shared / (end - begin)
    return keep, made, float(value[~keep].sum())
