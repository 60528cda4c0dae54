"""All classes together, their mix over time, and promises kept, against plain loops over the rows."""

from __future__ import annotations

import json
import math
from collections import Counter, defaultdict
from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.classes import ClassRules
from configs.validation import validated
from data.statistics.brief import describe_briefly
from data.statistics.describe import DatasetProfile, describe_dataset
from tests.data.ingest_files import Row, one, write_csv

HEADER = ("timestamp", "input_tokens", "output_tokens", "service", "ttft_s", "duration_s", "status")
BEGIN = datetime(2026, 1, 5)
DAYS = 4
LIMITS = {"ttft_s": 1.0, "tpot_s": 0.05, "e2e_s": 4.0, "percentile": 90.0, "ttft_percentile": 99.0}
RULES: dict[str, Any] = {
    "unmatched": "other",
    "classes": [
        {"name": "chat", "match": {"service": ["chat"], "input_tokens": {"below": 800}}, "slo": LIMITS},
        {"name": "long", "match": {"service": ["chat"], "input_tokens": {"at_least": 800}}},
        {"name": "batch", "match": {"service": ["batch*"]}},
    ],
}
NAMES = ("chat", "long", "batch", "other")


def rules() -> ClassRules:
    return validated(ClassRules, RULES, "rules")


SERVICES = validated(
    ClassRules,
    {"unmatched": "other", "classes": [{"name": "chat", "match": {"service": ["chat"]}, "slo": LIMITS}]},
    "rules",
)


def class_of(row: Row) -> str:
    service, tokens = row[3], row[1]
    if service == "chat":
        return "chat" if tokens < 800 else "long"
    return "batch" if service.startswith("batch") else "other"


@pytest.fixture(scope="module")
def traffic(tmp_path_factory: pytest.TempPathFactory) -> tuple[DatasetProfile, list[Row], Path]:
    """Four days in which batch jobs grow and other services fade; two files, one of which overlaps the other."""
    rng = np.random.default_rng(11)
    rows: list[Row] = []
    for day in range(DAYS):
        for service, number in (("chat", 400), ("batch-eu", 60 + 150 * day), ("search", 300 - 90 * day)):
            for second in np.sort(rng.uniform(0, 86_400, number)):
                out = int(rng.integers(1, 90))
                first = float(rng.exponential(0.25))
                took = first + out * float(rng.uniform(0.01, 0.07))
                status = "ok" if rng.random() > 0.05 else "failed"
                at = BEGIN + timedelta(days=day, seconds=float(second))
                rows.append(
                    (at.isoformat(), int(rng.integers(20, 1500)), out, service, round(first, 6), round(took, 6), status)
                )
    rows.sort(key=lambda row: row[0])
    folder = tmp_path_factory.mktemp("mix")
    half = len(rows) // 2
    one(folder / "out", write_csv(folder / "a.csv", HEADER, rows[: half + 200]))
    one(folder / "out", write_csv(folder / "b.csv", HEADER, rows[half - 200 :]))
    return describe_dataset(folder / "out", rules()), rows, folder / "out"


def by_hand_psi(first: Counter[str], other: Counter[str]) -> float:
    used = [name for name in NAMES if first[name] + other[name]]
    p_all = sum(first[name] + 0.5 for name in used)
    q_all = sum(other[name] + 0.5 for name in used)
    total = 0.0
    for name in used:
        p, q = (first[name] + 0.5) / p_all, (other[name] + 0.5) / q_all
        total += (q - p) * math.log(q / p)
    return total


def test_the_drift_of_the_mix_is_that_of_rows_counted_one_by_one(
    traffic: tuple[DatasetProfile, list[Row], Path],
) -> None:
    found, rows, _ = traffic
    assert found.mix is not None
    assert found.mix.period_s == 86_400
    assert set(found.mix.names) == set(NAMES)
    begin = min(datetime.fromisoformat(row[0]) for row in rows)
    days: dict[int, Counter[str]] = defaultdict(Counter)
    for row in rows:
        days[int((datetime.fromisoformat(row[0]) - begin) / timedelta(days=1))][class_of(row)] += 1
    # The last day is not whole to the second, counted from the first request on, and is left out.
    for place, (start, shares, psi) in enumerate(zip(found.mix.starts, found.mix.shares, found.mix.psi, strict=True)):
        assert abs(datetime.fromisoformat(start).replace(tzinfo=None) - begin - timedelta(days=place)) < timedelta(
            seconds=2
        )
        total = sum(days[place].values())
        for name, share in zip(found.mix.names, shares, strict=True):
            assert share == pytest.approx(days[place][name] / total, abs=2 / total), "give or take a second's edge"
        assert psi == pytest.approx(by_hand_psi(days[0], days[place]), abs=0.01)
    assert len(found.mix.starts) == DAYS - 1
    assert found.mix.verdict == "major"
    assert max(found.mix.psi) == found.mix.psi[-1] > 0.25


