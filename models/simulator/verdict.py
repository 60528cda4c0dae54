"""Do simulated times keep their SLO? One set of functions for sizing, service curves and replays."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from data.curve_records import ClassTimes, Percentile3
from data.records import BoolArray, FloatArray, IntArray, SloTarget
from models.simulator.load import Mix
from models.simulator.percentiles import Times, quantiles


def reached(
    seen: Times, mine: BoolArray | None, finished: BoolArray, slos: Sequence[SloTarget]
) -> tuple[FloatArray, FloatArray]:
    """Seconds at the percentile of every limit, and the limits, both [limits, lanes] in the order of SloTarget.limits.

    mine: which requests count, [lanes, requests] as in `seen`; None: all. slos: one a lane. Infinite where a lane did
    not finish, and where there is no limit.
    """
    limits = [one.limits for one in slos]
    seconds = np.array([[limit.seconds for limit in three] for three in limits]).T
    percentile = np.array([[limit.percentile for limit in three] for three in limits]).T
    found = [
        quantiles(values if mine is None else np.where(mine, values, np.nan), finished & np.isfinite(most), at)
        for values, most, at in zip((seen.ttft_s, seen.tpot_s, seen.e2e_s), seconds, percentile, strict=True)
    ]
    return np.stack(found), seconds


def kept(seen: Times, slo: SloTarget) -> BoolArray:
    """Which requests keep every limit. One that was never answered does not; one of a single token has no TPOT."""
    ttft, tpot, e2e = (limit.seconds for limit in slo.limits)
    return np.asarray((seen.ttft_s <= ttft) & ~(seen.tpot_s > tpot) & (seen.e2e_s <= e2e))


def judged(
    mix: Mix, seen: Times, which: IntArray, finished: BoolArray
) -> tuple[tuple[ClassTimes, ...], tuple[str, ...], BoolArray]:
    """Every class of the mix over all lanes: its times; the limits that its percentile, averaged over lanes, breaks, in
    words; and which requests kept every limit of their class, [lanes, requests]."""
    classes, broken = [], []
    within = np.zeros(which.shape, dtype=bool)
    for number, one in enumerate(mix):
        mine = which == number
        values, _ = reached(seen, mine, finished, [one.slo] * len(which))
        broken += [
            f"{one.name}: {limit.label} p{limit.percentile:g} {at:.3g} s, limit {limit.seconds:g} s"
            for limit, at in zip(one.slo.limits, values.mean(axis=1), strict=True)
            if at > limit.seconds
        ]
        within |= mine & kept(seen, one.slo)
        share = float(within[mine].mean()) if mine.any() else float("nan")
        ttft, tpot, e2e = (_three(side[mine]) for side in (seen.ttft_s, seen.tpot_s, seen.e2e_s))
        classes.append(ClassTimes(one.name, ttft, tpot, e2e, share))
    return tuple(classes), tuple(broken), within


def _three(values: FloatArray) -> Percentile3:
    known = values[~np.isnan(values)]
    three = np.quantile(known, [0.5, 0.95, 0.99]) if len(known) else np.full(3, np.nan)
    return Percentile3(*(float(value) for value in three))
