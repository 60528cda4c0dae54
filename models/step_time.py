"""Seconds of one engine iteration, by a smooth roofline over its operations.

    t_gemm = t0 + ((F / (e_c P))^p + (B / (e_m BW))^p)^(1/p)

for every GEMM of a layer over the step's T tokens (weights are read once, whatever mixes in the step), plus attention,
all-reduce, the small kernels between them, the output head and the host. Everything broadcasts: rows on the leading
axis, any load axes after it.

With p pipeline stages as many micro-batches are under way: a token passes all layers, each with 1/p of the load, and
p hops (Narayanan et al., 2021, Megatron-LM). A prompt in an empty pipeline waits pipeline_wait_s besides.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax
import jax.numpy as jnp

from models.rows import Rows

SMALL_KERNELS_S = 12.5e-6
"""Two norms, rotary embedding, activation and KV write of one layer at few tokens: 2.4 + 2.4 + 2.7 + 2.7 + 2.3 us
(operator tables of a real vLLM 0.19 on an RTX PRO 6000, LLMServingSim, 2026-04)."""
SMALL_KERNELS_EFF_MEMORY = 0.7
SAMPLER_S = 25e-6
"""Sampling, from the same tables; plus 0.35 us a sequence."""
SAMPLER_PER_SEQUENCE_S = 0.35e-6
HOST_PER_SEQUENCE_S = 40e-6
"""Assumption (2026-11): detokenising, streaming and bookkeeping of one sequence an iteration, which the GPU hides until
it is the faster of the two: one server process streams some 25,000 tokens a second."""
HOP_T0_S = 10e-6
"""Assumption (2026-11): launch and wake-up of one send and receive between pipeline stages."""
EXPERT_LAUNCHES = 10.0
"""Kernels of one mixture-of-experts layer, each at the launch cost of a GEMM: gate, top-k, sort, permute, quantise, two
grouped GEMMs, activation, quantise, combine (the fused-MoE paths of vLLM and TensorRT-LLM, read 2026-11)."""
GROUPED_EFF_COMPUTE = 0.65
"""Assumption (2026-11): compute efficiency of grouped expert GEMMs over that of one plain GEMM (experts fill tiles in
part; fused-MoE kernels of vLLM against cuBLAS on H100)."""
EXPERT_POPULARITY_CV = 0.5
"""Assumption (2026-11): spread of experts' popularity over their mean within a batch, of LLMs trained for balance."""
EXPERT_SKEW = 1.15
"""Assumption (2026-11): the busiest rank's share of routed tokens over the mean, for balanced serving traffic."""


def _columns(rows: Rows, load_axes: int) -> Rows:
    """Rows with `load_axes` unit axes after the first, so that they broadcast against loads."""
    tail = (1,) * load_axes
    return Rows(*(leaf.reshape((leaf.shape[0], *tail, *leaf.shape[1:])) for leaf in rows))


