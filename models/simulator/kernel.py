"""The jitted loop of models/simulator/engine.py: every lane steps at once, and none waits for another's grants.

A decoding request advances one token an iteration, so the iteration in which it ends is known when its prefill ends:
no table of running requests is needed, only two rings of "how many end, and how much KV they free" by iteration, and a
bit for each iteration in which any does: the next is found in a word of WINDOW of them. A lane takes one of two steps
at a time: grant prefill tokens to the head of the queue within the current iteration, or close the iteration and
advance the clock by its cost. Iterations that only decode, until a request ends or one comes that can be admitted,
differ in nothing but the KV cache they read, which grows by one token a sequence: up to WINDOW of them are closed in
one step.

Lanes need very different numbers of steps. The loop therefore runs in phases: it returns when a lane has filled the
log, or when few lanes are left, so that the caller can take what is finished and go on with the living lanes alone. The
log is one phase long, however long a lane runs.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from models.simulator.cost import GRID_TOKENS, Cost, behind_host, in_rounds, whole_chunk

WINDOW = 32
"""Slots of the ring that a word of bits tells of: the most iterations that a step closes."""
CONTEXT_TOKENS = 64
"""Tokens to which Vidur's predictor rounds contexts up."""
LONG = 1e38
CURVED = 1e-7
"""Most that iterations closed together may err by where the host makes their cost bend, as a share of their time: one
rounding of float32."""
"""Ticks for ever, whose double is still a number."""


class State(NamedTuple):
    """Per lane; seen is the tick until which arrivals are known to the scheduler; ring [lanes, slots, 2] holds how many
    requests end at an iteration and the KV they free, booked [lanes, slots / WINDOW] a bit for every slot that has any;
    log [lanes, requests + phase] the iteration of each first token, then the tick at which each iteration of the phase
    closed (only the last of those closed in one step: requests come and go at no other).
    """

    clock: jax.Array
    seen: jax.Array
    iteration: jax.Array
    head: jax.Array
    prefilled: jax.Array
    granted: jax.Array
    work: jax.Array
    squares: jax.Array
    running: jax.Array
    kv: jax.Array
    joining: jax.Array
    joining_kv: jax.Array
    ring: jax.Array
    booked: jax.Array
    log: jax.Array
    pressed: jax.Array
    running_time: jax.Array
    kv_time: jax.Array
    busy: jax.Array
    late: jax.Array | None = None
    """[lanes, phase] ticks in which tokens of what joined in an iteration of the phase pass the other pipeline stages;
    None where no lane has any."""
    filling: jax.Array | None = None
    """The same of the prompt that is being prefilled."""


class Ends(NamedTuple):
    """Per lane: after how many iterations the next requests end, how many, and the KV tokens they free."""

    after: jax.Array
    requests: jax.Array
    kv: jax.Array


class Times(NamedTuple):
    """Ticks [lanes, requests] of first and last tokens, -1 before they came; late as in State, of each request."""

    first: jax.Array
    end: jax.Array
    late: jax.Array | None


