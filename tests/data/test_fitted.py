"""The fitted generator finds the parameters it was given, and its traces pass for the ones they were fitted to."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from configs.classes import ClassRules
from configs.errors import InputError
from data.class_traces import read_class
from data.dataset import opened
from data.fitted import Trace, clock_resolution, excess, fit, minute_counts
from data.generated import generate, write_trace
from data.statistics.two_sample import compare
from data.synthetic import correlated_gamma
from tests.data.ingest_files import one

ALL = ClassRules(unmatched="all")
START_MIN = 29_459_520  # 2026-01-05 00:00 UTC


def trace(minutes: int, seed: int, mean: float = 60.0, cv: float = 0.0) -> Trace:
    """A Poisson process, or a modulated one, with lengths that go together."""
    rng = np.random.default_rng(seed)
    number = rng.poisson(mean * correlated_gamma(minutes, cv, 0.6, rng))
    ts = np.sort((np.repeat(START_MIN + np.arange(minutes), number) + rng.random(number.sum())) * 60e6).astype(np.int64)
    z = rng.standard_normal((2, len(ts)))
    i = np.exp(6.5 + z[0]).astype(np.int64) + 1
    o = np.exp(4.5 + 0.8 * (0.7 * z[0] + 0.7 * z[1])).astype(np.int64) + 1
    return Trace(ts, i, o, i // 3)


def test_moments_find_the_modulation() -> None:
    rng = np.random.default_rng(1)
    mean = 200 * (1 + 0.5 * np.sin(np.arange(20_000) / 500))
    counts = rng.poisson(mean * correlated_gamma(20_000, 0.3, 0.6, rng)).astype(float)
    cv, correlation = excess(counts, mean)
    assert cv == pytest.approx(0.3, rel=0.05)
    assert correlation == pytest.approx(0.6, abs=0.06)
    assert excess(rng.poisson(mean).astype(float), mean)[0] < 0.03


def test_the_clock_is_told_by_its_ticks() -> None:
    rng = np.random.default_rng(2)
    ticks = np.sort(rng.integers(0, 1200, 9000)) * 3_000_000
    assert clock_resolution(ticks) == 3_000_000
    assert clock_resolution(np.sort(ticks + rng.integers(-1, 2) * 1000)) == 3_000_000
    assert clock_resolution(np.sort(rng.integers(0, 10**6, 500)) * 1000) == 1000
    assert clock_resolution(np.zeros(5, dtype=np.int64)) == 1


@pytest.mark.parametrize(("minutes", "cv"), [(90, 0.0), (90, 0.4), (4 * 1440, 0.3)])
def test_generated_traces_pass_for_the_one_they_were_fitted_to(minutes: int, cv: float) -> None:
    seen = trace(minutes, 3, mean=200.0 if minutes < 1000 else 4.0, cv=cv)
    fitted = fit(seen)
    made = generate(fitted, START_MIN, fitted.minutes, 5)
    assert len(made.ts_us) == pytest.approx(len(seen.ts_us), rel=0.15)
    for aspect in compare(seen, made):
        # Minutes (and so gaps) of a modulated process are not independent, as the p-value assumes.
        follows_rate = cv > 0 and aspect.aspect in ("requests a minute", "gaps")
        assert aspect.agrees or (follows_rate and aspect.distance < 0.15), aspect
    correlation = [np.corrcoef(np.log(t.input_tokens), np.log(t.output_tokens))[0, 1] for t in (seen, made)]
    assert correlation[1] == pytest.approx(correlation[0], abs=0.05)
    again = generate(fitted, START_MIN, fitted.minutes, 5)
    assert (again.ts_us == made.ts_us).all()


def test_a_different_trace_does_not_pass() -> None:
    seen, other = trace(90, 4), trace(90, 5, mean=75.0)
    longer = Trace(other.ts_us, 2 * other.input_tokens, other.output_tokens, other.cached_tokens)
    differs = {one.aspect for one in compare(seen, longer) if not one.agrees}
    assert {"requests a minute", "gaps", "input tokens", "lengths jointly"} <= differs


def test_a_daily_rhythm_is_repeated() -> None:
    rng = np.random.default_rng(6)
    minutes = 7 * 1440
    mean = 8 * (1 + 0.8 * np.sin(2 * np.pi * np.arange(minutes) / 1440))
    number = rng.poisson(mean)
    ts = np.sort((np.repeat(START_MIN + np.arange(minutes), number) + rng.random(number.sum())) * 60e6).astype(np.int64)
    ones = np.ones(len(ts), dtype=np.int64)
    made = generate(fit(Trace(ts, ones, ones, ones)), START_MIN + minutes, 1440, 0)
    by_hour = np.bincount((made.ts_us // 3_600_000_000) % 24, minlength=24)
    assert int(by_hour.argmax()) in (4, 5, 6, 7)
    assert by_hour.max() / by_hour.mean() == pytest.approx(1.8, rel=0.1)


def test_a_generated_trace_is_ingested_again(tmp_path: Path) -> None:
    seen = trace(60, 7)
    write_trace(seen, tmp_path / "t.parquet")
    assert one(tmp_path / "out", tmp_path / "t.parquet").source.kept == len(seen.ts_us)  # type: ignore[union-attr]
    with opened(tmp_path / "out") as (_, connection):
        back = read_class(connection, ALL, "all")
    assert (back.ts_us == seen.ts_us).all()
    assert sorted(back.input_tokens) == sorted(seen.input_tokens)
    assert minute_counts(back.ts_us)[0] == START_MIN + 1


def test_a_class_with_hardly_any_requests_is_refused(tmp_path: Path) -> None:
    write_trace(trace(2, 8, mean=20.0), tmp_path / "t.parquet")
    one(tmp_path / "out", tmp_path / "t.parquet")
    with opened(tmp_path / "out") as (_, connection), pytest.raises(InputError, match="at least 200 requests"):
        read_class(connection, ALL, "all")


def test_quiet_minutes_are_drawn_from_all_of_their_kind() -> None:
    """Four days of Poisson arrivals at three a minute: hundreds of minutes have three, and each serves as pattern."""
    seen = trace(4 * 1440, 3, mean=3.0)
    fitted = fit(seen)
    made = generate(fitted, START_MIN, fitted.minutes, 5)
    gaps = np.diff(made.ts_us) / 1e6
    # Of Poisson arrivals the gaps are exponential: 1 - exp(-x) at their mean's multiples.
    for multiple in (0.1, 0.5, 1.0, 2.0):
        assert (gaps < multiple * gaps.mean()).mean() == pytest.approx(1 - np.exp(-multiple), abs=0.015)
    assert len(np.unique(made.ts_us % 60_000_000)) > 0.6 * len(made.ts_us)
