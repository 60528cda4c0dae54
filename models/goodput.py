"""A first estimate of goodput at the SLO from the steady state of continuous batching.

With n requests decoding, every iteration finishes n / O of them and prefills as many new ones, so the rate is
n / (O t(n)). The estimate raises n until a limit breaks: TPOT at a Poisson-high batch, TTFT of a tail prompt behind a
queue, KV capacity at the length tail, or max_num_seqs. It brackets; the simulator (models/simulator) decides.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from models.rows import Rows
from models.step_time import behind_host, decode_attention_s, linear_time_s, pipeline_wait_s, prefill_attention_s

BATCHES = 48
"""Points of the batch grid, spaced geometrically from 1 to max_num_seqs."""
LIMITS = ("ttft", "tpot", "e2e", "kv_cache", "max_num_seqs")


class Load(NamedTuple):
    """A request class as each row sees it; shape [rows]. Tail values and normal quantiles (z) are at the percentiles of
    the limits named."""

    input_mean: jax.Array
    computed_mean: jax.Array
    """Input tokens that the prefix cache does not hold."""
    output_mean: jax.Array
    prefill_work_mean: jax.Array
    """Mean of computed x (cached + computed / 2)."""
    ttft_computed_tail: jax.Array
    e2e_computed_tail: jax.Array
    e2e_output_tail: jax.Array
    kv_tokens_mean: jax.Array
    """Mean tokens held by a decoding request, over its life."""
    kv_capacity_seqs: jax.Array
    """Concurrent sequences that fit at the length distribution's tail."""
    ttft_s: jax.Array
    tpot_s: jax.Array
    e2e_s: jax.Array
    ttft_z: jax.Array
    tpot_z: jax.Array
    e2e_z: jax.Array


class Estimate(NamedTuple):
    """Goodput estimate, shape [rows]; binding indexes LIMITS; at_one_* are times at batch 1, for excuses."""

    knee_rps: jax.Array
    batch: jax.Array
    ttft_s: jax.Array
    tpot_s: jax.Array
    binding: jax.Array
    at_one_ttft_s: jax.Array
    at_one_tpot_s: jax.Array
    at_one_e2e_s: jax.Array


def _at(rows: Rows, load: Load, n: jax.Array, budget: jax.Array) -> tuple[jax.Array, jax.Array, jax.Array, jax.Array]:
    """Mean iteration seconds, and TPOT, TTFT and end to end at their tails with n requests decoding; n is [rows,
    batches]."""
    per_request = _wide(load.output_mean)
    finishing = n / per_request
    computed, context = _wide(load.computed_mean), _wide(load.input_mean)

    def decode(batch: jax.Array) -> jax.Array:
        gpu = linear_time_s(rows, batch, batch) + decode_attention_s(rows, batch, batch * _wide(load.kv_tokens_mean))
        return behind_host(gpu, batch)

    # Prefill runs in chunks of the budget: its price is the time that a full chunk adds to a decode step.
    chunk = jnp.maximum(jnp.minimum(budget, computed), 1.0)
    per_token = (linear_time_s(rows, n + chunk, n) - linear_time_s(rows, n, n)) / chunk
    work = jnp.broadcast_to(_wide(load.prefill_work_mean), n.shape)
    attention = prefill_attention_s(rows, work, jnp.broadcast_to(context, n.shape))
    prefill = per_token * computed + attention
    step = decode(n) + finishing * prefill
    # A tail prompt is prefilled alone after the step under way; before it wait those that arrived in the queue. The
    # share of time spent on prefill is the utilisation of that queue (M/D/1 wait, doubled for the percentile).
    busy = jnp.minimum(finishing * prefill / step, 0.98)

    def ttft(z: jax.Array, prompt: jax.Array) -> jax.Array:
        wait = busy / (1.0 - busy) * prefill * (1.0 + _wide(z))
        # Between the chunks of one prompt an otherwise busy pipeline does other work; an idle one waits to be filled.
        size = _wide(prompt) / jnp.maximum(computed, 1.0)
        stages = pipeline_wait_s(rows, chunk, jnp.ceil(_wide(prompt) / chunk), attention * size)
        return wait + step + prefill * size + stages * (1.0 - busy)

    # A request with few output tokens cannot average a prefill out: one whole foreign prefill lands on its TPOT.
    interference = jnp.minimum(finishing * per_request, 1.0) * prefill / jnp.maximum(per_request, 2.0)

    def tpot(z: jax.Array) -> jax.Array:
        tail = n + _wide(z) * jnp.sqrt(n)
        return jnp.maximum(decode(tail) + tail / per_request * prefill, step + interference)

    e2e = ttft(load.e2e_z, load.e2e_computed_tail) + tpot(load.e2e_z) * _wide(load.e2e_output_tail)
    return step, tpot(load.tpot_z), ttft(load.ttft_z, load.ttft_computed_tail), e2e


def estimate(rows: Rows, load: Load, max_seqs: jax.Array, budget: jax.Array) -> Estimate:
    """Highest rate at which every limit holds, for every row.

    max_seqs, budget: shape [rows]. A row that fails at batch 1 gets knee 0 and the limit that broke.
    """
    exponent = jnp.linspace(0.0, 1.0, BATCHES, dtype=jnp.float32)
    n = jnp.exp(exponent[None, :] * jnp.log(_wide(max_seqs)))
    step, tpot, ttft, e2e = _at(rows, load, n, _wide(budget))
    rate = n / (_wide(load.output_mean) * step)
    broken = jnp.stack(
        [
            ttft > _wide(load.ttft_s),
            tpot > _wide(load.tpot_s),
            e2e > _wide(load.e2e_s),
            n > _wide(load.kv_capacity_seqs),
            jnp.zeros_like(n, dtype=bool),
        ]
    )
    holds = ~broken.any(0)
    # The first batch that breaks anything ends the search: goodput past a broken SLO is not goodput.
    good = jnp.cumprod(holds.astype(jnp.int32), axis=1).sum(1)
    last = jnp.maximum(good - 1, 0)
    first_bad = jnp.minimum(good, BATCHES - 1)

    def pick(values: jax.Array, index: jax.Array) -> jax.Array:
        return jnp.take_along_axis(values, index[:, None], axis=1)[:, 0]

    reasons = jnp.take_along_axis(broken, first_bad[None, :, None], axis=2)[:, :, 0]
    binding = jnp.where(good >= BATCHES, len(LIMITS) - 1, jnp.argmax(reasons, axis=0))
    # Along the batch axis rates need not rise (a saturated GPU): the knee is the best rate among good batches.
    best = jnp.where(jnp.arange(BATCHES)[None, :] < good[:, None], rate, 0.0)
    return Estimate(
        knee_rps=best.max(1),
        batch=pick(n, last),
        ttft_s=pick(ttft, last),
        tpot_s=pick(tpot, last),
        binding=binding,
        at_one_ttft_s=ttft[:, 0],
        at_one_tpot_s=tpot[:, 0],
        at_one_e2e_s=e2e[:, 0],
    )


def _wide(leaf: jax.Array) -> jax.Array:
    return leaf[:, None]
