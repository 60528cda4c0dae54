"""A reconciliation in the terminal: how far off, why, and what is proposed."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.ledger.records import CorrectionLine
from data.plain import finite
from flows.misses import UNEXPLAINED
from flows.reconcile import Reconciled, document
from flows.reconcile_words import in_short
from flows.run_folder import whole_folder
from reconcile.tally import Score
from reports.reconciliation import Section, Step, reconciliation_page, waterfall

SHOWN = 12


def _percent(value: float, sign: bool = False) -> str:
    return "" if math.isnan(value) else f"{value:+.1%}" if sign else f"{value:.1%}"


def _count(number: int, what: str) -> str:
    return f"{number:,} {what}{'' if number == 1 else 's'}"


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i == 0 else "right")
    for row in rows[:SHOWN]:
        table.add_row(*(escape(cell) for cell in row))
    if len(rows) > SHOWN:
        table.add_row(f"... and {len(rows) - SHOWN} more in the JSON")
    return table


def _cells(score: Score) -> tuple[str, ...]:
    inside = ", ".join(f"{nominal:.0%}: {found:.0%}" for nominal, found in score.coverage.items())
    mase = "" if math.isnan(score.mase) else f"{score.mase:.2f}"
    return (
        _percent(score.wape), _percent(score.bias, True), mase, _percent(score.fva, True), _percent(score.pinball),
        inside,
    )  # fmt: skip


CAPACITY = ("LLM", "month", "hours", "short h", "reserve h", "stated risk", "GPU-h", "GPU-h too many")
DRIFT = ("series", "severity", "over-forecast", "days", "tracking signal", "by chance")
SUMS = ("of", "by", "n", "WAPE", "bias")
MONTHS = ("series", "month", "observed", "total error", "total interval", "peak-hour error", "peak interval")
GOODPUT = ("configuration", "class", "predicted req/s", "measured req/s", "measured over predicted")
COSTS = ("month", "planned USD", "billed USD", "over plan")
TENANTS = ("tenant", "LLM", "class", "hours", "planned requests", "sent", "beyond the plan", "over share")
TENANT_MONTHS = ("tenant", "series", "month", "said", "sent", "error", "interval")
HEAD = ("WAPE", "bias", "MASE", "FVA", "pinball", "interval holds")


def group_rows(found: Reconciled) -> tuple[tuple[str, ...], ...]:
    """Errors by group."""
    return tuple((f"{g.dimension} {g.name}", str(g.series), *_cells(g.members)) for g in found.errors.groups)


def drift_rows(found: Reconciled) -> tuple[tuple[str, ...], ...]:
    """Drift by series, the strongest signal first."""
    return tuple(
        (
            str(one.key), one.drift.severity,
            "sends nothing" if one.drift.silent else _percent(1.0 / one.drift.ratio - 1.0, True),
            str(one.drift.days - one.drift.since), f"{one.drift.tracking_signal:+.1f}", _percent(one.drift.chance),
        )
        for one in sorted(found.errors.series, key=lambda one: -abs(one.drift.tracking_signal))
    )  # fmt: skip


def capacity_rows(found: Reconciled) -> tuple[tuple[str, ...], ...]:
    """Capacity by LLM and month."""
    return tuple(
        (
            one.llm, one.month, str(one.hours), str(one.short_hours), str(one.reserve_hours),
            _percent(one.stated_risk), f"{one.gpu_hours:,.0f}", f"{one.over_gpu_hours:,.0f}",
        )
        for one in found.capacity
    )  # fmt: skip


def sum_rows(found: Reconciled) -> tuple[tuple[str, ...], ...]:
    """Errors of sums by hour, day and month: of everything, and by LLM, class, region and tenant."""
    return tuple(
        (f"{g.dimension} {g.name}", s.grain, str(s.observed), _percent(s.wape), _percent(s.bias, True))
        for g in found.errors.groups
        for s in g.total
        if s.observed
    )


def month_rows(found: Reconciled) -> tuple[tuple[str, ...], ...]:
    """Totals and peak hours of months as the last vintage before each month saw them."""
    latest = {(one.key, month.month): month for one in found.errors.series for v in one.vintages for month in v.months}
    return tuple(
        (
            str(key), month, _percent(one.observed_share), _percent(one.total_error, True), _held(one.total_inside),
            _percent(one.peak_error, True), _held(one.peak_inside),
        )
        for (key, month), one in latest.items()
    )  # fmt: skip


def tenant_rows(found: Reconciled) -> tuple[tuple[str, ...], ...]:
    """What tenants sent against their share of the forecast, the largest miss first."""
    return tuple(
        (
            one.tenant, one.llm, one.request_class, str(one.hours),
            "no share known" if math.isnan(one.planned) else f"{one.planned:,.0f}", f"{one.actual:,.0f}",
            "" if math.isnan(one.planned) else f"{one.miss:+,.0f}",
            _percent(one.miss / one.planned, True) if one.planned > 0 else "",
        )
        for one in found.tenants
    )  # fmt: skip


def goodput_rows(found: Reconciled) -> tuple[tuple[str, ...], ...]:
    """Goodputs predicted and measured, the farthest off first."""
    return tuple(
        (
            f"{one.llm} on {one.gpu} {one.precision} TP{one.tensor_parallel}", one.request_class, f"{predicted:.3g}",
            f"{one.rps:.3g}", _percent(one.rps / predicted - 1.0, True),
        )
        for one, predicted in sorted(found.goodput, key=lambda pair: -abs(pair[0].rps / pair[1] - 1.0))
    )  # fmt: skip


def tenant_month_rows(found: Reconciled) -> tuple[tuple[str, ...], ...]:
    """Months of tenants whose shares were forecast, the largest miss first."""
    return tuple(
        (
            one.tenant, str(one.key), one.month, f"{one.said:,.0f}", f"{one.actual:,.0f}",
            _percent(one.said / one.actual - 1.0, True) if one.actual > 0 else "", _held(one.inside),
        )
        for one in found.tenant_months
    )  # fmt: skip


def _held(inside: Mapping[float, bool]) -> str:
    """What the widest interval held."""
    if not inside:
        return ""
    nominal = max(inside)
    return f"{'inside' if inside[nominal] else 'outside'} {nominal:.0%}"


def cost_rows(found: Reconciled) -> tuple[tuple[str, ...], ...]:
    """Cost by month: planned and billed."""
    return tuple(
        (
            one.month, f"{one.planned_usd:,.0f}", "" if math.isnan(one.billed_usd) else f"{one.billed_usd:,.0f}",
            _percent(one.billed_usd / one.planned_usd - 1.0, True) if one.planned_usd > 0 else "",
        )
        for one in found.costs
    )  # fmt: skip


def show_reconciliation(console: Console, found: Reconciled) -> None:
    """Prints a reconciliation; lists no more than a screen holds."""
    errors = found.errors
    series = len(errors.series) + len(errors.without)
    console.print(
        f"[bold]{escape(found.scenario)}[/]: {_count(errors.vintages, 'vintage')} of {series:,} series against "
        f"production until {errors.until} UTC"
    )
    for text in found.notes:
        console.print(f"[yellow]![/] {escape(text)}")
    for what, text in in_short(found):
        console.print(f"  [bold]{escape(what)}[/]: {escape(text)}", soft_wrap=True)
    console.print()
    console.print(_table("Hourly forecast error, series by series", ("of", "series", *HEAD), group_rows(found)), "")
    console.print(_table("Error of sums", SUMS, sum_rows(found)), "")
    console.print(_table("Months, as the last vintage saw them", MONTHS, month_rows(found)), "")
    console.print(_table("By time ahead", ("ahead", *HEAD), [(name, *_cells(s)) for name, s in errors.horizons]), "")
    console.print(_table("Drift", DRIFT, drift_rows(found)), "")
    if found.tenants:
        console.print(_table("Tenants, against their share of what was last said", TENANTS, tenant_rows(found)), "")
    if found.tenant_months:
        console.print(_table("Months of tenants", TENANT_MONTHS, tenant_month_rows(found)), "")
    if found.capacity:
        console.print(_table("Capacity", CAPACITY, capacity_rows(found)), "")
    for fall in found.waterfalls:
        steps = [("planned", f"{fall.planned:,.2f}", "")]
        steps += [(bar.cause, f"{bar.amount:+,.2f}", "" if bar.measured else "not measured") for bar in fall.bars]
        steps.append(("actual", f"{fall.actual:,.2f}", ""))
        console.print(f"[bold]{escape(fall.what)}[/] ({escape(fall.note)})")
        console.print(_table("", ("", fall.unit, ""), steps), "")
    if found.goodput:
        console.print(_table("Goodput", GOODPUT, goodput_rows(found)), "")
    for key, correction in found.proposals.items():
        where = "/".join(correction.target.values())
        values = ", ".join(f"{name} {value:g}" for name, value in correction.values.items())
        console.print(f"[bold]Proposed[/] {key}: {correction.kind} of {escape(where)}: {values}. ", soft_wrap=True)
        console.print(f"  {escape(correction.evidence)}", soft_wrap=True)
    if found.proposals:
        console.print("Review: `fleetcast review ID --accept --by NAME`; the next plan uses what is accepted.")
    for text in found.stale[:SHOWN]:
        console.print(f"[yellow]stale[/] {escape(text)}", soft_wrap=True)
    if len(found.stale) > SHOWN:
        console.print(f"... and {len(found.stale) - SHOWN} more stale assumptions")
    console.print(f"[dim]Recorded as {escape(found.run_id)}[/]")


def write_reconciliation(found: Reconciled, out: Path) -> Path:
    """A folder with reconciliation.html and reconciliation.json, whole or not at all; returns it."""
    pictures = [
        waterfall(
            fall.what, fall.unit, fall.planned, fall.actual,
            [Step(bar.cause, bar.amount, bar.measured, bar.cause == UNEXPLAINED) for bar in fall.bars], fall.note,
        )
        for fall in found.waterfalls
    ]  # fmt: skip
    errors = found.errors
    sections = (
        Section("In short", ("of", "found"), in_short(found), prose=True),
        Section(
            "Corrections to review",
            ("id", "kind", "of", "evidence"),
            tuple((k, c.kind, "/".join(c.target.values()), c.evidence) for k, c in found.proposals.items()),
            prose=True,
        ),
        Section("Drift", DRIFT, drift_rows(found)),
        Section("Capacity", CAPACITY, capacity_rows(found)),
        Section("Cost", COSTS, cost_rows(found)),
        Section("Goodput", GOODPUT, goodput_rows(found)),
        Section("Tenants, against their share of what was last said", TENANTS, tenant_rows(found)),
        Section("Months of tenants", TENANT_MONTHS, tenant_month_rows(found)),
        Section("Hourly forecast error, series by series", ("of", "series", *HEAD), group_rows(found)),
        Section("Error of sums", SUMS, sum_rows(found)),
        Section("Months, as the last vintage saw them", MONTHS, month_rows(found)),
        Section("By time ahead", ("ahead", *HEAD), tuple((name, *_cells(s)) for name, s in errors.horizons)),
    )
    lead = (
        f"{_count(errors.vintages, 'vintage')} of {len(errors.series)} series against production until "
        f"{errors.until} UTC; {_count(len(found.proposals), 'correction')} to review"
    )
    notes = (*found.notes, *(f"stale: {text}" for text in found.stale))
    page = reconciliation_page(
        f"Reconciliation of {found.scenario}", lead, pictures, [s for s in sections if s.rows], notes
    )
    final = out / found.run_id
    with whole_folder(final) as scratch:
        (scratch / "reconciliation.html").write_text(page, encoding="utf-8")
        (scratch / "reconciliation.json").write_text(reconciliation_json(found), encoding="utf-8")
    return final


def reconciliation_json(found: Reconciled) -> str:
    """Everything that was found, for machines; null for what is not known."""
    return json.dumps(finite(document(found)), indent=2, allow_nan=False) + "\n"


def show_corrections(console: Console, lines: Sequence[CorrectionLine]) -> None:
    """All corrections with their verdicts."""
    rows = [
        (
            one.id, one.correction.scenario, one.correction.kind, "/".join(one.correction.target.values()),
            ", ".join(f"{name} {value:g}" for name, value in one.correction.values.items()),
            one.verdict + f" by {one.reviewer}" * bool(one.reviewer) + ", superseded" * bool(one.superseded_by),
        )
        for one in lines
    ]  # fmt: skip
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("correction", "scenario", "kind", "of", "values", "verdict"):
        table.add_column(name)
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    console.print(table)
    told = _superseding(lines)
    for text in told:
        console.print(text, soft_wrap=True)
    if told:
        console.print(
            "The newer was measured on a plan made without the older, so that it alone holds all of the miss."
        )


def _superseding(lines: Sequence[CorrectionLine]) -> list[str]:
    """In words, which corrections take the place of others; of those that take each other's, the newest."""
    open_ones = {key for one in lines if one.verdict == "open" for key in one.supersedes}
    return [
        f"{one.id} {'supersedes' if one.verdict == 'accepted' else 'would supersede, once accepted,'} "
        f"{', '.join(one.supersedes)}."
        for one in lines
        if one.supersedes and (one.verdict == "accepted" or one.id not in open_ones)
    ]


def corrections_json(lines: Sequence[CorrectionLine]) -> str:
    """All corrections with their verdicts, for machines."""
    return json.dumps(finite([asdict(one) for one in lines]), indent=2, default=str, allow_nan=False) + "\n"
