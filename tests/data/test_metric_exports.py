"""Prometheus range queries and OpenTelemetry spans: names old and new, resets, gaps, overlaps."""

from __future__ import annotations

import json
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from configs.classes import ClassRules
from data.dataset import opened
from data.ingestion import ingest_files
from data.readers.counters import BRIDGED_STEPS, binned_counter, grid_width
from data.readers.metric_names import NAMES, meaning, plain
from data.statistics.counts import class_counts, hourly_series
from data.statistics.histogram_lengths import from_histograms
from tests.data.ingest_files import content, one

T0 = 1_767_607_200.0  # 2026-01-05 10:00:00 UTC


def export(path: Path, *series: tuple[dict[str, str], list[tuple[float, Any]]]) -> Path:
    result = [{"metric": metric, "values": [[t, str(v)] for t, v in values]} for metric, values in series]
    document = {"status": "success", "data": {"resultType": "matrix", "result": result}}
    path.write_text(json.dumps(document, indent=1), encoding="utf-8")
    return path


def counter(*values: float, start: float = T0, step: float = 60.0) -> list[tuple[float, Any]]:
    return [(start + i * step, v) for i, v in enumerate(values)]


VLLM = {"__name__": "vllm:request_success_total", "model_name": "Llama-3.1-8B", "instance": "a:8000"}


def test_counters_become_counts_by_interval(tmp_path: Path) -> None:
    path = export(
        tmp_path / "p.json",
        (VLLM | {"finished_reason": "stop"}, counter(100, 110, 125, 3, 8)),
        (VLLM | {"finished_reason": "abort"}, counter(0, 1, 1, 0, 0)),
        (VLLM | {"__name__": "vllm:num_requests_running"}, counter(4, 6, 2, 0, 1)),
        (VLLM | {"__name__": "process_cpu_seconds_total"}, counter(1, 2, 3, 4, 5)),
        ({"model_name": "x"}, counter(1, 2)),
    )
    source = one(tmp_path / "out", path).source
    assert source is not None
    assert (source.format, source.kind, source.rows_in) == ("prometheus", "metrics", 22)
    assert source.reasons == {
        "a metric that is not used": 5,
        "a series without a name: export the metric itself, not a rate() or a sum() of it": 2,
    }
    assert source.repairs == {"a counter reset: counted from 0, as Prometheus does": 2}
    rows = content(tmp_path / "out", "metric, minute(ts), value, llm", "metrics")
    assert [(m, t, v) for m, t, v, _ in rows if m == "succeeded"] == [
        ("succeeded", 0, 10.0), ("succeeded", 1, 15.0), ("succeeded", 2, 3.0), ("succeeded", 3, 5.0),
    ]  # fmt: skip
    assert sum(v for m, _, v, _ in rows if m == "cancelled") == 1.0
    assert [v for m, _, v, _ in rows if m == "running"] == [4.0, 6.0, 2.0, 0.0, 1.0]
    assert {llm for *_, llm in rows} == {"Llama-3.1-8B"}


@pytest.mark.parametrize(
    ("name", "labels", "want", "part"),
    [
        ("vllm:kv_cache_usage_perc", {}, "kv_usage", ""),
        ("vllm:gpu_cache_usage_perc", {}, "kv_usage", ""),
        ("vllm_prompt_tokens_total", {}, "input_tokens", ""),
        ("vllm:inter_token_latency_seconds_bucket", {}, "tpot_s", "bucket"),
        ("vllm:time_per_output_token_seconds_sum", {}, "tpot_s", "sum"),
        ("vllm:gpu_prefix_cache_hits_total", {}, "cache_hit_tokens", ""),
        ("vllm:request_success_total", {"finished_reason": "abort"}, "cancelled", ""),
        ("sglang:num_requests_total", {}, "requests", ""),
        ("sglang:cached_tokens_total", {}, "cache_hit_tokens", ""),
        ("sglang:prompt_tokens_histogram_bucket", {}, "input_length", "bucket"),
        ("trtllm_request_success_total", {"finished_reason": "stop"}, "succeeded", ""),
        ("nv_inference_request_failure", {}, "failed", ""),
        ("nv_trt_llm_request_metrics", {"request_type": "waiting"}, "waiting", ""),
        ("nv_trt_llm_kv_cache_block_metrics", {"kv_cache_block_type": "fraction"}, "kv_usage", ""),
        ("nv_llm_output_token_len_bucket", {}, "output_length", "bucket"),
        ("tgi_request_input_length_bucket", {}, "input_length", "bucket"),
        ("tgi_queue_size", {}, "waiting", ""),
    ],
)
def test_names_old_and_new(name: str, labels: dict[str, str], want: str, part: str) -> None:
    found = meaning(name, labels)
    assert found is not None
    assert (found[0].metric, found[1]) == (want, part)
    assert all(plain(known) == known for known in NAMES)
    assert meaning("nv_trt_llm_request_metrics", {"request_type": "max"}) is None
    assert meaning("vllm:time_to_first_token_seconds", {}) is None


