"""The bar moves with the series of a step, tells the time left, and is for terminals alone."""

from __future__ import annotations

import io
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console
from typer.core import TyperGroup

from flows import progress, reference
from flows.progress import Pace, part, words
from tests.flows.test_shell import MAIN

LONG = {
    "plan", "whatif", "forecast", "backtest", "reconcile", "replay", "size", "curve", "loadtest", "sweep", "calibrate",
    "autoscale", "breakeven", "sensitivity", "ingest", "describe", "generate",
}  # fmt: skip
"""Commands that compute; the others read what is there."""
SHORT = {"init", "report", "explain", "doctor", "trace", "ledger", "review", "emit"}


@pytest.mark.parametrize(("text", "done"), [("  series 25 of 100", 0.25), ("  series 3 of 3", 1.0), ("  reading", 0.0)])
def test_details_say_how_far_a_step_is(text: str, done: float) -> None:
    assert part(text) == done


def test_counted_items_tell_the_time_left_of_their_step() -> None:
    pace = Pace({})
    pace.begin("planning", 0.0)
    pace.detail("  plan 1 of 10", 2.0)
    assert pace.step_left_s(3.0) is None, "one item has no pace"
    pace.detail("  plan 3 of 10", 6.0)
    assert pace.step_left_s(6.0) == pytest.approx(2.0 * 8), "2 s each, the third and seven more are left"
    assert pace.step_left_s(7.5) == pytest.approx(14.5)
    assert pace.left_s(6.0) is None, "what follows is not known"
    pace.detail("  case 1 of 40", 7.0)
    assert pace.step_left_s(8.0) is None, "counted anew"
    pace.begin("writing", 9.0)
    assert pace.step_left_s(9.0) is None


def test_the_last_run_tells_what_follows() -> None:
    pace = Pace({"reading": 4.0, "planning": 10.0, "writing": 3.0})
    pace.begin("reading", 0.0)
    assert pace.left_s(1.0) == pytest.approx(3.0 + 13.0)
    pace.begin("planning", 4.0)
    assert pace.left_s(40.0) == pytest.approx(3.0), "longer than last time: nearly done, then the writing"
    pace.detail("  plan 1 of 4", 41.0)
    pace.detail("  plan 2 of 4", 46.0)
    assert pace.left_s(46.0) == pytest.approx(15.0 + 3.0), "items of this run before the last run's step"
    assert words(pace.left_s(46.0)) == "about 18 s left"
    assert words(200.0) == "about 3 min left"
    pace.begin("something new", 50.0)
    assert pace.left_s(50.0) is None


@pytest.mark.parametrize("terminal", [True, False])
def test_a_bar_is_drawn_on_a_terminal_alone(terminal: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress, "STATE", tmp_path)
    progress.remember("size", tmp_path, {"simulating": 500.0})
    file = io.StringIO()
    with progress.shown_on(Console(file=file, force_terminal=terminal, width=120), 1, "size"):
        progress.report("simulating")
        progress.report("  lane 1 of 4")
    assert ("8 min left" in file.getvalue()) == terminal
    assert ("lane 1 of 4" in file.getvalue()) == terminal
    assert file.getvalue() == "" or terminal
    taken = progress.remembered("size", tmp_path)["simulating"]
    assert (taken < 60.0) == terminal, "kept for the next run"


def test_every_command_that_computes_shows_progress() -> None:
    group: TyperGroup = reference.command_line()
    assert set(group.commands) == LONG | SHORT, "sort a new command into one of them"
    for name in LONG:
        callback = group.commands[name].callback
        while hasattr(callback, "__wrapped__"):
            callback = callback.__wrapped__
        assert callback is not None
        assert "shown_on" in callback.__code__.co_names, name


SWEEP = ("sweep", "--llm", "Llama-3.1-8B", "--gpu", "L4", "--tp", "1", "--batches", "4")


def on_a_terminal(arguments: tuple[str, ...], folder: Path, environment: dict[str, str]) -> str:
    """What a command writes to a terminal, without its colours."""
    terminal, theirs = pty.openpty()
    command = [sys.executable, "-c", MAIN, *arguments]
    child = subprocess.Popen(command, cwd=folder, env=environment, stdin=theirs, stdout=theirs, stderr=theirs)
    os.close(theirs)
    seen = b""
    while True:
        try:
            read = os.read(terminal, 65536)
        except OSError:
            # Linux ends a terminal that nobody writes to any more with an error.
            break
        seen += read
    os.close(terminal)
    assert child.wait(timeout=60) == 0, seen.decode(errors="replace")
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", seen.decode(errors="replace"))


@pytest.mark.slow
def test_a_terminal_sees_the_time_left_and_a_pipe_does_not(tmp_path: Path, environment: dict[str, str]) -> None:
    told = environment | {"TERM": "xterm", "COLUMNS": "140"}
    assert "sweeping the grid" in on_a_terminal(SWEEP, tmp_path, told)
    again = on_a_terminal(SWEEP, tmp_path, told)
    assert re.search(r"sweeping the grid .*(left|nearly done)", again)
    command = [sys.executable, "-c", MAIN, *SWEEP]
    piped = subprocess.run([*command, "--json"], cwd=tmp_path, env=told, capture_output=True, text=True, check=True)
    assert piped.stderr == ""
    assert piped.stdout.startswith("{")
