"""Real result files: what they say, what is wrong with them, and how well the model predicts them."""

from __future__ import annotations

import json
import math
from pathlib import Path

import numpy as np
import pytest

from benchmarks.loadtests import score
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.loadtests.read import read_load_tests
from data.loadtests.records import RequestRows
from data.records import Configuration
from flows.loadtest import Answer, Question, examine
from models.loadtest_fit import LoadTestFit, Setup, fit_load_tests
from tests.models.loadtest_factory import measured_point

pytestmark = pytest.mark.truth


def ask(*files: Path, gpu: str | None = None, llm: str | None = None, overlap: bool | None = None) -> Answer:
    (answer,) = examine(read_load_tests(files), Question(llm, gpu, "bf16", "bf16", 1, "vllm", None, 0, 0, overlap))
    return answer


def test_every_file_of_every_tool_is_read(reference: Path) -> None:
    folder = reference / "loadtests"
    (guidellm,) = read_load_tests([folder / "guidellm"])
    assert (guidellm.version, guidellm.model, [p.offered_rps for p in guidellm.points]) == (
        "0.8.1",
        "mock-8b",
        [2.0, 6.0],
    )
    assert guidellm.points[0].ttft_s.p50 == pytest.approx(0.07967, rel=1e-3)
    # ITL, not guidellm's own time per output token (15.1 ms), which includes the first token.
    assert guidellm.points[0].tpot_s.mean == pytest.approx(0.012934, rel=1e-3)
    for name in ("guidellm.json", "guidellm.csv"):
        (one,) = read_load_tests([folder / "guidellm" / name])
        assert one.points[1].ttft_s.p99 == pytest.approx(guidellm.points[1].ttft_s.p99)
    (aiperf,) = read_load_tests([folder / "aiperf"])
    (point,) = aiperf.points
    assert (point.arrivals, point.offered_rps, point.goodput_rps) == ("poisson", 6.0, pytest.approx(6.29, rel=1e-3))
    assert point.rows is not None
    assert point.rows.ttft_s.mean() == pytest.approx(point.ttft_s.mean, rel=1e-6)
    for name in ("profile_export.jsonl", "profile_export_aiperf.csv"):
        (one,) = read_load_tests([folder / "aiperf" / name])
        assert one.points[0].tpot_s.mean == pytest.approx(point.tpot_s.mean, rel=1e-3)
    stages = read_load_tests([folder / "inference-perf"])
    assert [len(test.points) for test in stages] == [7, 7]
    (vllm,) = read_load_tests([folder / "vllm-bench"])
    assert [p.offered_rps for p in vllm.points] == [10.0, 30.0, math.inf]
    assert [p.replicas for p in vllm.points] == [4.0] * 3
    assert all(math.isnan(p.goodput_rps) for p in vllm.points)


def test_what_is_wrong_with_them_is_found(reference: Path) -> None:
    folder = reference / "loadtests"
    stages = ask(folder / "inference-perf" / "vllm")
    kinds = {kind: [f.point for f in stages.findings if f.kind == kind] for kind in {f.kind for f in stages.findings}}
    assert len(kinds["tpot_inconsistent"]) == 7
    for finding in stages.findings:
        if finding.kind == "tpot_inconsistent":
            assert 0.45 < finding.measured / finding.bound < 0.5
    assert kinds["clients_capped"] == ["122.59 req/s", "152.98 req/s", "183.38 req/s"]
    # On a GPU of 2,039 GB/s the tokens come faster than their weights can be read.
    slow = ask(folder / "inference-perf" / "vllm", gpu="A100-80GB-SXM", llm="Llama-3.1-8B")
    assert "tpot_below_bandwidth" in {f.kind for f in slow.findings if f.severity == "impossible"}
    assert slow.fit is None
    burst = ask(folder / "vllm-bench", gpu="L40S")
    assert [f.point for f in burst.findings if f.severity == "impossible"] == ["all at once"]
    plain = ask(folder / "aiperf")
    assert {f.severity for f in plain.findings} <= {"note"}


def test_a_run_on_l40s_is_predicted_without_calibration(reference: Path) -> None:
    found = score(ask(reference / "loadtests" / "vllm-bench", gpu="L40S"))
    assert "simulated without overlapped scheduling: tested 2025-05-30" in found["notes"]
    assert found["fitted_points"] == 2
    assert found["error_percent"]["before"]["tpot"] <= 5.0
    assert found["error_percent"]["before"]["ttft"] <= 15.0


def test_a_run_through_saturation_is_predicted_with_each_point_left_out(reference: Path) -> None:
    # Shown in November 2025: before vLLM scheduled ahead by default.
    files = reference / "loadtests" / "inference-perf" / "vllm"
    answer = ask(files, gpu="H100-SXM", llm="Llama-3.1-8B", overlap=False)
    found = score(answer)["error_percent"]
    assert found["held_out"]["tpot"] <= 8.0
    assert found["held_out"]["ttft"] <= 20.0
    assert found["held_out"]["tpot"] < 0.5 * found["before"]["tpot"]
    assert answer.fit is not None
    assert 115 <= answer.fit.max_num_seqs <= 135


def logged(folder: Path, gpu: str) -> LoadTestFit:
    """A real vLLM run's request log, as a load test would have measured it, and the fit to it."""
    engine_limits = json.loads((folder / "meta.json").read_text(encoding="utf-8"))["engine_kwargs"]
    log = [json.loads(line) for line in (folder / "requests.jsonl").read_text(encoding="utf-8").splitlines()]

    def column(name: str) -> np.ndarray:
        return np.array([request[name] for request in log], dtype=np.float64)

    sent = column("queued_ts")
    ttft, e2e = column("first_token_ts") - sent, column("last_token_ts") - sent
    rows = RequestRows(sent - sent.min(), column("input_toks"), column("output_toks"), ttft, e2e)
    one = Configuration(
        "Llama-3.1-8B", gpu, "bf16", "bf16", 1, "vllm", max_num_seqs=engine_limits["max_num_seqs"],
        max_num_batched_tokens=engine_limits["max_num_batched_tokens"],
    )  # fmt: skip
    setup = Setup(one, find_llm(one.llm), find_gpu(gpu), find_engine("vllm"), load_coefficients())
    return fit_load_tests(setup, [measured_point(rows, 10.0, 0, "the log")])


def test_a_real_vllm_log_is_predicted_by_the_catalog_and_reproduced_by_the_fit(reference: Path) -> None:
    fit = logged(reference / "measured" / "vllm_real" / "RTXPRO6000_Llama-3.1-8B", "RTX-PRO-6000-Server")
    assert fit.errors["before"]["tpot"] <= 0.10
    assert fit.errors["before"]["ttft"] <= 0.25
    assert fit.errors["after"]["tpot"] <= 0.03
    assert fit.errors["after"]["tpot_p99"] <= 0.05
    assert fit.errors["after"]["ttft"] <= 0.12
    assert all(0.8 < value < 1.5 for value in (fit.factors.compute, fit.factors.bandwidth, fit.factors.overhead))
    assert fit.notes == ()


def test_a_run_whose_kv_cache_overflows_is_called_so(reference: Path) -> None:
    fit = logged(reference / "measured" / "vllm_real" / "RTX4090_Llama-3.1-8B", "RTX4090")
    assert any("KV cache overflows" in note for note in fit.notes)
