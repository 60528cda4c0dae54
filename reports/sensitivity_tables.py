"""A plan's sensitivity as tables of text: the terminal and the page print the same words."""

from __future__ import annotations

import math
from collections.abc import Sequence

from data.sensitivity_records import Resolved, Sensitivity

Rows = list[tuple[str, ...]]
PLAN = "the plan"
"""The name of the plan's own decision among those compared."""


def _usd(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "not possible"


def variable_words(name: str) -> str:
    """A variable as a reader sees it."""
    return name.replace("_", " ").replace("llm", "LLM")


def headline(answer: Sensitivity) -> str:
    """Range, risk and decision in one sentence."""
    return (
        f"Cash between {_usd(answer.cash_p5)} and {_usd(answer.cash_p95)} USD in 90 % of {answer.samples:,} draws; a "
        f"protected class is short in {answer.short_any:.1%} of them; least regret: {answer.least_regret}"
    )


def decided_by(answer: Sensitivity) -> str:
    """Which variables change the decision and to what, and which change only what it costs, in words."""
    base = next((one.best_option for one in answer.named if one.name == "base"), PLAN)
    already = "" if base == PLAN else f" Where nothing varies, {base} is already cheaper than the plan."
    lines = [
        f"{variable_words(one.variable)} (at {one.low:g}, its 5 % value, {one.low_best} is best; at "
        f"{one.high:g}, its 95 % value, {one.high_best})"
        for one in answer.bars
        if one.decides
    ]
    if not lines:
        return (
            "No variable alone, between its 5 % and 95 % values, makes another decision the best: they change what the "
            f"plan costs, not what to do.{already}"
        )
    steady = ", ".join(variable_words(one.variable) for one in answer.bars if not one.decides)
    rest = f" They change the cost, not the decision: {steady}." if steady else ""
    return f"The decision changes with {'; '.join(lines)}.{rest}{already}"


def bars(answer: Sensitivity) -> Rows:
    return [
        (
            variable_words(b.variable), f"{b.low:g}", f"{b.high:g}", f"{b.low_usd / b.base_usd - 1:+.1%}",
            f"{b.high_usd / b.base_usd - 1:+.1%}", f"{b.low_short:.0%}", f"{b.high_short:.0%}",
            f"{b.low_best} / {b.high_best}" if b.decides else "no",
        )
        for b in answer.bars
    ]  # fmt: skip


def scenarios(answer: Sensitivity) -> Rows:
    return [
        (
            one.name, _usd(one.cash_usd), _usd(one.usd), f"{one.short:.0%}", one.best_option, _usd(one.regret_usd),
            one.description or ", ".join(f"{variable_words(k)} {v:g}" for k, v in one.set.items()),
        )
        for one in answer.named
    ]  # fmt: skip


def options(answer: Sensitivity) -> Rows:
    """Decisions proper; the frontier's points are drawn."""
    return [
        (
            one.name, _usd(one.usd), _usd(one.cash_usd), f"{one.short:.1%}", _usd(one.regret), _usd(one.regret_p95),
            _usd(one.regret_max), f"{one.best_share:.0%}",
        )
        for one in answer.options
        if "of the plan's GPUs" not in one.name
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
    waits = any(one.name == "wait one month" for one in answer.options)
    found: Rows = [
        (
            "Waiting one month costs, expected",
            f"{_usd(answer.wait_regret_usd)} USD" if waits else "nothing: the plan commits to nothing that could wait",
        ),
        (
            "Short by month",
            ", ".join(f"{m} {p:.1%}" for m, p in zip(answer.months, answer.short_by_month, strict=True)),
        ),
    ]
    if answer.stochastic_usd is not None:
        found.append(("Value of the stochastic solution", f"{_usd(answer.stochastic_usd)} USD"))
    if answer.resolved is not None:
        found += _resolved(answer.resolved)
    found += _decided(answer)
    return [*found, ("Scenarios are", answer.method), *(("Note", note) for note in answer.notes)]


def _resolved(r: Resolved) -> Rows:
    """What full re-solves say, as far as their gap lets them."""
    strongest = sorted(r.drivers.items(), key=lambda pair: -abs(pair[1]))[:3]
    return [
        (
            "Full re-solves",
            f"{r.solves} in {r.seconds:.0f} s, each within {r.gap_median:.1%} of a bound (median; at most "
            f"{r.gap_most:.1%})",
        ),
        (
            "Other commitments than the base's",
            f"found in {r.changed:.0%} of them, the search's own noise included; keeping the base's would cost a "
            f"quarter percent or more in {r.worthwhile:.0%} (by linear relaxations, which have no noise), and more "
            f"than the gap in {r.proven:.0%}",
        ),
        ("Drive the commitments", ", ".join(f"{variable_words(name)} {rank:+.2f}" for name, rank in strongest)),
    ]


def _decided(answer: Sensitivity) -> Rows:
    """What planning anew says of the decision."""
    found: Rows = []
    s, r = answer.switching, answer.regrets
    if s is not None:
        if s.steady:
            steady = ", ".join(map(variable_words, s.steady))
            found.append(("Change the cost, not the decision, between their ends", steady))
        stopped = "" if s.whole else "; stopped there: values are known to the span shown"
        found.append(("Values looked for", f"{s.solves} plans made anew in {s.seconds:.0f} s{stopped}"))
    if r is not None:
        agree = (
            "; by linear relaxations, which have no gap, too"
            if r.least_relaxed == r.least
            else f"; by linear relaxations, which have no gap: {r.least_relaxed}. The choice between them is within "
            "the gap"
        )
        found.append(("Least regret among the plans", f"{r.least}{agree}"))
        rivals = [(_largest(row), name) for name, row in zip(r.candidates, r.proven, strict=True) if name != r.least]
        mine = _largest(r.possible[r.candidates.index(r.least)])
        worse = [name for regret, name in rivals if regret > mine]
        if rivals:
            found.append(("Proven to have a larger regret than that", ", ".join(worse) or "none"))
        found.append(("Plans made for the regrets", f"in {r.seconds:.0f} s, at most {r.gap_most:.1%} above a bound"))
    return found


def switches(answer: Sensitivity) -> Rows:
    """Values at which the decision changes; empty where nobody asked or none was found."""
    found = () if answer.switching is None else answer.switching.switches
    return [
        (
            variable_words(one.variable), f"{one.last_same:.3g} to {one.first_other:.3g}",
            f"{one.base:g} to {one.end:g}", one.aspect, _usd(one.keep_usd), one.sure, one.before, one.after,
        )
        for one in found
    ]  # fmt: skip


def _largest(row: Sequence[float]) -> float:
    """The largest of a row; inf where one is not possible."""
    return max(value if math.isfinite(value) else math.inf for value in row)


def _regret(value: float, proven: float) -> str:
    """A regret with what is proven of it; ~: within the gap."""
    if not math.isfinite(value) or value == 0.0:
        return _usd(value)
    return f"{_usd(value)} (at least {_usd(proven)})" if proven > 0.0 else f"~{_usd(value)}"


def regrets(answer: Sensitivity) -> Rows:
    """The regret matrix: a row a candidate plan, a column a scenario, then the largest and what it commits to. ~ before
    what is within the solver's gap."""
    if answer.regrets is None:
        return []
    r = answer.regrets
    return [
        (name, *(_regret(*pair) for pair in zip(row, proven, strict=True)), _usd(_largest(row)), words)
        for name, row, proven, words in zip(r.candidates, r.regret, r.proven, r.commitments, strict=True)
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
        "decided_by": [(decided_by(answer),)], "regret_head": [tuple(regret_head(answer))],
    }  # fmt: skip
