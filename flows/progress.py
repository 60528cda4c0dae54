"""Progress for people; silence for pipes."""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, Progress, ProgressColumn, SpinnerColumn, Task, TextColumn, TimeElapsedColumn
from rich.text import Text

from flows.environment import STATE


@dataclass(slots=True)
class Stopwatch:
    """Seconds spent by step, in the order the steps ran."""

    seconds: dict[str, float] = field(default_factory=dict)

    @contextmanager
    def step(self, name: str) -> Iterator[None]:
        start = time.perf_counter()
        try:
            yield
        finally:
            self.seconds[name] = self.seconds.get(name, 0.0) + time.perf_counter() - start


Report = Callable[[str], None]
"""Called with a line that says what is being done now."""


def silent(_: str) -> None:
    """Progress that goes nowhere."""


_REPORT: ContextVar[Report] = ContextVar("report", default=silent)
# A context variable and not a flow parameter: parameters are stored and typed by Prefect, a callable is neither.


def report(text: str) -> None:
    """Say what begins now; a text that starts with two spaces is a detail of the current step."""
    _REPORT.get()(text)


COUNT = re.compile(r"(\d+) of (\d+)")
"""What counts in a detail: "series 12 of 300"."""

DURATIONS = "durations.json"
"""In the state folder: how long each step took when it last ran here, by its words."""


@dataclass(slots=True)
class Pace:
    """How long the steps of a command took last time, and take now."""

    before: dict[str, float]
    steps: list[tuple[str, float]] = field(default_factory=list)
    counted: list[tuple[int, int, float]] = field(default_factory=list)
    """Items of the current step as they were counted: number, of how many, when."""

    def begin(self, text: str, now_s: float) -> None:
        self.steps.append((text, now_s))
        self.counted = []

    def detail(self, text: str, now_s: float) -> None:
        """A detail of the current step; one that counts ("curve 2 of 8") tells the pace."""
        found = COUNT.search(text)
        if not found:
            return
        if self.counted and int(found[1]) < self.counted[-1][0]:
            # Counted anew: another kind of item.
            self.counted = []
        self.counted.append((int(found[1]), int(found[2]), now_s))

    def step_left_s(self, now_s: float) -> float | None:
        """Seconds left of the current step at the pace of its counted items, the one last named not yet done; None
        where two have not been counted."""
        if len(self.counted) < 2:
            return None
        (first, _, begun_s), (last, total, seen_s) = self.counted[0], self.counted[-1]
        if last <= first or seen_s <= begun_s:
            return None
        each_s = (seen_s - begun_s) / (last - first)
        return max(each_s * (total - last + 1) - (now_s - seen_s), 0.0)

    def left_s(self, now_s: float) -> float | None:
        """Seconds left: of this step as its counted items go, else as the last run had it, and of all that followed
        it in the last run; None where the last run is not known.

        A step that takes longer than last time counts as nearly done, not as negative time.
        """
        if not self.steps or self.steps[-1][0] not in self.before:
            return None
        text, begun_s = self.steps[-1]
        order = list(self.before)
        later = sum(self.before[name] for name in order[order.index(text) + 1 :])
        counted = self.step_left_s(now_s)
        return (max(self.before[text] - (now_s - begun_s), 0.0) if counted is None else counted) + later

    def taken(self, now_s: float) -> dict[str, float]:
        """Seconds by step, in the order in which they ran."""
        ends = [begun for _, begun in self.steps[1:]] + [now_s]
        return {text: end - begun for (text, begun), end in zip(self.steps, ends, strict=True)}


def remembered(key: str, state: Path) -> dict[str, float]:
    """Durations of a command's steps when it last ran to its end; empty where that is not known."""
    try:
        found = json.loads((state / DURATIONS).read_text(encoding="utf-8")).get(key, {})
        return {str(name): float(value) for name, value in found.items()}
    except (OSError, ValueError, AttributeError):
        # A convenience: a file that is absent or damaged only means that no time is told.
        return {}


def remember(key: str, state: Path, taken: dict[str, float]) -> None:
    """Keeps durations for the next run; a state folder that cannot be written is none of the user's worries here."""
    path = state / DURATIONS
    try:
        known = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
        scratch = path.with_name(f"{path.name}.{os.getpid()}")
        scratch.write_text(json.dumps(known | {key: taken}), encoding="utf-8")
        scratch.replace(path)
    except (OSError, ValueError, TypeError):
        return


def words(left_s: float | None) -> str:
    """Time left as a person says it."""
    if left_s is None:
        return ""
    if left_s < 1.5:
        return "nearly done"
    return f"about {left_s:.0f} s left" if left_s < 90 else f"about {left_s / 60:.0f} min left"


def part(text: str) -> float:
    """How much of a step is done, from a detail such as "series 12 of 300"; 0 where it does not say."""
    found = COUNT.search(text)
    return int(found[1]) / max(int(found[2]), 1) if found else 0.0


@contextmanager
def shown_on(console: Console, total: int, key: str = "") -> Iterator[None]:
    """Within this block `report` drives a bar over `total` steps on a terminal, and is silent elsewhere.

    key: what the durations of the steps are remembered under, so that the next run can tell the time left.
    """
    if not console.is_terminal:
        yield
        return
    pace = Pace(remembered(key, STATE))
    columns = (
        SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn(),
        _TimeLeft(pace, total),
    )  # fmt: skip
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=total)
        begun = -1
        current = ""

        def show(text: str) -> None:
            nonlocal begun, current
            if text.startswith("  "):
                pace.detail(text, time.monotonic())
                progress.update(
                    task, description=f"{current} · {text.strip()}", completed=min(begun + part(text), total)
                )
                return
            begun += 1
            current = text
            pace.begin(text, time.monotonic())
            progress.update(task, description=text, completed=min(begun, total))

        token = _REPORT.set(show)
        try:
            yield
            if key:
                remember(key, STATE, pace.taken(time.monotonic()))
        finally:
            _REPORT.reset(token)


class _TimeLeft(ProgressColumn):
    """The time left: of the whole command where its last run is known, else of a step whose items are counted."""

    def __init__(self, pace: Pace, total: int) -> None:
        super().__init__()
        self.pace = pace
        self.total = total

    def render(self, task: Task) -> Text:
        now_s = time.monotonic()
        whole_s = self.pace.left_s(now_s)
        if whole_s is not None:
            return Text(words(whole_s), style="dim")
        step = words(self.pace.step_left_s(now_s))
        return Text(f"{step} in this step" if step and len(self.pace.steps) < self.total else step, style="dim")
