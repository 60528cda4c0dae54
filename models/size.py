"""Memory of one configuration explained: what loads, what is left for KV, and how many requests that holds."""

from __future__ import annotations

from collections.abc import Mapping

import jax.numpy as jnp

from configs.catalog_schema import CoefficientCatalog
from data.engine_limits import batch_limits
from data.memory_records import MemoryBreakdown
from data.records import Configuration, Engine, Gpu, Llm
from models.excuses import hardware
from models.memory import kv_bytes, memory
from models.rows import Rows, build_rows
from models.shapes import active_parameters, total_parameters


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
    seqs, budget = batch_limits(engine, gpu, configuration.max_num_seqs, configuration.max_num_batched_tokens)
    rows, _ = build_rows([configuration], llms, gpus, engine, catalog)
    mem = memory(rows, engine, share, headroom, budget, seqs, adapters, adapter_rank)
    pool = float(mem.pool[0])
    probe = jnp.asarray([[context_tokens, 1.0]], dtype=jnp.float32)
    sequence = float(kv_bytes(rows, probe, engine.kv_block_tokens)[0, 0])
    per_token = sequence / max(context_tokens, 1.0)
    taken = float((mem.weights + mem.activations + mem.graphs + mem.communication + mem.adapters + mem.headroom)[0])
    fragmentation = float(mem.fragmentation[0])
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
        left_to_others_bytes=max(gpu.memory_bytes - taken - fragmentation - pool, 0.0),
        kv_pool_bytes=pool,
        kv_bytes_per_token=per_token,
        kv_capacity_tokens=max(pool, 0.0) / per_token * configuration.schedulers,
        context_tokens=context_tokens,
        concurrent_requests=int(min(max(pool, 0.0) // sequence, seqs)) * configuration.schedulers,
        seqs_bind=pool // sequence >= seqs,
        largest_context_tokens=largest,
        largest_context_at_concurrency=tuple(
            (n * configuration.schedulers, tokens)
            for n, tokens in _ladder(llm, rows, pool, engine.kv_block_tokens, seqs)
        ),
        hidden_size_rule_kv_bytes_per_token=2.0 * llm.layers * llm.hidden * float(rows.kv_element_bytes[0]),
        rule_weight_bytes=1.2 * total_parameters(llm) * weight / configuration.gpus,
        runs_at_precision=hardware(configuration, gpu) is None,
        fragmentation_bytes=fragmentation,
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
