"""A pool of replicas with everything that happens to one: routing, bounded queues, deadlines, retries, priorities, KV
preemption, and replicas that drain or die. The slow lane form of models/simulator/engine.py, whose times it gives when
none of that happens; use it where those matter, and the plain form for sweeps.

Cost grows with the steps of the busiest lane (about three a request and one an iteration of every replica) times the
slots of one replica; the number of replicas and of requests enters only through the steps.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from data.records import BoolArray, FloatArray, IntArray, StepCost
from models.simulator.cost import most_stages, uniform
from models.simulator.engine import TICKS, Limits, Requests
from models.simulator.pool_engine import run
from models.simulator.pool_state import NEVER, Rules, State

ROUTING = ("random", "round_robin", "shortest_queue")
FATES = ("served", "rejected", "timed_out", "lost")
FOREVER_S = np.inf
FIRST_SLOTS = 64
MOST_RETRIES = 3
"""Retry queues compiled at least."""
SEEN = ("log", "preempted", "iterations", "busy", "kv_peak", "queue_peak", "running_peak")
"""What is kept of a lane's last state."""


class Patience(NamedTuple):
    """How each request behaves, [lanes, requests]: its priority (0 goes first), seconds until its client leaves without
    a first token, and without the last; infinite for never."""

    priority: IntArray
    first_token_s: FloatArray
    end_s: FloatArray


class Pool(NamedTuple):
    """The pool of every lane, [lanes] or [lanes, replicas].

    max_queue: requests that wait at one replica at most; more are rejected. routing: index into ROUTING (shortest_queue
    sends to the replica with the fewest requests in it). retries: times that a rejected, timed-out or lost request
    comes again, after backoff_s, then twice that, and so on. preempts: a replica that runs out of KV blocks preempts
    the last request it admitted, which is computed again; otherwise the cache grows beyond its size. Replica i is away
    from down_from_s to down_until_s; abrupt: it loses its requests then, else it finishes them but is sent no more.
    """

    replicas: IntArray
    max_queue: IntArray
    routing: IntArray
    retries: IntArray
    backoff_s: FloatArray
    preempts: BoolArray
    down_from_s: FloatArray
    down_until_s: FloatArray
    abrupt: BoolArray


class PoolOutcome(NamedTuple):
    """[lanes, requests]: seconds of the first token and the end (nan unless served), when it left for good, the index
    into FATES, how often it came again, the replica it left from. [lanes]: finished (else cut off), preemptions,
    iterations, busy replica-seconds, peak KV tokens, queue and running requests of one replica, the end of the lane."""

    first_token_s: FloatArray
    end_s: FloatArray
    left_s: FloatArray
    fate: IntArray
    attempts: IntArray
    replica: IntArray
    finished: BoolArray
    preemptions: IntArray
    iterations: IntArray
    busy_s: FloatArray
    peak_kv_tokens: IntArray
    peak_queue: IntArray
    peak_running: IntArray
    makespan_s: FloatArray


def plain_pool(lanes: int, replicas: int, routing: str = "shortest_queue", max_queue: int = 1024) -> Pool:
    """A pool of `replicas` in every lane in which nothing fails, nobody retries and the KV cache preempts."""

    def each(value: float, dtype: type) -> np.ndarray:
        return np.full(lanes, value, dtype=dtype)

    never = np.full((lanes, replicas), FOREVER_S)
    return Pool(
        each(replicas, int), each(max_queue, int), each(ROUTING.index(routing), int), each(0, int), each(1.0, float),
        each(True, bool), never, never, each(True, bool),
    )  # fmt: skip


def patient(requests: Requests) -> Patience:
    """Everyone waits as long as it takes, in order of arrival."""
    shape = requests.arrival_s.shape
    return Patience(np.zeros(shape, dtype=int), np.full(shape, FOREVER_S), np.full(shape, FOREVER_S))


