"""Logs of vLLM with failed requests, nulls and names of every kind: scored without them, and the output says so."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from benchmarks import vllm_log, vllm_meta
from benchmarks.operator_tables import Shards
from benchmarks.scheduler import step_cost
from configs.errors import InputError
from data.catalog import find_gpu, find_llm
from models.simulator.engine import Limits, Requests, simulate
from tests.benchmarks.test_commands import COST, META, log

LLM, H100 = find_llm("Llama-3.1-8B"), Shards(find_gpu("H100-SXM"))


def rewritten(folder: Path, number: int, **changed: Any) -> dict[str, Any]:
    """The score of a log whose row of that number is changed."""
    path = log(folder) / "requests.jsonl"
    rows = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line]
    rows[number] |= changed
    path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return vllm_log.score(folder)


@pytest.mark.parametrize("field", ["queued_ts", "first_token_ts", "output_toks"])
@pytest.mark.parametrize("value", [None, 0.0])
def test_requests_that_were_not_served_are_left_out(tmp_path: Path, field: str, value: float | None) -> None:
    found = rewritten(tmp_path / "H100_Llama-3.1-8B", 3, **{field: value})
    assert (found["requests"], found["left_out"], found["left_out_of_tpot"], found["finished"]) == (11, 1, 0, True)
    assert found["ttft_p50"]["theirs_s"] == pytest.approx(0.029)
    assert found["tpot_p99"]["theirs_s"] == pytest.approx(0.01)


@pytest.mark.parametrize("value", [None, 0.0])
def test_a_request_without_its_end_is_load_but_no_tpot(tmp_path: Path, value: float | None) -> None:
    found = rewritten(tmp_path / "H100_Llama-3.1-8B", 3, last_token_ts=value)
    assert (found["requests"], found["left_out"], found["left_out_of_tpot"]) == (12, 0, 1)
    assert found["tpot_p99"]["theirs_s"] == pytest.approx(0.01)
    plain = vllm_log.score(log(tmp_path / "H100_plain"))
    assert found["ttft_p99"] == plain["ttft_p99"]


def test_an_error_row_and_a_missing_time_of_sending_are_borne(tmp_path: Path) -> None:
    folder = log(tmp_path / "H100_Llama-3.1-8B")
    with (folder / "requests.jsonl").open("a", encoding="utf-8") as file:
        file.write(json.dumps({"request_id": "x", "error": "timeout", "input_toks": 5}) + "\n")
    found = vllm_log.score(folder)
    assert (found["requests"], found["left_out"]) == (12, 1)
    found = rewritten(tmp_path / "H100_sent", 3, arrival_time=None)
    assert (found["left_out"], found["finished"]) == (0, True)
    assert math.isfinite(found["ttft_at_once_p99"]["ours_s"])


def test_a_log_without_a_served_request_is_refused(tmp_path: Path) -> None:
    folder = log(tmp_path / "H100_Llama-3.1-8B")
    row = json.loads((folder / "requests.jsonl").read_text(encoding="utf-8").splitlines()[0])
    (folder / "requests.jsonl").write_text(json.dumps(row | {"first_token_ts": None}), encoding="utf-8")
    with pytest.raises(InputError, match="none among 1"):
        vllm_log.score(folder)


@pytest.mark.parametrize(
    ("folder", "gpu"),
    [
        ("H100_Llama-3.1-8B", "H100-SXM"),
        ("A100_Llama-3.1-8B", "A100-80GB-SXM"),
        ("A100_40GB_Llama-3.1-8B", "A100-40GB-SXM"),
        ("A100-40_x", "A100-40GB-SXM"),
        ("H100SXM_x", "H100-SXM"),
        ("h200nvl_x", "H200-NVL"),
        ("RTXPRO6000_Llama-3.1-8B", "RTX-PRO-6000-Server"),
        ("RTX4090_Llama-3.1-8B", "RTX4090"),
        ("MI300_x", "MI300X"),
        ("RTXPR6000_x", "RTX-PRO-6000-Server"),
    ],
)
def test_folders_name_the_usual_gpu(folder: str, gpu: str) -> None:
    assert vllm_meta.find_device(Path(folder), {}).name == gpu


@pytest.mark.parametrize("folder", ["H10_x", "RTX3080_x", "A_x", "TPU_x", "run1_x", "_x"])
def test_folders_that_name_no_gpu_are_refused_with_those_that_are(folder: str) -> None:
    with pytest.raises(InputError, match="H100-SXM"):
        vllm_meta.find_device(Path(folder), {})


@pytest.mark.parametrize(
    ("model", "arguments", "precision"),
    [
        ("meta-llama/Llama-3.1-8B", {"dtype": "bfloat16"}, "bf16"),
        ("meta-llama/Llama-3.1-8B", {"quantization": "fp8", "dtype": "bfloat16"}, "fp8"),
        ("meta-llama/Llama-3.1-8B", {"quantization": "awq_marlin"}, "int4"),
        ("RedHatAI/Llama-3.1-8B-Instruct-FP8", {"dtype": "bfloat16", "quantization": None}, "fp8"),
        ("x/Llama-3.1-8B-Instruct-GPTQ-Int8", {"quantization": "gptq_marlin"}, "int8"),
        ("x/Llama-3.1-8B-Instruct-AWQ", {"quantization": "compressed-tensors", "dtype": "auto"}, "int4"),
    ],
)
def test_weights_have_the_precision_that_the_engine_or_the_checkpoint_says(
    model: str, arguments: dict[str, Any], precision: str
) -> None:
    assert vllm_meta.weight_precision({"model": model, "engine_kwargs": arguments}, LLM) == precision


def test_capacity_follows_weights_and_the_share_of_memory() -> None:
    def capacity(**arguments: Any) -> float:
        return vllm_meta.kv_tokens({"model": LLM.name, "engine_kwargs": arguments}, LLM, H100)[0]

    per_token = 2 * 2 * 32 * 8 * 128
    assert (capacity(gpu_memory_utilization=0.9) - capacity(gpu_memory_utilization=0.5)) * per_token == pytest.approx(
        0.4 * H100.gpu.memory_bytes, rel=0.02
    )
    assert capacity(quantization="fp8") > capacity() + 6e9 / per_token


def test_a_capacity_below_a_request_is_not_known() -> None:
    meta: dict[str, Any] = {"model": LLM.name, "engine_kwargs": {}, "kv_cache": {"num_kv_tokens": 1000}}
    assert vllm_meta.kv_tokens(meta, LLM, H100, 1000.0) == (1000.0, "as logged")
    tokens, source = vllm_meta.kv_tokens(meta, LLM, H100, 1001.0)
    assert math.isinf(tokens)
    assert "unlimited" in source


def test_a_run_of_unknown_capacity_is_simulated_without_a_limit(tmp_path: Path) -> None:
    folder = log(tmp_path / "H100_Llama-3.1-8B")
    (folder / "meta.json").write_text(json.dumps(META | {"kv_cache": {"num_kv_tokens": 100}}), encoding="utf-8")
    found = vllm_log.score(folder)
    assert (found["finished"], found["kv_pressure"], found["preemptions"]) == (True, 0.0, 0)


def test_nulls_in_the_cache_block_are_skipped() -> None:
    meta: dict[str, Any] = {"model": LLM.name, "engine_kwargs": {}}
    meta["kv_cache"] = {"num_kv_tokens": None, "num_tokens": 4000}
    assert vllm_meta.kv_tokens(meta, LLM, H100) == (4000.0, "as logged")
    meta["kv_cache"] = {"num_kv_tokens": None, "num_gpu_blocks": 100, "block_size": None}
    assert vllm_meta.kv_tokens(meta, LLM, H100) == (1600.0, "as logged")
    meta["kv_cache"]["block_size"] = 32
    assert vllm_meta.kv_tokens(meta, LLM, H100) == (3200.0, "as logged")
    assert vllm_meta.block_tokens(meta) == 32


def test_limits_come_from_the_engine_its_configuration_or_vllms_default() -> None:
    def limits(gpu: str, **meta: Any) -> tuple[int, int]:
        found = vllm_meta.batch_limits({"engine_kwargs": {}} | meta, find_gpu(gpu))
        return found["max_num_batched_tokens"][0], found["max_num_seqs"][0]

    assert limits("H100-SXM") == (8192, 1024)
    assert limits("A100-80GB-SXM") == (2048, 256)
    assert limits("L40S") == (2048, 256)
    resolved = {"scheduler_config": {"max_num_batched_tokens": 4096, "max_num_seqs": None}}
    assert limits("H100-SXM", resolved_config=resolved) == (4096, 1024)
    assert limits("H100-SXM", resolved_config=resolved, engine_kwargs={"max_num_batched_tokens": 512}) == (512, 512)
    null = {"max_num_batched_tokens": None, "max_num_seqs": None}
    assert limits("L40S", engine_kwargs=null) == (2048, 256)


def test_arrivals_that_are_not_finite_are_refused() -> None:
    one = np.ones((1, 2), dtype=np.int64)
    limits = Limits(np.array([8]), np.array([512]), np.array([1e6]), np.array([16]))
    with pytest.raises(ValueError, match="finite"):
        simulate(step_cost(COST, 1), Requests(np.array([[0.0, np.nan]]), one, 0 * one, one), limits)
