"""An iteration-level simulator of one replica under first-come first-served chunked prefill, vectorized over lanes.

The loop itself is models/simulator/kernel.py. Its clock counts int32 ticks, so that times neither drift nor lose digits
however long a lane runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import jax
import numpy as np
from numpy.typing import ArrayLike

from data import machine
from data.records import BoolArray, Engine, FloatArray, IntArray, StepCost
from models.device import on_device
from models.simulator.batch import SMALLEST, Batch, batch_of, some
from models.simulator.cost import grid_points, mixed_factor, most_stages, take, uniform
from models.simulator.kernel import WINDOW, advance, start

Inputs = tuple[Any, Any, Any]
TICKS = 2**30
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
    cost: StepCost,
    requests: Requests,
    limits: Limits,
    most_iterations: int = MOST_ITERATIONS,
    pad: bool = False,
    batch: Batch | None = None,
) -> Outcome:
    """Exact times of every request in every lane.

    pad: a step costs what Vidur's predictor (Agrawal et al., MLSys 2024) makes of it: batches are padded to a multiple
    of GRID_TOKENS tokens, and its prompt chunks attend as one chunk, the root of their squares' sum long, behind the
    sum of their contexts, each padded to kernel.CONTEXT_TOKENS (of one pipeline stage). Lanes that need more than
    most_iterations come back unfinished with nan times. Raises ValueError for arrivals that are not finite.

    Lanes run together, as many at a time as `batch` says (None: as suits the device) and one group a core or device;
    those that end make room. Memory is lane_bytes a lane, whatever it runs for. Cost grows linearly in lanes and in
    their steps: a granted chunk, or up to kernel.WINDOW iterations in which nobody comes or goes.
    """
    lanes = requests.arrival_s.shape[0]
    if not np.isfinite(requests.arrival_s).all():
        raise ValueError("arrival_s: expected finite seconds, came nan or infinity; leave such requests out")
    cores = max(len(jax.devices()), machine.cores() if jax.default_backend() == "cpu" else 1)
    # Long and short lanes are dealt out evenly, so that all cores end at about the same time.
    order = np.argsort(-_iterations(cost, requests, limits), kind="stable")
    grid = grid_points(_most_tokens(cost, limits))
    how = batch_of(requests.arrival_s.shape[1], _ring(requests), grid) if batch is None else batch
    count = max(-(-lanes // how.lanes), min(cores, -(-lanes // SMALLEST)))
    groups = [order[number::count] for number in range(count)]

    def part(number: int, group: IntArray) -> Outcome:
        with on_device(number):
            mine = take(cost, group), requests.lanes(group), limits.lanes(group)
            return _together(*mine, most_iterations, pad, how)

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


def _ring(requests: Requests) -> int:
    """Slots of the ring of ends: a power of two, so that few are ever compiled."""
    return 1 << int(np.max(requests.output_tokens, initial=1) + WINDOW).bit_length()


def _most_tokens(cost: StepCost, limits: Limits) -> int:
    """Tokens of the largest iteration."""
    return int(most_stages(cost) * np.max(limits.token_budget) + np.max(limits.max_num_seqs))


def _together(
    cost: StepCost, requests: Requests, limits: Limits, most_iterations: int, pad: bool, batch: Batch
) -> Outcome:
    """One group of lanes, phase by phase; the batch halves as often as half of its lanes have ended.

    The state stays on its device. What is fetched of a phase is who lives, and of a lane its times and totals once.
    """
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
    inputs: Inputs = (
        uniform(take(cost, here), _most_tokens(cost, limits), tick_s[here]),
        np.stack([ticks, prompt, cached, output], axis=2).astype(np.int32)[here],
        (
            np.asarray(limits.max_num_seqs, dtype=np.int32)[here],
            np.asarray(limits.token_budget, dtype=np.int32)[here],
            np.asarray(limits.kv_tokens, dtype=np.float32)[here],
            np.asarray(limits.block_tokens, dtype=np.int32)[here],
            np.asarray(limits.overlaps, dtype=bool)[here],
        ),
    )
    if not batch.on_host:
        inputs = jax.device_put(inputs)
    staged = cost.pipeline_stages is not None
    state, times = start(
        np.arange(size) < lanes, requests=count, ring=_ring(requests), phase=batch.phase, staged=staged
    )
    here = np.where(np.arange(size) < lanes, here, -1)
    ended: dict[str, np.ndarray] = {}
    while True:
        few = size // 2 if size > SMALLEST else 0
        state, times, living = advance(state, times, *inputs, np.int32(most_iterations), np.int32(few), pad=pad)
        lives = np.asarray(living)
        if lives.any() and not 2 * np.count_nonzero(lives) <= size > SMALLEST:
            continue
        gone = np.flatnonzero((here >= 0) & ~lives)
        last = {name: getattr(state, name) for name in TOTALS} | times._asdict()
        for name, values in some({name: one for name, one in last.items() if one is not None}, gone, batch).items():
            into = ended.setdefault(name, np.zeros((lanes, *values.shape[1:]), dtype=values.dtype))
            into[here[gone]] = values
        if not lives.any():
            break
        keep = np.flatnonzero(lives)
        size = max(SMALLEST, 1 << (len(keep) - 1).bit_length())
        index = np.concatenate([keep, np.flatnonzero(~lives)])[:size]
        state, times, inputs = some((state, times, inputs), index, batch)
        here = np.where(lives[index], here[index], -1)
    return _outcome(ended, tick_s)


def _outcome(ended: Mapping[str, np.ndarray], tick_s: FloatArray) -> Outcome:
    """Totals [lanes] and times [lanes, requests], in ticks and as they ended, in seconds."""
    elapsed = np.maximum(ended["clock"], 1.0)
    late = ended.get("late")
    behind = 0.0 if late is None else late

    def seconds(ticks: np.ndarray) -> FloatArray:
        return np.where(ticks < 0, np.nan, (ticks + behind) * tick_s[:, None])

    end = seconds(ended["end"])
    return Outcome(
        first_token_s=seconds(ended["first"]),
        end_s=end,
        iterations=ended["iteration"].astype(np.int64),
        finished=np.asarray(np.isfinite(end).all(axis=1)),
        kv_pressure=ended["pressed"] / np.maximum(ended["iteration"], 1),
        mean_running=ended["running_time"] / elapsed,
        mean_kv_tokens=ended["kv_time"] / elapsed,
        busy_s=ended["busy"] * tick_s,
        makespan_s=elapsed * tick_s,
        late_s=None if late is None else late * tick_s[:, None],
    )
