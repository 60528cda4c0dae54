"""Ctrl-C that always works: libraries below may wrap a KeyboardInterrupt or lose it in a callback."""

from __future__ import annotations

import os
import signal
import sys
import threading
from dataclasses import dataclass
from types import FrameType

AGAIN_AFTER_S = 0.05


@dataclass(slots=True)
class Interruption:
    """Whether the user has asked to stop."""

    requested: bool = False


def install() -> Interruption:
    """Handles SIGINT from now on: notes the wish, then raises KeyboardInterrupt.

    Where the exception lands in code that cannot propagate it (a garbage-collection callback of JAX), Python hands it
    to the unraisable hook. Raising from there would be lost as well, so the signal is sent again a moment later, when
    the callback is over, and reaches the main program.
    """
    state = Interruption()

    def handle(_signal: int, _frame: FrameType | None) -> None:
        state.requested = True
        raise KeyboardInterrupt

    default_hook = sys.unraisablehook

    def hook(unraisable: sys.UnraisableHookArgs) -> None:
        if isinstance(unraisable.exc_value, KeyboardInterrupt):
            again = threading.Timer(AGAIN_AFTER_S, os.kill, (os.getpid(), signal.SIGINT))
            again.daemon = True
            again.start()
        else:
            default_hook(unraisable)

    signal.signal(signal.SIGINT, handle)
    sys.unraisablehook = hook
    return state
