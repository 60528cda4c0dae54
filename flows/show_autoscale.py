"""Scaling in the terminal: the choice for every pool, then why, pool by pool."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from rich.console import Console
from rich.markup import escape

from data.scaling_records import PoolScaling
from flows.show import _table
from reports import scaling, standing


def show_autoscale(console: Console, pools: Sequence[PoolScaling], today: date, unscaled: Sequence[str] = ()) -> None:
    """The table of choices, then for each pool the statement, the kinds and the days; then what does not scale."""
    numbers = set(scaling.POOL_NUMBERS)
    console.print(_table("Scaling", scaling.POOL_HEAD, scaling.pool_rows(pools), numbers), "")
    for pool in pools:
        console.print(f"[bold]{escape(pool.configuration.label)}[/], {escape(pool.region)}")
        console.print(escape(pool.statement))
        rows = scaling.kind_rows(pool)
        console.print(_table("Best of every kind", scaling.KIND_HEAD, rows, set(range(2, len(scaling.KIND_HEAD)))))
        days = scaling.trace_rows(pool.chosen)
        console.print(_table("The chosen policy", scaling.TRACE_HEAD, days, set(range(1, len(scaling.TRACE_HEAD)))), "")
        console.print(
            f"[dim]{pool.policies} policies on {len(pool.chosen.verdicts)} days; {escape(pool.method)}; start-up "
            f"{pool.start_up.cold_s:.0f} s (node {pool.start_up.node_s:.0f}, image {pool.start_up.image_s:.0f}, weights"
            f" {pool.start_up.weights_s:.0f}, warm-up {pool.start_up.warm_up_s:.0f})[/]",
            "",
        )
    for text in unscaled:
        console.print(f"Not scaled: {escape(text)}", soft_wrap=True)
    for text in standing.of_scaling(pools, today).lines:
        console.print(escape(text), soft_wrap=True)
