"""Statistics of traffic against closed forms, brute force and numpy."""

from __future__ import annotations

import json
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats as scipy_stats

from configs.classes import ClassRules
from configs.validation import validated
from data.dataset import opened
from data.lengths import BODY_POINTS, TAIL_POINTS
from data.records import LengthSample
from data.statistics.arrivals import bursts, peak_minutes, rates, seasonal_strength
from data.statistics.brief import describe_briefly
from data.statistics.counts import class_counts, hourly_series, observed_hours
from data.statistics.describe import describe_dataset
from data.statistics.drift import distance, period_length, stability_index
from data.statistics.lengths import Histogram, lengths, strata
from data.statistics.quality import plateaus
from data.statistics.tail import length_tail
from flows import describe as flow
from tests.data.ingest_files import one, write_csv, write_parquet

ALL = ClassRules(unmatched="all")


def true(n: int) -> np.ndarray:
    return np.ones(n, dtype=bool)


def test_rates_of_a_known_series() -> None:
    values = np.array([0.0, 1.0, 2.0, 3.0, 94.0])
    found = rates(np.append(values, 1e9), np.append(true(5), False), 60)
    assert found is not None
    assert (found.mean, found.p50, found.max) == (20.0, 2.0, 94.0)
    assert found.dispersion == pytest.approx(values.var() / 20.0)


def test_peaks_and_bursts_of_a_known_hour() -> None:
    minutes = np.full(180, 100.0)
    minutes[70:75] = [200, 300, 250, 200, 200]
    minutes[130] = 149  # under 1.5 times
    found = bursts(minutes, true(180))
    assert found is not None
    assert (found.episodes, found.longest_minutes, found.highest) == (1, 5, 3.0)
    assert found.share_of_minutes == pytest.approx(5 / 180)
    peak = peak_minutes(minutes, true(180))
    assert peak is not None
    hours = minutes.reshape(3, 60)
    assert peak[2] == pytest.approx((hours.max(axis=1) / hours.mean(axis=1)).max())
    assert peak_minutes(np.full(120, 0.5), true(120)) is None


