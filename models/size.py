"""Memory of one configuration explained: what loads, what is left for KV, and how many requests that holds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp

from configs.catalog_schema import CoefficientCatalog
from data.records import Configuration, Engine, Gpu, Llm
from models.memory import kv_bytes, memory
from models.rows import Rows, build_rows, compute_precision
from models.shapes import active_parameters, total_parameters


@dataclass(frozen=True, slots=True)
class MemoryBreakdown:
    """Bytes on each GPU of a replica. The parts, the pool and what the engine does not take add up to the total."""

    configuration: Configuration
    parameters: float
    active_parameters: float
    total_bytes: float
    weight_bytes: float
    activation_bytes: float
    graph_bytes: float
    communication_bytes: float
    adapter_bytes: float
    """LoRA adapters resident at once."""
    headroom_bytes: float
    left_to_others_bytes: float
    """What the engine's utilization rule leaves to the driver and other processes."""
    kv_pool_bytes: float
    """Negative where the weights do not fit."""
    kv_bytes_per_token: float
    """At the context asked for: sliding windows make it fall with length."""
    kv_capacity_tokens: float
    context_tokens: float
    concurrent_requests: int
    """Requests of context_tokens each that fit at once, within max_num_seqs."""
    seqs_bind: bool
    """Whether max_num_seqs, not the KV cache, limits them."""
    largest_context_tokens: float
    """Of a single request: what fits, or the LLM's own limit."""
    largest_context_at_concurrency: tuple[tuple[int, float], ...]
    """(requests at once, longest context of each in tokens): approve no more than a rung; 0 tokens where none fits."""
    hidden_size_rule_kv_bytes_per_token: float
    """Rule of thumb for comparison: 2 x layers x hidden x bytes, blind to grouped-query attention."""
    rule_weight_bytes: float
    """Rule of thumb for comparison: 1.2 x parameters x bytes over the GPUs."""
    runs_at_precision: bool

    @property
    def loads(self) -> bool:
        """Whether the weights and one token's KV fit, on hardware that computes in the precision."""
        return self.runs_at_precision and self.kv_capacity_tokens >= 1.0


def size(
    configuration: Configuration,
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    engine: Engine,
    catalog: CoefficientCatalog,
    context_tokens: float,
    headroom: float = 0.0,
    gpu_memory_utilization: float | None = None,
    adapters: int = 0,
    adapter_rank: int = 16,
) -> MemoryBreakdown:
    """Breakdown of one configuration for requests of context_tokens (input and output together)."""
    llm, gpu = llms[configuration.llm], gpus[configuration.gpu]
    share = gpu_memory_utilization or engine.gpu_memory_utilization
    seqs = configuration.max_num_seqs or engine.max_num_seqs
    budget = configuration.max_num_batched_tokens or engine.max_num_batched_tokens
    rows, _ = build_rows([configuration], llms, gpus, engine, catalog)
    mem = memory(rows, engine, share, headroom, budget, seqs, adapters, adapter_rank)
    pool = float(mem.pool[0])
    probe = jnp.asarray([[context_tokens, 1.0]], dtype=jnp.float32)
    sequence = float(kv_bytes(rows, probe, engine.kv_block_tokens)[0, 0])
    per_token = sequence / max(context_tokens, 1.0)
    taken = float((mem.weights + mem.activations + mem.graphs + mem.communication + mem.adapters + mem.headroom)[0])
    largest = _largest_context(llm, rows, pool, engine.kv_block_tokens)
    weight = float(rows.expert_weight_bytes[0] if llm.experts else rows.weight_bytes[0])
    return MemoryBreakdown(
        configuration=configuration,
        parameters=total_parameters(llm),
        active_parameters=active_parameters(llm),
        total_bytes=gpu.memory_bytes,
        weight_bytes=float(mem.weights[0]),
        activation_bytes=float(mem.activations[0]),
        graph_bytes=float(mem.graphs[0]),
        communication_bytes=float(mem.communication[0]),
        adapter_bytes=float(mem.adapters[0]),
        headroom_bytes=float(mem.headroom[0]),
        left_to_others_bytes=gpu.memory_bytes - taken - pool,
        kv_pool_bytes=pool,
        kv_bytes_per_token=per_token,
        kv_capacity_tokens=max(pool, 0.0) / per_token,
        context_tokens=context_tokens,
        concurrent_requests=int(min(max(pool, 0.0) // sequence, seqs)),
        seqs_bind=pool // sequence >= seqs,
        largest_context_tokens=largest,
        largest_context_at_concurrency=_ladder(llm, rows, pool, engine.kv_block_tokens, seqs),
        hidden_size_rule_kv_bytes_per_token=2.0 * llm.layers * llm.hidden * float(rows.kv_element_bytes[0]),
        rule_weight_bytes=1.2 * total_parameters(llm) * weight / configuration.gpus,
        runs_at_precision=compute_precision(configuration.precision, gpu) is not None,
    )


def _largest_context(llm: Llm, rows: Rows, bytes_: float, block_tokens: int) -> float:
    """The longest sequence whose keys and values fit, in whole blocks, up to the LLM's own limit."""
    limit = float(llm.max_positions or 2**24)

    def fits(tokens: float) -> bool:
        return float(kv_bytes(rows, jnp.full((1, 1), tokens, dtype=jnp.float32), block_tokens)[0, 0]) <= bytes_

    if fits(limit):
        return limit
    low, high = 0, int(limit // block_tokens)
    while low < high:
        middle = (low + high + 1) // 2
        low, high = (middle, high) if fits(float(middle * block_tokens)) else (low, middle - 1)
    return float(low * block_tokens)


def _ladder(llm: Llm, rows: Rows, pool: float, block_tokens: int, seqs: int) -> tuple[tuple[int, float], ...]:
    """Largest approved context x concurrency: for 1, 4, 16, ... requests at once, the longest each may be."""
    rungs = [n for n in (1, 4, 16, 64, 256, 1024) if n <= seqs]
    return tuple((n, _largest_context(llm, rows, max(pool, 0.0) / n, block_tokens)) for n in rungs)