def test_a_metric_under_both_names_counts_once(tmp_path: Path) -> None:
    old, new = (
        {**VLLM, "__name__": f"vllm:{name}"} for name in ("gpu_prefix_cache_hits_total", "prefix_cache_hits_total")
    )
    other = {**old, "instance": "b:8000"}
    path = export(tmp_path / "p.json", (old, counter(0, 5)), (new, counter(0, 7)), (other, counter(0, 11)))
    source = one(tmp_path / "out", path).source
    assert source is not None
    assert source.reasons == {"an older name of a metric that is there under its newer one": 2}
    assert sorted(v for (v,) in content(tmp_path / "out", "value", "metrics")) == [7.0, 11.0]


def test_bad_samples_are_counted_one_by_one(tmp_path: Path) -> None:
    values = [*counter(1, 2), (T0 + 60, 9), (T0 + 180, "NaN"), (T0 + 240, "-4"), (5.0, 1), (T0 + 120, 4)]
    path = export(tmp_path / "p.json", (VLLM, values))
    source = one(tmp_path / "out", path).source
    assert source is not None
    assert source.rows_in == 7
    assert source.reasons == {
        "a second sample at the same time": 1,
        "a value that is negative, absurd or no number": 2,
        "a time before 2000 or after 2099": 1,
    }
    assert [v for (v,) in content(tmp_path / "out", "value", "metrics")] == [1.0, 2.0]


def test_overlapping_exports_count_once_whatever_their_step(tmp_path: Path) -> None:
    truth = np.cumsum(np.arange(241.0))  # a reading every 15 s for an hour
    every = [(T0 + 15 * i, float(v)) for i, v in enumerate(truth)]
    folder = tmp_path / "out"
    one(folder, export(tmp_path / "a.json", (VLLM, every[:181:4])))
    one(folder, export(tmp_path / "b.json", (VLLM, every[120::4])))
    total = sum(v for (v,) in content(folder, "value", "metrics"))
    assert total == pytest.approx(truth[-1])
    # The same hour at 15 s adds nothing: its time is covered.
    source = one(folder, export(tmp_path / "c.json", (VLLM, every))).source
    assert source is not None
    assert (source.new, source.already_present) == (0, 240)
    # Half an hour more at 15 s goes on where the minutes end.
    later = [(T0 + 3600 + 15 * i, float(truth[-1] + i)) for i in range(121)]
    one(folder, export(tmp_path / "d.json", (VLLM, [*every[-60:], *later[1:]])))
    assert sum(v for (v,) in content(folder, "value", "metrics")) == pytest.approx(truth[-1] + 120)


def twin(t: list[float], v: list[float], step: float, width: float) -> dict[float, float]:
    """The obvious way: every grid interval, every pair of samples, the share of the pair's time that falls into it."""
    found = {}
    first = np.floor(t[0] / width) * width
    while first < t[-1]:
        count = seconds = 0.0
        for i in range(len(t) - 1):
            span = t[i + 1] - t[i]
            if span > BRIDGED_STEPS * step:
                continue
            shared = max(0.0, min(first + width, t[i + 1]) - max(first, t[i]))
            rise = v[i + 1] - v[i] if v[i + 1] >= v[i] else v[i + 1]
            count += rise * shared / span
            seconds += shared
        if seconds >= width * (1 - 1e-6):
            found[first] = count
        first += width
    return found


@given(
    st.lists(st.tuples(st.sampled_from([13, 15, 17, 30, 60, 200]), st.integers(0, 50)), min_size=1, max_size=25),
    st.integers(0, 200), st.sampled_from([15.0, 60.0]),
)  # fmt: skip
def test_binning_against_its_obvious_twin(pairs: list[tuple[int, int]], offset: int, width: float) -> None:
    t = [T0 + offset, *(T0 + offset + float(x) for x in np.cumsum([gap for gap, _ in pairs]))]
    v = [7.0, *(float(value) for _, value in pairs)]  # falling readings are resets
    binned = binned_counter(np.array(t), np.array(v), 15.0, width)
    want = twin(t, v, 15.0, width)
    got = dict(zip(binned.start_s.tolist(), binned.value.tolist(), strict=True))
    assert got.keys() == want.keys()
    for start, value in want.items():
        assert got[start] == pytest.approx(value, abs=1e-6)
    rises = np.where(np.diff(v) < 0, v[1:], np.diff(v)).sum()
    assert binned.value.sum() + binned.unplaced == pytest.approx(rises, abs=1e-6)