def linear_time_s(rows: Rows, tokens: jax.Array, sequences: jax.Array) -> jax.Array:
    """Seconds that depend on how many tokens the step holds: GEMMs, experts, small kernels, all-reduce, head, host.

    tokens, sequences: shape [rows, ...], broadcasting against each other; returns that shape.
    """
    r = _columns(rows, tokens.ndim - 1)
    batches = micro_batches(r, tokens)
    tokens, sequences = tokens / batches, sequences / batches
    t = tokens[..., None]
    work = 2.0 * t * r.gemm_k * r.gemm_n / (r.gemm_eff_compute * r.flops)[..., None]
    moved = r.weight_bytes[..., None] * r.gemm_k * r.gemm_n + 2.0 * t * (r.gemm_k + r.gemm_n)
    memory = moved / (r.gemm_eff_memory * r.bandwidth)[..., None]
    p = r.gemm_p[..., None]
    gemm = jnp.where(r.gemm_count > 0, r.gemm_t0_s[..., None] + _smooth_max(work, memory, p), 0.0)
    total = (r.gemm_count * gemm).sum(-1)

    routed, touched = expert_load(r, tokens)
    rate = GROUPED_EFF_COMPUTE * r.expert_eff_compute * r.expert_flops
    expert_work = 2.0 * routed * r.hidden * r.expert_width / rate
    expert_moved = r.expert_weight_bytes * touched * r.hidden * r.expert_width + 4.0 * routed * r.hidden
    expert_memory = expert_moved / (r.expert_eff_memory * r.bandwidth)
    expert = EXPERT_LAUNCHES * r.expert_t0_s + _smooth_max(expert_work, expert_memory, r.expert_p)
    # Permute, activate and combine move every routed row besides: three times its hidden and four its inner width.
    moved = 2.0 * routed * (3.0 * r.hidden + 4.0 * r.expert_width / 3.0)
    routing = moved / (SMALL_KERNELS_EFF_MEMORY * r.bandwidth)
    total = total + jnp.where(r.moe_layers > 0, r.moe_layers * (expert + routing), 0.0)

    small = 2.0 * tokens * (12.0 * r.hidden + 3.0 * r.widest_activation / 2.0)
    total = total + r.layers * (SMALL_KERNELS_S + small / (SMALL_KERNELS_EFF_MEMORY * r.bandwidth))

    n = r.tensor_parallel
    ring = r.all_reduce_t0_s + 2.0 * (n - 1.0) / n * 2.0 * tokens * r.hidden / r.all_reduce_bytes_per_s
    total = total + jnp.where(n > 1, 2.0 * r.layers * ring, 0.0)

    hop = HOP_T0_S + 2.0 * tokens * r.hidden / r.hop_bytes_per_s
    total = total + jnp.where(r.pipeline_parallel > 1, r.pipeline_parallel * hop, 0.0)

    head_work = 2.0 * sequences * r.hidden * r.head_n / (r.gemm_eff_compute * r.bf16_flops)
    head_memory = 2.0 * r.hidden * r.head_n / (r.gemm_eff_memory * r.bandwidth)
    total = total + r.gemm_t0_s + _smooth_max(head_work, head_memory, r.gemm_p)
    per_sequence = SAMPLER_PER_SEQUENCE_S + r.per_sequence_s
    return total + SAMPLER_S + per_sequence * sequences + r.host_overhead_s


