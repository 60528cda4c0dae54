"""`fleetcast describe`: what a dataset's traffic is like, class by class, and what a plan should fear in it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.classes import ClassRules, load_classes
from data.statistics.arrivals import Rates
from data.statistics.brief import describe_briefly
from data.statistics.describe import ClassProfile, DatasetProfile, describe_dataset


def table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], words: int) -> Table:
    """A plain table whose first `words` columns are text and the others numbers."""
    made = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for i, name in enumerate(head):
        made.add_column(name, justify="left" if i < words else "right")
    for row in rows:
        made.add_row(*(escape(cell) for cell in row))
    return made


WIDTH_NAMES = {1: "second", 60: "minute", 3600: "hour"}


def run(dataset: Path, classes: Path | None, brief: bool = False) -> DatasetProfile:
    """Describes a dataset; without rules everything is one class. brief: one scan of the requests alone."""
    rules = ClassRules(unmatched="all") if classes is None else load_classes(classes)
    return describe_briefly(dataset, rules) if brief else describe_dataset(dataset, rules)


def _plain(value: Any) -> Any:
    if isinstance(value, np.ndarray):
        return value.tolist()
    raise TypeError(f"{type(value).__name__} in a description")


def as_json(profile: DatasetProfile) -> str:
    """Everything, joint length samples included."""
    return json.dumps(asdict(profile), indent=1, default=_plain, allow_nan=False) + "\n"


def _number(value: float | None, digits: int = 2) -> str:
    return "" if value is None else f"{value:,.{digits}f}" if abs(value) < 100 else f"{value:,.0f}"


def _rates(one: ClassProfile) -> list[tuple[str, ...]]:
    return [(one.name, WIDTH_NAMES.get(r.width_s, f"{r.width_s} s"), *_figures(r)) for r in one.arrivals.rates]


def _figures(r: Rates) -> list[str]:
    return [_number(x) for x in (r.mean, r.p50, r.p95, r.p99, r.max, r.dispersion)]


def _lengths(one: ClassProfile) -> list[tuple[str, ...]]:
    if one.lengths is None:
        return []
    sides = (("input", one.lengths.input), ("output", one.lengths.output), ("total", one.lengths.total))
    return [(one.name, side, *(f"{x:,.0f}" for x in (s.mean, s.p50, s.p95, s.p99, s.max))) for side, s in sides]


def _remarks(one: ClassProfile) -> list[str]:
    a, q = one.arrivals, one.quality
    said = [f"{q.verdict}: {q.reason}; fallback: {q.fallback}"]
    if a.peak_minute is not None:
        p50, p95, most = a.peak_minute
        said.append(
            f"peak minute over the mean minute of its hour: {p50:.2f} at p50, {p95:.2f} at p95, {most:.2f} at most"
        )
    if a.bursts is not None and a.bursts.episodes:
        b = a.bursts
        said.append(
            f"{b.episodes} burst episodes ({b.share_of_minutes:.1%} of minutes), {b.median_minutes:.0f} min at the "
            f"median and {b.longest_minutes:.0f} at most; up to {b.highest:.1f} x the hour around them"
        )
    if a.interarrival_cv is not None:
        said.append(f"time between arrivals: coefficient of variation {a.interarrival_cv:.2f} (Poisson 1)")
    if a.daily_strength is not None:
        weekly = "" if a.weekly_strength is None else f", weekly {a.weekly_strength:.2f}"
        said.append(f"seasonal strength: daily {a.daily_strength:.2f}{weekly}")
    if q.gaps or q.plateaus:
        said.append(
            f"{q.gaps} gaps (longest {q.longest_gap_h} h), {q.plateaus} plateaus (longest {q.longest_plateau_h} h)"
        )
    if one.tail is not None:
        t = one.tail
        mixes = ", ".join(f"{m.p99_over_mean:.2f} x at {m.concurrent}" for m in t.mixes)
        said.append(
            f"KV cache: a mean request holds {t.mean_request_tokens:,.0f} tokens, requests in flight "
            f"{t.in_flight_tokens:,.0f}; p99 mixes need {mixes} in flight; the longest 1 % hold "
            f"{t.longest_1pct_share:.0%}"
        )
    if one.load is not None:
        said.append(
            f"in flight: {one.load.concurrency:,.1f} requests, {one.load.active_tokens:,.0f} tokens on average, "
            f"{one.load.concurrency_at_p99_minute:,.1f} requests at the p99 minute ({one.load.basis})"
        )
    if one.lengths is not None and one.lengths.cached_share is not None:
        said.append(f"prefix cache: {one.lengths.cached_share:.1%} of input tokens")
    if one.outcomes is not None and one.outcomes.known:
        o = one.outcomes
        success = "" if o.success is None else f", success ({o.criterion}) {o.success:.1%}"
        said.append(f"cancelled {o.cancelled:.1%}, failed {o.failed:.1%}, retried {o.retried:.1%}{success}")
    if one.drift is not None and one.drift.verdict != "none":
        first, last = one.drift.periods[0], one.drift.periods[-1]
        said.append(
            f"{one.drift.verdict} drift of lengths: input {first.mean_input_tokens:,.0f} to "
            f"{last.mean_input_tokens:,.0f}, output {first.mean_output_tokens:,.0f} to "
            f"{last.mean_output_tokens:,.0f} tokens on average"
        )
    return said


def show(console: Console, profile: DatasetProfile) -> None:
    """Tables of rates and lengths, then what stands out of each class."""
    report = profile.report
    console.print(
        f"[bold]{report.sources} sources[/] ({', '.join(report.formats)}), {report.rows_in:,} rows: "
        f"{report.repaired_share:.2%} repaired, {report.rejected_share:.2%} rejected"
    )
    head = ("class", "requests a", "mean", "p50", "p95", "p99", "max", "dispersion")
    rates = [row for one in profile.classes for row in _rates(one)]
    console.print(table("Arrivals", head, rates, 2), "")
    lengths = [row for one in profile.classes for row in _lengths(one)]
    if lengths:
        sides = ("class", "tokens", "mean", "p50", "p95", "p99", "max")
        console.print(table("Lengths", sides, lengths, 2), "")
    for one in profile.classes:
        console.print(f"[bold]{escape(one.name)}[/]: {one.requests:,.0f} requests")
        for text in _remarks(one):
            console.print(f"  {escape(text)}", soft_wrap=True)
    if profile.unmatched_share and len(profile.classes) > 1:
        console.print(f"[yellow]![/] {profile.unmatched_share:.1%} of requests match no rule")
    for note in report.notes:
        console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
