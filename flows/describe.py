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
from data.statistics.drift import Mix
from data.statistics.quality import SEASONAL


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


def _counted(number: int, longest_h: int) -> str:
    return f"{number} (up to {longest_h} h)" if number else "none"


def _history(one: ClassProfile) -> tuple[str, ...]:
    q = one.quality
    seasons = "/".join(q.seasons) or "none"
    gaps, plateaus = _counted(q.gaps, q.longest_gap_h), _counted(q.plateaus, q.longest_plateau_h)
    return (one.name, q.first or "", q.last or "", gaps, plateaus, f"{q.hours:,}", f"{q.zero_hours:,}", seasons)


def _span(seconds: float) -> str:
    for name, size in (("week", 604_800), ("day", 86_400), ("hour", 3600)):
        if seconds >= size:
            number = seconds / size
            return f"{number:.0f} {name}{'s' if round(number) > 1 else ''}"
    return f"{max(round(seconds / 60), 1)} min"


def _arrival_remarks(one: ClassProfile) -> list[str]:
    a = one.arrivals
    said = []
    if a.peak_minute is not None:
        p50, p95, most = a.peak_minute
        said.append(
            f"peak minute over the mean minute of its hour: {p50:.2f} at p50, {p95:.2f} at p95, {most:.2f} at most"
        )
    if a.bursts is not None:
        b = a.bursts
        said.append(
            f"bursts: {b.episodes} episodes ({b.share_of_minutes:.1%} of minutes), {b.median_minutes:.0f} min at the "
            f"median and {b.longest_minutes:.0f} at most; {b.median_height:.1f} x the hour around them at the median "
            f"and {b.highest:.1f} x at most"
            if b.episodes
            else "bursts: none"
        )
    if a.interarrival_cv is not None:
        said.append(f"time between arrivals: coefficient of variation {a.interarrival_cv:.2f} (Poisson 1)")
    if a.daily_strength is not None:
        weekly = "" if a.weekly_strength is None else f", weekly {a.weekly_strength:.2f}"
        lags = ", ".join(
            f"{lag} h {value:.2f}"
            for lag, value in ((24, a.autocorrelation_24h), (168, a.autocorrelation_168h))
            if value is not None
        )
        said.append(f"seasonal strength: daily {a.daily_strength:.2f}{weekly}; autocorrelation at {lags}")
        quiet = one.quality.quietest_hour_utc
        if quiet is not None and a.daily_strength >= SEASONAL:
            offset = (4 - quiet + 11) % 24 - 11
            said.append(f"quietest around {quiet:02d}:00 UTC, which is 4 in the morning at UTC{offset:+d}")
    return said


