"""Where the kernels run: every device that JAX sees takes a share of the configurations."""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

Tree = TypeVar("Tree")


def devices() -> tuple[str, ...]:
    """The devices JAX has found; all of them are used."""
    return tuple(f"{one.platform}: {one.device_kind}" for one in jax.devices())


def spread(tree: Tree, rows: int) -> Tree:
    """Arrays of shape [rows, ...] laid over the devices by their first axis; as they are where there is one device.

    The last row is repeated until their number divides by that of the devices: callers leave the rest unread.
    """
    chosen = jax.devices()
    if len(chosen) == 1:
        return tree
    index = np.minimum(np.arange(rows + -rows % len(chosen)), rows - 1)
    place = NamedSharding(Mesh(np.array(chosen), ("rows",)), PartitionSpec("rows"))  # type: ignore[no-untyped-call]
    laid: Tree = jax.tree.map(lambda leaf: jax.device_put(np.asarray(leaf)[index], place), tree)
    return laid


def on_device(number: int) -> AbstractContextManager[object]:
    """What one thread computes goes to device `number`, counted round; nothing changes where there is one device."""
    chosen = jax.devices()
    if len(chosen) == 1:
        return nullcontext()
    on: AbstractContextManager[object] = jax.default_device(chosen[number % len(chosen)])
    return on
