"""Memory of one GPU of a replica: weights, activations, graphs, communication, and what is left for the KV cache.

Every term is bytes on one rank. The KV pool follows the engine's own rule: vLLM and SGLang take a share of the whole
GPU and subtract everything else from it; TensorRT-LLM takes a share of what is free after loading. What the allocator
reserves and cannot use is in neither: it lies in what the share leaves free; where that is less, the pool gives way.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike

from data.records import Engine
from models.rows import Rows


class Memory(NamedTuple):
    """Bytes on one rank, shape [rows]; pool may be negative where weights do not fit."""

    weights: jax.Array
    activations: jax.Array
    graphs: jax.Array
    communication: jax.Array
    adapters: jax.Array
    headroom: jax.Array
    fragmentation: jax.Array
    pool: jax.Array
    total: jax.Array


def memory(
    rows: Rows,
    engine: Engine,
    utilization: float,
    headroom: float,
    max_batched_tokens: ArrayLike,
    max_seqs: ArrayLike,
    adapters: int = 0,
    adapter_rank: int = 16,
) -> Memory:
    """Memory terms of every row. max_batched_tokens, max_seqs: of all rows or shape [rows].

    utilization: share of the GPU (or of what is free) the engine takes; headroom: approved share left on top.
    adapters: LoRA adapters resident at once, on every dense projection at adapter_rank in bf16.
    Embedding, head and router stay in bf16 whatever the weights are. Of pipeline stages the fullest counts.
    """
    layers = (
        rows.weight_bytes * rows.linear_parameters
        + rows.expert_weight_bytes * rows.expert_parameters
        + 2.0 * rows.moe_layers * rows.hidden * rows.experts
    )
    # Of pipeline stages the first holds the embedding and the last the head; one stage holds both, once if tied.
    ends = jnp.where(rows.pipeline_parallel > 1, rows.hidden * rows.head_n, rows.embedding_parameters)
    weights = layers / rows.pipeline_parallel + 2.0 * ends
    # Peak of a profiling step at the token budget: residual stream, normed copy and the widest GEMM output in bf16,
    # twice for the allocator's overlap, and float32 logits; or of the sampler after it, if that is larger.
    seqs, tokens = jnp.asarray(max_seqs, dtype=jnp.float32), jnp.asarray(max_batched_tokens, dtype=jnp.float32)
    forward = 2.0 * tokens * (4.0 * rows.hidden + 2.0 * rows.widest_activation)
    forward = forward + 4.0 * seqs * rows.head_n
    sampler = engine.sampler_bytes_per_logit * seqs * rows.vocabulary
    activations = jnp.maximum(forward, sampler)
    graphs = jnp.full_like(weights, engine.graph_bytes)
    communication = jnp.where(rows.tensor_parallel * rows.pipeline_parallel > 1, engine.communication_bytes, 0.0)
    low_rank = (rows.gemm_count * (rows.gemm_k + rows.gemm_n)).sum(-1) / rows.pipeline_parallel
    lora = 2.0 * adapters * adapter_rank * low_rank
    margin = headroom * rows.memory_bytes
    taken = weights + activations + graphs + communication + lora
    if engine.memory_rule == "share_of_free":
        spare = (1.0 - utilization) * (rows.memory_bytes - taken)
    else:
        spare = (1.0 - utilization) * rows.memory_bytes
    fragmentation = jnp.full_like(weights, engine.fragmentation_bytes)
    pool = rows.memory_bytes - taken - margin - jnp.maximum(spare, fragmentation)
    return Memory(weights, activations, graphs, communication, lora, margin, fragmentation, pool, rows.memory_bytes)


def kv_bytes(rows: Rows, tokens: jax.Array, block_tokens: int) -> jax.Array:
    """KV bytes on one rank of one sequence of `tokens` tokens, rounded up to blocks; shape [rows, ...].

    Sliding-window layers keep at most their window, state layers a constant; a pipeline stage holds its layers only.
    """
    tail = (1,) * (tokens.ndim - 1)

    def wide(leaf: jax.Array) -> jax.Array:
        return leaf.reshape((leaf.shape[0], *tail))

    blocks = jnp.ceil(tokens / block_tokens) * block_tokens
    windowed = jnp.minimum(blocks, wide(rows.window))
    element = wide(rows.kv_width * rows.kv_element_bytes)
    growing = element * (wide(rows.full_layers) * blocks + wide(rows.sliding_layers) * windowed)
    return (growing + wide(rows.state_bytes)) / wide(rows.pipeline_parallel)


def kv_capacity_tokens(rows: Rows, pool: jax.Array, context: jax.Array, block_tokens: int) -> jax.Array:
    """KV tokens that a pool [rows] of bytes on one rank holds in sequences of `context` [rows, ...] tokens each.

    Of whole blocks: what a partly filled last block wastes is the engine's to count, sequence by sequence.
    """
    whole = jnp.ceil(context / block_tokens) * block_tokens
    each = pool.reshape((pool.shape[0],) + (1,) * (context.ndim - 1))
    return each * whole / kv_bytes(rows, whole, block_tokens)
