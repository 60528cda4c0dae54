"""An iteration-level simulator of one replica under first-come first-served chunked prefill, vectorized over lanes.

The loop itself is models/simulator/kernel.py. Its clock counts int32 ticks, so that times neither drift nor lose digits
however long a lane runs.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data.records import BoolArray, FloatArray, IntArray, StepCost
from models.simulator.cost import mixed_factor, take, uniform
from models.simulator.kernel import run

TICKS = 2**30
LANES = 1024
"""Lanes that step together: more gain nothing on a core."""
MOST_ITERATIONS = 1 << 24
LOG_BYTES = 1 << 29
"""Memory of one group's iteration log."""


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
    their requests can need, at most MOST_ITERATIONS, and within LOG_BYTES of memory a core. Cost grows linearly in
    lanes and in their steps (iterations + granted chunks).
    """
    if most_iterations is not None:
        return _simulate(cost, requests, limits, most_iterations, pad)
    lanes = requests.arrival_s.shape[0]
    need = _iterations(cost, requests, limits)
    # Few shapes are ever compiled: groups of one size where memory allows, iterations in powers of two.
    cores = max(len(jax.devices()), (os.cpu_count() or 1) if jax.default_backend() == "cpu" else 1)
    size = min(LANES, -(-lanes // cores // 32) * 32) if lanes >= 64 else lanes
    groups = _groups(need, size)

    def part(group: tuple[IntArray, int, int]) -> tuple[IntArray, Outcome]:
        members, size, most = group
        index = np.resize(members, size)
        while True:
            found = _simulate(take(cost, index), requests.lanes(index), limits.lanes(index), most, pad)
            if found.finished.all() or most >= MOST_ITERATIONS:
                return members, found
            most = min(most * 8, MOST_ITERATIONS)

    whole: list[np.ndarray | None] = [None] * len(Outcome._fields)
    with ThreadPoolExecutor(max_workers=min(cores, len(groups))) as pool:
        for group, found in pool.map(part, groups):
            for field, values in enumerate(found):
                if whole[field] is None:
                    whole[field] = np.empty((lanes, *values.shape[1:]), dtype=values.dtype)
                whole[field][group] = values[: len(group)]  # type: ignore[index]
    return Outcome(*whole)  # type: ignore[arg-type]


def _groups(need: IntArray, size: int) -> list[tuple[IntArray, int, int]]:
    """Lanes that run together, how many with padding, and the iterations they get; the hungriest lanes go last, and
    fewer of them together, so that a group's log stays within LOG_BYTES."""
    order = np.argsort(need, kind="stable")
    most = np.clip(2 ** np.ceil(np.log2(np.maximum(need, 1))), 1024, MOST_ITERATIONS).astype(np.int64)
    groups = []
    begin = 0
    while begin < len(order):
        end = min(begin + size, len(order))
        while end - begin > 1 and (end - begin) * 4 * most[order[end - 1]] > LOG_BYTES:
            end = begin + (end - begin) // 2
        members = order[begin:end]
        padded = size if end - begin > size // 2 else end - begin
        groups.append((members, padded, int(most[members[-1]])))
        begin = end
    return groups


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
        run(
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
