"""`fleetcast generate`: requests like those of a class, and how far they are from it."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape

from configs.classes import ClassRules, load_classes
from configs.errors import InputError
from data.class_traces import fit_class
from data.classes import class_names
from data.dataset import opened
from data.generated import generate, numbers, write_trace
from data.plain import finite
from data.statistics.two_sample import LEAST_P, Comparison, compare, compare_hours


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
        found = fit_class(connection, rules, chosen, seed)
    fitted = found.fitted
    made = generate(fitted, fitted.first_min, max(round(hours * 60), 1), seed)
    write_trace(made, out)
    if found.trace is not None:
        same = compare(found.trace, generate(fitted, fitted.first_min, fitted.minutes, seed + 1), seed)
    else:
        like = numbers(fitted, fitted.first_min, fitted.minutes, np.random.default_rng(seed + 1))
        same = compare_hours(found.hours, like.reshape(-1, 60).sum(axis=1).astype(np.float64))
    return Generated(str(out), len(made.ts_us), same)


def as_json(found: Generated) -> str:
    """Everything."""
    return json.dumps(finite(asdict(found)), indent=2, allow_nan=False) + "\n"


def show(console: Console, found: Generated) -> None:
    """The file and one line an aspect."""
    console.print(f"{found.requests:,} requests in {escape(found.file)}", soft_wrap=True)
    for one in found.comparison:
        verdict = "agrees" if one.agrees else "[yellow]differs[/]"
        console.print(f"  {one.aspect}: {verdict} (distance {one.distance:.3f}, p {one.p_value:.3f})")
    differs = sum(not one.agrees for one in found.comparison)
    of = len(found.comparison)
    console.print(
        f"  [green]could be the same traffic[/]: none of {of} aspects differs at {LEAST_P:.0%}"
        if not differs
        else f"  [yellow]not quite the same traffic[/]: {differs} of {of} aspects differ at {LEAST_P:.0%} (of like and "
        f"like one does in at most {of * LEAST_P:.0%} of comparisons)"
    )
