"""The sweep against its numpy twin, in chunks, over devices; and the Pareto front by brute force."""

from __future__ import annotations

import subprocess
import sys

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from benchmarks.sweep import measure
from benchmarks.sweep_numpy import evaluate_grid_numpy
from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from models.rows import Rows, build_rows
from models.size import size
from models.step_time import step_time_s
from models.sweep import LIMITS, Budget, LoadGrid, SweepPolicy, evaluate_grid, pareto_front, stream

ENGINE = find_engine("vllm")
POLICY = SweepPolicy(ENGINE, 0.9, 0.02, 2.0, 0.05)
LOADS = LoadGrid(
    jnp.asarray([1, 8, 64], dtype=jnp.float32),
    jnp.asarray([200, 3000, 20_000], dtype=jnp.float32),
    jnp.asarray([50, 800], dtype=jnp.float32),
)


def grid() -> tuple[Rows, Budget]:
    configurations = [
        Configuration(llm, gpu, precision, "bf16", tp, "vllm", pipeline_parallel=2 if tp == 1 and gpu == "L40S" else 1)
        for llm in ("Llama-3.1-8B", "Llama-3.1-70B", "gpt-oss-120b", "DeepSeek-R1")
        for gpu in ("L40S", "H100-SXM")
        for precision in ("bf16", "int4")
        for tp in (1, 8)
    ]
    rows, _ = build_rows(configurations, load_llms(), load_gpus(), ENGINE, load_coefficients())
    tp = rows.tensor_parallel
    return rows, Budget(3.0 * tp, 700.0 * tp)


def test_the_kernel_equals_numpy() -> None:
    rows, cost = grid()
    ours = jax.device_get(evaluate_grid(rows, cost, LOADS, policy=POLICY))
    for mine, theirs in zip(ours, evaluate_grid_numpy(rows, cost, LOADS, POLICY), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-5)


def test_chunks_join_to_the_whole() -> None:
    rows, cost = grid()
    whole = jax.device_get(evaluate_grid(rows, cost, LOADS, policy=POLICY))
    parts = list(stream(rows, cost, LOADS, POLICY, 5))
    assert [part.start for part, _ in parts][1:] == [part.stop for part, _ in parts][:-1]
    for index, leaf in enumerate(whole):
        np.testing.assert_allclose(np.concatenate([np.asarray(found[index]) for _, found in parts]), leaf, rtol=1e-6)


def test_limits_say_which_and_by_how_much() -> None:
    rows, cost = grid()
    found = jax.device_get(evaluate_grid(rows, cost, LOADS, policy=POLICY))
    assert {LIMITS[i] for i in np.unique(found.limit)} == {"", "memory", "kv_cache", "tpot", "ttft"}
    assert np.all((found.overrun > 1.0) == (found.limit > 0))
    feasible = found.limit == 0
    assert found.tpot_s[feasible].max() <= POLICY.tpot_s * (1 + 1e-6)
    assert found.ttft_s[feasible].max() <= POLICY.ttft_s * (1 + 1e-6)
    # Row 12 is 70 B in bf16 on one H100: 141 GB of weights and 3 GB of the rest, with the tenth that vLLM leaves free.
    assert LIMITS[found.limit[12, 0, 0, 0]] == "memory"
    assert found.overrun[12, 0, 0, 0] == pytest.approx((141.1 + 3.0) / 85.5 + 0.12, rel=0.02)


def test_what_memory_needs_is_what_size_says() -> None:
    one = Configuration("Llama-3.1-70B", "H100-SXM", "bf16", "bf16", 1, "vllm")
    found = jax.device_get(evaluate_grid(*grid(), LOADS, policy=POLICY))
    said = size(one, load_llms(), load_gpus(), ENGINE, load_coefficients(), 1000.0, POLICY.headroom)
    assert found.overrun[12, 0, 0, 0] == pytest.approx(1.0 - said.kv_pool_bytes / said.total_bytes, rel=1e-5)


