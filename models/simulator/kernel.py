"""The jitted loop of models/simulator/engine.py: every lane steps at once, and none waits for another's grants.

A decoding request advances one token an iteration, so the iteration in which it ends is known when its prefill ends:
no table of running requests is needed, only two rings of "how many end, and how much KV they free" by iteration. A lane
takes one of two steps at a time: grant prefill tokens to the head of the queue within the current iteration, or close
the iteration and advance the clock by its cost.

Lanes need very different numbers of steps. The loop therefore runs in phases: it returns after PHASE steps, or when few
lanes are left, so that the caller can take what is finished and go on with the living lanes alone. Its log is one phase
long, however long a lane runs.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from models.simulator.cost import GRID_TOKENS, Cost

PHASE = 8192
"""Steps of a phase: the length of its log."""


class State(NamedTuple):
    """Per lane; ring [lanes, slots, 2] holds how many requests end at an iteration and the KV they free, upcoming its
    next row; log [lanes, requests + PHASE] the iteration of each first token, then the tick at which each iteration of the
    phase closed.
    """

    clock: jax.Array
    iteration: jax.Array
    head: jax.Array
    prefilled: jax.Array
    granted: jax.Array
    work: jax.Array
    running: jax.Array
    kv: jax.Array
    joining: jax.Array
    joining_kv: jax.Array
    ring: jax.Array
    upcoming: jax.Array
    log: jax.Array
    pressed: jax.Array
    running_time: jax.Array
    kv_time: jax.Array
    busy: jax.Array


@partial(jax.jit, static_argnames=("requests", "ring"))
def start(wanted: jax.Array, *, requests: int, ring: int) -> State:
    """The state before anything came; lanes that are not wanted [lanes] have nothing to do."""
    lanes = wanted.shape[0]

    def zeros(dtype: type) -> jax.Array:
        return jnp.zeros(lanes, dtype=dtype)

    return State(
        zeros(jnp.int32), zeros(jnp.int32), jnp.where(wanted, 0, requests).astype(jnp.int32), zeros(jnp.int32),
        zeros(jnp.int32), zeros(jnp.float32), zeros(jnp.int32), zeros(jnp.float32), zeros(jnp.int32),
        zeros(jnp.float32), jnp.zeros((lanes, ring, 2), jnp.float32), jnp.zeros((lanes, 2), jnp.float32),
        jnp.full((lanes, requests + PHASE), -1, jnp.int32), zeros(jnp.int32), zeros(jnp.float32),
        zeros(jnp.float32), zeros(jnp.float32),
    )  # fmt: skip


@partial(jax.jit, static_argnames=("pad",))
def advance(
    start: State,
    cost: Cost,
    table: jax.Array,
    limits: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    most_iterations: jax.Array,
    few: jax.Array,
    *,
    pad: bool,
) -> tuple[State, jax.Array]:
    """One phase, and which lanes still live [lanes]: it ends after PHASE steps, or when no more than `few` lanes live.

    table: [lanes, requests, 4] int32 of arrival tick, input, cached and output tokens. A lane lives until it has
    admitted and finished its requests or used its iterations. Every step makes one gather or scatter of a row per
    array, and reads the ring after it has written it: XLA would copy it whole otherwise.
    """
    lanes, requests = table.shape[:2]
    ring = start.ring.shape[1]
    begun = start.iteration
    lane = jnp.arange(lanes)
    max_seqs, budget, capacity, block = limits
    never = np.iinfo(np.int32).max

    def alive(s: State) -> jax.Array:
        idle = (s.head >= requests) & (s.running + s.joining == 0)
        return ~idle & (s.iteration < most_iterations)

    def body(s: State) -> State:
        live = alive(s)
        waiting = s.head < requests
        row = table.at[lane, s.head].get(mode="clip")
        due = jnp.where(waiting, row[:, 0], never)
        p_total, p_cached, out = row[:, 1], row[:, 2], row[:, 3]
        room = budget - s.running - s.granted
        fresh = s.prefilled == 0
        # Block rounding costs half a block a sequence on average; a fresh request needs its whole prompt at once.
        held = s.kv + (s.running + s.joining) * (block // 2).astype(jnp.float32) + s.joining_kv
        blocks = jnp.ceil((p_total + 1) / block) * block
        fits = held + blocks <= capacity
        # One request alone is admitted whatever it needs: it would wait for ever otherwise; pressure is counted.
        alone = s.running + s.joining == 0
        admissible = ~fresh | ((s.running + s.joining < max_seqs) & (fits | alone))
        grant = live & waiting & (due <= s.clock) & (room > 0) & admissible

        # Grant: as many prompt tokens as the iteration has room for.
        left = p_total - p_cached - s.prefilled
        tokens = jnp.where(grant, jnp.minimum(room, left), 0)
        done_before = (p_cached + s.prefilled).astype(jnp.float32)
        work = s.work + tokens * (done_before + 0.5 * tokens)
        completes = grant & (tokens == left)
        granted = s.granted + tokens
        head = s.head + completes
        prefilled = jnp.where(completes, 0, s.prefilled + tokens)
        joining = s.joining + completes
        joining_kv = s.joining_kv + jnp.where(completes, (p_total + 1).astype(jnp.float32), 0.0)

        # Close: only lanes that granted nothing. An empty iteration jumps to the next arrival instead.
        close = live & ~grant
        total = s.running + s.granted
        empty = total == 0
        jump = close & empty
        n, k = s.running.astype(jnp.float32), s.kv
        where = total.astype(jnp.float32) / GRID_TOKENS
        where = jnp.ceil(where) if pad else where
        low = jnp.floor(where).astype(jnp.int32)
        piece = cost.linear.at[lane, low].get(mode="clip")
        linear = piece[:, 0] + piece[:, 1] * (where - low)
        decode = (cost.d0 + cost.d1 * n + cost.d2 * k) * jnp.where(s.granted > 0, cost.mixed, 1.0)
        seconds = linear + jnp.where(s.running > 0, decode, 0.0)
        prefill = cost.p0 + cost.p1 * s.granted + cost.p2 * s.work
        seconds = seconds + jnp.where(s.granted > 0, prefill, 0.0)
        duration = jnp.where(close & ~empty, jnp.maximum(jnp.round(seconds).astype(jnp.int32), 1), 0)
        clock = jnp.where(jump, jnp.maximum(due, s.clock), s.clock + duration)
        ran = close & ~empty
        iteration = s.iteration + ran
        running = jnp.where(ran, s.running + s.joining - s.upcoming[:, 0].astype(jnp.int32), s.running)
        kv = jnp.where(ran, s.kv + n + s.joining_kv - s.upcoming[:, 1], s.kv)
        passed = duration.astype(jnp.float32)
        pressed = s.pressed + (ran & (held > capacity))
        # One write a step: a completed prefill books its end, a closed iteration clears the slot it has consumed.
        freed = jnp.stack([jnp.ones_like(n), (p_total + out).astype(jnp.float32)], axis=1)
        slot = jnp.where(completes, s.iteration + out, iteration) % ring
        change = jnp.where(completes[:, None], freed, jnp.where(ran[:, None], -s.upcoming, 0.0))
        bookings = s.ring.at[lane, slot].add(change)
        place = jnp.where(completes, s.head, requests + s.iteration - begun)
        place = jnp.where(completes | ran, place, requests + PHASE)
        log = s.log.at[lane, place].set(jnp.where(completes, s.iteration, clock), mode="drop")
        return State(
            clock,
            iteration,
            head,
            prefilled,
            jnp.where(ran, 0, granted),
            jnp.where(ran, 0.0, work),
            running,
            kv,
            jnp.where(ran, 0, joining),
            jnp.where(ran, 0.0, joining_kv),
            bookings,
            bookings[lane, (iteration + 1) % ring],
            log,
            pressed,
            s.running_time + passed * (n + s.joining),
            s.kv_time + passed * k,
            s.busy + passed,
        )

    def goes_on(at: tuple[jax.Array, State]) -> jax.Array:
        step, s = at
        return (step < PHASE) & (alive(s).sum() > few)

    _, end = jax.lax.while_loop(goes_on, lambda at: (at[0] + 1, body(at[1])), (jnp.int32(0), start))
    return end, alive(end)
