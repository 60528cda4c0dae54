"""What the pool simulator carries from step to step."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

NEVER = np.int32(2**31 - 1)
EMPTY, WAITING, PREFILL, JOINING, DECODE, DONE = range(6)
SERVED, REJECTED, TIMED_OUT, LOST = range(4)
RANDOM, ROUND_ROBIN, SHORTEST_QUEUE = range(3)
FIELDS = (
    "state", "request", "order", "priority", "prompt", "cached", "output", "prefilled", "produced", "first", "end",
    "patience", "deadline", "attempt", "came",
)  # fmt: skip


class Slots(NamedTuple):
    """The requests that a replica holds, int32 [lanes, slots] each; times in ticks, first -1 before the first token."""

    state: jax.Array
    request: jax.Array
    order: jax.Array
    priority: jax.Array
    prompt: jax.Array
    cached: jax.Array
    output: jax.Array
    prefilled: jax.Array
    produced: jax.Array
    first: jax.Array
    end: jax.Array
    patience: jax.Array
    deadline: jax.Array
    attempt: jax.Array
    came: jax.Array
    late: jax.Array | None = None
    """Ticks in which its tokens pass the other pipeline stages; None where no lane has any."""


class Rules(NamedTuple):
    """Per lane unless said otherwise; ticks for times. down_* [lanes, replicas]: when each is away; NEVER if it is not.

    abrupt: a replica that goes away loses its requests; otherwise it finishes them but is sent no more.
    """

    max_num_seqs: jax.Array
    token_budget: jax.Array
    kv_tokens: jax.Array
    block_tokens: jax.Array
    max_queue: jax.Array
    routing: jax.Array
    replicas: jax.Array
    backoff: jax.Array
    retries: jax.Array
    preempts: jax.Array
    down_from: jax.Array
    down_until: jax.Array
    abrupt: jax.Array
    overlap: jax.Array


class State(NamedTuple):
    """table [lanes, replicas, fields, slots]; row the slots of the replica that acts next; log [lanes, requests, 5]
    (fate, first and end tick, attempts, replica); fifo [lanes, retries, requests, 2] (request, due), a queue for each
    attempt, in which times rise because the backoff is the same for all; seen [lanes, replicas] the tick until which a
    replica's scheduler knows of arrivals; the rest [lanes] or [lanes, replicas]."""

    step: jax.Array
    table: jax.Array
    row: jax.Array
    replica: jax.Array
    arriving: jax.Array
    open: jax.Array
    source: jax.Array
    clock: jax.Array
    seen: jax.Array
    granted: jax.Array
    work: jax.Array
    outstanding: jax.Array
    head: jax.Array
    next_row: jax.Array
    fifo: jax.Array
    fifo_head: jax.Array
    fifo_tail: jax.Array
    fifo_next: jax.Array
    order: jax.Array
    turn: jax.Array
    log: jax.Array
    live: jax.Array
    preempted: jax.Array
    iterations: jax.Array
    busy: jax.Array
    kv_peak: jax.Array
    queue_peak: jax.Array
    running_peak: jax.Array
    crowded: jax.Array