def test_a_sample_that_is_years_off_costs_nothing() -> None:
    """A damaged digit in a time: a grid of 15 s from then on would be a hundred million intervals."""
    t = np.array([3e8, 1_767_607_200.0, 1_767_607_215.0, 1_767_607_230.0])
    found = binned_counter(t, np.array([1.0, 5.0, 8.0, 10.0]), 15.0, 15.0)
    assert list(found.start_s) == [1_767_607_200.0, 1_767_607_215.0]
    assert list(found.value) == [3.0, 2.0]
    assert found.unplaced == 4.0


@pytest.mark.parametrize("step_h", [1, 2, 3, 6, 24])
def test_a_steady_rate_is_the_same_whatever_the_step(tmp_path: Path, step_h: int) -> None:
    """1,000 requests an hour for ten days from a midnight on."""
    midnight = T0 - 10 * 3600
    values = counter(*(1000.0 * step_h * i for i in range(240 // step_h + 1)), start=midnight, step=3600.0 * step_h)
    source = one(tmp_path / "out", export(tmp_path / "p.json", (VLLM, values))).source
    assert source is not None
    assert any("spread evenly over their hours" in note for note in source.notes) == (step_h > 1)
    with opened(tmp_path / "out") as (_, connection):
        (counts,), _ = class_counts(connection, ClassRules())
    series = hourly_series(counts)
    assert len(series) == 240
    assert series.to_numpy() == pytest.approx(np.full(240, 1000.0))
    assert counts.total() == pytest.approx(240_000.0)


def replica(name: str, rate: float, *seen: tuple[int, int], reset: bool = False) -> tuple[dict[str, str], Any]:
    """A counter read every minute of the given spans of hours from midnight on, `rate` an hour; reset: it begins at 0
    with each span, otherwise with the first minute of all."""
    midnight = T0 - 10 * 3600
    minutes = [(m, m - 60 * a if reset else m) for a, b in seen for m in range(60 * a, 60 * b + 1)]
    return VLLM | {"instance": name}, [(midnight + 60 * m, rate / 60 * since) for m, since in minutes]


BESIDE: list[tuple[list[tuple[dict[str, str], Any]], list[float]]] = [
    # Samples of one of two replicas are missing, and its counter went on: nobody knows the load of hours 3 to 6.
    ([replica("a", 60, (0, 3), (6, 9)), replica("b", 60, (0, 9))],
     [120, 120, 120, np.nan, np.nan, np.nan, 120, 120, 120]),
    # Two gaps that meet, and a replica that lacks nothing.
    ([replica("a", 60, (0, 3), (5, 9)), replica("b", 60, (0, 4), (6, 9)), replica("c", 60, (0, 9))],
     [180, 180, 180, np.nan, np.nan, np.nan, 180, 180, 180]),
    # Scaled down to one for three hours: it comes back under its name and counts from 0.
    ([replica("a", 60, (0, 3), (6, 9), reset=True), replica("b", 60, (0, 9))],
     [120, 120, 120, 60, 60, 60, 120, 120, 120]),
    # It ends for good, and another begins later.
    ([replica("a", 60, (0, 3)), replica("c", 60, (6, 9)), replica("b", 60, (0, 9))],
     [120, 120, 120, 60, 60, 60, 120, 120, 120]),
    # What one of many counted in its gap is placed evenly in it.
    ([replica("a", 60, (0, 3), (6, 9)), replica("b", 2340, (0, 9))], [2400] * 9),
]  # fmt: skip


@pytest.mark.parametrize(("series", "want"), BESIDE)
def test_a_gap_of_one_replica_beside_others(tmp_path: Path, series: list[Any], want: list[float]) -> None:
    one(tmp_path / "out", export(tmp_path / "p.json", *series))
    with opened(tmp_path / "out") as (_, connection):
        (counts,), notes = class_counts(connection, ClassRules())
    assert hourly_series(counts).to_numpy() == pytest.approx(np.array(want), nan_ok=True)
    assert any("another replica's counters had a gap" in note for note in notes) == bool(np.isnan(want).any())


def test_a_replica_that_is_read_more_rarely_has_no_gaps(tmp_path: Path) -> None:
    """Two replicas every minute, one every ten, at 60 requests an hour each for six hours."""
    often, rarely = (replica(name, 60, (0, 6)) for name in "ab"), replica("c", 60, (0, 6))
    one(tmp_path / "out", export(tmp_path / "p.json", *often, (rarely[0], rarely[1][::10])))
    with opened(tmp_path / "out") as (_, connection):
        (counts,), notes = class_counts(connection, ClassRules())
    assert hourly_series(counts).to_numpy() == pytest.approx(np.full(6, 180.0))
    assert notes == ()


@pytest.mark.parametrize("whole_first", [False, True])
def test_a_gap_that_another_export_fills_is_none(tmp_path: Path, whole_first: bool) -> None:
    """Whichever comes first."""
    other = replica("b", 60, (0, 9))
    files = [
        export(tmp_path / "gap.json", replica("a", 60, (0, 3), (6, 9)), other),
        export(tmp_path / "whole.json", replica("a", 60, (0, 9)), other),
    ]
    for path in reversed(files) if whole_first else files:
        one(tmp_path / "out", path)
    with opened(tmp_path / "out") as (_, connection):
        (counts,), notes = class_counts(connection, ClassRules())
    assert hourly_series(counts).to_numpy() == pytest.approx(np.full(9, 120.0))
    assert notes == ()


def test_the_grid_is_a_usual_width() -> None:
    assert [grid_width([step]) for step in (15.0, 14.9, 15.2, 61.0, 3600.0)] == [15.0, 15.0, 30.0, 300.0, 3600.0]


def test_an_export_of_rates_or_prose_is_refused_with_advice(tmp_path: Path) -> None:
    export(tmp_path / "rate.json", ({"model_name": "x"}, counter(1.5, 2.5)))
    export(tmp_path / "node.json", ({"__name__": "node_load1"}, counter(1.5, 2.5)))
    (tmp_path / "cut.json").write_text('{"status":"success","data":{"resultType":"matrix","result":[', encoding="utf-8")
    answers = ingest_files([tmp_path / f"{name}.json" for name in ("rate", "node", "cut")], tmp_path / "out")
    for answer, word in zip(answers, ["not a rate()", "not used", "whole JSON"], strict=True):
        assert answer.error is not None
        assert word in answer.error


def otlp(*spans: dict[str, Any]) -> str:
    resource = {"attributes": [{"key": "service.name", "value": {"stringValue": "assistant"}}]}
    return json.dumps({"resourceSpans": [{"resource": resource, "scopeSpans": [{"spans": list(spans)}]}]})


def span(ident: str, tokens: dict[str, Any], **more: Any) -> dict[str, Any]:
    pairs = [
        {"key": key, "value": {"intValue" if isinstance(v, int) else "stringValue": str(v)}}
        for key, v in tokens.items()
    ]
    start = int(T0) * 10**9
    return {
        "spanId": ident,
        "startTimeUnixNano": str(start),
        "endTimeUnixNano": str(start + 2_500_000_000),
        "attributes": pairs,
    } | more


def test_spans_of_model_calls(tmp_path: Path) -> None:
    usage = {"gen_ai.usage.input_tokens": 900, "gen_ai.usage.output_tokens": 80, "gen_ai.request.model": "m"}
    text = "\n".join(
        [
            otlp(
                span("a", usage | {"gen_ai.usage.cache_read.input_tokens": 512}),
                span("b", {"gen_ai.usage.prompt_tokens": 70}, status={"code": 2}),
                span("c", {"http.route": "/chat"}),
                span("d", usage | {"gen_ai.operation.name": "invoke_agent"}),
                span("e", {"gen_ai.usage.input_tokens": 10}),
            ),
            "{damaged",
        ]
    )
    (tmp_path / "spans.jsonl").write_text(text + "\n", encoding="utf-8")
    source = one(tmp_path / "out", tmp_path / "spans.jsonl").source
    assert source is not None
    assert (source.format, source.rows_in, source.kept) == ("opentelemetry", 6, 2)
    assert source.reasons == {
        "an agent or tool span: its model calls are spans of their own": 1,
        "no token usage: not a model call": 1,
        "not a span": 1,
        "output_tokens: empty": 1,
    }
    at = datetime(2026, 1, 5, 10)
    columns = "request_id, ts, input_tokens, output_tokens, cached_tokens, llm, service, status, duration_s"
    assert content(tmp_path / "out", columns) == [
        ("a", at, 900, 80, 512, "m", "assistant", "ok", 2.5),
        ("b", at, 70, 0, None, None, "assistant", "failed", 2.5),
    ]  # fmt: skip


def test_a_call_that_two_spans_report_counts_once(tmp_path: Path) -> None:
    """The client's span, a proxy's without usage, and the engine's own inside it; as vLLM names its attributes."""
    usage = {"gen_ai.usage.input_tokens": 128, "gen_ai.usage.output_tokens": 512}
    engine = {
        "gen_ai.usage.prompt_tokens": 128,
        "gen_ai.usage.completion_tokens": 512,
        "gen_ai.usage.cached_tokens": 64,
    }
    latency = {"key": "gen_ai.latency.time_to_first_token", "value": {"doubleValue": 0.045}}
    inner = span("c", engine, traceId="t", parentSpanId="b")
    inner["attributes"].append(latency)
    text = otlp(
        span("a", usage, traceId="t"),
        span("b", {"http.route": "/v1/chat/completions"}, traceId="t", parentSpanId="a"),
        inner,
        span("a", usage, traceId="another"),
        span("x", usage, traceId="loop", parentSpanId="y"),
        span("y", usage, traceId="loop", parentSpanId="x"),
    )
    (tmp_path / "spans.json").write_text(text, encoding="utf-8")
    source = one(tmp_path / "out", tmp_path / "spans.json").source
    assert source is not None
    assert (source.rows_in, source.kept, source.rejected) == (6, 4, 2)
    assert [count for reason, count in source.reasons.items() if reason.startswith("around a model call")] == [1]
    rows = content(tmp_path / "out", "request_id, cached_tokens, ttft_s")
    assert rows == [("a", None, None), ("c", 64, 0.045), ("x", None, None), ("y", None, None)]


def test_flat_spans_a_line(tmp_path: Path) -> None:
    lines = [
        {"name": "chat", "span_id": f"{i}", "start_time": "2026-01-05T10:00:00Z", "end_time": "2026-01-05T10:00:01Z",
         "attributes": {"gen_ai.usage.input_tokens": 5 + i, "gen_ai.usage.output_tokens": 6}}
        for i in range(3)
    ]  # fmt: skip
    (tmp_path / "s.log").write_text("".join(json.dumps(line) + "\n" for line in lines), encoding="utf-8")
    source = one(tmp_path / "out", tmp_path / "s.log").source
    assert source is not None
    assert (source.format, source.kept) == ("opentelemetry", 3)
    assert content(tmp_path / "out", "input_tokens, duration_s") == [(5, 1.0), (6, 1.0), (7, 1.0)]


def test_lengths_from_histogram_buckets(tmp_path: Path) -> None:
    """Lengths drawn, bucketed as vLLM does, exported twice a minute apart, and found again."""
    rng = np.random.default_rng(4)
    drawn = {"prompt": rng.lognormal(6.5, 0.9, 50_000), "generation": rng.lognormal(4.5, 0.8, 50_000)}
    edges = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000, float("inf")]
    series = []
    for side, values in drawn.items():
        name = f"vllm:request_{side}_tokens"
        base = {"model_name": "m", "instance": "a"}
        for edge in edges:
            le = "+Inf" if np.isinf(edge) else f"{edge:.1f}"
            count = float((values <= edge).sum())
            series.append(({"__name__": f"{name}_bucket", "le": le, **base}, counter(7, 7 + count)))
        series.append(({"__name__": f"{name}_sum", **base}, counter(0, float(values.sum()))))
        series.append(({"__name__": f"{name}_count", **base}, counter(0, 50_000)))
    series.append(({"__name__": "vllm:prefix_cache_hits_total", "model_name": "m", "instance": "a"}, counter(0, 30)))
    series.append(
        ({"__name__": "vllm:prefix_cache_queries_total", "model_name": "m", "instance": "a"}, counter(0, 100))
    )
    one(tmp_path / "out", export(tmp_path / "h.json", *series))
    with opened(tmp_path / "out") as (_, connection):
        sample = from_histograms(connection, "true", 0, "test")
        (counts,), _ = class_counts(connection, ClassRules())
    assert sample is not None
    assert sample.input_tokens.mean() == pytest.approx(drawn["prompt"].mean(), rel=0.01)
    assert sample.output_tokens.mean() == pytest.approx(drawn["generation"].mean(), rel=0.01)
    assert np.quantile(sample.input_tokens, 0.5) == pytest.approx(np.quantile(drawn["prompt"], 0.5), rel=0.10)
    assert np.quantile(sample.input_tokens, 0.95) == pytest.approx(np.quantile(drawn["prompt"], 0.95), rel=0.15)
    assert sample.cached_tokens.sum() / sample.input_tokens.sum() == pytest.approx(0.3, abs=0.01)
    # No counter of requests is in this export: the length histogram's count stands for it.
    assert counts.total() == 50_000
