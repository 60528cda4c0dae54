"""Every limit at a percentile of its own: verdicts against plain counting, and knees against queueing facts."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import brentq

from data.records import FloatArray, SloTarget
from models.simulator.knee import find_knees
from models.simulator.load import ClassLoad
from models.simulator.percentiles import Times
from models.simulator.verdict import judged, kept, reached
from tests.models.simulator.test_knee import BUDGET, D_S, constant_cost, limits, md1_wait_within, sample

PERCENTILE = st.floats(5.0, 99.5)


def interpolated(values: list[float], percentile: float) -> float:
    """Linear between order statistics, by hand."""
    ordered = sorted(values)
    place = percentile / 100.0 * (len(ordered) - 1)
    low = min(int(place), len(ordered) - 2) if len(ordered) > 1 else 0
    return ordered[low] if len(ordered) == 1 else ordered[low] + (place - low) * (ordered[low + 1] - ordered[low])


def drawn(seed: int, lanes: int = 2, count: int = 40) -> Times:
    rng = np.random.default_rng(seed)
    ttft = rng.exponential(1.0, (lanes, count))
    tpot = np.where(rng.random((lanes, count)) < 0.2, np.nan, rng.exponential(0.1, (lanes, count)))
    return Times(ttft, tpot, ttft + rng.exponential(5.0, (lanes, count)))


@settings(max_examples=40)
@given(st.integers(0, 10**6), PERCENTILE, PERCENTILE, PERCENTILE, st.none() | st.floats(1.0, 20.0))
def test_each_limit_is_read_at_its_own_percentile(
    seed: int, ttft: float, tpot: float, e2e: float, end: float | None
) -> None:
    seen = drawn(seed)
    slo = SloTarget(1.5, 0.2, 50.0, end, ttft, tpot, e2e)
    values, most = reached(seen, None, np.array([True, False]), [slo, slo])
    assert np.isinf(values[:, 1]).all(), "a lane that did not finish reaches nothing"
    assert list(most[:, 0]) == [1.5, 0.2, math.inf if end is None else end]
    sides: list[tuple[FloatArray, float]] = [(seen.ttft_s, ttft), (seen.tpot_s, tpot), (seen.e2e_s, e2e)]
    for place, (side, percentile) in enumerate(sides[: 2 if end is None else 3]):
        known = [float(x) for x in side[0] if not math.isnan(x)]
        assert values[place, 0] == pytest.approx(interpolated(known, percentile))
    if end is None:
        assert np.isinf(values[2, 0])
        assert not (values[2] > most[2]).any(), "no limit, nothing breaks"


def test_one_percentile_is_the_default_of_all_three() -> None:
    slo = SloTarget(1.0, 0.1, 95.0, 9.0)
    assert slo.percentiles == (95.0, 95.0, 95.0)
    assert slo.at == "p95"
    assert replace(slo, ttft_percentile=99.0).at == "TTFT p99, TPOT p95, end to end p95"
    assert replace(slo, e2e_s=None, e2e_percentile=50.0).at == "p95", "what is not asked has no percentile"
    seen = drawn(3)
    every = np.ones(2, dtype=bool)
    spelled = replace(slo, ttft_percentile=95.0, tpot_percentile=95.0, e2e_percentile=95.0)
    assert (reached(seen, None, every, [slo] * 2)[0] == reached(seen, None, every, [spelled] * 2)[0]).all()


@settings(max_examples=40)
@given(st.integers(0, 10**6))
def test_the_verdict_counts_every_request_once(seed: int) -> None:
    """Against a loop over requests; one that was never answered keeps nothing, one of a single token has no TPOT."""
    seen = drawn(seed)
    seen.ttft_s[0, 0] = seen.e2e_s[0, 0] = seen.tpot_s[0, 0] = np.nan
    which = np.random.default_rng(seed + 1).integers(0, 2, seen.ttft_s.shape)
    slos = (SloTarget(1.0, 0.1, 90.0), SloTarget(2.0, 0.2, 60.0, 8.0, tpot_percentile=80.0))
    mix = tuple(ClassLoad(name, 1.0, sample(1, 1), slo) for name, slo in zip("ab", slos, strict=True))
    classes, broken, within = judged(mix, seen, which, np.array([True, True]))
    for (lane, at), good in np.ndenumerate(within):
        slo = slos[which[lane, at]]
        ttft, tpot, e2e = (float(side[lane, at]) for side in (seen.ttft_s, seen.tpot_s, seen.e2e_s))
        one_token = math.isnan(tpot) and not math.isnan(ttft)
        want = ttft <= slo.ttft_s and (one_token or tpot <= slo.tpot_s) and (slo.e2e_s is None or e2e <= slo.e2e_s)
        assert good == want
    for number, one in enumerate(classes):
        assert one.within_slo == within[which == number].mean()
        assert one.within_slo == kept(seen, slos[number])[which == number].mean()
    for text in broken:
        assert text.split(":")[0] in "ab"
    assert not any("b: TPOT p60" in text for text in broken), "the limit's own percentile is named"


def test_a_looser_percentile_of_ttft_moves_the_knee_to_erlangs_for_it() -> None:
    """M/D/1: the knee follows the TTFT percentile alone, whatever the others are."""
    limit = 4.5 * D_S

    def knee(slo: SloTarget) -> float:
        mix = (ClassLoad("a", 1.0, sample(BUDGET, 1), slo),)
        found = find_knees(constant_cost(), [mix], limits(), np.array([4.0]), 0.85, requests=6000, seeds=4, seed=2)
        assert found.binding == ("ttft",)
        return float(found.knee_rps[0])

    for percentile in (80.0, 99.0):
        want = brentq(lambda rate, q: md1_wait_within(rate, limit - D_S) - q, 0.5, 9.9, args=(percentile / 100.0,))
        got = knee(SloTarget(limit, 1.0, 50.0, ttft_percentile=percentile))
        assert got == pytest.approx(want, rel=0.06)
    plain = knee(SloTarget(limit, 1.0, 95.0))
    assert knee(SloTarget(limit, 1.0, 95.0, None, 95.0, 99.9, 99.9)) == plain, "a limit that never binds says nothing"


def test_the_end_to_end_percentile_binds_alone() -> None:
    """TTFT and TPOT are loose; a stricter end-to-end percentile lowers the knee, and it is the one that is named."""

    def knee(percentile: float) -> tuple[float, str]:
        slo = SloTarget(50.0, 50.0, 50.0, 1.0, e2e_percentile=percentile)
        mix = (ClassLoad("a", 1.0, sample(BUDGET, 2), slo),)
        found = find_knees(constant_cost(), [mix], limits(), np.array([4.0]), 0.85, requests=3000, seeds=2, seed=3)
        return float(found.knee_rps[0]), found.binding[0]

    loose, strict = knee(70.0), knee(99.0)
    assert loose[1] == strict[1] == "e2e"
    assert strict[0] < 0.95 * loose[0]
