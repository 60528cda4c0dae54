"""Where the kernels run."""

from __future__ import annotations

import jax


def devices() -> tuple[str, ...]:
    """The devices JAX has found, the first being the one it uses."""
    return tuple(f"{one.platform}: {one.device_kind}" for one in jax.devices())
