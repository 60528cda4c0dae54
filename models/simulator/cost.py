"""Step costs as the simulators scan over them: on a uniform grid, in clock ticks, one lane each."""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data.records import FloatArray, IntArray, StepCost

GRID_TOKENS = 8
"""Spacing of the resampled linear-cost table."""
TABLE_STEP = 1024
"""Tokens by which the table grows."""


class Cost(NamedTuple):
    """StepCost in ticks: linear [lanes, grid, 2] value and rise at multiples of GRID_TOKENS, the rest [lanes]."""

    linear: jax.Array
    d0: jax.Array
    d1: jax.Array
    d2: jax.Array
    p0: jax.Array
    p1: jax.Array
    p2: jax.Array
    mixed: jax.Array
    host: jax.Array | None = None
    """Host work a decoding request, beside the GPU's; None where no lane has any, which spares its arithmetic."""
    stages: jax.Array | None = None
    """Pipeline stages; None where no lane has more than one."""


def mixed_factor(cost: StepCost) -> FloatArray:
    """The mixed-iteration factor of every lane."""
    ones = np.ones(cost.linear_s.shape[0])
    return ones if cost.mixed_decode_factor is None else np.asarray(cost.mixed_decode_factor)


def grid_points(most_tokens: int) -> int:
    """Grid points of a table that reaches most_tokens; rounded up, so that few shapes are ever compiled."""
    return -(-(most_tokens + 2 * GRID_TOKENS) // TABLE_STEP) * TABLE_STEP // GRID_TOKENS - 1


def uniform(cost: StepCost, most_tokens: int, tick_s: FloatArray | float) -> Cost:
    """The cost on a uniform grid from 0 to beyond most_tokens, in ticks of tick_s seconds, one value or [lanes]."""
    lanes = cost.linear_s.shape[0]
    grid = GRID_TOKENS * np.arange(grid_points(most_tokens) + 1, dtype=np.float64)
    tokens = np.asarray(cost.tokens, dtype=np.float64)
    slope = (cost.linear_s[:, -1] - cost.linear_s[:, -2]) / (tokens[-1] - tokens[-2])
    table = np.stack([np.interp(grid, tokens, cost.linear_s[lane]) for lane in range(lanes)])
    beyond = grid > tokens[-1]
    table[:, beyond] = cost.linear_s[:, -1:] + slope[:, None] * (grid[beyond] - tokens[-1])

    per_tick = np.broadcast_to(np.asarray(tick_s, dtype=np.float64), (lanes,))

    def ticks(values: FloatArray) -> jax.Array:
        return jnp.asarray((np.asarray(values) / per_tick).astype(np.float32))

    pieces = np.stack([table[:, :-1], np.diff(table, axis=1)], axis=2)
    return Cost(
        jnp.asarray((pieces / per_tick[:, None, None]).astype(np.float32)),
        ticks(cost.decode_base_s),
        ticks(cost.decode_per_seq_s),
        ticks(cost.decode_per_kv_token_s),
        ticks(cost.prefill_base_s),
        ticks(cost.prefill_per_token_s),
        ticks(cost.prefill_per_attention_s),
        jnp.asarray(mixed_factor(cost).astype(np.float32)),
        None if cost.host_per_sequence_s is None else ticks(cost.host_per_sequence_s),
        None if cost.pipeline_stages is None else jnp.asarray(cost.pipeline_stages.astype(np.float32)),
    )


def most_stages(cost: StepCost) -> float:
    """Pipeline stages of the lane that has most."""
    return 1.0 if cost.pipeline_stages is None else float(cost.pipeline_stages.max())


def in_rounds(cost: Cost, requests: jax.Array) -> jax.Array | float:
    """How many times as much a decoding request counts where there are fewer than stages."""
    if cost.stages is None:
        return 1.0
    return cost.stages / jnp.clip(requests, 1.0, cost.stages)


def linear_at(cost: Cost, tokens: jax.Array) -> jax.Array:
    """The linear part of an iteration of so many tokens, [lanes] each."""
    where = tokens / GRID_TOKENS
    low = jnp.floor(where).astype(jnp.int32)
    piece = cost.linear.at[jnp.arange(tokens.shape[0]), low].get(mode="clip")
    return piece[:, 0] + piece[:, 1] * (where - low)


def whole_chunk(cost: Cost, requests: jax.Array, granted: jax.Array, work: jax.Array, decode: jax.Array) -> jax.Array:
    """Ticks in which a micro-batch of granted prompt tokens, and its share of the decoding requests, passes all
    stages; decode is what those take in a round. Of lanes with stages."""
    assert cost.stages is not None
    linear = linear_at(cost, requests + cost.stages * granted)
    gpu = linear + decode + cost.p0 + cost.stages * (cost.p1 * granted + cost.p2 * work)
    return gpu if cost.host is None else behind_host(gpu, cost.host * requests)[0]


def behind_host(gpu: jax.Array, host: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Ticks of an iteration of `gpu` ticks beside `host` ticks, (gpu^4 + host^4)^(1/4), and its slope in gpu.

    As models.step_time.behind_host, over the larger of the two: fourth powers of ticks overflow float32.
    """
    top = jnp.maximum(jnp.maximum(gpu, host), 1e-6)
    ratio = jnp.square(jnp.minimum(gpu, host) / top)
    total = top * jnp.sqrt(jnp.sqrt(1.0 + ratio * ratio))
    share = gpu / total
    return total, share * share * share


def take(cost: StepCost, index: IntArray) -> StepCost:
    """Some lanes of a cost, as often as the index names them."""
    return StepCost(
        cost.tokens, cost.linear_s[index], cost.decode_base_s[index], cost.decode_per_seq_s[index],
        cost.decode_per_kv_token_s[index], cost.prefill_base_s[index], cost.prefill_per_token_s[index],
        cost.prefill_per_attention_s[index], mixed_factor(cost)[index],
        None if cost.host_per_sequence_s is None else cost.host_per_sequence_s[index],
        None if cost.pipeline_stages is None else cost.pipeline_stages[index],
    )  # fmt: skip
