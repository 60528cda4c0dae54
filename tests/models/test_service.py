"""Why a simulated configuration serves nothing: the limit that binds, with its own value and target."""

from __future__ import annotations

import numpy as np
import pytest

from configs.evaluation import EvaluationPolicy
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.records import LengthSample, SloTarget
from models.evaluate import evaluate
from models.phases import phases
from models.service import broken_limit, simulated
from models.simulator.knee import PRESSURE, Knees
from models.simulator.load import enough_requests

SLO = SloTarget(2.0, 0.05, 95.0, e2e_s=8.0)


def knees(binding: str) -> Knees:
    """A lane without a knee: TTFT 3 s, TPOT 10 ms (within its limit), 9 s to the end, 4 % of iterations over-full."""
    at = {"ttft_s": 3.0, "tpot_s": 0.01, "e2e_s": 9.0, "kv_pressure": 0.04, "broken_rps": 0.25}
    rest = ("knee_rps", "band", "by_seed_rps", "operating_rps", "running", "kv_share", "output_tokens_per_s")
    figures = {name: np.array([value]) for name, value in (at | dict.fromkeys(rest, 0.0)).items()}
    return Knees(binding=(binding,), **figures)


@pytest.mark.parametrize(
    ("binding", "limit", "needed", "available"),
    [
        ("ttft", "TTFT", 3.0, 2.0),
        ("tpot", "TPOT", 0.01, 0.05),
        ("e2e", "end to end", 9.0, 8.0),
        ("kv_cache", "KV cache", 0.04, PRESSURE),
        ("throughput", "throughput", 0.25, 0.0),
    ],
)
def test_the_limit_that_binds_is_named_with_its_value(
    binding: str, limit: str, needed: float, available: float
) -> None:
    excuse = broken_limit(SLO, knees(binding), 0)
    assert (excuse.limit, excuse.needed, excuse.available) == (limit, needed, available)
    assert "in simulation" in excuse.advice


@pytest.mark.parametrize(
    ("running", "expected"), [(0.0, 1000), (125.0, 1000), (126.0, 4000), (500.0, 4000), (501.0, 16_000), (1e9, 16_000)]
)
def test_requests_grow_with_those_that_run_at_once(running: float, expected: int) -> None:
    assert enough_requests(running, 1000) == expected


@pytest.mark.slow
def test_no_knee_is_beyond_what_a_full_batch_serves() -> None:
    """Of 1,000 requests, 1,024 slots take all at once: the knee was three times what the replica can do for long."""
    llm, gpu, engine, catalog = find_llm("Llama-3.1-8B"), find_gpu("H100-SXM"), find_engine("vllm"), load_coefficients()
    policy = EvaluationPolicy(llms=(llm.name,), gpus=(gpu.name,), precisions=("bf16",), tensor_parallel=(1,))
    lengths = {(llm.name, "chat"): LengthSample(*(np.array([n]) for n in (200, 300, 0)), np.ones(1), "test")}
    slo = SloTarget(2.0, 0.06, 95.0)
    table = evaluate([llm], [gpu], engine, catalog, policy, lengths, {"chat": slo})
    known = {llm.name: llm}, {gpu.name: gpu}, engine, catalog
    (row,) = simulated(table, set(lengths), *known, lengths, 0.85, seeds=2).rows
    full = phases(row.configuration, *known, 200.0, 300.0, float(row.configuration.max_num_seqs))
    assert full.batch == 1024
    # Every iteration full and none with a prompt: tokens come no faster.
    most_rps = full.batch / full.step_s / 300.0
    assert 0.5 * most_rps < row.knee_rps < most_rps
    assert row.method.endswith("x 16,000 requests")
