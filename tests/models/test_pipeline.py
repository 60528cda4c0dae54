"""Laws of pipeline parallelism: memory splits, a full pipeline trades latency for nothing, an empty one fills."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from models.memory import kv_bytes, memory
from models.rows import Rows, build_rows
from models.step_time import pipeline_fill, step_time_s

ENGINE = find_engine("vllm")


def rows_of(llm: str, *stages: int, tp: int = 1, gpu: str = "H100-SXM") -> Rows:
    grid = [Configuration(llm, gpu, "bf16", "bf16", tp, "vllm", pipeline_parallel=p) for p in stages]
    return build_rows(grid, load_llms(), load_gpus(), ENGINE, load_coefficients())[0]


def step(rows: Rows, n: float, context: float = 1000.0) -> np.ndarray:
    lanes = rows.hidden.shape[0]
    full = [jnp.full((lanes,), value, dtype=jnp.float32) for value in (n, n * context, 0.0, 0.0, context)]
    return np.asarray(step_time_s(rows, *full))


@pytest.mark.parametrize("llm", ["Llama-3.1-70B", "Qwen3-32B", "gpt-oss-120b", "DeepSeek-R1", "Qwen3-Next-80B-A3B"])
def test_stages_share_layers_and_kv(llm: str) -> None:
    rows = rows_of(llm, 1, 2, 4)
    weights = np.asarray(memory(rows, ENGINE, 0.9, 0.0, 8192, 256).weights)
    ends = 2.0 * np.asarray(rows.embedding_parameters)[0]
    end = 2.0 * np.asarray(rows.hidden * rows.head_n)[0]
    layers = weights[0] - ends
    assert weights[1:] == pytest.approx(layers / np.array([2, 4]) + end, rel=1e-5)
    kv = np.asarray(kv_bytes(rows, jnp.full((3, 1), 8192.0), 16))[:, 0]
    assert kv * np.array([1, 2, 4]) == pytest.approx(kv[0], rel=1e-5)


def test_tensor_and_pipeline_ranks_split_the_layers_alike() -> None:
    split = [rows_of("Llama-3.1-70B", p, tp=tp) for tp, p in ((4, 1), (2, 2), (1, 4))]
    held = [float((r.linear_parameters / r.pipeline_parallel)[0]) for r in split]
    assert held == pytest.approx([held[0]] * 3)


def test_p_micro_batches_of_n_take_what_one_takes_alone() -> None:
    one, four = rows_of("Llama-3.1-70B", 1), rows_of("Llama-3.1-70B", 4)
    # Four micro-batches of 16 pass all layers as one batch of 16 does; only the hops are new: 4 x (10 us + 0.6 us).
    assert step(four, 64)[0] - step(one, 16)[0] == pytest.approx(4 * 10.6e-6, rel=0.05)


def test_throughput_of_a_full_pipeline_grows_with_stages_and_latency_does_not_fall_below_one_gpus() -> None:
    rows = rows_of("Llama-3.1-8B", 1, 2, 4)
    times = step(rows, 256)
    rate = 256 / times
    assert np.all(np.diff(rate) > 0)
    assert np.all(rate / np.array([1, 2, 4]) <= rate[0] * 1.001)
    # One request cannot use the stages: its token passes them in turn.
    assert np.all(np.diff(step(rows, 1)) > 0)


def test_filling_an_empty_pipeline_is_the_textbook_bubble() -> None:
    rows = rows_of("Llama-3.1-8B", 1, 2, 4)
    chunks = jnp.asarray([[1.0, 4.0, 1000.0]] * 3)
    fill = np.asarray(pipeline_fill(rows, chunks))
    assert fill[0] == pytest.approx([1, 1, 1])
    # Idle share (p - 1) / (m + p - 1).
    assert 1 - 1 / fill[2] == pytest.approx([3 / 4, 3 / 7, 3 / 1003], rel=1e-4)


def test_between_nodes_a_hop_takes_the_network() -> None:
    near, far = rows_of("Llama-3.1-405B", 1, tp=8), rows_of("Llama-3.1-405B", 2, tp=8)
    assert float(near.hop_bytes_per_s[0]) == pytest.approx(450e9)
    assert float(far.hop_bytes_per_s[0]) == pytest.approx(50e9)
