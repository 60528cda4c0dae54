"""An iteration-level simulator of one replica under first-come first-served chunked prefill, vectorized over lanes.

The loop itself is models/simulator/kernel.py. Its clock counts int32 ticks, so that times neither drift nor lose digits
however long a lane runs.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from data import machine
from data.records import BoolArray, Engine, FloatArray, IntArray, StepCost
from models.device import on_device
from models.simulator.cost import mixed_factor, most_stages, take, uniform
from models.simulator.kernel import WINDOW, State, advance, start

TICKS = 2**30
LANES = 512
"""Lanes that step together: more gain nothing on a core."""
SMALLEST = 64
"""Fewer lanes cost as much a step as this many."""
TOTALS = ("clock", "iteration", "pressed", "running_time", "kv_time", "busy")
"""What is kept of the state of a lane that has ended."""
MOST_ITERATIONS = 1 << 24


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
    """Engine limits, shape [lanes]: sequences, tokens an iteration, KV tokens that fit, block size in tokens, and
    whether an iteration is scheduled while the one before it runs (None: nowhere): requests then join one later."""

    max_num_seqs: IntArray
    token_budget: IntArray
    kv_tokens: FloatArray
    block_tokens: IntArray
    overlap: BoolArray | None = None

    def lanes(self, index: IntArray) -> Limits:
        """Some lanes, as often as the index names them."""
        return Limits(
            self.max_num_seqs[index], self.token_budget[index], self.kv_tokens[index], self.block_tokens[index],
            self.overlaps[index],
        )  # fmt: skip

    @property
    def overlaps(self) -> BoolArray:
        """Where iterations are scheduled ahead, [lanes]."""
        return np.zeros(len(self.max_num_seqs), dtype=bool) if self.overlap is None else self.overlap


def engine_limits(engine: Engine, max_num_seqs: ArrayLike, token_budget: ArrayLike, kv_tokens: ArrayLike) -> Limits:
    """The limits of lanes [lanes] under an engine's block size and way of scheduling; scalars are one lane."""
    seqs = np.atleast_1d(np.asarray(max_num_seqs, dtype=np.int64))
    lanes = len(seqs)
    budget = np.broadcast_to(np.asarray(token_budget, dtype=np.int64), (lanes,))
    tokens = np.broadcast_to(np.asarray(kv_tokens, dtype=np.float64), (lanes,))
    block = np.full(lanes, engine.kv_block_tokens)
    return Limits(seqs, budget, tokens, block, np.full(lanes, engine.overlapped_scheduling))


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
    late_s: FloatArray | None = None
    """Seconds in which a request's tokens pass the pipeline stages after the first, [lanes, requests], in both of its
    times; its place in the batch is free so long before its end. None without stages."""