def expert_load(r: Rows, tokens: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Token-expert pairs on the busiest rank, and experts whose weights a rank reads; tokens broadcasts against rows.

    Were all experts equally popular, T tokens would touch E (1 - (1 - k/E)^T) of them. Popularities vary: for gamma
    distributed ones of squared coefficient of variation v the share touched is 1 - (1 + v T k/E)^(-1/v), the Laplace
    transform of the gamma distribution, and less weight is read.
    """
    share = jnp.where(r.experts > 0, r.experts_per_token / jnp.maximum(r.experts, 1.0), 0.0)
    v = EXPERT_POPULARITY_CV**2
    touched = r.experts * -jnp.expm1(-jnp.log1p(v * tokens * share) / v)
    # A step's first token touches k experts exactly, whatever the distribution.
    touched = jnp.maximum(touched, jnp.minimum(r.experts_per_token, r.experts) * jnp.minimum(tokens, 1.0))
    return tokens * r.experts_per_token * EXPERT_SKEW, touched


def decode_attention_s(rows: Rows, sequences: jax.Array, kv_tokens: jax.Array) -> jax.Array:
    """Seconds of attention for `sequences` decoding requests whose contexts add up to kv_tokens.

    KV is read once; the state of state layers is read and written.
    """
    r = _columns(rows, sequences.ndim - 1)
    batches = micro_batches(r, sequences)
    kv_tokens, shared = kv_tokens / batches, sequences / batches
    token_bytes = r.kv_width * r.kv_element_bytes
    windowed = jnp.minimum(kv_tokens, shared * r.window)
    read = token_bytes * (r.full_layers * kv_tokens + r.sliding_layers * windowed) + 2.0 * r.state_bytes * shared
    layers = r.full_layers + r.sliding_layers + r.state_layers
    return jnp.where(sequences > 0, layers * r.decode_t0_s + read / (r.decode_eff_memory * r.bandwidth), 0.0)


def prefill_attention_s(rows: Rows, work: jax.Array, context: jax.Array) -> jax.Array:
    """Seconds of prefill attention for work = sum(granted x (already + granted / 2)) at a typical context length."""
    r = _columns(rows, work.ndim - 1)
    efficiency = r.prefill_eff_max * context / (context + r.prefill_s_half)
    window = jnp.where(r.window > 0, jnp.minimum(1.0, 2.0 * r.window / jnp.maximum(context, 1.0)), 1.0)
    flops = 4.0 * r.attention_width * work / r.pipeline_parallel * (r.full_layers + r.sliding_layers * window)
    layers = r.full_layers + r.sliding_layers
    return jnp.where(work > 0, layers * r.prefill_t0_s + flops / (efficiency * r.bf16_flops), 0.0)


def step_time_s(
    rows: Rows,
    sequences: jax.Array,
    kv_tokens: jax.Array,
    prefill_tokens: jax.Array,
    prefill_work: jax.Array,
    context: jax.Array,
) -> jax.Array:
    """GPU seconds of an iteration with `sequences` decoding requests and prefill_tokens granted; shapes [rows, ...]."""
    linear = linear_time_s(rows, sequences + prefill_tokens, sequences + jnp.where(prefill_tokens > 0, 1.0, 0.0))
    return linear + decode_attention_s(rows, sequences, kv_tokens) + prefill_attention_s(rows, prefill_work, context)


def micro_batches(r: Rows, requests: jax.Array) -> jax.Array:
    """Micro-batches under way: one for each pipeline stage, but none without a request."""
    return jnp.clip(requests, 1.0, r.pipeline_parallel)


def pipeline_wait_s(rows: Rows, chunk: jax.Array, chunks: jax.Array, attention_s: jax.Array) -> jax.Array:
    """Seconds that a prompt in an empty pipeline takes beyond its iterations, in which p micro-batches share its work:
    its last chunk is not cut, it passes the stages one after the other. shape [rows, ...], attention_s of all chunks.

    A chunk of c tokens passes all layers as it does on one GPU: linear(p c), linear(c) being that of c / p. So m chunks
    that fill their GEMMs take (m + p - 1) / m times their iterations, the bubble of Narayanan et al. (2021); short ones
    read every weight once in either, and take no longer.
    """
    r = _columns(rows, chunk.ndim - 1)
    one = jnp.ones_like(chunk)
    whole = linear_time_s(rows, r.pipeline_parallel * chunk, one) - linear_time_s(rows, chunk, one)
    launches = (r.full_layers + r.sliding_layers) * r.prefill_t0_s
    # The last of m even chunks attends to the most: (2 m - 1) / m^2 of the work.
    m = jnp.maximum(chunks, 1.0)
    last = jnp.maximum(attention_s - launches, 0.0) * (2.0 * m - 1.0) / (m * m)
    return whole + (r.pipeline_parallel - 1.0) * last


def behind_host(step_s: jax.Array, sequences: jax.Array) -> jax.Array:
    """Seconds of an iteration whose host work for `sequences` overlaps with the GPU's step_s: the slower of the two,
    smoothly ((a^4 + b^4)^(1/4)). Small LLMs on many GPUs at large batches wait for the host."""
    gpu, host = step_s * step_s, (HOST_PER_SEQUENCE_S * sequences) ** 2
    return jnp.sqrt(jnp.sqrt(gpu * gpu + host * host))


def _smooth_max(work: jax.Array, memory: jax.Array, p: jax.Array) -> jax.Array:
    """(work^p + memory^p)^(1/p) as top (1 + r^p)^(1/p), r = low / top, so that large p cannot underflow.

    Written with exp and log, which compile to vector code on every platform where pow does not. The outer two see
    [0, 1] and, p being at least 1, [0, ln 2] only: there series are as exact as float32 and take half the time.
    """
    top = jnp.maximum(jnp.maximum(work, memory), 1e-12)
    ratio = jnp.maximum(jnp.minimum(work, memory) / top, 1e-30)
    power = jnp.exp(p * jnp.log(ratio))
    s = power / (2.0 + power)  # log(1 + x) = 2 artanh(x / (2 + x))
    logarithm = 2.0 * s * _series(s * s, LOG_SERIES)
    return top * _series(logarithm / p, EXP_SERIES)


LOG_SERIES = tuple(1.0 / k for k in range(1, 13, 2))
EXP_SERIES = tuple(1.0 / math.factorial(k) for k in range(9))


def _series(x: jax.Array, coefficients: Sequence[float]) -> jax.Array:
    """Sum of coefficients[k] x^k, by Horner's rule."""
    total = jnp.full_like(x, coefficients[-1])
    for one in reversed(coefficients[:-1]):
        total = total * x + one
    return total