def _remarks(one: ClassProfile) -> list[str]:
    q = one.quality
    said = [f"{q.verdict}: {q.reason}", *([f"fallback: {q.fallback}"] if q.fallback != "none needed" else [])]
    said += _arrival_remarks(one)
    if one.lengths is not None:
        known = one.lengths.log_correlation
        told = (
            "input and output joined at random, from engine histograms"
            if not one.lengths.joint
            else "input and output of the same requests"
            if known is None
            else f"input and output correlate with {round(known, 2) + 0.0:.2f} (logarithms)"
        )
        said.append(f"lengths jointly: {told}; {len(one.lengths.sample.weight):,} weighted triples with --json")
    if one.tail is not None:
        t = one.tail
        mixes = ", ".join(f"{m.p99_over_mean:.2f} x at {m.concurrent}" for m in t.mixes)
        said.append(
            f"KV cache: a mean request holds {t.mean_request_tokens:,.0f} tokens, requests in flight "
            f"{t.in_flight_tokens:,.0f}; p99 mixes need {mixes} in flight; the longest 1 % hold "
            f"{t.longest_1pct_share:.0%}"
        )
    if one.load is not None:
        basis = "the most that the SLO allows" if one.load.basis == "SLO" else f"times of the {one.load.basis}"
        said.append(
            f"in flight: {one.load.concurrency:,.1f} requests, {one.load.active_tokens:,.0f} tokens on average, "
            f"{one.load.busy_concurrency:,.1f} requests at the p99 "
            f"{WIDTH_NAMES.get(one.load.busy_width_s, 'interval')} ({basis})"
        )
    if one.lengths is not None and one.lengths.cached_share is not None:
        said.append(f"prefix cache: {one.lengths.cached_share:.1%} of input tokens")
    if one.outcomes is not None and one.outcomes.known:
        o = one.outcomes
        success = "" if o.success is None else f", success ({o.criterion}) {o.success:.1%}"
        said.append(f"cancelled {o.cancelled:.1%}, failed {o.failed:.1%}, retried {o.retried:.1%}{success}")
    if one.slo:
        held = [
            f"{x.label} p{x.percentile:g} {x.seconds:.3g} of {x.limit_s:g} s, {'kept' if x.holds else 'broken'} "
            f"({x.kept:.1%} within)"
            for x in one.slo
        ]
        said.append(f"SLO: {'; '.join(held)} (times of the {' and '.join(sorted({x.basis for x in one.slo}))})")
    if one.drift is not None:
        periods = one.drift.periods
        worst = max(periods, key=lambda p: max(p.psi_input, p.psi_output))
        index = f"{worst.psi_input:.2f} input, {worst.psi_output:.2f} output"
        said.append(
            f"drift of lengths: {one.drift.verdict} over {len(periods)} periods of {_span(one.drift.period_s)} "
            f"(stability index {index}, the period from {worst.start}); "
            f"input {periods[0].mean_input_tokens:,.0f} to {periods[-1].mean_input_tokens:,.0f}, output "
            f"{periods[0].mean_output_tokens:,.0f} to {periods[-1].mean_output_tokens:,.0f} tokens on average"
        )
    return said


def _mix(mix: Mix) -> str:
    moved = ", ".join(
        f"{name} {first:.0%} to {last:.0%}"
        for name, first, last in zip(mix.names, mix.shares[0], mix.shares[-1], strict=True)
    )
    worst = max(mix.psi)
    at = mix.starts[mix.psi.index(worst)]
    return (
        f"drift of the mix of classes: {mix.verdict} over {len(mix.starts)} periods of {_span(mix.period_s)} "
        f"(stability index {worst:.2f}, the period from {at}); {moved} of requests"
    )


def show(console: Console, profile: DatasetProfile) -> None:
    """Tables of rates, lengths and history, then what stands out of each class."""
    report = profile.report
    formats = ", ".join(name.replace("_", " ") for name in report.formats)
    alike = f"; {report.alike_share:.2%} alike in everything" if report.alike_share else "; none alike in everything"
    console.print(
        f"[bold]{report.sources} source{'s' if report.sources != 1 else ''}[/] ({formats}), {report.rows_in:,} rows: "
        f"{report.repaired_share:.2%} repaired, {report.rejected_share:.2%} rejected{alike}",
        soft_wrap=True,
    )
    if not profile.classes:
        console.print(
            "[yellow]![/] no arrivals are counted in this dataset: it has neither requests nor counters of them"
        )
        for note in report.notes:
            console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
        return
    shown = [*profile.classes, *([profile.overall] if profile.overall is not None else [])]
    head = ("class", "requests a", "mean", "p50", "p95", "p99", "max", "dispersion")
    console.print(table("Arrivals", head, [row for one in shown for row in _rates(one)], 2), "")
    lengths = [row for one in shown for row in _lengths(one)]
    if lengths:
        sides = ("class", "tokens", "mean", "p50", "p95", "p99", "max")
        console.print(table("Lengths", sides, lengths, 2), "")
    columns = ("class", "from", "to", "gaps", "plateaus", "hours", "zero", "two periods of")
    console.print(table("History", columns, [_history(one) for one in shown], 5), "")
    for one in shown:
        console.print(f"[bold]{escape(one.name)}[/]: {one.requests:,.0f} requests")
        for text in _remarks(one):
            console.print(f"  {escape(text)}", soft_wrap=True)
    if profile.mix is not None:
        console.print(escape(_mix(profile.mix)), soft_wrap=True)
    if profile.unmatched_share and len(profile.classes) > 1:
        console.print(f"[yellow]![/] {profile.unmatched_share:.1%} of requests match no rule")
    for note in report.notes:
        console.print(f"[dim]{escape(note)}[/]", soft_wrap=True)
