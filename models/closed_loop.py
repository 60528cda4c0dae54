"""Time per output token of a closed-loop load test: a fixed number of clients that each wait for their answer.

In its steady state `n` requests decode together, and over the life of one of them every other is prefilled once. Its
mean gap between tokens is therefore one decode step at the mean context plus n - 1 prefills spread over its outputs.
"""

from __future__ import annotations

from typing import NamedTuple

import jax
import jax.numpy as jnp

from models.rows import Rows
from models.step_time import behind_host, decode_attention_s, linear_time_s, pipeline_wait_s, prefill_attention_s


class ClosedLoop(NamedTuple):
    """Load of each row, shape [rows]."""

    concurrency: jax.Array
    """Clients of one replica."""
    input_tokens: jax.Array
    output_tokens: jax.Array
    sequences_that_fit: jax.Array
    """Sequences of this length that the KV cache and the engine's limit admit at once."""
    token_budget: jax.Array
    """Prefill tokens of one iteration at most."""


class ClosedLoopTime(NamedTuple):
    """Seconds, shape [rows], in the parts that calibration moves separately."""

    decode_s: jax.Array
    """One iteration that only decodes."""
    interference_s: jax.Array
    """Prefills of the other requests, for each output token."""
    prefill_s: jax.Array
    """One prompt on an idle replica."""
    batch: jax.Array
    """Requests that decode together: the concurrency, or what fits."""

    @property
    def tpot_s(self) -> jax.Array:
        """Mean seconds between output tokens."""
        return self.decode_s + self.interference_s


@jax.jit
def closed_loop(rows: Rows, load: ClosedLoop) -> ClosedLoopTime:
    """Times of every row under its own closed loop."""
    n = jnp.clip(load.concurrency, 1.0, jnp.maximum(load.sequences_that_fit, 1.0))
    context = load.input_tokens + load.output_tokens / 2.0
    decode = behind_host(linear_time_s(rows, n, n) + decode_attention_s(rows, n, n * context), n)
    # A mixed iteration reads the weights once for both: a prefill costs what its chunks add to decode steps.
    chunk = jnp.maximum(jnp.minimum(load.token_budget, load.input_tokens), 1.0)
    added = (linear_time_s(rows, n + chunk, n) - linear_time_s(rows, n, n)) / chunk * load.input_tokens
    attention = prefill_attention_s(rows, load.input_tokens**2 / 2.0, load.input_tokens)
    interference = (n - 1.0) / jnp.maximum(load.output_tokens, 1.0) * (added + attention)
    chunks = jnp.ceil(load.input_tokens / chunk)
    alone = chunks * linear_time_s(rows, load.input_tokens / chunks, jnp.ones_like(n)) + attention
    wait = pipeline_wait_s(rows, load.input_tokens / chunks, chunks, attention)
    return ClosedLoopTime(decode, interference, alone + wait, n)
