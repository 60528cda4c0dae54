"""Histories: scaling, regions, seeds, statistics, public traces."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.errors import InputError
from configs.loading import load_scenario
from configs.traffic import LogNormalLengths, Synthetic
from data.ingest import load_history
from data.lengths import lognormal, stratified
from data.public_traces import find_trace
from data.synthetic import hourly_requests
from data.workload import autocorrelation, describe

SPEC = Synthetic(first_day=date(2026, 8, 3), weeks=8, mean_requests_per_hour=5000.0)


def test_the_default_history_is_complete_checked_and_reproducible() -> None:
    loaded = load_scenario(None)
    one = load_history(loaded.scenario.traffic, loaded.base, None, loaded.scenario.seed)
    two = load_history(loaded.scenario.traffic, loaded.base, None, loaded.scenario.seed)
    assert one.frame.equals(two.frame)
    assert one.inputs == two.inputs
    assert one.frame["requests"].notna().all()
    other = load_history(loaded.scenario.traffic, loaded.base, None, loaded.scenario.seed + 1)
    assert not one.frame["requests"].equals(other.frame["requests"])


def test_regions_share_the_volume_and_multipliers_are_said() -> None:
    loaded = load_scenario(None)
    traffic = loaded.scenario.traffic
    series = traffic.series[0].model_copy(update={"volume_multiplier": 10.0, "failed_share": 0.2})
    scaled = traffic.model_copy(update={"series": (series, *traffic.series[1:])})
    base = load_history(traffic, loaded.base, None, 1)
    more = load_history(scaled, loaded.base, None, 1)

    def total(history: object, region: str | None = None) -> float:
        frame = history.frame  # type: ignore[attr-defined]
        mine = frame[frame.request_class == series.request_class]
        return float(mine[mine.region == region if region else slice(None)]["requests"].sum())

    assert total(more) == pytest.approx(total(base) * 10 / 0.8)
    for region, share in series.regions.items():
        assert total(more, region) == pytest.approx(share * total(more))
    text = " ".join(note.text for note in more.notes)
    assert "multiplied by 10 by declaration" in text
    assert "20.0% of requests are retried" in text


def test_the_synthetic_workload_has_the_shape_it_documents() -> None:
    counts = hourly_requests(SPEC, 7)
    weekday = counts[counts.index.day_of_week < 5]
    weekend = counts[counts.index.day_of_week >= 5]
    assert counts.mean() == pytest.approx(SPEC.mean_requests_per_hour, rel=0.02)
    assert weekend.mean() / weekday.mean() == pytest.approx(SPEC.weekend_ratio, rel=0.03)
    by_hour = weekday.groupby(weekday.index.hour).mean()
    assert by_hour.idxmax() in (SPEC.peak_hour_utc - 1, SPEC.peak_hour_utc, SPEC.peak_hour_utc + 1)
    assert by_hour.max() / by_hour.mean() == pytest.approx(1.7, rel=0.05)
    # Relative spread of the same hour on different weekdays is the declared burstiness (Poisson adds 1.4 %).
    cv = weekday.groupby(weekday.index.hour).std() / by_hour
    assert cv.mean() == pytest.approx(SPEC.burstiness_cv, rel=0.15)


def test_growth_compounds_monthly() -> None:
    growing = SPEC.model_copy(update={"growth_per_month": 0.10, "weeks": 52, "burstiness_cv": 0.0})
    counts = hourly_requests(growing, 1)
    weeks = counts.to_numpy().reshape(52, 168).sum(axis=1)
    monthly = (weeks[51] / weeks[0]) ** (1 / (51 * 168 / 730))
    assert monthly == pytest.approx(1.10, rel=0.005)


def test_lognormal_lengths_go_through_their_percentiles() -> None:
    spec = LogNormalLengths(
        input_p50_tokens=1000, input_p99_tokens=4000, output_p50_tokens=130, output_p99_tokens=600,
        correlation=0.5, source="test",
    )  # fmt: skip
    sample = lognormal(spec, 0.25, 3)
    order = np.argsort(sample.input_tokens)
    cumulative = np.cumsum(sample.weight[order])
    for q, value in ((0.5, 1000), (0.99, 4000)):
        assert sample.input_tokens[order][np.searchsorted(cumulative, q)] == pytest.approx(value, rel=0.04)
    assert (sample.cached_tokens <= 0.25 * sample.input_tokens).all()
    w = sample.weight
    logs = np.log(sample.input_tokens), np.log(sample.output_tokens)
    centred = [x - (w * x).sum() for x in logs]
    r = (w * centred[0] * centred[1]).sum() / np.sqrt((w * centred[0] ** 2).sum() * (w * centred[1] ** 2).sum())
    assert r == pytest.approx(0.5, abs=0.06)


@given(st.integers(1, 6000), st.integers(0, 2**31 - 1))
def test_stratified_samples_keep_mass_mean_and_tail(n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    inputs, outputs = rng.lognormal(6, 1, n), rng.lognormal(4, 1, n)
    sample = stratified(inputs, outputs, 0.0, seed, "test")
    assert sample.weight.sum() == pytest.approx(1.0)
    assert len(sample.weight) <= 1024
    assert (sample.input_tokens >= 1).all()
    assert (sample.output_tokens >= 1).all()
    assert (sample.weight * sample.input_tokens).sum() == pytest.approx(np.rint(inputs).mean(), rel=0.12, abs=1.0)


def test_autocorrelation_of_known_series() -> None:
    t = np.arange(24 * 28, dtype=float)
    wave = np.cos(2 * np.pi * t / 24)
    # Lagged products cover n - lag of n terms: the sample autocorrelation of a pure daily wave is 1 - 24 / n.
    assert autocorrelation(wave, 24) == pytest.approx(1 - 24 / len(t), abs=1e-6)
    assert autocorrelation(wave, 12) == pytest.approx(-(1 - 12 / len(t)), abs=1e-6)
    assert autocorrelation(np.ones(100), 24) is None
    assert autocorrelation(t[:40], 24) is None


def test_statistics_of_the_default() -> None:
    loaded = load_scenario(None)
    history = load_history(loaded.scenario.traffic, loaded.base, None, loaded.scenario.seed)
    found = {one.request_class: one for one in describe(history)}
    assert set(found) == set(loaded.scenario.traffic.classes)
    code = found["code"]
    assert code.weekend_ratio == pytest.approx(0.35, rel=0.06)
    assert code.p50_per_h <= code.p95_per_h <= code.p99_per_h <= code.max_per_h
    assert code.supports == "daily, weekly"


def test_a_public_trace_that_is_nowhere_says_which_file_goes_where(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"burstgpt_hourly\.csv.*--data-folder"):
        find_trace("burstgpt-hourly", tmp_path)
    with pytest.raises(InputError, match="one of azure-2023-conversation"):
        find_trace("nonsense", None)


def test_a_changed_public_trace_is_refused(tmp_path: Path) -> None:
    (tmp_path / "burstgpt_hourly.csv").write_text("day,hour,conversation\n0,0,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="the published file"):
        find_trace("burstgpt-hourly", tmp_path)
