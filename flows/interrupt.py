"""Ctrl-C that always works: libraries below may wrap a KeyboardInterrupt or lose it in a callback."""

from __future__ import annotations

import signal
import sys
from dataclasses import dataclass
from types import FrameType


@dataclass(slots=True)
class Interruption:
    """Whether the user has asked to stop."""

    requested: bool = False


def install() -> Interruption:
    """Handles SIGINT from now on: notes the wish, then raises KeyboardInterrupt.

    Where the exception lands in code that cannot propagate it (a garbage-collection callback of JAX), Python hands it
    to the unraisable hook; the signal is raised again from there, so that it reaches the main program.
    """
    state = Interruption()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        state.requested = True
        raise KeyboardInterrupt

    default_hook = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        else:
            default_hook(unraisable)

    signal.signal(signal.SIGINT, handle)
    sys.unraisablehook = hook
    return state
