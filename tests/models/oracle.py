"""Step time in plain Python, operation by operation: slow, obvious, and independent of the kernels' arrays."""

from __future__ import annotations

from data.records import Configuration, Engine, Gpu, Llm
from models.coefficients import Coefficients

MICRO = 1e-6


def roofline(work: float, moved: float, flops: float, bandwidth: float, p: float) -> float:
    a, b = work / flops, moved / bandwidth
    return (
        (a**p + b**p) ** (1.0 / p)
        if max(a, b) < 1
        else max(a, b) * ((a / max(a, b)) ** p + (b / max(a, b)) ** p) ** (1 / p)
    )


def dense_gqa_step_s(
    llm: Llm,
    gpu: Gpu,
    engine: Engine,
    c: Coefficients,
    one: Configuration,
    weight_bytes: float,
    flops: float,
    sequences: float,
    kv_tokens: float,
    prefill: float,
    work: float,
    context: float,
) -> float:
    """One iteration of a dense LLM with grouped-query attention and no window."""
    tp, tokens = one.tensor_parallel, sequences + prefill
    # 4-bit weights are dequantised in registers: 0.85 of the bandwidth; 0.6 of the rate where GEMMs have wgmma.
    wide = gpu.name in ("H100-SXM", "H200-SXM", "B200-SXM")
    slow, narrow = (0.6 if wide else 0.9, 0.85) if one.precision == "int4" else (1.0, 1.0)
    rate, bandwidth = slow * c.gemm_eff_compute * flops, narrow * c.gemm_eff_memory * gpu.memory_bandwidth_bytes_per_s
    kv_heads = max(llm.kv_heads / tp, 1)
    layer = 0.0
    pairs = [
        (llm.hidden, (llm.heads / tp + 2 * kv_heads) * llm.head_dim),
        (llm.heads * llm.head_dim / tp, llm.hidden),
        (llm.hidden, 2 * llm.intermediate / tp),
        (llm.intermediate / tp, llm.hidden),
    ]
    for k, n in pairs:
        moved = weight_bytes * k * n + 2 * tokens * k + 2 * tokens * n
        layer += c.gemm_t0_s + roofline(2 * tokens * k * n, moved, rate, bandwidth, c.gemm_p)
    widest = max(n for _, n in pairs)
    layer += 12.5 * MICRO + 2 * tokens * (12 * llm.hidden + 1.5 * widest) / (0.7 * gpu.memory_bandwidth_bytes_per_s)
    if tp > 1:
        layer += 2 * (c.all_reduce_t0_s + 2 * (tp - 1) / tp * 2 * tokens * llm.hidden / c.all_reduce_bytes_per_s)
    if sequences:
        read = 2 * kv_heads * llm.head_dim * 2 * kv_tokens
        layer += c.decode_t0_s + read / (c.decode_eff_memory * gpu.memory_bandwidth_bytes_per_s)
    if work:
        efficiency = c.prefill_eff_max * context / (context + c.prefill_s_half)
        heads = llm.heads * llm.head_dim / tp
        layer += c.prefill_t0_s + 4 * heads * work / (efficiency * gpu.dense_flops["bf16"])
    out = sequences + (1 if prefill else 0)
    head = c.gemm_t0_s + roofline(
        2 * out * llm.hidden * llm.vocab / tp,
        2 * llm.hidden * llm.vocab / tp,
        slow * c.gemm_eff_compute * gpu.dense_flops["bf16"],
        bandwidth,
        c.gemm_p,
    )
    return llm.layers * layer + head + 25 * MICRO + 0.35 * MICRO * out + engine.host_overhead_s
