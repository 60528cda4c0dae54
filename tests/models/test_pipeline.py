"""Laws of pipeline parallelism: memory splits, a full pipeline trades latency for nothing, an empty one fills."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from models.loadtest_simulate import sent_by_clients
from models.memory import kv_bytes, memory
from models.phases import phases
from models.rows import Rows, build_rows
from models.simulator.engine import Limits, Requests, simulate
from models.step_cost import step_cost
from models.step_time import linear_time_s, pipeline_wait_s, step_time_s

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


def alone(rows: Rows, chunk: float, chunks: float) -> tuple[np.ndarray, np.ndarray]:
    """Seconds of a prompt's iterations, and what it takes beyond them in an empty pipeline."""
    lanes = rows.hidden.shape[0]
    size, count, none = (jnp.full((lanes,), value, dtype=jnp.float32) for value in (chunk, chunks, 0.0))
    iterations = count * linear_time_s(rows, size, jnp.ones_like(size))
    return np.asarray(iterations), np.asarray(pipeline_wait_s(rows, size, count, none))


@pytest.mark.parametrize("chunks", [1.0, 4.0, 100.0])
def test_filling_an_empty_pipeline_with_large_chunks_is_the_textbook_bubble(chunks: float) -> None:
    iterations, wait = alone(rows_of("Llama-3.1-70B", 1, 2, 4, tp=2), 8192.0, chunks)
    assert wait[0] == 0.0
    stages = np.array([1, 2, 4])
    # Idle share (p - 1) / (m + p - 1).
    assert wait / (iterations + wait) == pytest.approx((stages - 1) / (chunks + stages - 1), rel=0.12)


def test_a_short_prompt_passes_the_stages_as_fast_as_one_gpu_reads_all_weights() -> None:
    rows = rows_of("Llama-3.1-70B", 1, 4)
    iterations, wait = alone(rows, 8.0, 1.0)
    assert (iterations + wait)[1] == pytest.approx(iterations[0], rel=0.02)


STAGES = (2, 4)
CATALOG = (load_llms(), load_gpus(), ENGINE, load_coefficients())


def simulated(stages: int, clients: int, prompt: int, output: int, waves: int = 3) -> tuple[float, float, float]:
    """Mean TTFT and TPOT and requests a second of a closed loop, the simulator's, from the second wave on."""
    one = Configuration("Llama-3.1-70B", "H100-SXM", "bf16", "bf16", 2, "vllm", pipeline_parallel=stages)
    cost = step_cost([one], *CATALOG, [prompt + output / 2])
    shape = (1, waves * clients)
    # Lengths vary by a tenth, so that clients do not stay in step.
    spread = 1.0 + 0.1 * np.sin(np.arange(shape[1]))
    inputs, outputs = np.full(shape, prompt), np.maximum(np.rint(output * spread), 1).astype(int)[None]
    limits = Limits(np.array([clients]), np.array([8192]), np.array([np.inf]), np.array([16]))
    got = simulate(cost, Requests(np.zeros(shape), inputs, np.zeros(shape, int), outputs), limits)
    assert got.late_s is not None
    began = sent_by_clients(np.zeros(shape), got.end_s - got.late_s, clients)
    later = slice(clients, None) if clients > 1 else slice(None)
    tpot = (got.end_s - got.first_token_s) / (outputs - 1)
    rate = shape[1] / float(got.makespan_s[0])
    return float((got.first_token_s - began)[0, later].mean()), float(tpot[0, later].mean()), rate


@pytest.mark.parametrize("stages", STAGES)
@pytest.mark.parametrize("prompt", [200, 2000, 16_384])
def test_the_simulator_answers_a_lone_request_as_the_closed_form_does(stages: int, prompt: int) -> None:
    one = Configuration("Llama-3.1-70B", "H100-SXM", "bf16", "bf16", 2, "vllm", pipeline_parallel=stages)
    want = phases(one, *CATALOG, prompt, 100, 1.0)
    ttft, tpot, rate = simulated(stages, 1, prompt, 100)
    # The last of several chunks attends to more than their mean.
    assert ttft == pytest.approx(want.prefill_s, rel=0.05 if prompt > 8192 else 0.01)
    assert tpot == pytest.approx(want.tpot_s, rel=0.01)
    # A place is free before its last token has passed the later stages: of one client, the next request is early.
    if prompt <= 2000:
        assert rate == pytest.approx(1.0 / (want.prefill_s + 99 * want.tpot_s), rel=0.06)


@pytest.mark.parametrize("stages", STAGES)
def test_the_simulator_decodes_a_full_pipeline_as_the_closed_form_does(stages: int) -> None:
    one = Configuration("Llama-3.1-70B", "H100-SXM", "bf16", "bf16", 2, "vllm", pipeline_parallel=stages)
    want = phases(one, *CATALOG, 500, 300, 64.0)
    ttft, tpot, rate = simulated(stages, 64, 500, 300, waves=5)
    assert tpot == pytest.approx(want.tpot_s, rel=0.05)
    assert rate == pytest.approx(want.requests_per_s, rel=0.1)
    assert ttft > want.prefill_s


def test_between_nodes_a_hop_takes_the_network() -> None:
    near, far = rows_of("Llama-3.1-405B", 1, tp=8), rows_of("Llama-3.1-405B", 2, tp=8)
    assert float(near.hop_bytes_per_s[0]) == pytest.approx(450e9)
    assert float(far.hop_bytes_per_s[0]) == pytest.approx(50e9)
