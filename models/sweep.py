"""The whole cartesian grid of configurations and loads in jitted calls, streamed in chunks and sharded over devices.

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

from data.records import Engine, FloatArray, IntArray
from models.device import spread
from models.memory import kv_bytes, memory
from models.rows import Rows
from models.step_time import behind_host, decode_attention_s, linear_time_s, pipeline_wait_s, prefill_attention_s

LIMITS = ("", "memory", "kv_cache", "tpot", "ttft", "max_num_seqs")
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
    ttft_s: float
    tpot_s: float


class _Parts(NamedTuple):
    """What every point is put together from; shape (rows, batch, input, output), 1 where an axis does not matter.

    Handed from one compiled function to another: in a single one the compiler would work every part out again for
    every point and every output.
    """

    batch: jax.Array
    chunks: jax.Array
    steady: jax.Array
    one_read: jax.Array
    others: jax.Array
    prefill: jax.Array
    alone: jax.Array
    usd: jax.Array
    watts: jax.Array
    fixed_share: jax.Array
    """Of the GPU's memory, or, where that suffices, of the engine's sequences if they are scarcer."""
    fixed_limit: jax.Array
    """Which of the two, as an index of LIMITS."""
    one_kv: jax.Array


def _parts(rows: Rows, cost: Budget, loads: LoadGrid, policy: SweepPolicy) -> _Parts:
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
    # A prompt is computed in as few even chunks as the budget allows.
    chunk_count = jnp.ceil(loads.input_tokens / rows.max_num_batched_tokens[:, None])
    chunk = loads.input_tokens / chunk_count
    mixed = linear_time_s(rows, n2[:, :, None] + chunk[:, None, :], n2[:, :, None])[:, :, :, None]
    prompts = jnp.broadcast_to(loads.input_tokens, (lanes, loads.input_tokens.size))
    attention = prefill_attention_s(rows, prompts**2 / 2.0, prompts)
    chunks = chunk_count[:, None, :, None]
    wait = pipeline_wait_s(rows, chunk, chunk_count, attention)[:, None, :, None]
    prefill = chunks * (mixed - decode) + attention[:, None, :, None]

    mem = memory(
        rows, policy.engine, policy.utilization, policy.headroom, rows.max_num_batched_tokens, rows.max_num_seqs
    )
    memory_share = wide((mem.total - mem.pool) / mem.total)
    seqs_share = batch / wide(rows.max_num_seqs)
    crowded = (memory_share <= 1.0) & (seqs_share > memory_share)
    lengths = (lanes, loads.input_tokens.size, loads.output_tokens.size)
    longest = jnp.broadcast_to((prompt + output)[:, 0], lengths)
    one_kv = kv_bytes(rows, longest, policy.engine.kv_block_tokens) / jnp.maximum(mem.pool, 1.0)[:, None, None]
    # Decode attention is linear in the batch: one request's share on the axes of its lengths, then times the batch.
    context = jnp.broadcast_to((prompt + output / 2.0)[:, 0], lengths)
    base = decode_attention_s(rows, jnp.full_like(context, 1e-9), jnp.zeros_like(context))
    many = jnp.full_like(context, 64.0)
    one_read = (decode_attention_s(rows, many, many * context) - base) / many
    return _Parts(
        batch=batch,
        chunks=chunks,
        steady=decode + wide(base[:, 0, 0]),
        one_read=one_read[:, None],
        others=(batch - 1.0) / output,
        prefill=prefill,
        alone=prefill + wait,
        usd=wide(cost.usd_per_h) * (1e6 / 3600.0) / batch,
        watts=wide(cost.tdp_w) / batch,
        fixed_share=jnp.where(crowded, seqs_share, memory_share),
        fixed_limit=jnp.where(crowded, jnp.int8(LIMITS.index("max_num_seqs")), jnp.int8(LIMITS.index("memory"))),
        one_kv=one_kv[:, None],
    )


def _points(parts: _Parts, policy: SweepPolicy) -> SweepPoints:
    step = behind_host(parts.steady + parts.batch * parts.one_read, parts.batch)
    tpot = step + parts.others * parts.prefill
    # Every chunk of a prompt shares its iteration with the decodes of the others.
    ttft = parts.chunks * step + parts.alone
    used = (parts.fixed_share, parts.batch * parts.one_kv, tpot * (1.0 / policy.tpot_s), ttft * (1.0 / policy.ttft_s))
    overrun = jnp.maximum(jnp.maximum(used[0], used[1]), jnp.maximum(used[2], used[3]))
    limit = jnp.zeros(tpot.shape, jnp.int8)
    for index in (4, 3, 2, 1):
        broken = used[index - 1] > 1.0
        limit = jnp.where(broken, parts.fixed_limit if index == 1 else jnp.int8(index), limit)
        overrun = jnp.where(broken, used[index - 1], overrun)
    return SweepPoints(
        tpot_s=tpot,
        ttft_s=ttft,
        output_tokens_per_s=parts.batch / tpot,
        usd_per_million_tokens=parts.usd * tpot,
        joules_per_token=parts.watts * tpot,
        limit=limit,
        overrun=overrun,
    )


_all_parts = jax.jit(_parts, static_argnames=("policy",))
_all_points = jax.jit(_points, static_argnames=("policy",))


def evaluate_grid(rows: Rows, cost: Budget, loads: LoadGrid, *, policy: SweepPolicy) -> SweepPoints:
    """Every row at every load, on the default device or wherever the rows are placed."""
    found: SweepPoints = _all_points(_all_parts(rows, cost, loads, policy=policy), policy=policy)
    return found


@partial(jax.jit, static_argnames=("policy", "chunk_rows"))
def _parts_from(
    rows: Rows, cost: Budget, loads: LoadGrid, start: jax.Array, *, policy: SweepPolicy, chunk_rows: int
) -> _Parts:
    part, price = jax.tree.map(lambda leaf: jax.lax.dynamic_slice_in_dim(leaf, start, chunk_rows), (rows, cost))
    return _parts(part, price, loads, policy)


def stream(
    rows: Rows, cost: Budget, loads: LoadGrid, policy: SweepPolicy, chunk_rows: int
) -> Iterator[tuple[slice, SweepPoints]]:
    """The grid in chunks of rows, so that any number of points fits in memory; yields device arrays as they come.

    chunk_rows: of each device; a chunk is laid over all of them. The last chunk is shifted back to stay full and its
    known rows are cut, so that one compilation serves all.
    """
    total = rows.hidden.shape[0]
    size = min(chunk_rows * len(jax.devices()), total)
    several = len(jax.devices()) > 1
    host = jax.tree.map(np.asarray, (rows, cost)) if several else (rows, cost)
    for start in range(0, total, size):
        first = min(start, total - size)
        if several:
            part = jax.tree.map(lambda leaf, first=first: leaf[first : first + size], host)
            parts = _all_parts(*spread(part, size), loads, policy=policy)
        else:
            parts = _parts_from(rows, cost, loads, jnp.int32(first), policy=policy, chunk_rows=size)
        found = _all_points(parts, policy=policy)
        known = start - first
        whole = known == 0 and found.limit.shape[0] == size
        yield slice(start, first + size), found if whole else SweepPoints(*(leaf[known:size] for leaf in found))


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
