"""The kernels' physics in the form a simulator scans over: StepCost of data/records.py."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np

from data.records import StepCost
from models.rows import Rows
from models.step_time import decode_attention_s, linear_time_s, prefill_attention_s


def step_cost(rows: Rows, most_tokens: int, context_tokens: Sequence[float]) -> StepCost:
    """StepCost of every row, exact at the grid's token counts for GQA and MLA without windows.

    context_tokens [rows]: typical context of a prefill chunk (attention efficiency) and of a decoding request (sliding
    windows: KV reads are linearised through it). Head and sampler are charged for the decoding part of a batch, which
    is what they are in steady state.
    """
    count = rows.hidden.shape[0]
    tokens = np.unique(np.concatenate([np.arange(0, 513, 8), np.geomspace(512, most_tokens + 512, 48) // 8 * 8]))
    grid = jnp.broadcast_to(jnp.asarray(np.maximum(tokens, 1.0), dtype=jnp.float32), (count, len(tokens)))
    linear = linear_time_s(rows, grid, jnp.minimum(grid, 64.0))

    context = np.asarray(context_tokens, dtype=np.float64)
    one = jnp.ones(count, dtype=jnp.float32)

    def decode(sequences: float, each: np.ndarray) -> np.ndarray:
        kv = jnp.asarray((sequences * each).astype(np.float32))
        return np.asarray(decode_attention_s(rows, sequences * one, kv), dtype=np.float64)

    # Through three points: a base, a slope in KV at the typical context, and what windows save a sequence.
    slope = (decode(1.0, context * 1.25) - decode(1.0, context * 0.75)) / (0.5 * context)
    base = np.asarray((rows.full_layers + rows.sliding_layers) * rows.decode_t0_s, dtype=np.float64)
    per_seq = decode(1.0, context) - base - slope * context

    def prefill(work: float) -> np.ndarray:
        return np.asarray(
            prefill_attention_s(rows, work * one, jnp.asarray(context.astype(np.float32))), dtype=np.float64
        )

    per_work = (prefill(2e6) - prefill(1e6)) / 1e6
    return StepCost(
        tokens=tokens.astype(np.float64),
        linear_s=np.asarray(linear, dtype=np.float64),
        decode_base_s=base,
        decode_per_seq_s=per_seq,
        decode_per_kv_token_s=slope,
        prefill_base_s=prefill(1e6) - per_work * 1e6,
        prefill_per_token_s=np.zeros(count),
        prefill_per_attention_s=per_work,
    )
