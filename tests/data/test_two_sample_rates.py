"""How often the two-sample check errs: traces of one and the same generator, and traces with a planted difference.

Every aspect is judged at 1 %, so that with five of them at most one comparison in twenty of like with like finds a
difference somewhere (Bonferroni). Seeds are fixed; the bounds leave room for a binomial tail of about 1 in 1,000.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from data.fitted import STEADY, Fitted, Trace, fit, fit_hours
from data.generated import generate, numbers
from data.records import FloatArray
from data.statistics.two_sample import LEAST_P, compare, compare_hours
from data.synthetic import correlated_gamma
from tests.data.test_fitted import START_MIN, trace

pytestmark = pytest.mark.slow

SEEDS = 80
STEADY_CASE = {"minutes": 90, "mean": 100.0, "cv": 0.0}
BURSTY_CASE = {"minutes": 90, "mean": 100.0, "cv": 0.4}
QUIET_CASE = {"minutes": 1440, "mean": 3.0, "cv": 0.3}


def most(share: float, of: int) -> int:
    """No more than this many of `of` happen with probability 0.999."""
    return int(stats.binom.ppf(0.999, of, share))


def alarms(pairs: list[tuple[Trace, Trace]]) -> Counter[str]:
    found: Counter[str] = Counter()
    for seed, (one, other) in enumerate(pairs):
        differs = [each.aspect for each in compare(one, other, seed) if not each.agrees]
        found.update([*differs, *(["any"] if differs else [])])
    return found


def drawn(fitted: Fitted, seed: int) -> Trace:
    return generate(fitted, fitted.first_min, fitted.minutes, seed)


@pytest.mark.parametrize("case", [STEADY_CASE, BURSTY_CASE, QUIET_CASE], ids=["steady", "bursty", "quiet"])
def test_like_and_like_seldom_differ(case: dict[str, float]) -> None:
    truth = fit(trace(seed=1, **case))  # type: ignore[arg-type]
    found = alarms([(drawn(truth, 2 * seed), drawn(truth, 2 * seed + 1)) for seed in range(SEEDS)])
    assert found["any"] <= most(5 * LEAST_P, SEEDS), found
    assert max((n for name, n in found.items() if name != "any"), default=0) <= most(LEAST_P, SEEDS), found


@pytest.mark.parametrize("case", [STEADY_CASE, QUIET_CASE], ids=["steady", "quiet"])
def test_a_generator_fitted_to_its_own_kind_passes(case: dict[str, float]) -> None:
    truth = fit(trace(seed=1, **case))  # type: ignore[arg-type]
    pairs = []
    for seed in range(SEEDS // 2):
        seen = drawn(truth, seed)
        pairs.append((seen, drawn(fit(seen), 10_000 + seed)))
    assert alarms(pairs)["any"] <= most(5 * LEAST_P, SEEDS // 2)


def thinned(seen: Trace, rng: np.random.Generator) -> Trace:
    kept = rng.random(len(seen.ts_us)) < 0.85
    return Trace(*(getattr(seen, name)[kept] for name in ("ts_us", "input_tokens", "output_tokens", "cached_tokens")))


def longer(seen: Trace, rng: np.random.Generator) -> Trace:
    return replace(seen, input_tokens=np.rint(1.1 * seen.input_tokens).astype(np.int64))


def unjoined(seen: Trace, rng: np.random.Generator) -> Trace:
    return replace(seen, output_tokens=rng.permutation(seen.output_tokens))


def clustered(seen: Trace, rng: np.random.Generator) -> Trace:
    """Every fourth request comes a millisecond after the one before it."""
    ts = seen.ts_us.copy()
    again = np.arange(1, len(ts), 4)
    ts[again] = ts[again - 1] + 1000
    return replace(seen, ts_us=np.sort(ts))


@pytest.mark.parametrize(
    ("change", "aspect", "share"),
    [
        (thinned, "requests a minute", 0.9),
        (longer, "input tokens", 0.9),
        (unjoined, "lengths jointly", 0.9),
        (clustered, "gaps", 0.9),
    ],
)
def test_a_planted_difference_is_found(
    change: Callable[[Trace, np.random.Generator], Trace], aspect: str, share: float
) -> None:
    """15 % fewer requests, prompts 10 % longer, outputs dealt out at random, arrivals in pairs."""
    truth = fit(trace(seed=1, **STEADY_CASE))  # type: ignore[arg-type]
    rng = np.random.default_rng(0)
    pairs = [(drawn(truth, 2 * seed), change(drawn(truth, 2 * seed + 1), rng)) for seed in range(SEEDS // 4)]
    assert alarms(pairs)[aspect] >= share * len(pairs)


def test_hourly_counts_by_the_same_measure() -> None:
    """Six weeks with a day and a week in them: like against like, without the rhythm, without the bursts."""
    rng = np.random.default_rng(0)
    t = np.arange(6 * 168)
    profile = 200 * (1 + 0.6 * np.sin(2 * np.pi * t / 24)) * (1 - 0.4 * (t // 24 % 7 >= 5))
    counts = rng.poisson(profile * correlated_gamma(len(t), 0.25, 0.5, rng)).astype(np.float64)
    truth = fit_hours(START_MIN // 60, counts, np.ones((5, 3), dtype=np.int64))
    flat = replace(truth, profile=np.full(1440, truth.profile.mean()))

    def hours(fitted: Fitted, seed: int) -> FloatArray:
        made = numbers(fitted, fitted.first_min, fitted.minutes, np.random.default_rng(seed))
        return made.reshape(-1, 60).sum(axis=1).astype(np.float64)

    def share(other: Fitted) -> float:
        pairs = ((hours(truth, 2 * seed), hours(other, 2 * seed + 1)) for seed in range(SEEDS))
        return float(np.mean([any(not each.agrees for each in compare_hours(*pair)) for pair in pairs]))

    assert share(truth) <= most(3 * LEAST_P, SEEDS) / SEEDS
    assert share(flat) >= 0.9
    assert share(replace(truth, hour=STEADY)) >= 0.9
