"""The kernels against a plain-Python twin, and the laws they must obey."""

from __future__ import annotations

from dataclasses import replace

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from data.catalog import find_engine, find_gpu, find_llm, load_coefficients, load_gpus, load_llms
from data.records import Configuration, Gpu, Llm
from models.coefficients import coefficients
from models.memory import kv_bytes, memory
from models.rows import WEIGHT_BYTES, Rows, build_rows, compute_precision
from models.step_time import _smooth_max, behind_host, expert_load, step_time_s
from tests.models.oracle import dense_gqa_step_s

ENGINE = find_engine("vllm")


def configuration(llm: str, gpu: str, precision: str = "bf16", tp: int = 1) -> Configuration:
    return Configuration(llm, gpu, precision, "bf16", tp, "vllm", max_num_seqs=256, max_num_batched_tokens=8192)


def rows_of(*configurations: Configuration, gpus: dict[str, Gpu] | None = None) -> Rows:
    rows, _ = build_rows(configurations, load_llms(), gpus or load_gpus(), ENGINE, load_coefficients())
    return rows


def step(
    rows: Rows, n: float, kv: float, prefill: float = 0.0, work: float = 0.0, context: float = 1000.0
) -> np.ndarray:
    count = rows.hidden.shape[0]
    full = [jnp.full((count,), value, dtype=jnp.float32) for value in (n, kv, prefill, work, context)]
    return np.asarray(step_time_s(rows, *full))


DENSE = ["Llama-3.1-8B", "Llama-3.1-70B", "Qwen3-32B", "Qwen3-8B"]
GPUS = ["H100-SXM", "H200-SXM", "A100-80GB-SXM", "L40S", "L4", "B200-SXM", "MI300X"]


@given(
    st.sampled_from(DENSE),
    st.sampled_from(GPUS),
    st.sampled_from(["bf16", "fp8", "int4"]),
    st.sampled_from([1, 2, 4, 8]),
    st.integers(0, 300),
    st.integers(1, 8000),
    st.integers(0, 8192),
)
def test_step_time_equals_the_plain_twin(
    name: str, gpu_name: str, precision: str, tp: int, n: int, context: int, prefill: int
) -> None:
    llm, gpu = find_llm(name), find_gpu(gpu_name)
    compute = compute_precision(precision, gpu)
    assume(compute is not None and n + prefill > 0)
    assert compute is not None
    one = configuration(name, gpu_name, precision, tp)
    work = prefill * context / 2.0
    got = step(rows_of(one), n, n * context, prefill, work, context)[0]
    fit = coefficients(load_coefficients(), gpu, ENGINE, compute, "bf16", tp)
    want = dense_gqa_step_s(
        llm, gpu, ENGINE, fit, one, WEIGHT_BYTES[precision], gpu.dense_flops[compute], n, n * context, prefill, work,
        context,
    )  # fmt: skip
    assert got == pytest.approx(want, rel=2e-4)


@pytest.mark.parametrize("name", ["Llama-3.1-8B", "DeepSeek-R1", "gpt-oss-120b", "Qwen3-30B-A3B", "gemma-3-27b"])
def test_step_time_rises_with_batch_and_context(name: str) -> None:
    rows = rows_of(configuration(name, "H200-SXM", tp=8))
    by_batch = [float(step(rows, n, n * 1000.0)[0]) for n in (1, 4, 16, 64, 256)]
    assert by_batch == sorted(by_batch)
    by_context = [float(step(rows, 32, 32 * s)[0]) for s in (100.0, 1000.0, 10_000.0, 100_000.0)]
    assert by_context == sorted(by_context)


@pytest.mark.parametrize("name", ["Llama-3.1-8B", "Mixtral-8x7B", "DeepSeek-R1"])
def test_more_bandwidth_is_never_slower(name: str) -> None:
    gpu = find_gpu("H100-SXM")
    faster = replace(gpu, memory_bandwidth_bytes_per_s=1.5 * gpu.memory_bandwidth_bytes_per_s)
    one = configuration(name, "H100-SXM", tp=4)
    base, better = rows_of(one), rows_of(one, gpus={"H100-SXM": faster})
    for n in (1, 32, 256):
        assert step(better, n, n * 2000.0)[0] < step(base, n, n * 2000.0)[0]


def test_smaller_weights_weigh_and_read_less() -> None:
    rows = rows_of(*(configuration("Llama-3.1-70B", "H100-SXM", p, 4) for p in ("bf16", "fp8", "int4")))
    mem = memory(rows, ENGINE, 0.9, 0.0, 8192, 256)
    weights = np.asarray(mem.weights)
    assert weights[0] > weights[1] > weights[2]
    times = step(rows, 1, 1000.0)
    assert times[0] > times[1]
    assert times[0] > times[2]


