"""The step-time kernel in the piecewise linear form that an iteration simulator scans over (data.records.StepCost).

Decode attention is linear in the KV it reads and prefill attention in its work, so only the part that depends on the
token count needs a grid. Two effects have no place in the form and are taken at the class's mean context: the window of
sliding layers, and the efficiency of prefill attention, which grows with context.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import jax
import jax.numpy as jnp
import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.records import Configuration, Engine, Gpu, Llm, StepCost
from models.rows import Rows, build_rows
from models.step_time import HOST_PER_SEQUENCE_S, decode_attention_s, linear_time_s, prefill_attention_s

TOKEN_GRID = np.unique(np.round(np.geomspace(1.0, 32_768.0, 61)))
"""Dense enough that interpolation errs less than 0.5 % (tests/models/test_step_cost.py)."""


@jax.jit
def _parts(rows: Rows, tokens: jax.Array, context: jax.Array) -> tuple[jax.Array, ...]:
    lanes = rows.hidden.shape[0]
    grid = jnp.broadcast_to(tokens, (lanes, tokens.shape[0]))
    # The output head runs for decoding requests only; their number enters through d1, measured between two batches.
    linear = linear_time_s(rows, grid, jnp.zeros_like(grid))
    one, many = jnp.ones((lanes,), jnp.float32), jnp.full((lanes,), 64.0, jnp.float32)
    per_head = (linear_time_s(rows, many, many) - linear_time_s(rows, many, one)) / 63.0
    # Of many requests, so that every pipeline stage has some.
    at_context = decode_attention_s(rows, many, many * context)
    base = decode_attention_s(rows, 1e-9 * one, jnp.zeros_like(context))
    at_start = decode_attention_s(rows, many, jnp.zeros_like(context))
    # Up to the window every layer's KV counts; beyond it the sliding layers' share of a mean context is what is read.
    per_kv = (at_context - at_start) / jnp.maximum(many * context, 1.0)
    prefill_base = prefill_attention_s(rows, jnp.full_like(one, 1e-9), context)
    per_work = (prefill_attention_s(rows, context**2 / 2.0, context) - prefill_base) / jnp.maximum(
        context**2 / 2.0, 1.0
    )
    return linear, base, per_head + (at_start - base) / many, per_kv, prefill_base, per_work


def step_cost(
    configurations: Sequence[Configuration],
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    engine: Engine,
    catalog: CoefficientCatalog,
    mean_context_tokens: Sequence[float],
) -> StepCost:
    """Step cost of every configuration, one lane each.

    mean_context_tokens: mean input plus half the mean output of each lane, shape [lanes].
    """
    rows, _ = build_rows(configurations, llms, gpus, engine, catalog)
    context = jnp.asarray(np.asarray(mean_context_tokens, dtype=np.float32))
    found = jax.device_get(_parts(rows, jnp.asarray(TOKEN_GRID, dtype=jnp.float32), context))
    stages = np.array([float(one.pipeline_parallel) for one in configurations])
    linear, base, per_head, per_kv, prefill_base, per_work = (np.asarray(part, dtype=np.float64) for part in found)
    return StepCost(
        tokens=TOKEN_GRID,
        linear_s=linear,
        decode_base_s=base,
        decode_per_seq_s=per_head,
        decode_per_kv_token_s=per_kv,
        prefill_base_s=prefill_base,
        prefill_per_token_s=np.zeros_like(base),
        prefill_per_attention_s=per_work,
        host_per_sequence_s=np.full_like(base, HOST_PER_SEQUENCE_S),
        pipeline_stages=stages if (stages > 1).any() else None,
    )
