"""How many lanes of the simulator step together, by what the device's memory holds."""

from __future__ import annotations

from typing import NamedTuple

import jax
import numpy as np

from data.records import IntArray
from models.device import Tree

SMALLEST = 64
"""Fewer lanes cost as much a step as this many."""
GRID_BYTES = 8.0
"""Bytes of the cost table a grid point: value and rise."""
MEMORY_SHARE = 0.6
"""Share of a device's memory that lanes may take."""
UNTOLD_BYTES = 8e9
"""Memory of a device that does not tell."""


class Batch(NamedTuple):
    """How lanes run: so many at a time at most, iterations that a phase's log holds, and whether the lanes that go on
    are picked out on the host, which is faster where its memory is the device's."""

    lanes: int
    phase: int
    on_host: bool


ON_CPU = Batch(256, 8192, on_host=True)
"""What stays in a core's cache: 512 lanes or 16,384 iterations take a tenth longer, twice both a third (2 MB of L2,
2026-11-21), and half the lanes a fifth, as each step has its own cost."""


def on_accelerator(memory_bytes: float, requests: int, ring: int, grid: int) -> Batch:
    """As many lanes as MEMORY_SHARE of a device's memory holds, a power of two: a step costs nearly the same whatever
    their number. The shorter log keeps offsets within 32 bits."""
    phase = 4096
    most = min(MEMORY_SHARE * memory_bytes / lane_bytes(requests, ring, grid, phase), 2**31 / (requests + phase))
    return Batch(1 << max(int(most), SMALLEST).bit_length() - 1, phase, on_host=False)


def lane_bytes(requests: int, ring: int, grid: int, phase: int, staged: bool = True) -> int:
    """Device memory of a lane: what comes and what it costs once, its state and times twice, as a phase holds the last
    state beside the next one."""
    scalars = 4 * 16
    state = 4 * (requests + phase) + 8 * ring + ring // 8 + 8 * requests + scalars
    state += 4 * (phase + requests + 1) if staged else 0
    return 16 * requests + int(GRID_BYTES * grid) + 2 * scalars + 2 * state


def batch_of(requests: int, ring: int, grid: int) -> Batch:
    """How lanes run on the devices that JAX has found."""
    if jax.default_backend() == "cpu":
        return ON_CPU
    told = [(one.memory_stats() or {}).get("bytes_limit", UNTOLD_BYTES) for one in jax.local_devices()]
    return on_accelerator(float(min(told)), requests, ring, grid)


def some(tree: Tree, index: IntArray, batch: Batch) -> Tree:
    """Some lanes of arrays [lanes, ...], where the batch has them."""
    if batch.on_host:
        found: Tree = jax.tree.map(lambda values: np.asarray(values)[index], tree)
    else:
        found = picked(tree, index)
    return found


@jax.jit
def picked(tree: Tree, index: jax.Array) -> Tree:
    """Some lanes of arrays [lanes, ...], on their device."""
    found: Tree = jax.tree.map(lambda values: values[index], tree)
    return found
