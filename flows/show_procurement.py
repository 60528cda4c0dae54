"""Procurement in the terminal: orders with their deadline and regret, commitments, and what runs out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.table import Table

from data.procurement_records import Order, Procurement, RunOut
from data.scenario_records import SampleCheck
from reports.fleet_tables import used_words

Make = Callable[[str, Sequence[str], Sequence[Sequence[str]], set[int]], Table]
SHOWN = 12


def _usd(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "no other supply"


def _order(one: Order) -> tuple[str, ...]:
    return (
        one.action, one.gpu, one.region, one.option, f"{one.gpus:,}", one.starts, one.order_by,
        f"{one.usd_per_gpu_h:.2f}", _usd(one.regret_usd), one.reason,
    )  # fmt: skip


def _running_out(one: RunOut) -> str:
    what = "quota" if one.limit == "quota" else "held commitment"
    when = " at the growth of the horizon" if one.extrapolated else ""
    return (
        f"{one.gpu} in {one.region}: the {what} of {one.limit_gpus:,} GPUs runs out in {one.month}{when} "
        f"({one.used_gpus:,} GPUs)"
    )


def procurement_tables(found: Procurement, make: Make) -> list[Table | str]:
    """What `fleetcast plan` prints of the procurement view; make(title, head, rows, numeric columns) draws a table."""
    shown: list[Table | str] = []
    orders = [one for one in found.orders if one.gpus]
    head = ("", "GPU", "region", "option", "GPUs", "starts", "order by", "USD/GPU-h", "regret USD", "why")
    if orders:
        shown.append(make("Procurement", head, [_order(one) for one in orders[:SHOWN]], {4, 7, 8}))
        if len(orders) > SHOWN:
            shown.append(f"... and {len(orders) - SHOWN} more in plan.json")
    if any(one.action == "buy" for one in orders):
        what = f"costs {found.wait_usd:,.0f} USD" if math.isfinite(found.wait_usd) else "leaves replicas without GPUs"
        shown.append(f"Ordering nothing this month {what} (regret: what the same replicas cost without the order).")
    held = [one for one in found.commitments if one.option == "held"]
    if held:
        rows = [
            (
                one.gpu, one.region, f"{one.gpus:,}", one.expires, used_words(one.utilisation),
                "after the horizon" if one.needed_after is None else f"{one.needed_after:,}", one.renew_by,
            )
            for one in held[:SHOWN]
        ]  # fmt: skip
        title = ("GPU", "region", "GPUs", "expires", "used", "GPUs needed then", "renew by")
        shown.append(make("Commitments held", title, rows, {2, 4, 5}))
    outs = [_running_out(one) for one in found.run_outs]
    if outs:
        shown.append("\n".join(["Running out:", *(f"  {text}" for text in outs[:SHOWN])]))
    return shown


def sample_line(found: SampleCheck) -> str:
    """The plan in fresh scenarios, in one line."""
    return (
        f"In {found.scenarios:,} fresh scenarios: cash {found.p05_usd:,.0f} to {found.p95_usd:,.0f} USD (5 % to 95 %); "
        f"the reserve is needed in {found.months_over:.1%} of months (stated risk {found.stated_risk:.0%}), "
        f"protected load is lost in {found.months_short:.1%}, {found.hours_short_per_month:.2g} h a month"
    )
