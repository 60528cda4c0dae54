"""A plan's sensitivity in the terminal."""

from __future__ import annotations

from rich.console import Console
from rich.markup import escape

from data.sensitivity_records import Sensitivity
from flows.show import _table
from reports import sensitivity_tables as tables


def show_sensitivity(console: Console, answer: Sensitivity) -> None:
    """Range, tornado, scenarios, decisions and run-out dates."""
    console.print(f"[bold]{escape(tables.headline(answer))}[/]", "")
    head = ("variable", "5 %", "95 %", "cost at 5 %", "at 95 %", "short", "short", "changes the decision")
    console.print(_table("One variable at a time", head, tables.bars(answer), {1, 2, 3, 4, 5, 6}), "")
    named = [row[:5] for row in tables.scenarios(answer)]
    console.print(
        _table("Scenarios", ("scenario", "cash USD", "cost USD", "short", "best decision"), named, {1, 2, 3}), ""
    )
    head = ("decision", "cost USD", "cash USD", "short", "regret", "95 %", "largest", "best in")
    console.print(_table("Decisions on the same draws", head, tables.options(answer), {1, 2, 3, 4, 5, 6, 7}), "")
    cells = ("GPU", "region", "median", "95 %", "committed", "quota", "out, median", "out, 95 %", "chance")
    console.print(
        _table("GPUs needed at the end, and when quotas run out", cells, tables.cells(answer), {2, 3, 4, 5, 8}), ""
    )
    for name, value in tables.facts(answer):
        console.print(f"{escape(name)}: {escape(value)}", soft_wrap=True)
    oldest = [one for one in answer.ages if one.days is not None][:1]
    undated = sum(one.days is None for one in answer.ages)
    if oldest:
        more = f"; {undated} undated" if undated else ""
        console.print(
            f"Oldest assumption: {oldest[0].days} days ({escape(oldest[0].source.citation)}){more}", soft_wrap=True
        )
