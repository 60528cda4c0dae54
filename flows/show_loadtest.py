"""A load test in the terminal: what was measured, what is doubtful, what the model makes of it."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import fields
from itertools import groupby
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from flows.loadtest import Answer, curve, headline
from flows.show import _table
from models.loadtest_checks import Finding
from models.loadtest_coefficients import Factors

MARKS = {"impossible": "[bold red]impossible[/]", "suspect": "[yellow]suspect[/]", "note": "[dim]note[/]"}
MEANING = {
    "compute": "times the catalog's compute efficiency",
    "bandwidth": "times the catalog's bandwidth efficiency",
    "overhead": "times the catalog's launch and host time",
    "request_s": "seconds of front-end and network in each TTFT",
}


def show_load_tests(console: Console, answers: Sequence[Answer], written: Sequence[Path]) -> None:
    """Prints every load test, and names the files that hold the rest."""
    for answer in answers:
        _show(console, answer)
    for path in written:
        console.print(f"[dim]{escape(str(path))}[/]", soft_wrap=True)


def _ms(value: float) -> str:
    return "" if math.isnan(value) else f"{value:,.1f}" if value < 1000 else f"{value:,.0f}"


def _show(console: Console, answer: Answer) -> None:
    test = answer.test
    name = " ".join(part for part in (test.tool, test.version) if part)
    console.print(f"[bold]{escape(name)}[/] {escape(test.model)}, {len(test.points)} points")
    rows = [
        (
            p.label,
            f"{p.achieved_rps:.2f}",
            f"{p.requests_ok:,}",
            f"{p.requests_failed:,}",
            f"{p.input_tokens.mean:,.0f}",
            f"{p.output_tokens.mean:,.0f}",
            *(_ms(1e3 * value) for value in (p.ttft_s.p50, p.ttft_s.p99, p.tpot_s.p50, p.tpot_s.p99)),
            "" if math.isnan(p.goodput_rps) else f"{p.goodput_rps:.2f}",
        )
        for p in test.points
    ]
    head = ("load", "served/s", "ok", "failed", "in", "out", "TTFT p50", "p99", "TPOT p50", "p99", "good/s")
    console.print(_table("Measured, ms", head, rows, set(range(1, 11))), "")
    for (kind, severity, meaning), group in groupby(
        sorted(answer.findings, key=lambda f: (list(MARKS).index(f.severity), f.kind, f.meaning)),
        key=lambda f: (f.kind, f.severity, f.meaning),
    ):
        console.print(f"{MARKS[severity]} {escape(kind)}: {escape(meaning)}")
        console.print(f"  [dim]{escape(_figures(list(group)))}[/]")
    for note in (*test.notes, *answer.notes):
        console.print(f"[dim]note[/] {escape(note)}")
    console.print()
    if answer.fit is None:
        return
    fit = answer.fit
    console.print(f"[bold]{escape(headline(answer))}[/]")
    table = []
    for point in curve(fit):
        label = next(p.label for p in fit.points if p.achieved_rps == point.load_rps)
        left = _ms(point.left_out_ms)
        table.append(
            (label, point.metric, point.statistic, _ms(point.measured_ms), _ms(point.catalog_ms),
             _ms(point.calibrated_ms), left, _percent(point.calibrated_ms, point.measured_ms))
        )  # fmt: skip
    curve_head = ("load", "", "", "measured", "catalog", "calibrated", "left out", "error")
    console.print(_table("Service curve, ms", curve_head, table, {3, 4, 5, 6, 7}), "")
    served = [
        (p.label, *(f"{value:.2f}" for value in values), _percent(values[2], values[0]))
        for p, values in zip(fit.points, fit.served_rps.T.tolist(), strict=True)
    ]
    console.print(
        _table("Served requests/s", ("load", "measured", "catalog", "calibrated", "error"), served, {1, 2, 3, 4}), ""
    )
    factors = [
        (f.name, f"{getattr(fit.factors, f.name):.3g}", f"{math.exp(sd):.2f}",
         "" if f.name in fit.identified else "not identified", MEANING[f.name])
        for f, sd in zip(fields(Factors), fit.sd, strict=True)
    ]  # fmt: skip
    console.print(_table("Factors", ("", "value", "uncertain by x", "", ""), factors, {1, 2}), "")
    console.print(f"[bold]Verdict:[/] {escape(fit.verdict)}")
    if not fit.usable:
        console.print("No calibration written: a poor fit corrects nothing.")


def _percent(ours: float, theirs: float) -> str:
    return "" if math.isnan(ours) or math.isnan(theirs) else f"{ours / theirs - 1.0:+.0%}"


def _figures(findings: Sequence[Finding]) -> str:
    return "; ".join(
        f.point if math.isnan(f.measured) else f"{f.point}: {f.measured:.4g} against {f.bound:.4g} {f.unit}"
        for f in findings
    )