def test_tensor_parallel_ranks_share_the_weights() -> None:
    rows = rows_of(*(configuration("Llama-3.1-70B", "H100-SXM", "bf16", tp) for tp in (1, 2, 4, 8)))
    weights = np.asarray(memory(rows, ENGINE, 0.9, 0.0, 8192, 256).weights) * np.array([1, 2, 4, 8])
    assert weights == pytest.approx(weights[0], rel=1e-5)
    assert weights[0] == pytest.approx(2 * 70.55e9, rel=0.001)


def test_memory_adds_up() -> None:
    rows = rows_of(configuration("Llama-3.1-8B", "A100-80GB-SXM"))
    mem = memory(rows, ENGINE, 0.9, 0.02, 8192, 256)
    parts = mem.weights + mem.activations + mem.graphs + mem.communication + mem.adapters + mem.headroom + mem.pool
    assert float(parts[0]) == pytest.approx(0.9 * float(mem.total[0]), rel=1e-5)
    assert float(mem.adapters[0]) == 0.0


@pytest.mark.parametrize("name", ["vllm", "trtllm", "sglang"])
def test_fragmentation_lies_in_what_the_share_leaves_and_takes_the_pool_beyond_that(name: str) -> None:
    """The engine's own pool, by its rule, as long as what it leaves free holds the allocator's fragmentation."""
    rows = rows_of(configuration("Llama-3.1-8B", "L4", "int4"))
    engine = find_engine(name)
    lost = engine.fragmentation_bytes
    assert 0.5 * 2**30 < lost < 0.7 * 2**30
    for share in (0.85, 0.90, 0.96, 0.98, 1.0):
        mem = memory(rows, engine, share, 0.02, 2048, 256)
        total, pool = float(mem.total[0]), float(mem.pool[0])
        taken = float((mem.weights + mem.activations + mem.graphs + mem.communication)[0])
        own = share * (total - taken) if engine.memory_rule == "share_of_free" else share * total - taken
        short = max(lost - (total - taken - own), 0.0)
        assert pool == pytest.approx(own - 0.02 * total - short, rel=1e-5)
        assert (short > 0) == (share > 0.97)
        assert float(mem.fragmentation[0]) == pytest.approx(lost)


def test_adapters_weigh_their_low_rank_products() -> None:
    rows = rows_of(configuration("Llama-3.1-8B", "A100-80GB-SXM"))
    # Rank 16 on q, k, v (fused), o, gate and up (fused), down: 20.4 M parameters an adapter over 32 layers.
    each = 32 * 16 * ((4096 + 6144) + (4096 + 4096) + (4096 + 28672) + (14336 + 4096))
    none, four = (memory(rows, ENGINE, 0.9, 0.0, 8192, 256, adapters=n) for n in (0, 4))
    assert float(four.adapters[0]) == pytest.approx(4 * 2 * each)
    assert float(none.pool[0] - four.pool[0]) == pytest.approx(4 * 2 * each, rel=1e-3)


def test_kv_matches_its_closed_form_and_rounds_to_blocks() -> None:
    rows = rows_of(configuration("Llama-3.1-8B", "H100-SXM"), configuration("gpt-oss-120b", "H100-SXM"))
    tokens = jnp.asarray([[1.0, 16.0, 17.0, 8192.0]] * 2, dtype=jnp.float32)
    got = np.asarray(kv_bytes(rows, tokens, 16))
    assert got[0] == pytest.approx(np.array([16, 16, 32, 8192]) * 2 * 32 * 8 * 128 * 2.0)
    # gpt-oss: 18 full layers and 18 with a window of 128 tokens.
    assert got[1, 3] == pytest.approx((18 * 8192 + 18 * 128) * 2 * 8 * 64 * 2.0)


def test_a100_has_no_fp8_and_everything_takes_int4() -> None:
    assert compute_precision("fp8", find_gpu("A100-80GB-SXM")) is None
    assert all(compute_precision("int4", gpu) == "bf16" for gpu in load_gpus().values())


def test_unknown_hardware_is_a_roofline_guess_and_says_so() -> None:
    catalog = load_coefficients()
    assert coefficients(catalog, find_gpu("H100-SXM"), ENGINE, "bf16", "bf16", 8).provenance == "fitted"
    assert coefficients(catalog, find_gpu("MI300X"), ENGINE, "bf16", "bf16", 8).provenance == "roofline"


def test_a_relative_lends_its_efficiencies_but_not_its_name() -> None:
    catalog = load_coefficients()
    own = coefficients(catalog, find_gpu("L40S"), ENGINE, "bf16", "bf16", 2)
    lent = coefficients(catalog, find_gpu("L4"), ENGINE, "bf16", "bf16", 2)
    assert lent.gemm_eff_memory == own.gemm_eff_memory
    assert lent.decode_t0_s == own.decode_t0_s
    assert (own.provenance, lent.provenance) == ("fitted", "roofline")