def test_seasonal_strength_of_waves_and_noise() -> None:
    t = np.arange(24 * 7 * 6)
    rng = np.random.default_rng(1)
    daily, weekly = 10 * np.sin(2 * np.pi * t / 24), 10 * (t // 24 % 7 >= 5)
    noise = rng.standard_normal(len(t))
    assert seasonal_strength(daily + noise, 24) == pytest.approx(50 / 51, abs=0.03)
    assert seasonal_strength(noise, 24) < 0.1  # type: ignore[operator]
    assert seasonal_strength(daily + noise, 168) < 0.3  # type: ignore[operator]
    assert seasonal_strength(daily + weekly + noise, 168) > 0.8  # type: ignore[operator]
    assert seasonal_strength(noise[:40], 24) is None


@given(st.lists(st.integers(0, 40), min_size=1, max_size=60), st.floats(0, 1))
def test_histogram_quantiles_are_numpys(values: list[int], q: float) -> None:
    value, count = np.unique(values, return_counts=True)
    histogram = Histogram(value.astype(np.int64), count.astype(np.int64))
    assert histogram.quantile(q) == pytest.approx(float(np.quantile(values, q)))
    assert histogram.mean() == pytest.approx(np.mean(values))


@given(st.lists(st.tuples(st.integers(1, 400), st.integers(1, 900)), min_size=1, max_size=60, unique_by=lambda x: x[0]))
def test_strata_have_equal_mass(pairs: list[tuple[int, int]]) -> None:
    value, count = (np.array(side, dtype=np.int64) for side in zip(*sorted(pairs), strict=True))
    first, wide = strata(Histogram(value, count))
    assert (first[1:] >= first[:-1]).all()
    assert (wide >= 1).all()
    assert first[-1] + wide[-1] <= BODY_POINTS + TAIL_POINTS
    # A length takes as many strata as its mass spans, give or take the ones it shares at both ends.
    fine = count.sum() * 0.05 / TAIL_POINTS
    assert (wide <= count / max(fine, 1.0) + 2).all()


def test_the_tail_against_its_closed_form() -> None:
    rng = np.random.default_rng(2)
    inputs, outputs = rng.integers(10, 5000, 500), rng.integers(1, 900, 500)
    weight = rng.random(500)
    weight /= weight.sum()
    sample = LengthSample(inputs, outputs, np.zeros(500, dtype=np.int64), weight, "test")
    found = length_tail(sample, 0)
    assert found.mean_request_tokens == pytest.approx((weight * (inputs + outputs / 2)).sum())
    want = (weight * outputs * (inputs + outputs / 2)).sum() / (weight * outputs).sum()
    assert found.in_flight_tokens == pytest.approx(want)
    p50s = [mix.p50_tokens / mix.concurrent for mix in found.mixes]
    assert p50s[-1] == pytest.approx(want, rel=0.02)
    over = [mix.p99_over_mean for mix in found.mixes]
    assert over == sorted(over, reverse=True)
    fixed = length_tail(LengthSample(np.array([1000]), np.array([1]), np.array([0]), np.ones(1), "one"), 0)
    assert fixed.mixes[0].p99_over_mean == pytest.approx(1.0, rel=1e-3)
    assert fixed.longest_1pct_share == pytest.approx(0.01)


def test_drift_measures() -> None:
    a, b = np.array([10.0, 20, 30, 40]), np.array([40.0, 30, 20, 10])
    x = np.repeat(np.arange(4), a.astype(int))
    y = np.repeat(np.arange(4), b.astype(int))
    assert distance(a, b) == pytest.approx(scipy_stats.ks_2samp(x, y).statistic)
    assert stability_index(a, a) == 0.0
    p, q = (a + 0.5) / (a + 0.5).sum(), (b + 0.5) / (b + 0.5).sum()
    assert stability_index(a, b) == pytest.approx((p * np.log(p / q)).sum() + (q * np.log(q / p)).sum())
    assert [period_length(x * 86_400.0) for x in (30, 5, 1)] == [7 * 86_400, 86_400, 21_601]


def test_plateaus() -> None:
    hours = np.array([1.0, 5, 5, 5, 5, 5, 5, 2, 0, 0, 0, 0, 0, 0, 0, 3, 3, 3, 3, 3])
    assert plateaus(hours) == [6]


def test_an_empty_hour_is_quiet_or_a_gap_by_its_neighbours() -> None:
    hours = np.array([10, 11, 14, 15, 20])
    assert list(observed_hours(hours, np.array([500.0, 400, 300, 3, 2]))) == [10, 11, 14, 15, 16, 17, 18, 19, 20]


def rules() -> ClassRules:
    return validated(
        ClassRules,
        {
            "unmatched": "rest",
            "classes": [
                {"name": "short", "match": {"service": ["chat"], "input_tokens": {"below": 500}}, "priority": 2,
                 "success": "within_slo", "slo": {"ttft_s": 0.5, "tpot_s": 0.05, "e2e_s": 5.0}},
                {"name": "long", "match": {"service": ["chat"], "input_tokens": {"at_least": 500}}},
            ],
        },
        "rules",
    )  # fmt: skip


@pytest.fixture(scope="module")
def described(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, pd.DataFrame]:
    """A day and a half of requests with everything a log can say, and the same as a frame."""
    folder = tmp_path_factory.mktemp("described")
    rng = np.random.default_rng(5)
    n = 6000
    start = datetime(2026, 1, 5)
    frame = pd.DataFrame(
        {
            "timestamp": [start + timedelta(seconds=float(x)) for x in np.sort(rng.random(n) * 36 * 3600)],
            "input_tokens": rng.integers(1, 1000, n),
            "output_tokens": rng.integers(1, 200, n),
            "cached_tokens": 0,
            "service": rng.choice(["chat", "api"], n, p=[0.8, 0.2]),
            "status": rng.choice(["ok", "cancelled", "failed"], n, p=[0.9, 0.06, 0.04]),
            "duration_s": rng.random(n) * 4,
            "ttft_s": rng.random(n) * 0.7,
        }
    )
    frame["cached_tokens"] = frame["input_tokens"] // 4
    path = write_parquet(folder / "log.parquet", list(frame.columns), list(frame.itertuples(index=False, name=None)))
    one(folder / "data", path)
    return folder / "data", frame


def test_a_dataset_described_against_pandas(described: tuple[Path, pd.DataFrame]) -> None:
    folder, frame = described
    profile = describe_dataset(folder, rules())
    assert [c.name for c in profile.classes] == ["short", "long", "rest"]
    chat = frame[(frame.service == "chat") & (frame.input_tokens < 500)]
    served = chat[chat.status != "failed"]
    short = profile.classes[0]
    assert short.requests == len(chat)
    assert profile.unmatched_share == pytest.approx((frame.service == "api").mean())
    found = short.lengths
    assert found is not None
    assert found.input.mean == pytest.approx(served.input_tokens.mean())
    assert found.output.p95 == pytest.approx(np.quantile(served.output_tokens, 0.95))
    assert found.total.p99 == pytest.approx(np.quantile(served.input_tokens + served.output_tokens, 0.99))
    assert found.cached_share == pytest.approx(served.cached_tokens.sum() / served.input_tokens.sum())
    assert (found.sample.weight * found.sample.input_tokens).sum() == pytest.approx(
        served.input_tokens.mean(), rel=0.02
    )
    assert (found.sample.weight * found.sample.output_tokens).sum() == pytest.approx(
        served.output_tokens.mean(), rel=0.05
    )
    assert short.outcomes is not None
    assert short.outcomes.failed == pytest.approx((chat.status == "failed").mean())
    tpot = (chat.duration_s - chat.ttft_s) / (chat.output_tokens - 1).clip(lower=1)
    kept = (chat.ttft_s <= 0.5) & (chat.duration_s <= 5) & ((chat.output_tokens < 2) | (tpot <= 0.05))
    assert short.outcomes.success == pytest.approx((kept & (chat.status != "failed")).mean())
    assert short.load is not None
    span = (frame.timestamp.max() - frame.timestamp.min()).total_seconds()
    assert short.load.concurrency == pytest.approx(len(chat) / span * chat.duration_s.mean(), rel=0.01)
    by_rate = {r.width_s: r for r in short.arrivals.rates}
    seconds = chat.timestamp.astype("datetime64[us]").astype("int64") // 10**6
    dense = np.bincount(seconds - seconds.min(), minlength=36 * 3600)
    assert by_rate[1].dispersion == pytest.approx(dense.var() / dense.mean(), rel=0.01)
    assert by_rate[1].p99 == np.quantile(dense, 0.99, method="inverted_cdf")
    assert short.arrivals.interarrival_cv == pytest.approx(1.0, abs=0.1)
    assert short.quality.verdict == "short"


def test_one_scan_agrees_with_the_whole_description(described: tuple[Path, pd.DataFrame]) -> None:
    folder, _ = described
    whole, brief = describe_dataset(folder, rules()), describe_briefly(folder, rules())
    for a, b in zip(whole.classes, brief.classes, strict=True):
        assert (a.name, a.requests) == (b.name, b.requests)
        assert [r for r in a.arrivals.rates if r.width_s >= 60] == list(b.arrivals.rates)
        assert a.arrivals.bursts == b.arrivals.bursts
        assert a.quality == b.quality
        assert a.lengths is not None
        assert b.lengths is not None
        for side in ("input", "output", "total"):
            exact, sketched = getattr(a.lengths, side), getattr(b.lengths, side)
            assert sketched.p95 == pytest.approx(exact.p95, rel=0.05)
            assert sketched.mean == pytest.approx(exact.mean, rel=0.03)
        assert a.tail is not None
        assert b.tail is not None
        assert b.tail.in_flight_tokens == pytest.approx(a.tail.in_flight_tokens, rel=0.05)
    assert brief.unmatched_share == whole.unmatched_share


def test_the_description_is_json_and_text(
    described: tuple[Path, pd.DataFrame], capsys: pytest.CaptureFixture[str]
) -> None:
    from rich.console import Console

    profile = describe_dataset(described[0], rules())
    assert json.loads(flow.as_json(profile))["classes"][0]["name"] == "short"
    flow.show(Console(width=120), profile)
    text = capsys.readouterr().out
    assert "match no rule" in text
    assert "in flight" in text


def test_only_lengths_of_histograms_are_joined_at_random(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A log's are of the same requests, whether or not they correlate and whether or not that was computed."""
    from rich.console import Console

    header = ("timestamp", "input_tokens", "output_tokens")
    rows = [((datetime(2026, 1, 5) + timedelta(minutes=m)).isoformat(), 5 + m % 7, 0) for m in range(3000)]
    one(tmp_path / "log", write_csv(tmp_path / "a.csv", header, rows))
    for describe in (describe_dataset, describe_briefly):
        flow.show(Console(width=120), describe(tmp_path / "log", ALL))
        text = capsys.readouterr().out
        assert "input and output of the same requests" in text
        assert "histograms" not in text
    buckets = ((1, 0), (10, 5), (100, 9), ("+Inf", 10))
    result = [
        {
            "metric": {
                "__name__": f"vllm:request_{side}_tokens_bucket",
                "model_name": "m",
                "instance": "a",
                "le": str(le),
            },
            "values": [[1_767_607_200 + 60 * i, str(n * i)] for i in range(181)],
        }
        for side in ("prompt", "generation")
        for le, n in buckets
    ]
    result.append(
        {
            "metric": {"__name__": "vllm:request_success_total", "model_name": "m", "instance": "a"},
            "values": [[1_767_607_200 + 60 * i, str(10 * i)] for i in range(181)],
        }
    )
    answer = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    (tmp_path / "p.json").write_text(json.dumps(answer), encoding="utf-8")
    one(tmp_path / "metrics", tmp_path / "p.json")
    flow.show(Console(width=120), describe_dataset(tmp_path / "metrics", ALL))
    assert "joined at random, from engine histograms" in capsys.readouterr().out


def test_a_sample_does_not_depend_on_the_order_of_rows(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = [
        (f"2026-01-05 10:{i // 60 % 60:02d}:{i % 60:02d}", int(rng.lognormal(6, 1)) + 1, int(rng.lognormal(4, 1)) + 1)
        for i in range(3000)
    ]
    header = ("timestamp", "input_tokens", "output_tokens")
    drawn = []
    for name, order in (("a", rows), ("b", rows[::-1])):
        one(tmp_path / name, write_csv(tmp_path / f"{name}.csv", header, order))
        with opened(tmp_path / name) as (_, connection):
            drawn.append(lengths(connection, ALL, 7, "x")["all"].sample)
    a, b = drawn
    assert (a.input_tokens == b.input_tokens).all()
    assert (a.weight == b.weight).all()
    assert len(a.weight) <= BODY_POINTS + TAIL_POINTS
    totals = np.array([i + o for _, i, o in rows])
    order_ = np.argsort(a.input_tokens + a.output_tokens)
    reached = np.cumsum(a.weight[order_])
    for q in (0.5, 0.95, 0.99):
        mine = (a.input_tokens + a.output_tokens)[order_][np.searchsorted(reached, q)]
        assert mine == pytest.approx(np.quantile(totals, q), rel=0.03)


def test_counts_of_nothing_are_described(tmp_path: Path) -> None:
    path = write_csv(tmp_path / "h.csv", ("day", "hour", "chat"), [(0, h, 0) for h in range(24)])
    one(tmp_path / "out", path)
    (found,) = describe_dataset(tmp_path / "out", ALL).classes
    assert (found.requests, found.quality.hours, found.quality.zero_hours) == (0.0, 24, 24)


def test_minutes_that_an_export_lacks_are_no_quiet_ones(tmp_path: Path) -> None:
    """A counter read every minute for three hours, rising by 10; 25 minutes of the second hour are missing."""
    begin = 1_767_607_200
    values = [[begin + 60 * i, str(10 * i)] for i in range(181) if not 70 <= i < 95]
    metric = {"__name__": "vllm:request_success_total", "model_name": "m", "instance": "a", "finished_reason": "stop"}
    answer = {"status": "success", "data": {"resultType": "matrix", "result": [{"metric": metric, "values": values}]}}
    (tmp_path / "p.json").write_text(json.dumps(answer), encoding="utf-8")
    one(tmp_path / "out", tmp_path / "p.json")
    (found,) = describe_dataset(tmp_path / "out", ALL).classes
    assert found.arrivals.peak_minute == (1.0, 1.0, 1.0)
    assert found.arrivals.bursts is not None
    assert found.arrivals.bursts.episodes == 0
    assert [r.mean for r in found.arrivals.rates] == pytest.approx([10.0, 600.0])
    assert (found.quality.hours, found.quality.gaps) == (3, 1)


def test_a_row_decades_away_is_a_stray(tmp_path: Path) -> None:
    """It stays in the dataset and its lengths; rates, bursts and the span are those of the others."""
    start = datetime(2026, 1, 5)
    rows = [(start + timedelta(seconds=20 * i), 100, 10) for i in range(12_000)]
    for name, more in (("clean", []), ("stray", [(datetime(2061, 1, 5), 100, 10)])):
        one(
            tmp_path / name,
            write_csv(tmp_path / f"{name}.csv", ("timestamp", "input_tokens", "output_tokens"), rows + more),
        )
    clean, stray = (describe_dataset(tmp_path / name, ALL) for name in ("clean", "stray"))
    assert stray.classes[0].quality == clean.classes[0].quality
    assert stray.classes[0].arrivals.bursts == clean.classes[0].arrivals.bursts
    assert stray.report.notes[-1] == "1 requests lie more than 60 days away from the others and are in no count by time"
    brief = describe_briefly(tmp_path / "stray", ALL)
    assert brief.classes[0].requests == 12_000
    assert brief.report.notes == stray.report.notes


def test_cut_off_hours_are_left_out(tmp_path: Path) -> None:
    header = ("timestamp", "input_tokens", "output_tokens")
    rows = [((datetime(2026, 1, 5, 10, 30) + timedelta(minutes=m)).isoformat(), 5, 6) for m in range(240)]
    one(tmp_path / "out", write_csv(tmp_path / "a.csv", header, rows))
    with opened(tmp_path / "out") as (_, connection):
        (counts,), _ = class_counts(connection, ALL)
    series = hourly_series(counts)
    assert list(series.index.hour) == [11, 12, 13]
    assert (series == 60).all()