def test_a_long_prompt_waits_for_a_step_with_every_chunk() -> None:
    """Against the iterations of 20,000 tokens in even chunks, each beside the decodes of the others: three of at most
    8,192 tokens on an H100, ten of at most 2,048 on an L40S."""
    rows, cost = grid()
    found = jax.device_get(evaluate_grid(rows, cost, LOADS, policy=POLICY))
    output = 800.0

    def full(value: float) -> jax.Array:
        return jnp.full(rows.hidden.shape, value, dtype=jnp.float32)

    for place, batch in enumerate((1.0, 8.0, 64.0)):
        kv = full(batch * (20_000.0 + output / 2.0))
        for budget, chunks in ((8192, 3), (2048, 10)):
            chunk = 20_000.0 / chunks
            iterations = sum(
                np.asarray(
                    step_time_s(rows, full(batch), kv, full(chunk), full(chunk * (i + 0.5) * chunk), full(20_000.0))
                )
                for i in range(chunks)
            )
            mine = (np.asarray(rows.pipeline_parallel) == 1) & (np.asarray(rows.max_num_batched_tokens) == budget)
            assert mine.sum() == (16 if budget == 8192 else 8)
            np.testing.assert_allclose(found.ttft_s[mine, place, 2, 1], iterations[mine], rtol=0.02)


def test_more_than_the_engine_runs_at_once_is_a_limit_of_its_own() -> None:
    """A batch of 300: more than vLLM's 256 sequences on an L40S, fewer than its 1,024 on an H100."""
    rows, cost = grid()
    loads = LOADS._replace(batch=jnp.asarray([256, 300], dtype=jnp.float32), input_tokens=jnp.asarray([1.0]))
    loads = loads._replace(output_tokens=jnp.asarray([1.0]))
    found = jax.device_get(evaluate_grid(rows, cost, loads, policy=POLICY))
    small = np.asarray(rows.max_num_seqs) == 256
    loaded = np.asarray(found.limit[:, 0, 0, 0]) != LIMITS.index("memory")
    told = found.limit[:, 1, 0, 0] == LIMITS.index("max_num_seqs")
    np.testing.assert_array_equal(told, small & loaded)
    assert told.any()
    np.testing.assert_allclose(found.overrun[told, 1, 0, 0], 300 / 256)


BIG = """
import resource
import numpy as np
from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from models.front import sweep
from models.sweep import SweepPolicy

gpus = load_gpus()
ones = [
    Configuration("Llama-3.1-8B", gpu, precision, "bf16", 1, "vllm")
    for gpu in sorted(gpus) for precision in ("bf16", "int4")
][:64]
policy = SweepPolicy(find_engine("vllm"), 0.9, 0.02, 1e-6, 1e-6)

def peak_mib(batches):
    axes = np.geomspace(1, 256, batches), np.geomspace(100, 1000, 8), np.geomspace(50, 500, 8)
    found = sweep(ones, load_llms(), gpus, dict.fromkeys(gpus, 2.0), load_coefficients(), policy, *axes)
    assert found.points == len(ones) * batches * 64
    assert (found.front, len(found.excused)) == ((), len(ones))
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024

small = peak_mib(8)
print(peak_mib(8192) - small)
"""


@pytest.mark.slow
def test_a_grid_of_any_size_takes_bounded_memory() -> None:
    """34 million points, none within its limits so that no front is searched: all rows at once would hold 1 GB on the
    device and as much on the host."""
    done = subprocess.run([sys.executable, "-c", BIG], capture_output=True, text=True, check=True)
    assert float(done.stdout) < 600.0


def test_energy_and_cost_follow_from_the_rate() -> None:
    rows, cost = grid()
    found = jax.device_get(evaluate_grid(rows, cost, LOADS, policy=POLICY))
    tp = np.asarray(rows.tensor_parallel)[:, None, None, None]
    np.testing.assert_allclose(found.joules_per_token * found.output_tokens_per_s, 700 * tp + 0 * found.tpot_s, 1e-5)
    np.testing.assert_allclose(
        found.usd_per_million_tokens * found.output_tokens_per_s * 3600 / 1e6, 3 * tp + 0 * found.tpot_s, 1e-5
    )


def test_front_by_brute_force() -> None:
    rng = np.random.default_rng(3)
    points = rng.integers(0, 8, (200, 3)).astype(float)
    points[7, 0] = np.inf
    low = points * np.array([1.0, 1.0, -1.0])

    def beaten(i: int) -> bool:
        return any(bool((low[j] <= low[i]).all() and (low[j] < low[i]).any()) for j in range(200))

    want = [i for i in range(200) if np.isfinite(points[i, 0]) and not beaten(i)]
    assert sorted(pareto_front(points[:, 0], points[:, 1], points[:, 2])) == want


@pytest.mark.slow
def test_the_benchmark_runs_both_and_they_agree() -> None:
    found = measure(points=4e5, chunk_rows=4, cores=1)
    assert found["points"] == 12 * 4 * 8192
    assert found["limits_differ"] == 0
    assert float(str(found["largest_relative_difference_to_numpy"])) < 1e-5
    assert float(str(found["points_per_s"])) > 0
