"""The whole cartesian grid of configurations and loads in one jitted call, streamed in chunks and sharded over devices.

A point is a configuration (row) x batch x input length x output length. The token-dependent part of a step does not
depend on the output length and the decode step not on the prompt's, so each is computed on its own axes and broadcast.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from data.records import Engine, FloatArray, IntArray
from models.memory import kv_bytes, memory
from models.rows import Rows
from models.step_time import behind_host, decode_attention_s, linear_time_s, pipeline_fill, prefill_attention_s

LIMITS = ("", "memory", "kv_cache", "tpot", "ttft")
"""What SweepPoints.limit indexes: the first limit a point breaks; 0 is feasible."""


class LoadGrid(NamedTuple):
    """Axes of the loads: requests that decode together, prompt tokens and output tokens, each of shape [axis]."""

    batch: jax.Array
    input_tokens: jax.Array
    output_tokens: jax.Array

    @property
    def points(self) -> int:
        """Loads of one configuration."""
        return int(self.batch.size * self.input_tokens.size * self.output_tokens.size)


class Budget(NamedTuple):
    """What a configuration costs and burns, shape [rows]."""

    usd_per_h: jax.Array
    tdp_w: jax.Array
    """Of all GPUs of a replica."""


class SweepPoints(NamedTuple):
    """Results, shape [rows, batch, input, output]; times in seconds."""

    tpot_s: jax.Array
    ttft_s: jax.Array
    output_tokens_per_s: jax.Array
    usd_per_million_tokens: jax.Array
    joules_per_token: jax.Array
    """At most: the boards' thermal design power for the whole time."""
    limit: jax.Array
    overrun: jax.Array
    """Needed over available at `limit`, or the largest share of any limit that is used; 1 is the limit."""


@dataclass(frozen=True, slots=True)
class SweepPolicy:
    """Engine settings and targets of a sweep; hashable, so that it compiles once."""

    engine: Engine
    utilization: float
    headroom: float
    max_batched_tokens: int
    ttft_s: float
    tpot_s: float


def _kept(small: tuple[jax.Array, ...]) -> tuple[jax.Array, ...]:
    """The arrays, computed once: the compiler would else fuse them into the loop over every point, over and over."""
    kept: tuple[jax.Array, ...] = jax.lax.optimization_barrier(small)  # type: ignore[no-untyped-call]
    return kept


def _grid(rows: Rows, cost: Budget, loads: LoadGrid, policy: SweepPolicy) -> SweepPoints:
    lanes = rows.hidden.shape[0]
    batch, prompt, output = (
        loads.batch[None, :, None, None],
        loads.input_tokens[None, None, :, None],
        loads.output_tokens[None, None, None, :],
    )

    def wide(leaf: jax.Array) -> jax.Array:
        return leaf[:, None, None, None]

    n2 = jnp.broadcast_to(loads.batch, (lanes, loads.batch.size))
    decode = linear_time_s(rows, n2, n2)[:, :, None, None]
    chunk = jnp.minimum(loads.input_tokens, float(policy.max_batched_tokens))
    mixed = linear_time_s(rows, n2[:, :, None] + chunk[None, None, :], n2[:, :, None])[:, :, :, None]
    prompts = jnp.broadcast_to(loads.input_tokens, (lanes, loads.input_tokens.size))
    attention = prefill_attention_s(rows, prompts**2 / 2.0, prompts)[:, None, :, None]
    chunks = (loads.input_tokens / chunk)[None, None, :, None]
    fill = pipeline_fill(rows, prompts / chunk)[:, None, :, None]
    decode, prefill, fill = _kept((decode, chunks * (mixed - decode) + attention, fill))

    mem = memory(rows, policy.engine, policy.utilization, policy.headroom, policy.max_batched_tokens, 1)
    shape = (lanes, batch.shape[1], prompt.shape[2], output.shape[3])
    longest = jnp.broadcast_to((prompt + output)[:, 0], (lanes, *shape[2:]))
    one_kv = kv_bytes(rows, longest, policy.engine.kv_block_tokens) / jnp.maximum(mem.pool, 1.0)[:, None, None]
    # Decode attention is linear in the batch: one request's share on the axes of its lengths, then times the batch.
    context = jnp.broadcast_to((prompt + output / 2.0)[:, 0], (lanes, *shape[2:]))
    base = decode_attention_s(rows, jnp.full_like(context, 1e-9), jnp.zeros_like(context))
    many = jnp.full_like(context, 64.0)
    one_read = (decode_attention_s(rows, many, many * context) - base) / many
    one_kv, one_read, steady = _kept((one_kv, one_read, decode + wide(base[:, 0, 0])))

    step = behind_host(steady + batch * one_read[:, None], batch)
    tpot = step + (batch - 1.0) / output * prefill
    ttft = step + prefill * fill
    used = (
        wide((mem.total - mem.pool) / mem.total),
        batch * one_kv[:, None],
        tpot * (1.0 / policy.tpot_s),
        ttft * (1.0 / policy.ttft_s),
    )
    largest = jnp.maximum(jnp.maximum(used[0], used[1]), jnp.maximum(used[2], used[3]))
    limit, overrun = jnp.zeros(shape, jnp.int8), largest
    for index in (4, 3, 2, 1):
        broken = used[index - 1] > 1.0
        limit = jnp.where(broken, jnp.int8(index), limit)
        overrun = jnp.where(broken, used[index - 1], overrun)
    return SweepPoints(
        tpot_s=tpot,
        ttft_s=ttft,
        output_tokens_per_s=batch / tpot,
        usd_per_million_tokens=wide(cost.usd_per_h) * (1e6 / 3600.0) / batch * tpot,
        joules_per_token=wide(cost.tdp_w) / batch * tpot,
        limit=limit,
        overrun=overrun,
    )


