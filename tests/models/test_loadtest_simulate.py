"""Load tests simulated again: closed loops beside a plain-Python server, KV capacity beside the memory model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.catalog import find_engine, find_gpu, find_llm, load_coefficients, load_gpus, load_llms
from data.loadtests.records import Spread
from data.records import Configuration
from models.loadtest_coefficients import Factors
from models.loadtest_fit import Setup, _limits
from models.loadtest_simulate import METRICS, STATISTICS, load_of, run
from models.size import size
from tests.models.loadtest_factory import cost_of, served, setup


@pytest.mark.parametrize(("clients", "ttft"), [(1, 0.01), (2, 0.02), (16, 0.05), (64, 0.05), (100, 0.01)])
def test_closed_loops_take_what_a_server_that_schedules_ahead_takes(clients: int, ttft: float) -> None:
    # Each client's next request finds the next iteration scheduled (2 to 64), or a queue (100), or an idle engine (1).
    assert setup().engine.overlapped_scheduling
    point = served(Factors(), 0.0, clients=clients, n=max(80, 3 * clients), seed=7)
    load = load_of([point])
    limits, _ = _limits(setup(), [point])
    got = run(cost_of(Factors()), load, limits, np.zeros(1))
    mean = STATISTICS.index("mean")
    for metric, bar in (("ttft", ttft), ("tpot", 0.02), ("e2e", 0.01)):
        j = METRICS.index(metric)
        assert got.seconds[0, 0, j, mean] == pytest.approx(load.measured[0, j, mean], rel=bar), metric
    assert got.served_rps[0, 0] == pytest.approx(point.achieved_rps, rel=0.01)


@pytest.mark.parametrize(
    ("llm", "gpu", "tensor", "stages"),
    [
        ("gemma-3-27b", "H100-SXM", 1, 1),
        ("gpt-oss-120b", "H100-SXM", 4, 1),
        ("Qwen3-Next-80B-A3B", "H100-SXM", 4, 1),
        ("Llama-3.1-70B", "H100-SXM", 2, 2),
    ],
)
def test_kv_capacity_is_the_memory_models(llm: str, gpu: str, tensor: int, stages: int) -> None:
    context = 8192
    one = Configuration(llm, gpu, "bf16", "bf16", tensor, "vllm", pipeline_parallel=stages, max_num_seqs=64)
    engine, catalog = find_engine("vllm"), load_coefficients()
    point = replace(
        served(Factors(), 2.0), rows=None, input_tokens=Spread(mean=context - 16.0), output_tokens=Spread(mean=32.0)
    )
    limits, notes = _limits(Setup(one, find_llm(llm), find_gpu(gpu), engine, catalog), [point])
    assert notes == []
    want = size(one, load_llms(), load_gpus(), engine, catalog, float(context)).kv_capacity_tokens
    assert limits.kv_tokens == pytest.approx(want, rel=1e-5)


def test_a_pool_of_windows_holds_more_tokens_in_longer_contexts() -> None:
    one = Configuration("gemma-3-27b", "H100-SXM", "bf16", "bf16", 1, "vllm", max_num_seqs=64)
    tested = Setup(one, find_llm(one.llm), find_gpu(one.gpu), find_engine("vllm"), load_coefficients())
    points = [
        replace(served(Factors(), 2.0), rows=None, input_tokens=Spread(mean=n), output_tokens=Spread(mean=32.0))
        for n in (500.0, 2000.0, 8000.0)
    ]
    limits, _ = _limits(tested, points)
    assert np.all(np.diff(limits.kv_tokens) > 0)
    # Up to the window of 1,024 tokens every layer holds every token.
    layers = find_llm(one.llm)
    assert limits.kv_tokens[2] / limits.kv_tokens[0] < layers.layers / (layers.layers - layers.sliding_layers)
