"""Every tool's file says the same of the same requests, in seconds; broken files say what is wrong."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.errors import InputError
from data.loadtests.read import read_file, read_load_tests
from data.loadtests.records import LoadPoint
from tests.data.loadtests.factory import FORMATS, aiperf, aiperf_lines, guidellm, inference_perf, truth, vllm, written

TRUTH = truth(failed=3)
ROUNDED = {"aiperf csv": 5e-3, "aiperf csv without sums": 5e-3}
NO_LOAD = ("aiperf jsonl", *ROUNDED)


def point(folder: Path, text: str) -> LoadPoint:
    (test,) = read_file(written(folder, text))
    (one,) = test.points
    return one


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_tells_the_truth(name: str, tmp_path: Path) -> None:
    found, t = point(tmp_path, FORMATS[name](TRUTH)), TRUTH
    rel = ROUNDED.get(name, 1e-9)
    assert found.requests_ok == t.n
    if name not in ROUNDED:
        assert found.requests_failed == t.failed
    assert found.achieved_rps == pytest.approx(t.n / t.duration, rel=max(rel, 1e-6))
    assert found.duration_s == pytest.approx(t.duration, rel=max(rel, 1e-6))
    assert found.output_tokens_per_s == pytest.approx(t.outputs.sum() / t.duration, rel=max(rel, 1e-6))
    for spread, values in ((found.ttft_s, t.ttft), (found.tpot_s, t.tpot), (found.e2e_s, t.e2e)):
        if name == "vllm old" and values is t.e2e:
            assert math.isnan(spread.mean)
            continue
        assert spread.mean == pytest.approx(values.mean(), rel=rel)
        assert spread.p50 == pytest.approx(np.median(values), rel=rel)
        assert spread.p99 == pytest.approx(np.percentile(values, 99), rel=rel)
    assert found.input_tokens.mean == pytest.approx(t.inputs.mean(), rel=rel)
    assert found.output_tokens.mean == pytest.approx(t.outputs.mean(), rel=rel)
    if name in NO_LOAD:
        assert found.arrivals == "unstated"
        assert math.isnan(found.offered_rps)
    else:
        assert found.offered_rps == pytest.approx(t.rate)
    if found.rows is not None:
        assert found.rows.ttft_s == pytest.approx(t.ttft)
        assert found.rows.e2e_s == pytest.approx(t.e2e, rel=1e-6)
        assert found.rows.start_s == pytest.approx(t.start, abs=1e-6)


@pytest.mark.parametrize("spelling", ["request_goodput", "request_goodput:"])
def test_both_spellings_of_goodput(spelling: str, tmp_path: Path) -> None:
    assert point(tmp_path, vllm(TRUTH, goodput=spelling)).goodput_rps == 1.5
    assert math.isnan(point(tmp_path, vllm(TRUTH, goodput=spelling).replace(": 1.5", ": null")).goodput_rps)


@pytest.mark.parametrize(
    ("rate", "clients", "arrivals", "burstiness"),
    [("inf", None, "at_once", 1.0), ("inf", 8, "closed", 1.0), (3.0, 8, "poisson", 1.0), (3.0, None, "gamma", 0.5)],
)
def test_loads_of_vllm_bench(rate: Any, clients: int | None, arrivals: str, burstiness: float, tmp_path: Path) -> None:
    changed = json.loads(vllm(TRUTH)) | {"request_rate": rate, "max_concurrency": clients, "burstiness": burstiness}
    found = point(tmp_path, json.dumps(changed))
    assert found.arrivals == arrivals
    assert found.burstiness == burstiness
    assert (found.clients == clients) if clients else math.isnan(found.clients)


def test_a_ramp_has_no_rate_of_its_own(tmp_path: Path) -> None:
    changed = json.loads(vllm(TRUTH)) | {"request_rate": "inf", "ramp_up_strategy": "linear", "ramp_up_end_rps": 8}
    found = point(tmp_path, json.dumps(changed))
    assert found.arrivals == "unstated"
    assert math.isnan(found.offered_rps)
    assert found.label == "ramp"


def test_a_rate_written_as_infinity_is_all_at_once(tmp_path: Path) -> None:
    assert point(tmp_path, vllm(TRUTH).replace('"request_rate": 4.0', '"request_rate": Infinity')).arrivals == "at_once"


@pytest.mark.parametrize(
    ("strategy", "arrivals", "clients"),
    [
        ({"type_": "concurrent", "streams": 16}, "closed", 16.0),
        ({"type_": "synchronous"}, "closed", 1.0),
        ({"type_": "throughput"}, "at_once", math.nan),
        ({"type_": "async_constant", "rate": 2.0}, "constant", math.nan),
        ({"type_": "trace"}, "unstated", math.nan),
    ],
)
def test_loads_of_guidellm(strategy: dict[str, Any], arrivals: str, clients: float, tmp_path: Path) -> None:
    report = json.loads(guidellm(TRUTH))
    report["benchmarks"][0]["config"]["strategy"] = strategy
    found = point(tmp_path, json.dumps(report))
    assert found.arrivals == arrivals
    assert found.clients == pytest.approx(clients, nan_ok=True)


def test_closed_loop_of_aiperf(tmp_path: Path) -> None:
    report = json.loads(aiperf(TRUTH))
    report["input_config"]["phases"][0] = {"kind": "profiling", "type": "concurrency", "concurrency": 32}
    found = point(tmp_path, json.dumps(report))
    assert (found.arrivals, found.clients) == ("closed", 32.0)


def test_runs_appended_to_one_file(tmp_path: Path) -> None:
    texts = [vllm(truth(seed=i, rate=r), detailed=False) for i, r in enumerate((8.0, 2.0, 4.0))]
    for joined in ("\n".join(texts), "[" + ",".join(texts) + "]"):
        (test,) = read_load_tests([written(tmp_path, joined)])
        assert [p.offered_rps for p in test.points] == [2.0, 4.0, 8.0]


def test_repeated_loads_keep_names_of_their_own(tmp_path: Path) -> None:
    texts = [vllm(truth(seed=i), detailed=False) for i in range(3)]
    (test,) = read_load_tests([written(tmp_path, "\n".join(texts))])
    assert [p.label for p in test.points] == ["4 req/s", "4 req/s (2)", "4 req/s (3)"]


def test_exports_of_one_run_are_one_point_with_requests(tmp_path: Path) -> None:
    written(tmp_path, aiperf(TRUTH), "profile_export_aiperf.json")
    written(tmp_path, aiperf_lines(TRUTH), "profile_export.jsonl")
    written(tmp_path, FORMATS["aiperf csv"](TRUTH), "profile_export_aiperf.csv")
    (test,) = read_load_tests([tmp_path])
    (one,) = test.points
    assert one.arrivals == "poisson"
    assert one.rows is not None
    assert len(test.notes) == 2
    assert test.model == "m"


def test_stages_leave_the_summary_out_and_folders_apart(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        for stage, rate in enumerate((2.0, 4.0)):
            one = truth(seed=stage + (name == "b") * 7, rate=rate)
            written(tmp_path / name, inference_perf(one, "old"), f"stage_{stage}_lifecycle_metrics.json")
        whole = json.loads(inference_perf(truth(80, 9), "old"))
        del whole["load_summary"]["requested_rate"]
        written(tmp_path / name, json.dumps(whole), "summary_lifecycle_metrics.json")
        written(tmp_path / name, '{"other": 1}', "notes.json")
    tests = read_load_tests([tmp_path])
    assert [len(test.points) for test in tests] == [2, 2]
    assert any("sums up all stages" in note for note in tests[0].notes)
    assert any("left out: notes.json" in note for note in tests[0].notes)
    (alone,) = read_load_tests([tmp_path / "a" / "summary_lifecycle_metrics.json"])
    assert alone.points[0].aggregate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", "rows of data"),
        ("{}", "an empty object"),
        ("[]", "JSON of another kind"),
        ("hello", "neither JSON nor a known CSV"),
        ('{"avg_latency": 1.0, "latencies": []}', "vllm bench latency"),
        ('{"benchmarks": [{"metrics": {}}]}', "config.strategy"),
        (vllm(TRUTH)[:-5], "JSON"),
        (vllm(TRUTH).replace('"completed": 40', '"completed": "many"'), "completed"),
        (vllm(TRUTH).replace('"completed": 40', '"completed": 1.5'), "a whole number"),
        (vllm(TRUTH).replace('"duration": ', '"duration": 1e99, "x": '), "duration"),
        (vllm(TRUTH).replace('"mean_ttft_ms": ', '"mean_ttft_ms": NaN, "x": '), "mean_ttft_ms"),
        (vllm(TRUTH).replace('"p99_tpot_ms": ', '"p99_tpot_ms": 0.001, "x": '), "percentiles that do not fall"),
        (aiperf(TRUTH).replace('"unit": "ms"', '"unit": "fortnights"'), "fortnights"),
        ("[" * 100_000, "JSON"),
    ],
)
def test_broken_files_say_what_is_wrong(text: str, expected: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=expected):
        read_file(written(tmp_path, text))


def test_a_folder_without_results_is_an_error(tmp_path: Path) -> None:
    written(tmp_path, "{}", "a.json")
    with pytest.raises(InputError, match="a folder with a result of guidellm"):
        read_load_tests([tmp_path])


TEXTS = {name: make(truth(6, failed=1)) for name, make in FORMATS.items()}
JUNK = st.one_of(
    st.none(), st.booleans(), st.integers(), st.just(10**400), st.floats(), st.text(max_size=5),
    st.just([]), st.just({}), st.just([[[]]]), st.just({"mean": "x"}),
)  # fmt: skip


def damaged(draw: st.DrawFn, value: Any) -> Any:
    """The value with one node somewhere replaced, removed or doubled."""
    if isinstance(value, dict) and value and draw(st.integers(0, 5)):
        key = draw(st.sampled_from(list(value)))
        if not draw(st.integers(0, 4)):
            return {k: v for k, v in value.items() if k != key}
        return value | {key: damaged(draw, value[key])}
    if isinstance(value, list) and value and draw(st.integers(0, 3)):
        at = draw(st.integers(0, len(value) - 1))
        return [*value[:at], damaged(draw, value[at]), *value[at + draw(st.integers(0, 2)) :]]
    return draw(JUNK)


@st.composite
def structures(draw: st.DrawFn) -> str:
    text = TEXTS[draw(st.sampled_from([name for name in TEXTS if "csv" not in name and "jsonl" not in name]))]
    value = json.loads(text)
    for _ in range(draw(st.integers(1, 3))):
        value = damaged(draw, value)
    return json.dumps(value)


@st.composite
def bytes_of_files(draw: st.DrawFn) -> bytes:
    raw = bytearray(TEXTS[draw(st.sampled_from(list(TEXTS)))].encode())
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(raw) - 1))
        how = draw(st.integers(0, 3))
        if how == 0:
            raw[at] = draw(st.integers(0, 255))
        elif how == 1:
            del raw[at : at + draw(st.integers(1, 200))]
        elif how == 2:
            raw[at:at] = draw(
                st.sampled_from([b'"', b"{", b"]", b",", b"9" * 30, b"-", b"e9", b"\n", b"null", b"\xff"])
            )
        else:
            del raw[at:]
        raw = raw or bytearray(b" ")
    return bytes(raw)


@settings(max_examples=100)
@given(text=structures())
def test_damaged_structures_raise_input_errors_alone(text: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(text.encode(), tmp_path_factory)


@settings(max_examples=100)
@given(raw=bytes_of_files())
def test_damaged_bytes_raise_input_errors_alone(raw: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    check(raw, tmp_path_factory)


def check(raw: bytes, factory: pytest.TempPathFactory) -> None:
    path = factory.getbasetemp() / "damaged.json"
    path.write_bytes(raw)
    try:
        tests = read_load_tests([path])
    except InputError as error:
        tests, where = (), error.where
    else:
        where = str(path)
    assert "damaged.json" in where
    for one in (p for test in tests for p in test.points):
        for spread in (one.ttft_s, one.tpot_s, one.e2e_s):
            assert math.isnan(spread.mean) or 0.0 <= spread.mean <= 7 * 86_400
