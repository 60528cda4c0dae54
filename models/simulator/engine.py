"""An iteration-level simulator of one replica under first-come first-served chunked prefill, vectorized over lanes.

A decoding request advances one token an iteration, so the iteration in which it ends is known when its prefill ends:
no table of running requests is needed, only two rings of "how many end, and how much KV they free" by iteration. A lane
takes one of two steps at a time: grant prefill tokens to the head of the queue within the current iteration, or close
the iteration and advance the clock by its cost. All lanes step together; none waits for another's grants.

The clock counts int32 ticks, so that times neither drift nor lose digits however long a lane runs.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data.records import BoolArray, FloatArray, IntArray, StepCost

GRID_TOKENS = 8
"""Spacing of the resampled linear-cost table."""
TICKS = 2**30


class Requests(NamedTuple):
    """What arrives, shape [lanes, requests]: arrival seconds (rising), input and cached input tokens, output tokens."""

    arrival_s: FloatArray
    input_tokens: IntArray
    cached_tokens: IntArray
    output_tokens: IntArray


class Limits(NamedTuple):
    """Engine limits, shape [lanes]: sequences, tokens an iteration, KV tokens that fit, block size in tokens."""

    max_num_seqs: IntArray
    token_budget: IntArray
    kv_tokens: FloatArray
    block_tokens: IntArray


class Outcome(NamedTuple):
    """Times of every request in seconds, [lanes, requests], nan where a lane was cut off; per lane: iterations, whether
    it finished, the share of iterations in which the KV cache was over-full (an engine would have preempted), mean
    running requests and mean KV tokens over time, busy seconds and the end of the last iteration."""

    first_token_s: FloatArray
    end_s: FloatArray
    iterations: IntArray
    finished: BoolArray
    kv_pressure: FloatArray
    mean_running: FloatArray
    mean_kv_tokens: FloatArray
    busy_s: FloatArray
    makespan_s: FloatArray


class _Cost(NamedTuple):
    """StepCost in ticks: linear [lanes, grid] at multiples of GRID_TOKENS, the rest [lanes]."""

    linear: jax.Array
    slope: jax.Array
    d0: jax.Array
    d1: jax.Array
    d2: jax.Array
    p0: jax.Array
    p1: jax.Array
    p2: jax.Array


class _State(NamedTuple):
    step: jax.Array
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
    ends: jax.Array
    frees: jax.Array
    next_ends: jax.Array
    next_frees: jax.Array
    first_iteration: jax.Array
    closed_at: jax.Array
    pressed: jax.Array
    running_time: jax.Array
    kv_time: jax.Array
    busy: jax.Array


def _uniform(cost: StepCost, most_tokens: int, tick_s: float) -> _Cost:
    """The cost on a uniform grid from 0 to beyond most_tokens, in ticks."""
    lanes = cost.linear_s.shape[0]
    grid = np.arange(0, most_tokens + 2 * GRID_TOKENS, GRID_TOKENS, dtype=np.float64)
    tokens = np.asarray(cost.tokens, dtype=np.float64)
    slope = (cost.linear_s[:, -1] - cost.linear_s[:, -2]) / (tokens[-1] - tokens[-2])
    table = np.stack([np.interp(grid, tokens, cost.linear_s[lane]) for lane in range(lanes)])
    beyond = grid > tokens[-1]
    table[:, beyond] = cost.linear_s[:, -1:] + slope[:, None] * (grid[beyond] - tokens[-1])

    def ticks(values: FloatArray) -> jax.Array:
        return jnp.asarray(np.broadcast_to(np.asarray(values) / tick_s, (lanes,)).astype(np.float32))

    return _Cost(
        jnp.asarray((table / tick_s).astype(np.float32)),
        ticks(slope),
        ticks(cost.decode_base_s),
        ticks(cost.decode_per_seq_s),
        ticks(cost.decode_per_kv_token_s),
        ticks(cost.prefill_base_s),
        ticks(cost.prefill_per_token_s),
        ticks(cost.prefill_per_attention_s),
    )


@partial(jax.jit, static_argnames=("ring", "most_iterations", "pad"))
def _run(
    cost: _Cost,
    arrival: jax.Array,
    prompt: jax.Array,
    cached: jax.Array,
    output: jax.Array,
    limits: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    *,
    ring: int,
    most_iterations: int,
    pad: bool,
) -> _State:
    """All lanes until each has admitted and finished its requests or used its iterations."""
    lanes, requests = prompt.shape
    lane = jnp.arange(lanes)
    max_seqs, budget, capacity, block = limits
    never = jnp.iinfo(jnp.int32).max

    def at(table: jax.Array, column: jax.Array) -> jax.Array:
        return table.at[lane, column].get(mode="clip")

    def alive(s: _State) -> jax.Array:
        idle = (s.head >= requests) & (s.running + s.joining == 0)
        return ~idle & (s.iteration < most_iterations)

    def body(s: _State) -> _State:
        live = alive(s)
        waiting = s.head < requests
        due = jnp.where(waiting, at(arrival, s.head), never)
        p_total, p_cached, out = at(prompt, s.head), at(cached, s.head), at(output, s.head)
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
        slot = (s.iteration + out) % ring
        ends = s.ends.at[lane, slot].add(completes.astype(jnp.int32))
        freed = (p_total + out).astype(jnp.float32)
        frees = s.frees.at[lane, slot].add(jnp.where(completes, freed, 0.0))
        target = jnp.where(completes, s.head, requests)
        first_iteration = s.first_iteration.at[lane, target].set(s.iteration, mode="drop")
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
        a, b = at(cost.linear, low), at(cost.linear, low + 1)
        linear = a + (b - a) * (where - low)
        seconds = linear + jnp.where(s.running > 0, cost.d0 + cost.d1 * n + cost.d2 * k, 0.0)
        prefill = cost.p0 + cost.p1 * s.granted + cost.p2 * s.work
        seconds = seconds + jnp.where(s.granted > 0, prefill, 0.0)
        duration = jnp.where(close & ~empty, jnp.maximum(jnp.round(seconds).astype(jnp.int32), 1), 0)
        clock = jnp.where(jump, jnp.maximum(due, s.clock), s.clock + duration)
        ran = close & ~empty
        slot_now = jnp.where(ran, s.iteration, most_iterations)
        closed_at = s.closed_at.at[lane, slot_now].set(clock, mode="drop")
        iteration = s.iteration + ran
        running = jnp.where(ran, s.running + s.joining - s.next_ends, s.running)
        kv = jnp.where(ran, s.kv + n + s.joining_kv - s.next_frees, s.kv)
        passed = duration.astype(jnp.float32)
        pressed = s.pressed + (ran & (held > capacity))
        # Clear the ring slot that was just consumed, then read the one after: the read follows every write.
        spent = jnp.where(ran, iteration % ring, ring)
        ends = ends.at[lane, spent].set(0, mode="drop")
        frees = frees.at[lane, spent].set(0.0, mode="drop")
        upcoming = (iteration + 1) % ring
        return _State(
            s.step + 1,
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
            ends,
            frees,
            ends[lane, upcoming],
            frees[lane, upcoming],
            first_iteration,
            closed_at,
            pressed,
            s.running_time + passed * (n + s.joining),
            s.kv_time + passed * k,
            s.busy + passed,
        )

    def zeros(dtype: type) -> jax.Array:
        return jnp.zeros(lanes, dtype=dtype)

    start = _State(
        jnp.int32(0), zeros(jnp.int32), zeros(jnp.int32), zeros(jnp.int32), zeros(jnp.int32), zeros(jnp.int32),
        zeros(jnp.float32), zeros(jnp.int32), zeros(jnp.float32), zeros(jnp.int32), zeros(jnp.float32),
        jnp.zeros((lanes, ring), jnp.int32), jnp.zeros((lanes, ring), jnp.float32), zeros(jnp.int32),
        zeros(jnp.float32), jnp.full((lanes, requests), -1, jnp.int32),
        jnp.zeros((lanes, most_iterations), jnp.int32), zeros(jnp.int32), zeros(jnp.float32), zeros(jnp.float32),
        zeros(jnp.float32),
    )  # fmt: skip
    return jax.lax.while_loop(lambda s: alive(s).any(), body, start)


def simulate(
    cost: StepCost,
    requests: Requests,
    limits: Limits,
    most_iterations: int | None = None,
    pad: bool = False,
) -> Outcome:
    """Exact times of every request in every lane.

    pad: a step costs what the next multiple of GRID_TOKENS tokens costs, as engines that pad batches do.

    most_iterations bounds memory (4 bytes a lane-iteration); by default what one sequence at a time would need, at
    most 200,000. Lanes that need more come back unfinished with nan times. Cost grows linearly in lanes and steps
    (iterations + granted chunks) of the slowest lane.
    """
    arrival = np.asarray(requests.arrival_s, dtype=np.float64)
    output = np.maximum(np.asarray(requests.output_tokens), 1)
    prompt = np.maximum(np.asarray(requests.input_tokens), 1)
    cached = np.minimum(np.asarray(requests.cached_tokens), prompt - 1)
    longest = int(output.max())
    ring = 1 << int(longest + 2).bit_length()
    most_tokens = int(np.max(limits.token_budget) + np.max(limits.max_num_seqs))
    if most_iterations is None:
        most_iterations = int(min((output.sum(axis=1) + prompt.shape[1] * 4).max(), 200_000))
    # The clock must reach the last arrival and then drain; one request at a time bounds the drain from above.
    slow = cost.linear_s[:, 0] + cost.decode_base_s + cost.decode_per_seq_s
    per_token = np.max(np.diff(cost.linear_s, axis=1) / np.diff(cost.tokens), axis=1)
    chunks = np.ceil((prompt - cached) / np.asarray(limits.token_budget)[:, None]).sum(axis=1)
    attention = (prompt.astype(np.float64) ** 2).sum(axis=1) * np.asarray(cost.prefill_per_attention_s)
    drain = (
        slow * (output.sum(axis=1) + chunks)
        + (per_token + np.asarray(cost.prefill_per_token_s)) * prompt.sum(axis=1)
        + np.asarray(cost.prefill_base_s) * chunks
        + np.asarray(cost.decode_per_kv_token_s) * ((prompt + output) * output).sum(axis=1)
        + attention
    )
    tick_s = float(max((arrival.max(axis=1) + drain).max(), 1e-3)) / TICKS
    state = jax.device_get(
        _run(
            _uniform(cost, most_tokens, tick_s),
            jnp.asarray(np.rint(arrival / tick_s).astype(np.int32)),
            jnp.asarray(prompt.astype(np.int32)),
            jnp.asarray(cached.astype(np.int32)),
            jnp.asarray(output.astype(np.int32)),
            (
                jnp.asarray(np.asarray(limits.max_num_seqs, dtype=np.int32)),
                jnp.asarray(np.asarray(limits.token_budget, dtype=np.int32)),
                jnp.asarray(np.asarray(limits.kv_tokens, dtype=np.float32)),
                jnp.asarray(np.asarray(limits.block_tokens, dtype=np.int32)),
            ),
            ring=ring,
            most_iterations=most_iterations,
            pad=pad,
        )
    )
    first = state.first_iteration.astype(np.int64)
    last = first + output - 1
    known = (first >= 0) & (last < state.iteration[:, None])
    closed = state.closed_at.astype(np.float64) * tick_s

    def times(index: IntArray) -> FloatArray:
        return np.where(known, np.take_along_axis(closed, np.where(known, index, 0), axis=1), np.nan)

    elapsed = np.maximum(state.clock.astype(np.float64), 1.0)
    return Outcome(
        first_token_s=times(first),
        end_s=times(last),
        iterations=state.iteration.astype(np.int64),
        finished=known.all(axis=1),
        kv_pressure=state.pressed / np.maximum(state.iteration, 1),
        mean_running=state.running_time / elapsed,
        mean_kv_tokens=state.kv_time / elapsed,
        busy_s=state.busy.astype(np.float64) * tick_s,
        makespan_s=elapsed * tick_s,
    )