def simulate(
    cost: StepCost, requests: Requests, limits: Limits, most_iterations: int = MOST_ITERATIONS, pad: bool = False
) -> Outcome:
    """Exact times of every request in every lane.

    pad: a step costs what Vidur's predictor (Agrawal et al., MLSys 2024) makes of it: batches are padded to a multiple
    of GRID_TOKENS tokens, and its prompt chunks attend as one chunk, the root of their squares' sum long, behind the
    sum of their contexts, each padded to kernel.CONTEXT_TOKENS (of one pipeline stage). Lanes that need more than
    most_iterations come back unfinished with nan times. Raises ValueError for arrivals that are not finite.

    Lanes run together, at most LANES at a time and one group a core; those that end make room. Memory a lane is what
    its requests take and the log of one phase (4 bytes times kernel.PHASE). Cost grows linearly in lanes and in their
    steps: a granted chunk, or up to kernel.WINDOW iterations in which nobody comes or goes.
    """
    lanes = requests.arrival_s.shape[0]
    if not np.isfinite(requests.arrival_s).all():
        raise ValueError("arrival_s: expected finite seconds, came nan or infinity; leave such requests out")
    cores = max(len(jax.devices()), machine.cores() if jax.default_backend() == "cpu" else 1)
    # Long and short lanes are dealt out evenly, so that all cores end at about the same time.
    order = np.argsort(-_iterations(cost, requests, limits), kind="stable")
    count = max(-(-lanes // LANES), min(cores, -(-lanes // SMALLEST)))
    groups = [order[number::count] for number in range(count)]

    def part(number: int, group: IntArray) -> Outcome:
        with on_device(number):
            return _together(take(cost, group), requests.lanes(group), limits.lanes(group), most_iterations, pad)

    with ThreadPoolExecutor(max_workers=min(cores, count)) as pool:
        parts = list(pool.map(part, range(count), groups))
    back = np.argsort(np.concatenate(groups), kind="stable")
    whole: Outcome = jax.tree.map(lambda *fields: np.concatenate(fields)[back], *parts)
    return whole


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


def _tick_s(cost: StepCost, requests: Requests, limits: Limits) -> FloatArray:
    """Seconds a tick of every lane: its clock must reach the last arrival and then drain, and one request at a time
    bounds the drain from above."""
    prompt, cached, output = requests.input_tokens, requests.cached_tokens, requests.output_tokens
    mixed = np.maximum(mixed_factor(cost), 1.0)
    host = 0.0 if cost.host_per_sequence_s is None else cost.host_per_sequence_s
    slow = cost.linear_s[:, 0] + mixed * (cost.decode_base_s + cost.decode_per_seq_s) + host
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
    return np.asarray(np.maximum(requests.arrival_s.max(axis=1) + drain, 1e-3) / TICKS)


def _together(cost: StepCost, requests: Requests, limits: Limits, most_iterations: int, pad: bool) -> Outcome:
    """One group of lanes, phase by phase; the batch halves as often as half of its lanes have ended."""
    arrival = np.asarray(requests.arrival_s, dtype=np.float64)
    output = np.maximum(np.asarray(requests.output_tokens), 1)
    prompt = np.maximum(np.asarray(requests.input_tokens), 1)
    cached = np.minimum(np.asarray(requests.cached_tokens), prompt - 1)
    tick_s = _tick_s(cost, Requests(arrival, prompt, cached, output), limits)
    lanes, count = arrival.shape
    # Powers of two, so that few shapes are ever compiled; lanes beyond the group have nothing to do.
    size = 1 << (lanes - 1).bit_length()
    here = np.resize(np.arange(lanes), size)
    ticks = np.rint(arrival / tick_s[:, None])
    most_tokens = int(most_stages(cost) * np.max(limits.token_budget) + np.max(limits.max_num_seqs))
    inputs = (
        uniform(take(cost, here), most_tokens, tick_s[here]),
        np.stack([ticks, prompt, cached, output], axis=2).astype(np.int32)[here],
        (
            np.asarray(limits.max_num_seqs, dtype=np.int32)[here],
            np.asarray(limits.token_budget, dtype=np.int32)[here],
            np.asarray(limits.kv_tokens, dtype=np.float32)[here],
            np.asarray(limits.block_tokens, dtype=np.int32)[here],
            np.asarray(limits.overlaps, dtype=bool)[here],
        ),
    )
    ring = 1 << int(output.max() + WINDOW).bit_length()
    staged = cost.pipeline_stages is not None
    state: State = start(np.arange(size) < lanes, requests=count, ring=ring, staged=staged)
    here = np.where(np.arange(size) < lanes, here, -1)
    first, end = np.full((lanes, count), np.nan), np.full((lanes, count), np.nan)
    late = np.zeros((lanes, count)) if staged else None
    totals = {name: np.zeros(lanes) for name in TOTALS}
    while True:
        begun = np.asarray(state.iteration)
        few = size // 2 if size > SMALLEST else 0
        state, living = jax.device_get(advance(state, *inputs, np.int32(most_iterations), np.int32(few), pad=pad))
        mine = np.flatnonzero(here >= 0)
        _note(state, begun, mine, here[mine], output, first, end, late)
        if not living.any() or 2 * np.count_nonzero(living) <= size > SMALLEST:
            gone = mine[~living[mine]]
            for name, values in totals.items():
                values[here[gone]] = getattr(state, name)[gone]
            if not living.any():
                break
            keep = np.flatnonzero(living)
            size = max(SMALLEST, 1 << (len(keep) - 1).bit_length())
            index = np.concatenate([keep, np.flatnonzero(~living)])[:size]
            state, inputs = jax.tree.map(lambda values, index=index: np.asarray(values)[index], (state, inputs))
            here = np.where(living[index], here[index], -1)
    elapsed = np.maximum(totals["clock"], 1.0)
    behind = 0.0 if late is None else late
    return Outcome(
        first_token_s=(first + behind) * tick_s[:, None],
        end_s=(end + behind) * tick_s[:, None],
        iterations=totals["iteration"].astype(np.int64),
        finished=np.isfinite(end).all(axis=1),
        kv_pressure=totals["pressed"] / np.maximum(totals["iteration"], 1),
        mean_running=totals["running_time"] / elapsed,
        mean_kv_tokens=totals["kv_time"] / elapsed,
        busy_s=totals["busy"] * tick_s,
        makespan_s=elapsed * tick_s,
        late_s=None if late is None else late * tick_s[:, None],
    )


def _note(
    state: State, begun: IntArray, rows: IntArray, owner: IntArray, output: IntArray, first: FloatArray,
    end: FloatArray, late: FloatArray | None,
) -> None:  # fmt: skip
    """Books, in place, the ticks of the first and last tokens that came in this phase."""
    count = output.shape[1]
    low, high = begun[rows, None], np.asarray(state.iteration)[rows, None]
    token = state.log[rows, :count].astype(np.int64)
    for which, into in ((token, first), (token + output[owner] - 1, end)):
        lane, request = np.nonzero((token >= 0) & (which >= low) & (which < high))
        place = which[lane, request] - low[lane, 0]
        into[owner[lane], request] = state.log[rows[lane], count + place]
        if into is first and late is not None and state.late is not None:
            late[owner[lane], request] = state.late[rows[lane], place]