def test_a_mix_that_stays_does_not_drift(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    at = np.sort(rng.uniform(0, 4 * 86_400, 6000))
    rows = [
        (
            (BEGIN + timedelta(seconds=float(t))).isoformat(),
            100,
            10,
            str(rng.choice(["chat", "search"])),
            1.0,
            2.0,
            "ok",
        )
        for t in at
    ]
    one(tmp_path / "out", write_csv(tmp_path / "a.csv", HEADER, rows))
    found = describe_dataset(tmp_path / "out", rules()).mix
    assert found is not None
    assert found.verdict == "none"
    # A thousand requests a period, two classes: n * psi / 2 is about chi-squared with one degree of freedom.
    assert max(found.psi) < 0.02


def test_a_rule_that_nothing_matches_is_said(traffic: tuple[DatasetProfile, list[Row], Path]) -> None:
    found, _, folder = traffic
    assert not [note for note in found.report.notes if "nothing matches" in note]
    typo = validated(ClassRules, {"classes": [{"name": "chat", "match": {"service": ["caht"]}}]}, "rules")
    for describe in (describe_dataset, describe_briefly):
        assert describe(folder, typo).report.notes[-1] == "nothing matches the rule of class chat"


def quantile(values: Iterable[int], q: float) -> float:
    return float(np.quantile(np.array(list(values), dtype=np.float64), q))


def test_all_classes_together_are_the_rows_without_classes(
    traffic: tuple[DatasetProfile, list[Row], Path],
) -> None:
    found, rows, _ = traffic
    whole = found.overall
    assert whole is not None
    assert whole.requests == len(rows) == sum(one.requests for one in found.classes)
    counted = Counter(class_of(row) for row in rows)
    assert {one.name: one.requests for one in found.classes} == counted
    assert found.unmatched_share == pytest.approx(counted["other"] / len(rows))
    times = sorted(datetime.fromisoformat(row[0]) for row in rows)
    minutes = Counter(int(t.replace(tzinfo=None).timestamp() // 60) for t in times)
    per_minute = next(r for r in whole.arrivals.rates if r.width_s == 60)
    assert per_minute.max == max(minutes.values())
    span = (times[-1] - times[0]).total_seconds()
    assert per_minute.mean == pytest.approx(60 * len(rows) / span, rel=0.01)
    gaps = np.diff([t.timestamp() for t in times])
    assert whole.arrivals.interarrival_cv == pytest.approx(gaps.std() / gaps.mean(), rel=1e-3)
    assert whole.lengths is not None
    served = [r for r in rows if r[6] != "failed"]  # a failed request says nothing of lengths
    for side, values in (
        ("input", [r[1] for r in served]),
        ("output", [r[2] for r in served]),
        ("total", [r[1] + r[2] for r in served]),
    ):
        spread = getattr(whole.lengths, side)
        assert spread.mean == pytest.approx(sum(values) / len(values))
        assert (spread.p50, spread.p95, spread.p99) == tuple(quantile(values, q) for q in (0.5, 0.95, 0.99))
    assert whole.outcomes is not None
    assert whole.outcomes.failed == pytest.approx(sum(r[6] == "failed" for r in rows) / len(rows))
    assert whole.load is not None
    assert whole.load.mean_duration_s == pytest.approx(sum(r[5] for r in rows) / len(rows))
    assert whole.load.concurrency == pytest.approx(sum(r[5] for r in rows) / span, rel=0.01)


def test_promises_are_held_against_the_log_at_their_own_percentiles(
    traffic: tuple[DatasetProfile, list[Row], Path],
) -> None:
    found, rows, _ = traffic
    chat = [r for r in rows if class_of(r) == "chat" and r[6] != "failed"]
    tpot = [(r[5] - r[4]) / (r[2] - 1) for r in chat if r[2] > 1]
    want = {
        "TTFT": ([r[4] for r in chat], 1.0, 99.0),
        "TPOT": (tpot, 0.05, 90.0),
        "end to end": ([r[5] for r in chat], 4.0, 90.0),
    }
    by_name = {one.name: one for one in found.classes}
    assert by_name["long"].slo == ()
    assert [x.label for x in by_name["chat"].slo] == list(want)
    for x in by_name["chat"].slo:
        values, limit, percentile = want[x.label]
        assert (x.limit_s, x.percentile, x.basis, x.requests) == (limit, percentile, "log", len(values))
        assert x.seconds == pytest.approx(np.quantile(values, percentile / 100.0))
        assert x.kept == pytest.approx(sum(v <= limit for v in values) / len(values))
        assert x.holds == (x.seconds <= limit)


def counters(name: str, labels: dict[str, str], rises: list[float], start: int = 1_767_607_200) -> dict[str, Any]:
    """A series read every minute."""
    values = [[start + 60 * i, str(float(v))] for i, v in enumerate(np.cumsum([0.0, *rises]))]
    return {"metric": {"__name__": name, "model_name": "m", "instance": "a", **labels}, "values": values}


@pytest.fixture(scope="module")
def metered(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Engine metrics of one service for three hours, and a log of another."""
    folder = tmp_path_factory.mktemp("metered")
    rises = [float(10 + i % 7) for i in range(180)]
    chat = {"service": "chat"}
    series = [counters("vllm:request_success_total", {**chat, "finished_reason": "stop"}, rises)]
    for side, edges in (("prompt", (100, 1000, 10_000)), ("generation", (10, 100, 1000))):
        for edge, share in zip((*edges, math.inf), (0.2, 0.8, 1.0, 1.0), strict=True):
            le = "+Inf" if math.isinf(edge) else f"{edge:.1f}"
            name = f"vllm:request_{side}_tokens_bucket"
            series.append(counters(name, {**chat, "le": le}, [share * rise for rise in rises]))
    for name, edges in (("time_to_first_token", (0.1, 0.5, 2.0)), ("e2e_request_latency", (1.0, 5.0, 30.0))):
        for edge, share in zip((*edges, math.inf), (0.5, 0.9, 1.0, 1.0), strict=True):
            le = "+Inf" if math.isinf(edge) else str(edge)
            series.append(counters(f"vllm:{name}_seconds_bucket", {**chat, "le": le}, [share * rise for rise in rises]))
    answer = {"status": "success", "data": {"resultType": "matrix", "result": series}}
    (folder / "p.json").write_text(json.dumps(answer), encoding="utf-8")
    one(folder / "out", folder / "p.json")
    begin = datetime(2026, 1, 5, 10)
    rows = [((begin + timedelta(seconds=20 * i)).isoformat(), 300, 20, "search", 0.1, 1.0, "ok") for i in range(500)]
    one(folder / "out", write_csv(folder / "log.csv", HEADER, rows))
    return folder / "out"


def test_a_brief_description_counts_engine_metrics_too(metered: Path) -> None:
    whole, brief = describe_dataset(metered, SERVICES), describe_briefly(metered, SERVICES)
    assert [one.name for one in brief.classes] == [one.name for one in whole.classes] == ["chat", "other"]
    assert brief.classes[0].requests == sum(10 + i % 7 for i in range(180))
    for a, b in zip(whole.classes, brief.classes, strict=True):
        assert a.requests == b.requests
        assert a.quality == b.quality
        assert [r for r in a.arrivals.rates if r.width_s >= 60] == list(b.arrivals.rates)
        assert a.lengths is not None
        assert b.lengths is not None
        assert b.lengths.total.p95 == pytest.approx(a.lengths.total.p95, rel=0.05)
    assert brief.unmatched_share == whole.unmatched_share
    assert brief.mix is not None
    assert whole.mix is not None
    assert brief.mix.starts == whole.mix.starts
    for a_shares, b_shares in zip(whole.mix.shares, brief.mix.shares, strict=True):
        assert b_shares == pytest.approx(a_shares, abs=0.005), "minutes against seconds, at the edges of a period"


def test_promises_are_held_against_engine_histograms(metered: Path) -> None:
    (chat, _) = describe_dataset(metered, SERVICES).classes
    assert [(x.label, x.basis) for x in chat.slo] == [("TTFT", "engine metrics"), ("end to end", "engine metrics")]
    ttft, e2e = chat.slo
    assert 0.5 < ttft.seconds < 2.0, "the 99th percentile lies in the bucket from 0.5 to 2 s"
    assert not ttft.holds
    assert 0.9 < ttft.kept < 1.0
    assert e2e.seconds == pytest.approx(5.0), "the 90th lies at an edge"
    # Log-linear between 1 s (50 %) and 5 s (90 %).
    assert e2e.kept == pytest.approx(0.5 + 0.4 * math.log(4.0) / math.log(5.0))
