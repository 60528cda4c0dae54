"""A plan's sensitivity in the terminal."""

from __future__ import annotations

from datetime import date

from rich.console import Console
from rich.markup import escape

from data.sensitivity_records import Sensitivity
from flows.show import _table
from reports import sensitivity_tables as tables
from reports import standing


def show_sensitivity(console: Console, answer: Sensitivity, today: date) -> None:
    """Range, tornado, scenarios, decisions and run-out dates."""
    console.print(f"[bold]{escape(tables.headline(answer))}[/]", "")
    head = ("variable", "5 %", "95 %", "cost at 5 %", "at 95 %", "short", "short", "changes the decision")
    console.print(_table("One variable at a time", head, tables.bars(answer), {1, 2, 3, 4, 5, 6}), "")
    named = [row[:6] for row in tables.scenarios(answer)]
    columns = ("scenario", "cash USD", "cost USD", "short", "best decision", "regret of the plan")
    console.print(_table("Scenarios", columns, named, {1, 2, 3, 5}), "")
    head = ("decision", "cost USD", "cash USD", "short", "regret", "95 %", "largest", "best in")
    console.print(_table("Decisions on the same draws", head, tables.options(answer), {1, 2, 3, 4, 5, 6, 7}), "")
    cells = ("GPU", "region", "median", "95 %", "committed", "quota", "out, median", "out, 95 %", "chance")
    console.print(
        _table("GPUs needed at the end, and when quotas run out", cells, tables.cells(answer), {2, 3, 4, 5, 8}), ""
    )
    if answer.switching is not None:
        changes = ("variable", "between", "looked from", "changes", "keeping costs", "how sure", "before", "after")
        title = f"Values that change the decision, {answer.switching.solves} plans made anew"
        console.print(_table(title, changes, tables.switches(answer), {4}), "")
    if answer.regrets is not None:
        marks = set(range(1, len(answer.regrets.scenarios) + 2))
        rows = tables.regrets(answer)
        title = "Regret of plans held in scenarios, USD (~: within the solver's gap)"
        console.print(_table(title, tables.regret_head(answer), rows, marks), "")
    for name, value in tables.facts(answer):
        console.print(f"{escape(name)}: {escape(value)}", soft_wrap=True)
    for text in standing.of_sensitivity(answer, today).lines:
        console.print(escape(text), soft_wrap=True)