def simulate_pool(
    cost: StepCost,
    requests: Requests,
    limits: Limits,
    pool: Pool,
    patience: Patience | None = None,
    seed: int = 0,
    most_steps: int = 20_000_000,
) -> PoolOutcome:
    """Exact times and fates of every request of every pool; limits and cost are those of one replica of each lane.

    seed: of the random routing. Requests leave a deadline behind at the end of an iteration, not amid it. One that
    arrives at infinity never comes: its fate is -1.
    """
    arrival = np.asarray(requests.arrival_s, dtype=np.float64)
    comes = np.isfinite(arrival)
    prompt = np.maximum(np.asarray(requests.input_tokens), 1)
    cached = np.minimum(np.asarray(requests.cached_tokens), prompt - 1)
    output = np.maximum(np.asarray(requests.output_tokens), 1)
    ways = patience or patient(requests)
    lanes = len(arrival)
    tick_s = _tick_s(cost, requests, limits, pool)

    def ticks(seconds: FloatArray) -> jax.Array:
        return jnp.asarray(
            np.where(seconds / tick_s < NEVER, np.minimum(seconds / tick_s, NEVER - 1), NEVER).astype(np.int32)
        )

    def whole(values: IntArray) -> jax.Array:
        return jnp.asarray(np.minimum(np.asarray(values), NEVER).astype(np.int32))

    came = np.rint(np.where(comes, arrival / tick_s, NEVER))
    table = np.stack([came.astype(np.int32), prompt, cached, output, ways.priority], axis=2)
    columns = [whole(table), *(ticks(np.asarray(side))[:, :, None] for side in (ways.first_token_s, ways.end_s))]
    rules = Rules(
        whole(limits.max_num_seqs), whole(limits.token_budget), whole(np.floor(limits.kv_tokens)),
        whole(limits.block_tokens), whole(pool.max_queue), whole(pool.routing), whole(pool.replicas),
        ticks(np.asarray(pool.backoff_s)), whole(pool.retries), jnp.asarray(pool.preempts),
        ticks(pool.down_from_s), ticks(pool.down_until_s), jnp.asarray(pool.abrupt), jnp.asarray(limits.overlaps),
    )  # fmt: skip
    most_tokens = int(most_stages(cost) * np.max(limits.token_budget) + np.max(limits.max_num_seqs))
    # At most a slot for every request that a replica holds: the running, the waiting, and one amid its prefill. Fewer
    # are faster and nearly always enough; a lane that needed more says so and is run again.
    most = int(np.max(np.minimum(limits.max_num_seqs + pool.max_queue + 1, arrival.shape[1])))
    grid, asked = uniform(cost, most_tokens, tick_s), jnp.concatenate(columns, axis=2)
    retries = max(int(np.max(pool.retries)), MOST_RETRIES)
    draws = routing_draws(seed, lanes, arrival.shape[1], retries)
    # Powers of two and none near the first, so that few shapes are ever compiled.
    enough = max(1 << (most - 1).bit_length(), 4 * FIRST_SLOTS) if most > FIRST_SLOTS else FIRST_SLOTS
    inputs = grid, asked, jnp.asarray(draws), rules
    rows, slots = np.arange(lanes), FIRST_SLOTS
    seen: dict[str, np.ndarray] = {}
    while len(rows):
        slots = min(slots, enough)
        part = _run(inputs, rows, slots=slots, retries=retries, most_steps=most_steps)
        for name in SEEN:
            seen.setdefault(name, np.array(getattr(part, name)))[rows] = getattr(part, name)
        rows = rows[part.crowded] if slots < most else rows[:0]
        slots *= 4
    log = seen["log"]
    fate = log[:, :, 0]
    served = fate == FATES.index("served")
    return PoolOutcome(
        first_token_s=np.where(served, log[:, :, 1] * tick_s, np.nan),
        end_s=np.where(served, log[:, :, 2] * tick_s, np.nan),
        left_s=log[:, :, 2] * tick_s,
        fate=fate,
        attempts=log[:, :, 3],
        replica=log[:, :, 4],
        finished=np.asarray(((fate >= 0) | ~comes).all(axis=1)),
        preemptions=seen["preempted"],
        iterations=seen["iterations"],
        busy_s=seen["busy"].astype(np.float64) * tick_s,
        peak_kv_tokens=seen["kv_peak"],
        peak_queue=seen["queue_peak"],
        peak_running=seen["running_peak"],
        makespan_s=log[:, :, 2].max(axis=1) * tick_s,
    )


def _run(inputs: tuple[Any, ...], rows: IntArray, **options: int) -> State:
    """Some lanes of the inputs, on the host."""
    lanes = inputs[1].shape[0]
    if len(rows) < lanes:
        # A power of two of them, so that few shapes are ever compiled.
        index = np.resize(rows, min(1 << (len(rows) - 1).bit_length(), lanes))
        inputs = jax.tree.map(lambda values: values[index], inputs)
    found = jax.device_get(run(*inputs, **options))
    return State(*(values[: len(rows)] if np.ndim(values) else values for values in found))


def routing_draws(seed: int, lanes: int, requests: int, retries: int) -> FloatArray:
    """The lot of every attempt of every request under random routing, uniform [lanes, requests, 1 + retries]. A retry
    has its own; it and the lots before it are the same however many retries there may be."""
    rng = np.random.default_rng(seed)
    return np.stack([rng.random((lanes, requests)) for _ in range(1 + retries)], axis=2).astype(np.float32)


def _tick_s(cost: StepCost, requests: Requests, limits: Limits, pool: Pool) -> float:
    """Seconds a tick, so that the clock reaches the end of the slowest lane: the last arrival, every outage and
    backoff, and twice what one replica needs for all requests one at a time (preempted ones are computed again)."""
    prompt, output = requests.input_tokens.astype(np.float64), requests.output_tokens.astype(np.float64)
    chunks = np.ceil(prompt / np.asarray(limits.token_budget)[:, None])
    slope = np.max(np.diff(cost.linear_s, axis=1) / np.diff(cost.tokens), axis=1) + cost.prefill_per_token_s
    step = cost.linear_s[:, 0] + cost.decode_base_s + cost.decode_per_seq_s + cost.prefill_base_s
    one = (
        step[:, None] * (output + chunks)
        + slope[:, None] * prompt
        + cost.decode_per_kv_token_s[:, None] * (prompt + output) * output
        + cost.prefill_per_attention_s[:, None] * prompt**2
    )
    # A chunk passes every stage whole, and the last leaves so long after its round.
    one = one * most_stages(cost)
    outages = np.where(np.isfinite(pool.down_until_s), pool.down_until_s, 0.0).max(axis=1)
    last = np.maximum(np.max(requests.arrival_s, axis=1, initial=0.0, where=np.isfinite(requests.arrival_s)), outages)
    waits = pool.backoff_s * 2.0 ** (np.asarray(pool.retries) + 1)
    return float(max((last + waits + 2.0 * one.sum(axis=1) * (1.0 + np.asarray(pool.retries))).max(), 1e-3)) / TICKS
