"""Progress for people; silence for pipes."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn


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


def part(text: str) -> float:
    """How much of a step is done, from a detail such as "series 12 of 300"; 0 where it does not say."""
    found = re.search(r"(\d+) of (\d+)", text)
    return int(found[1]) / max(int(found[2]), 1) if found else 0.0


@contextmanager
def shown_on(console: Console, total: int) -> Iterator[None]:
    """Within this block `report` drives a bar over `total` steps on a terminal, and is silent elsewhere."""
    if not console.is_terminal:
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), BarColumn(bar_width=24), TimeElapsedColumn())
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("starting", total=total)
        begun = -1
        current = ""

        def show(text: str) -> None:
            nonlocal begun, current
            if text.startswith("  "):
                progress.update(
                    task, description=f"{current} · {text.strip()}", completed=min(begun + part(text), total)
                )
                return
            begun += 1
            current = text
            progress.update(task, description=text, completed=min(begun, total))

        token = _REPORT.set(show)
        try:
            yield
        finally:
            _REPORT.reset(token)