@partial(jax.jit, static_argnames=("requests", "ring", "phase", "staged"))
def start(wanted: jax.Array, *, requests: int, ring: int, phase: int, staged: bool) -> tuple[State, Times]:
    """The state before anything came; lanes that are not wanted [lanes] have nothing to do.

    ring: a power of two above the longest output and WINDOW; phase: iterations that the log holds.
    """
    lanes = wanted.shape[0]

    def zeros(dtype: type) -> jax.Array:
        return jnp.zeros(lanes, dtype=dtype)

    none = jnp.full((lanes, requests), -1, jnp.int32)
    state = State(
        zeros(jnp.int32), zeros(jnp.int32), zeros(jnp.int32), jnp.where(wanted, 0, requests).astype(jnp.int32),
        zeros(jnp.int32), zeros(jnp.int32), zeros(jnp.float32), zeros(jnp.float32), zeros(jnp.int32),
        zeros(jnp.float32), zeros(jnp.int32), zeros(jnp.float32), jnp.zeros((lanes, ring, 2), jnp.float32),
        jnp.zeros((lanes, ring // WINDOW), jnp.uint32),
        jnp.full((lanes, requests + phase), -1, jnp.int32), zeros(jnp.int32), zeros(jnp.float32),
        zeros(jnp.float32), zeros(jnp.float32),
        jnp.zeros((lanes, phase), jnp.float32) if staged else None, zeros(jnp.float32) if staged else None,
    )  # fmt: skip
    return state, Times(none, none, jnp.zeros((lanes, requests), jnp.float32) if staged else None)


@partial(jax.jit, static_argnames=("pad",), donate_argnums=(0, 1))
def advance(
    start: State,
    times: Times,
    cost: Cost,
    table: jax.Array,
    limits: tuple[jax.Array, jax.Array, jax.Array, jax.Array, jax.Array],
    most_iterations: jax.Array,
    few: jax.Array,
    *,
    pad: bool,
) -> tuple[State, Times, jax.Array]:
    """One phase, the times with those that came in it, and which lanes still live [lanes]; it ends early when no more
    than `few` lanes live.

    table: [lanes, requests, 4] int32 of arrival tick, input, cached and output tokens. A lane lives until it has
    admitted and finished its requests or used its iterations. Every step makes one gather or scatter of a row per
    array, and reads the ring after it has written it: XLA would copy it whole otherwise.
    """
    lanes, requests = table.shape[:2]
    ring, phase = start.ring.shape[1], start.log.shape[1] - requests
    begun = start.iteration
    lane = jnp.arange(lanes)
    max_seqs, budget, capacity, block, overlap = limits
    never = np.iinfo(np.int32).max

    def upcoming(bookings: jax.Array, booked: jax.Array, iteration: jax.Array) -> Ends:
        """The next end within the aligned slots of the ring that a word tells of, or the last of them."""
        at = (iteration + 1) & (ring - 1)
        offset = at & (WINDOW - 1)
        word = booked[lane, at // WINDOW] >> offset.astype(jnp.uint32)
        # Zeros below the lowest one: of none, all of the word's bits.
        ahead = jax.lax.population_count(~word & (word - 1)).astype(jnp.int32)
        after = jnp.minimum(ahead, WINDOW - 1 - offset)
        found = bookings[lane, at + after]
        return Ends(after + 1, found[:, 0], found[:, 1])

    def alive(s: State) -> jax.Array:
        idle = (s.head >= requests) & (s.running + s.joining == 0)
        return ~idle & (s.iteration < most_iterations)

    def body(carried: tuple[State, Ends]) -> tuple[State, Ends]:
        s, ends = carried
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
        # With nothing to run the scheduler looks again at once.
        known = jnp.where(fresh & (s.running + s.joining + s.granted == 0), s.clock, s.seen)
        grant = live & waiting & (due <= known) & (room > 0) & admissible

        # Grant: as many prompt tokens as the iteration has room for.
        left = p_total - p_cached - s.prefilled
        tokens = jnp.where(grant, jnp.minimum(room, left), 0)
        done_before = (p_cached + s.prefilled).astype(jnp.float32)
        if pad:
            context = jnp.ceil(done_before / CONTEXT_TOKENS) * CONTEXT_TOKENS
            work = s.work + jnp.where(grant, context, 0.0)
            squares = s.squares + jnp.square(tokens.astype(jnp.float32))
        else:
            work, squares = s.work + tokens * (done_before + 0.5 * tokens), s.squares
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
        each = in_rounds(cost, n)
        decode = (cost.d0 + (cost.d1 * n + cost.d2 * k) * each) * jnp.where(s.granted > 0, cost.mixed, 1.0)
        seconds = linear + jnp.where(s.running > 0, decode, 0.0)
        chunk = jnp.sqrt(s.squares) if pad else s.granted
        attended = chunk * (s.work + 0.5 * chunk) if pad else s.work
        prefill = cost.p0 + cost.p1 * chunk + cost.p2 * attended
        seconds = seconds + jnp.where(s.granted > 0, prefill, 0.0)
        growth = cost.d2 * n * each
        alike = jnp.float32(WINDOW)
        if cost.host is not None:
            host = cost.host * n
            gpu = seconds
            seconds, slope = behind_host(gpu, host)
            # Iterations are closed together as if each took longer than the last by as much: as many as hold to CURVED.
            bend = 1.5 * jnp.square(gpu / seconds) * jnp.square(jnp.square(host / seconds))
            alike = jnp.floor(jnp.sqrt(CURVED / jnp.maximum(bend, 1e-30)) * seconds / jnp.maximum(growth, 1e-30))
            growth = growth * slope
        ran = close & ~empty
        late, filling = s.late, s.filling
        if late is not None and filling is not None:
            chunks = ran & (s.granted > 0)
            whole = whole_chunk(cost, n, s.granted.astype(jnp.float32), s.work, jnp.where(s.running > 0, decode, 0.0))
            longest = jnp.maximum(filling, whole - seconds)
            late = late.at[lane, jnp.where(chunks, s.iteration - begun, phase)].set(longest, mode="drop")
            filling = jnp.where(chunks, jnp.where(s.prefilled > 0, longest, 0.0), filling)
        # How many iterations alike: up to the one after which a request ends or another can be admitted. One that waits
        # without being granted anything waits for an end; prefill makes the next iteration another one.
        # Under overlap, one that came during an iteration joins the one after the next.
        gap = jnp.where(due > s.clock, (due - s.clock).astype(jnp.float32), LONG)
        gap = jnp.where((s.granted > 0) | ((due > known) & (due <= s.clock)), 0.0, gap)
        later = overlap & (due > s.clock) & (s.granted == 0)
        # m iterations take m (first + m growth / 2); the root that reaches the gap, in the form without cancellation.
        first = seconds - 0.5 * growth
        reach = 2.0 * gap / (first + jnp.sqrt(first * first + 2.0 * growth * gap))
        many = jnp.clip(jnp.minimum(jnp.ceil(reach) + later, alike), 1, WINDOW).astype(jnp.int32)
        many = jnp.minimum(ends.after, many)
        ended = jnp.where(many == ends.after, ends.requests, 0.0)
        freed = jnp.where(many == ends.after, ends.kv, 0.0)
        many = jnp.where(ran, many, 0)
        closed = many.astype(jnp.float32)
        span = closed * seconds + 0.5 * closed * (closed - 1.0) * growth
        duration = jnp.where(ran, jnp.maximum(jnp.round(span).astype(jnp.int32), many), 0)
        clock = jnp.where(jump, jnp.maximum(due, s.clock), s.clock + duration)
        last = jnp.round(seconds + (closed - 1.0) * growth).astype(jnp.int32)
        seen = jnp.where(ran, clock - jnp.where(overlap, last, 0), jnp.where(jump, clock, known))
        iteration = s.iteration + many
        running = jnp.where(ran, s.running + s.joining - ended.astype(jnp.int32), s.running)
        kv = jnp.where(ran, s.kv + closed * n + s.joining_kv - freed, s.kv)
        passed = duration.astype(jnp.float32)
        over = jnp.ceil((held + closed * n - capacity) / jnp.maximum(n, 1.0)).astype(jnp.int32)
        over = jnp.where(held > capacity, many, jnp.clip(over, 0, many - 1))
        pressed = s.pressed + jnp.where(ran, over, 0)
        # One write a step: a completed prefill books its end, a closed iteration clears the slot it has consumed.
        books = jnp.stack([jnp.ones_like(n), (p_total + out).astype(jnp.float32)], axis=1)
        clears = jnp.where(ran[:, None], jnp.stack([-ended, -freed], axis=1), 0.0)
        slot = jnp.where(completes, s.iteration + out, iteration) & (ring - 1)
        change = jnp.where(completes[:, None], books, clears)
        bookings = s.ring.at[lane, slot].add(change)
        word, bit = s.booked[lane, slot // WINDOW], jnp.uint32(1) << (slot & (WINDOW - 1)).astype(jnp.uint32)
        word = jnp.where(completes, word | bit, jnp.where(ran, word & ~bit, word))
        booked = s.booked.at[lane, slot // WINDOW].set(word)
        place = jnp.where(completes, s.head, requests + iteration - 1 - begun)
        place = jnp.where(completes | ran, place, requests + phase)
        log = s.log.at[lane, place].set(jnp.where(completes, s.iteration, clock), mode="drop")
        after = State(
            clock,
            seen,
            iteration,
            head,
            prefilled,
            jnp.where(ran, 0, granted),
            jnp.where(ran, 0.0, work),
            jnp.where(ran, 0.0, squares) if pad else squares,
            running,
            kv,
            jnp.where(ran, 0, joining),
            jnp.where(ran, 0.0, joining_kv),
            bookings,
            booked,
            log,
            pressed,
            s.running_time + passed * (n + s.joining),
            s.kv_time + passed * (k + 0.5 * n * jnp.maximum(closed - 1.0, 0.0)),
            s.busy + passed,
            late,
            filling,
        )
        return after, upcoming(bookings, booked, iteration)

    def goes_on(carried: tuple[State, Ends]) -> jax.Array:
        s, _ = carried
        return ((s.iteration - begun).max() <= phase - WINDOW) & (alive(s).sum() > few)

    end, _ = jax.lax.while_loop(goes_on, body, (start, upcoming(start.ring, start.booked, start.iteration)))
    return end, _noted(end, begun, table[:, :, 3], times), alive(end)


def _noted(s: State, begun: jax.Array, output: jax.Array, times: Times) -> Times:
    """The times with those of tokens that came in the phase since iteration `begun`."""
    requests = output.shape[1]
    phase = s.log.shape[1] - requests
    token = s.log[:, :requests]

    def at(iteration: jax.Array, log: jax.Array, old: jax.Array) -> jax.Array:
        came = (token >= 0) & (iteration >= begun[:, None]) & (iteration < s.iteration[:, None])
        place = jnp.clip(iteration - begun[:, None], 0, phase - 1)
        return jnp.where(came, jnp.take_along_axis(log, place, axis=1), old)

    closed = s.log[:, requests:]
    late = None if s.late is None or times.late is None else at(token, s.late, times.late)
    return Times(at(token, closed, times.first), at(token + output - 1, closed, times.end), late)
