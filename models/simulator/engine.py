"""An iteration-level simulator of one replica under first-come first-served chunked prefill, vectorized over lanes.

A decoding request advances one token an iteration, so the iteration in which it ends is known when its prefill ends:
no table of running requests is needed, only two rings of "how many end, and how much KV they free" by iteration. A lane
takes one of two steps at a time: grant prefill tokens to the head of the queue within the current iteration, or close
the iteration and advance the clock by its cost. All lanes step together; none waits for another's grants.

The clock counts int32 ticks, so that times neither drift nor lose digits however long a lane runs.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data.records import BoolArray, FloatArray, IntArray, StepCost
from models.simulator.cost import GRID_TOKENS, Cost, mixed_factor, take, uniform

TICKS = 2**30
LANES = 1024
"""Lanes that step together: more gain nothing on a core."""
MOST_ITERATIONS = 1 << 20


class Requests(NamedTuple):
    """What arrives, shape [lanes, requests]: arrival seconds (rising), input and cached input tokens, output tokens."""

    arrival_s: FloatArray
    input_tokens: IntArray
    cached_tokens: IntArray
    output_tokens: IntArray

    def lanes(self, index: IntArray) -> Requests:
        """Some lanes, as often as the index names them."""
        return Requests(
            self.arrival_s[index], self.input_tokens[index], self.cached_tokens[index], self.output_tokens[index]
        )


class Limits(NamedTuple):
    """Engine limits, shape [lanes]: sequences, tokens an iteration, KV tokens that fit, block size in tokens."""

    max_num_seqs: IntArray
    token_budget: IntArray
    kv_tokens: FloatArray
    block_tokens: IntArray

    def lanes(self, index: IntArray) -> Limits:
        """Some lanes, as often as the index names them."""
        return Limits(
            self.max_num_seqs[index], self.token_budget[index], self.kv_tokens[index], self.block_tokens[index]
        )


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


class _State(NamedTuple):
    """Per lane; ring [lanes, slots, 2] holds how many requests end at an iteration and the KV they free, upcoming its
    next row; log [lanes, requests + iterations] the iteration of each first token, then the tick each iteration closed.
    """

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
    ring: jax.Array
    upcoming: jax.Array
    log: jax.Array
    pressed: jax.Array
    running_time: jax.Array
    kv_time: jax.Array
    busy: jax.Array


@partial(jax.jit, static_argnames=("ring", "most_iterations", "pad"))
def _run(
    cost: Cost,
    table: jax.Array,
    limits: tuple[jax.Array, jax.Array, jax.Array, jax.Array],
    *,
    ring: int,
    most_iterations: int,
    pad: bool,
) -> _State:
    """All lanes until each has admitted and finished its requests or used its iterations.

    table: [lanes, requests, 4] int32 of arrival tick, input, cached and output tokens. Every step makes one gather or
    scatter of a row per array, and reads the ring after it has written it: XLA would copy it whole otherwise.
    """
    lanes, requests = table.shape[:2]
    lane = jnp.arange(lanes)
    max_seqs, budget, capacity, block = limits
    never = np.iinfo(np.int32).max

    def alive(s: _State) -> jax.Array:
        idle = (s.head >= requests) & (s.running + s.joining == 0)
        return ~idle & (s.iteration < most_iterations)

    def body(s: _State) -> _State:
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
        place = jnp.where(completes, s.head, requests + s.iteration)
        place = jnp.where(completes | ran, place, requests + most_iterations)
        log = s.log.at[lane, place].set(jnp.where(completes, s.iteration, clock), mode="drop")
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
            bookings,
            bookings[lane, (iteration + 1) % ring],
            log,
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
        jnp.zeros((lanes, ring, 2), jnp.float32), jnp.zeros((lanes, 2), jnp.float32),
        jnp.full((lanes, requests + most_iterations), -1, jnp.int32), zeros(jnp.int32), zeros(jnp.float32),
        zeros(jnp.float32), zeros(jnp.float32),
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
    most_iterations bounds memory (4 bytes a lane-iteration): lanes that need more come back unfinished with nan times.
    By default lanes of like length run together, LANES at a time and one group a core, with as many iterations as
    their requests can need, at most MOST_ITERATIONS. Cost grows linearly in lanes and in their steps (iterations +
    granted chunks).
    """
    if most_iterations is not None:
        return _simulate(cost, requests, limits, most_iterations, pad)
    lanes = requests.arrival_s.shape[0]
    need = _iterations(cost, requests, limits)
    order = np.argsort(need, kind="stable")
    # Few shapes are ever compiled: groups of one size, iterations in powers of two.
    cores = max(len(jax.devices()), (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1)
    size = min(LANES, -(-lanes // cores // 32) * 32) if lanes >= 64 else lanes
    groups = [order[i : i + size] for i in range(0, lanes, size)]

    def part(group: IntArray) -> tuple[IntArray, Outcome]:
        index = np.resize(group, size)
        most = int(np.clip(1 << int(need[group].max() - 1).bit_length(), 1024, MOST_ITERATIONS))
        each = (requests.lanes(index), limits.lanes(index))
        while True:
            found = _simulate(take(cost, index), *each, most, pad)
            if found.finished.all() or most >= MOST_ITERATIONS:
                return group, found
            most = min(most * 8, MOST_ITERATIONS)

    whole: list[np.ndarray | None] = [None] * len(Outcome._fields)
    with ThreadPoolExecutor(max_workers=min(cores, len(groups))) as pool:
        for group, found in pool.map(part, groups):
            for field, values in enumerate(found):
                if whole[field] is None:
                    whole[field] = np.empty((lanes, *values.shape[1:]), dtype=values.dtype)
                whole[field][group] = values[: len(group)]  # type: ignore[index]
    return Outcome(*whole)  # type: ignore[arg-type]


def _iterations(cost: StepCost, requests: Requests, limits: Limits) -> IntArray:
    """About how many iterations each lane takes, [lanes]: no more than one request at a time would, nor than the
    shortest iterations fit into the time that the work takes."""
    output = np.maximum(requests.output_tokens, 1).sum(axis=1)
    prompt = np.maximum(requests.input_tokens - requests.cached_tokens, 1)
    chunks = np.ceil(prompt / np.asarray(limits.token_budget)[:, None]).sum(axis=1)
    shortest = cost.linear_s[:, 0] + cost.decode_base_s
    in_time = requests.arrival_s.max(axis=1) / np.maximum(shortest, 1e-9) + 2.0 * requests.output_tokens.max(axis=1)
    together = output / np.asarray(limits.max_num_seqs)
    most = np.minimum(output + chunks, in_time + together + chunks)
    return np.asarray(np.maximum(most, 1.0), dtype=np.int64)


def _simulate(
    cost: StepCost,
    requests: Requests,
    limits: Limits,
    most_iterations: int,
    pad: bool,
) -> Outcome:
    """One run with a fixed bound on iterations."""
    arrival = np.asarray(requests.arrival_s, dtype=np.float64)
    output = np.maximum(np.asarray(requests.output_tokens), 1)
    prompt = np.maximum(np.asarray(requests.input_tokens), 1)
    cached = np.minimum(np.asarray(requests.cached_tokens), prompt - 1)
    longest = int(output.max())
    ring = 1 << int(longest + 2).bit_length()
    most_tokens = int(np.max(limits.token_budget) + np.max(limits.max_num_seqs))
    # The clock must reach the last arrival and then drain; one request at a time bounds the drain from above.
    mixed = np.maximum(mixed_factor(cost), 1.0)
    slow = cost.linear_s[:, 0] + mixed * (cost.decode_base_s + cost.decode_per_seq_s)
    per_token = np.max(np.diff(cost.linear_s, axis=1) / np.diff(cost.tokens), axis=1)
    chunks = np.ceil((prompt - cached) / np.asarray(limits.token_budget)[:, None]).sum(axis=1)
    attention = (prompt.astype(np.float64) ** 2).sum(axis=1) * np.asarray(cost.prefill_per_attention_s)
    drain = (
        slow * (output.sum(axis=1) + chunks)
        + (per_token + np.asarray(cost.prefill_per_token_s)) * prompt.sum(axis=1)
        + np.asarray(cost.prefill_base_s) * chunks
        + mixed * np.asarray(cost.decode_per_kv_token_s) * ((prompt + output) * output).sum(axis=1)
        + attention
    )
    tick_s = float(max((arrival.max(axis=1) + drain).max(), 1e-3)) / TICKS
    state = jax.device_get(
        _run(
            uniform(cost, most_tokens, tick_s),
            jnp.asarray(np.stack([np.rint(arrival / tick_s), prompt, cached, output], axis=2).astype(np.int32)),
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
    requests_each = prompt.shape[1]
    first = state.log[:, :requests_each].astype(np.int64)
    last = first + output - 1
    known = (first >= 0) & (last < state.iteration[:, None])

    def times(index: IntArray) -> FloatArray:
        ticks = np.take_along_axis(state.log, requests_each + np.where(known, index, 0), axis=1)
        return np.where(known, ticks * tick_s, np.nan)

    elapsed = np.maximum(state.clock.astype(np.float64), 1.0)
    return Outcome(
        first_token_s=times(first),
        end_s=times(last),
        iterations=np.array(state.iteration, dtype=np.int64),
        finished=known.all(axis=1),
        kv_pressure=state.pressed / np.maximum(state.iteration, 1),
        mean_running=state.running_time / elapsed,
        mean_kv_tokens=state.kv_time / elapsed,
        busy_s=state.busy.astype(np.float64) * tick_s,
        makespan_s=elapsed * tick_s,
    )