def tiny() -> Llm:
    return replace(find_llm("Llama-3.1-8B"), name="tiny", layers=2)


def test_layers_add_up() -> None:
    llms = dict(load_llms()) | {"tiny": tiny(), "twice": replace(tiny(), name="twice", layers=4)}
    pair = [configuration("tiny", "H100-SXM"), configuration("twice", "H100-SXM")]
    rows, _ = build_rows(pair, llms, load_gpus(), ENGINE, load_coefficients())
    two, four = step(rows, 8, 8000.0)
    fixed = 2 * two - four
    # What does not scale with layers is the head (1.05 GB at about 2.9 TB/s), the sampler and the host.
    assert fixed == pytest.approx(0.36e-3 + 0.03e-3 + ENGINE.host_overhead_s, rel=0.1)


def test_the_host_limits_small_llms_at_large_batches() -> None:
    gpu_s = jnp.asarray([1e-3, 10e-3, 1.0])
    sequences = jnp.asarray([500.0, 500.0, 500.0])
    got = np.asarray(behind_host(gpu_s, sequences))
    assert got == pytest.approx([20.0e-3, 20.3e-3, 1.0], rel=0.01)
    assert np.all(got >= np.maximum(gpu_s, 40e-6 * sequences))


def test_experts_touched_lie_between_one_token_and_all() -> None:
    rows = rows_of(configuration("Qwen3-30B-A3B", "H100-SXM"))
    tokens = jnp.asarray([[1.0, 2.0, 8.0, 64.0, 1e6]])
    columns = Rows(*(leaf[:, None] for leaf in rows))
    touched = np.asarray(expert_load(columns, tokens)[1])[0]
    assert touched[0] == pytest.approx(8.0)
    assert np.all(np.diff(touched) > 0)
    # Unequal popularity touches fewer experts than 128 (1 - (1 - 8/128)^T), never more than all.
    equal = 128 * (1 - (1 - 8 / 128) ** np.asarray(tokens)[0])
    assert np.all(touched[1:4] < equal[1:4])
    assert touched[-1] == pytest.approx(128.0, rel=1e-3)


@pytest.mark.parametrize("gpu", ["H100-SXM", "B200-SXM"])
def test_fp4_mixtures_quantise_experts_only_and_use_the_cores_there_are(gpu: str) -> None:
    rows = rows_of(configuration("gpt-oss-120b", gpu, "fp4"))
    assert float(rows.weight_bytes[0]) == 2.0
    assert float(rows.expert_weight_bytes[0]) == 17 / 32  # mxfp4: 4 bits and one 8-bit exponent for 32 weights
    assert float(rows.flops[0]) == pytest.approx(load_gpus()[gpu].dense_flops["bf16"])
    kind = "fp4" if gpu == "B200-SXM" else "bf16"
    assert float(rows.expert_flops[0]) == pytest.approx(load_gpus()[gpu].dense_flops[kind])


@given(st.floats(1e-9, 1e3), st.floats(1e-9, 1e3), st.floats(1.0, 60.0))
def test_the_smooth_maximum_is_the_p_norm(work: float, memory: float, p: float) -> None:
    got = float(_smooth_max(jnp.float32(work), jnp.float32(memory), jnp.float32(p)))
    top, low = max(work, memory), min(work, memory)
    assert got == pytest.approx(top * (1.0 + (low / top) ** p) ** (1.0 / p), rel=5e-6)
    assert max(work, memory) * (1 - 1e-6) <= got <= (work + memory) * (1 + 2e-6)


def test_unpacking_costs_compute_where_plain_gemms_use_wider_instructions() -> None:
    for gpu, share in (("H100-SXM", 0.6), ("H20", 0.6), ("A100-80GB-SXM", 0.9), ("L4", 0.9), ("RTX4090", 0.9)):
        plain, packed = rows_of(*(configuration("Llama-3.1-8B", gpu, p) for p in ("bf16", "int4"))).gemm_eff_compute
        assert float(packed / plain) == pytest.approx(share)


def test_nvfp4_keeps_latent_attention_in_bf16_and_quantises_any_other() -> None:
    latent, plain, dense = rows_of(
        *(configuration(llm, "B200-SXM", "fp4", 8) for llm in ("DeepSeek-R1", "Qwen3-235B-A22B", "Qwen3-32B"))
    ).weight_bytes
    assert (float(latent), float(plain), float(dense)) == (2.0, 0.5625, 0.5625)


def test_int8_runs_where_its_cores_are() -> None:
    # Ampere multiplies int8 but not fp8.
    rows = rows_of(configuration("Llama-3.1-8B", "A100-80GB-SXM", "int8"))
    assert float(rows.flops[0]) == pytest.approx(624e12)
    assert compute_precision("int8", find_gpu("MI300X")) == "int8"
