"""Ctrl-C reaches the main program even where a library's callback swallows it."""

from __future__ import annotations

import subprocess
import sys

from tests.conftest import REPOSITORY

SWALLOWED = """
import gc, signal, sys, time
from flows.interrupt import install
state = install()
def callback(phase, info):
    if phase == "start" and not state.requested:
        signal.raise_signal(signal.SIGINT)
gc.callbacks.append(callback)
try:
    gc.collect()
    print("swallowed", flush=True)
    time.sleep(20)
except KeyboardInterrupt:
    print("arrived", state.requested)
"""


def test_an_interruption_lost_in_a_callback_comes_back() -> None:
    done = subprocess.run(
        [sys.executable, "-c", SWALLOWED], cwd=REPOSITORY, capture_output=True, text=True, timeout=60, check=False
    )
    assert done.stdout.split() == ["swallowed", "arrived", "True"]
    assert done.stderr == ""
