"""`fleetcast generate`: requests like those of a class, and how far they are from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from configs.classes import ClassRules, load_classes
from configs.errors import InputError
from data.classes import class_names
from data.dataset import opened
from data.fitted import fit, generate, minute_counts, read_class, write_trace
from data.statistics.two_sample import Comparison, compare


@dataclass(frozen=True, slots=True)
class Generated:
    """The file, how many requests are in it, and the comparison over a span as long as the trace's own."""

    file: str
    requests: int
    comparison: tuple[Comparison, ...]


def run(dataset: Path, classes: Path | None, name: str | None, hours: float, seed: int, out: Path) -> Generated:
    """Fits the generator to a class, writes `hours` of requests that start where the trace starts, and compares."""
    rules = ClassRules(unmatched="all") if classes is None else load_classes(classes)
    names = class_names(rules)
    chosen = names[-1] if name is None else name
    if chosen not in names:
        raise InputError("--class", f"one of {', '.join(names)}", repr(chosen), "Correct it.")
    with opened(dataset) as (_, connection):
        trace = read_class(connection, rules, chosen)
    fitted = fit(trace, seed)
    first, _ = minute_counts(trace.ts_us)
    made = generate(fitted, first, max(round(hours * 60), 1), seed)
    write_trace(made, out)
    like = generate(fitted, first, fitted.minutes, seed + 1)
    return Generated(str(out), len(made.ts_us), compare(trace, like, seed))


def as_json(found: Generated) -> str:
    """Everything."""
    return json.dumps(asdict(found), indent=2) + "\n"


def show(console: Console, found: Generated) -> None:
    """The file and one line an aspect."""
    console.print(f"{found.requests:,} requests in {escape(found.file)}", soft_wrap=True)
    for one in found.comparison:
        verdict = "agrees" if one.agrees else "[yellow]differs[/]"
        console.print(f"  {one.aspect}: {verdict} (distance {one.distance:.3f}, p {one.p_value:.3f})")
