"""Prefill and decode on replicas of their own: rates of each, the transfer between them, and their balance."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax.numpy as jnp

from configs.catalog_schema import CoefficientCatalog
from data.engine_limits import batch_limits
from data.records import Configuration, Engine, Gpu, Llm
from models.memory import kv_bytes, memory
from models.phases import decode_s, prefill_times_s
from models.rows import Rows, build_rows

TRANSFER_EFFICIENCY = 0.7
"""Assumption (2026-11): share of the link's rate that a KV transfer between replicas reaches."""


@dataclass(frozen=True, slots=True)
class Disaggregated:
    """Prefill and decode on replicas of their own."""

    prefill_rps: float
    """Requests a second of one prefill replica."""
    decode_rps: float
    """Requests a second of one decode replica at the largest batch within the TPOT limit and its KV cache."""
    batch: float
    ttft_s: float
    """Prefill, transfer of the keys and values, and one decode step; no queue."""
    tpot_s: float
    transfer_s: float
    prefill_per_decode: float
    """Prefill replicas for each decode replica in balance."""
    requests_per_s_per_gpu: float
    """Of a fleet in balance; the slower pool sets the rate of any other."""


def disaggregated(
    prefill: Configuration,
    decode: Configuration,
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    engine: Engine,
    catalog: CoefficientCatalog,
    input_tokens: float,
    output_tokens: float,
    tpot_limit_s: float,
    headroom: float = 0.0,
    prefix_share: float = 0.0,
) -> Disaggregated | None:
    """Rates of split replicas, or None where one request alone breaks the TPOT limit or does not fit.

    prefix_share: of every prompt, which the prefill replicas' caches hold. The keys and values cross the slower of the
    two replicas' links once, all ranks at the same time.
    """
    rows, _ = build_rows([decode], llms, gpus, engine, catalog)
    seqs, budget = batch_limits(engine, gpus[decode.gpu], decode.max_num_seqs, decode.max_num_batched_tokens)
    pool = float(memory(rows, engine, engine.gpu_memory_utilization, headroom, budget, seqs).pool[0])
    tokens = jnp.full((1, 1), input_tokens + output_tokens, dtype=jnp.float32)
    one_kv = float(kv_bytes(rows, tokens, engine.kv_block_tokens)[0, 0])
    context = input_tokens + output_tokens / 2.0
    most = min(float(seqs), max(pool, 0.0) // one_kv)
    batch = _largest_batch(rows, context, most, tpot_limit_s)
    if batch < 1.0:
        return None
    tpot_s = float(decode_s(rows, batch, context, 1.0)[0])
    source, _ = build_rows([prefill], llms, gpus, engine, catalog)
    prefill_budget = float(source.max_num_batched_tokens[0])
    prefill_s, _ = prefill_times_s(source, input_tokens, prefix_share, 1.0, prefill_budget)
    link = min(gpus[one.gpu].link_bytes_per_s for one in (prefill, decode)) * TRANSFER_EFFICIENCY
    prompt = jnp.full((1, 1), input_tokens, dtype=jnp.float32)
    moved = max(float(kv_bytes(r, prompt, engine.kv_block_tokens)[0, 0]) for r in (rows, source))
    batch *= decode.schedulers
    prefill_rps, decode_rps = 1.0 / prefill_s, batch / (tpot_s * max(output_tokens, 1.0))
    per_request = prefill.gpus / prefill_rps + decode.gpus / decode_rps
    return Disaggregated(
        prefill_rps=prefill_rps,
        decode_rps=decode_rps,
        batch=batch,
        ttft_s=prefill_s + moved / link + tpot_s,
        tpot_s=tpot_s,
        transfer_s=moved / link,
        prefill_per_decode=decode_rps / prefill_rps,
        requests_per_s_per_gpu=1.0 / per_request,
    )


def _largest_batch(rows: Rows, context: float, most: float, limit_s: float) -> float:
    """The largest whole batch up to `most` whose decode step keeps the limit (it rises with the batch); 0 for none."""
    low, high = 0, int(most)
    while low < high:
        middle = (low + high + 1) // 2
        if float(decode_s(rows, float(middle), context, 1.0)[0]) <= limit_s:
            low = middle
        else:
            high = middle - 1
    return float(low)