evaluate_grid = jax.jit(_grid, static_argnames=("policy",))
"""(rows, cost, loads, policy=) -> SweepPoints, on the default device or wherever the rows are placed."""


@partial(jax.jit, static_argnames=("policy", "chunk_rows"))
def _evaluate_from(
    rows: Rows, cost: Budget, loads: LoadGrid, start: jax.Array, *, policy: SweepPolicy, chunk_rows: int
) -> SweepPoints:
    part, price = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, chunk_rows), (rows, cost))
    return _grid(part, price, loads, policy)


def shard_rows(rows: Rows, cost: Budget, devices: int | None = None) -> tuple[Rows, Budget]:
    """Rows spread over the devices by their first axis; their number must divide by that of the devices."""
    chosen = jax.devices()[:devices]
    if rows.hidden.shape[0] % len(chosen):
        raise ValueError(f"{rows.hidden.shape[0]} rows do not divide over {len(chosen)} devices: pad them")
    place = NamedSharding(Mesh(np.array(chosen), ("rows",)), PartitionSpec("rows"))  # type: ignore[no-untyped-call]
    placed: tuple[Rows, Budget] = jax.device_put((rows, cost), place)
    return placed


def stream(
    rows: Rows, cost: Budget, loads: LoadGrid, policy: SweepPolicy, chunk_rows: int
) -> Iterator[tuple[slice, SweepPoints]]:
    """The grid in chunks of rows, so that any number of points fits in memory; yields device arrays as they come.

    The last chunk is shifted back to stay full and its known rows are cut, so that one compilation serves all.
    """
    total = rows.hidden.shape[0]
    size = min(chunk_rows, total)
    for start in range(0, total, size):
        first = min(start, total - size)
        found = _evaluate_from(rows, cost, loads, jnp.int32(first), policy=policy, chunk_rows=size)
        known = start - first
        yield slice(start, first + size), SweepPoints(*(leaf[known:] for leaf in found)) if known else found


def pareto_front(cost: FloatArray, tpot_s: FloatArray, tokens_per_s: FloatArray) -> IntArray:
    """Indices of points that no other beats on cost and TPOT (low) and throughput (high) at once; equals are kept.

    Points whose cost is not finite are never on the front. O(n log n + n x front).
    """
    objectives = np.stack([cost, tpot_s, -tokens_per_s], axis=1)
    alive = np.flatnonzero(np.isfinite(objectives).all(axis=1))
    alive = alive[np.lexsort(objectives[alive].T[::-1])]
    front: list[int] = []
    while alive.size:
        # The first in lexicographic order cannot be beaten by any that remains.
        best = objectives[alive[0]]
        rest = objectives[alive]
        front.extend(int(i) for i in alive[(rest == best).all(axis=1)])
        alive = alive[(rest < best).any(axis=1)]
    return np.array(front, dtype=np.int64)
