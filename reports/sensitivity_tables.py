"""A plan's sensitivity as tables of text: the terminal and the page print the same words."""

from __future__ import annotations

import math

from data.sensitivity_records import Sensitivity

Rows = list[tuple[str, ...]]


def _usd(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "not possible"


def _words(name: str) -> str:
    return name.replace("_", " ").replace("llm", "LLM")


def headline(answer: Sensitivity) -> str:
    """Range, risk and decision in one sentence."""
    return (
        f"Cash between {_usd(answer.cash_p5)} and {_usd(answer.cash_p95)} USD in 90 % of {answer.samples:,} draws; a "
        f"protected class is short in {answer.short_any:.1%} of them; least regret: {answer.least_regret}"
    )


def bars(answer: Sensitivity) -> Rows:
    return [
        (
            _words(b.variable), f"{b.low:g}", f"{b.high:g}", f"{b.low_usd / b.base_usd - 1:+.1%}",
            f"{b.high_usd / b.base_usd - 1:+.1%}", f"{b.low_short:.0%}", f"{b.high_short:.0%}",
            f"{b.low_best} / {b.high_best}" if b.decides else "no",
        )
        for b in answer.bars
    ]  # fmt: skip


def scenarios(answer: Sensitivity) -> Rows:
    return [
        (one.name, _usd(one.cash_usd), _usd(one.usd), f"{one.short:.0%}", one.best_option, one.description)
        for one in answer.named
    ]


def options(answer: Sensitivity) -> Rows:
    """Decisions proper; the frontier's points are drawn."""
    return [
        (
            one.name, _usd(one.usd), _usd(one.cash_usd), f"{one.short:.1%}", _usd(one.regret), _usd(one.regret_p95),
            _usd(one.regret_max), f"{one.best_share:.0%}",
        )
        for one in answer.options
        if "hours up to" not in one.name
    ]  # fmt: skip


def cells(answer: Sensitivity) -> Rows:
    return [
        (
            one.gpu, one.region, f"{one.need[-1][2]:,.0f}", f"{one.need[-1][4]:,.0f}", f"{one.committed[-1]:,.0f}",
            "none" if one.quota is None else f"{one.quota:,.0f}", one.run_out_p50 or "", one.run_out_p95 or "",
            f"{one.run_out_chance:.1%}",
        )
        for one in answer.cells
    ]  # fmt: skip


def ages(answer: Sensitivity) -> Rows:
    return [
        (one.name, "undated" if one.days is None else f"{one.days:,}", one.source.as_of, one.value, one.source.citation)
        for one in answer.ages
    ]


def facts(answer: Sensitivity) -> Rows:
    """Single figures: value of waiting, of scenarios, and what re-solving changes."""
    found = [
        ("Waiting one month costs, expected", f"{_usd(answer.wait_regret_usd)} USD"),
        (
            "Short by month",
            ", ".join(f"{m} {p:.1%}" for m, p in zip(answer.months, answer.short_by_month, strict=True)),
        ),
    ]
    if answer.stochastic_usd is not None:
        found.append(("Value of the stochastic solution", f"{_usd(answer.stochastic_usd)} USD"))
    if answer.resolved is not None:
        r = answer.resolved
        strongest = sorted(r.drivers.items(), key=lambda pair: -abs(pair[1]))[:3]
        found.append(
            (
                "Full re-solves",
                f"{r.solves} in {r.seconds:.0f} s, each within {r.gap_median:.1%} (median; at most {r.gap_most:.1%}); "
                f"the commitments change in {r.changed:.0%}",
            )
        )
        found.append(("Drive the commitments", ", ".join(f"{_words(name)} {rank:+.2f}" for name, rank in strongest)))
    if answer.switching is not None and answer.switching.steady:
        steady = ", ".join(map(_words, answer.switching.steady))
        found.append(("Change the cost, not the decision, between their ends", steady))
    if answer.regrets is not None:
        found.append(("Least regret among the scenarios' plans", answer.regrets.least))
    oldest = max((one.days for one in answer.ages if one.days is not None), default=None)
    if oldest is not None:
        undated = sum(one.days is None for one in answer.ages)
        found.append(("Ages of the assumptions", f"up to {oldest:,} days, {undated} undated"))
    return [*found, ("Scenarios are", answer.method), *(("Note", note) for note in answer.notes)]


def switches(answer: Sensitivity) -> Rows:
    """Values at which the decision changes; empty where nobody asked or none was found."""
    found = () if answer.switching is None else answer.switching.switches
    return [
        (
            _words(one.variable), f"{one.value:.3g}", f"{one.base:g} to {one.end:g}", one.aspect, one.before, one.after,
            _usd(one.keep_usd),
        )
        for one in found
    ]  # fmt: skip


def regrets(answer: Sensitivity) -> Rows:
    """The regret matrix: a row a candidate plan, a column a scenario, then the largest and what it commits to."""
    if answer.regrets is None:
        return []
    r = answer.regrets
    return [
        (name, *(_usd(value) for value in row), _usd(max(row)), words)
        for name, row, words in zip(r.candidates, r.regret, r.commitments, strict=True)
    ]


def regret_head(answer: Sensitivity) -> list[str]:
    """Columns of the regret matrix."""
    scenarios = () if answer.regrets is None else answer.regrets.scenarios
    return ["plan", *(f"in {name}" for name in scenarios), "largest", "commitments"]


def sensitivity_tables(answer: Sensitivity) -> dict[str, Rows]:
    """What templates/_sensitivity.html.j2 shows."""
    return {
        "bars": bars(answer), "scenarios": scenarios(answer), "options": options(answer), "cells": cells(answer),
        "ages": ages(answer), "facts": facts(answer), "switches": switches(answer), "regrets": regrets(answer),
        "regret_head": [tuple(regret_head(answer))],
    }  # fmt: skip
