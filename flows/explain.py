"""`fleetcast explain`: why a plan is what it is: who is served where, what each rule and limit costs, what lost."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from datetime import date
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.plan_records import FleetPlan, FleetProblem, Route
from data.records import Configuration
from reports import standing
from reports.bundle import PlanBundle
from reports.machine import plan_document

SHOWN = 24
"""Rows of a table in the terminal; --json and plan.json have all."""
KEYS = (
    "routing", "reserve_usd", "rule_prices", "binding_constraints", "marginal_costs", "conflicting_rules",
    "shortfalls", "exposures", "baselines", "stochastic", "fresh_scenarios", "rejected", "status",
)  # fmt: skip

Rows = list[tuple[str, ...]]


def routing(problem: FleetProblem, plan: FleetPlan, month: str) -> Rows:
    """A month's routes: series, pool, where, and the share and requests/s of each block."""
    design = plan.design_scenario
    m = problem.demand.months.index(month)
    wanted = {
        (key, block.name): float(problem.demand.rps[k, m, b, design])
        for k, key in enumerate(problem.demand.series)
        for b, block in enumerate(problem.demand.blocks)
    }

    def cell(one: Route, block: str) -> str:
        rps, whole = one.rps.get(block, 0.0), wanted[one.series, block]
        return f"{rps:,.3g} ({rps / whole:.0%})" if rps > 0.0 and whole > 0.0 else "-"

    return [
        (
            str(one.series), "provider's API" if one.configuration is None else _on(one.configuration),
            one.region or "-", *(cell(one, block.name) for block in problem.demand.blocks),
        )
        for one in plan.routes
        if one.month == month
    ]  # fmt: skip


def _on(one: Configuration) -> str:
    """A configuration beside a series, which names the LLM already."""
    return one.label.removeprefix(f"{one.llm} · ").replace(" · ", " ")


def _usd(value: float) -> str:
    return f"{value:,.0f}" if math.isfinite(value) else "-"


def _print(console: Console, title: str, head: Sequence[str], rows: Rows, words: int) -> None:
    """A table whose first `words` columns are text; nothing where it has no rows."""
    if not rows:
        return
    # A title of its own would be wrapped to the width of a narrow table.
    console.print(f"[bold]{escape(title)}[/]")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, name in enumerate(head):
        table.add_column(name, justify="left" if i < words else "right")
    for row in rows[:SHOWN]:
        table.add_row(*(escape(text) for text in row))
    more = f"... and {len(rows) - SHOWN} more with --json" if len(rows) > SHOWN else ""
    console.print(table, more)


def show(console: Console, bundle: PlanBundle, month: str, today: date) -> None:
    """Prints the explanation of a plan; month: the one whose routing is shown."""
    plan, problem = bundle.plan, bundle.problem
    stats = plan.stats
    console.print(
        f"[bold]{escape(bundle.name)}[/]: {stats.status}, {stats.objective_usd:,.0f} USD, proven to be within "
        f"{stats.gap:.2%} of the best ({stats.bound_usd:,.0f} USD)",
        "",
    )
    blocks = [f"{block.name} ({block.hours:,.0f} h)" for block in problem.demand.blocks]
    _print(
        console, f"Who is served where in {month}, req/s and share of the series' demand",
        ("series", "on", "in", *blocks), routing(problem, plan, month), 3,
    )  # fmt: skip
    _print(
        console, "Not served", ("series", "month", "block", "why", "what would lift it", "req/s"),
        [(str(s.series), s.month, s.block, s.cause, s.remedy, f"{s.worst_rps:,.3g}") for s in plan.shortfalls], 5,
    )  # fmt: skip
    _print(
        console, "Not served when a region is lost",
        ("series", "if lost", "month", "block", "why", "what would lift it", "req/s"),
        [(str(e.series), e.lost_region, e.month, e.block, e.cause, e.remedy, f"{e.worst_rps:,.3g}")
         for e in plan.exposures], 6,
    )  # fmt: skip
    if plan.conflict:
        console.print(f"Rules that cannot be kept together with the promise: {escape(', '.join(plan.conflict))}", "")
    reserves: Rows = [(name, _usd(usd)) for name, usd in plan.reserve_usd.items()]
    _print(console, "Reserves, GPU-hours over the horizon at the cheapest price", ("reserve", "USD"), reserves, 1)
    prices: Rows = [(one.rule, _usd(one.usd)) for one in plan.rule_prices]
    _print(console, "What each rule costs over the horizon: the plan with it, less the plan without", ("rule", "USD"),
           prices, 1)  # fmt: skip
    limits: Rows = [
        (one.name, one.where, f"{one.limit:,.4g} {one.unit}", _usd(one.shadow_usd_per_unit)) for one in plan.binding
    ]
    _print(console, "Limits that cost money", ("limit", "where", "is", "USD for one more"), limits, 3)
    margins: Rows = [(one.where, f"{one.mean:,.3g}", _usd(one.usd_per_unit)) for one in plan.marginal]
    _print(
        console, "One more req/s of mean demand, as demand is spread now", ("series", "req/s now", "USD"), margins, 1
    )
    simpler: Rows = [
        (one.name, _usd(one.objective_usd), f"{one.saving:.1%}")
        if one.serves_promise
        else (one.name, "breaks the promise", "-")
        for one in plan.baselines
    ]
    _print(console, "Simpler rules on the same problem", ("rule", "USD", "saved by the plan"), simpler, 1)
    _print(console, "Why the others lost", ("configuration", "class", "why"), _lost(plan), 3)
    if plan.stochastic is not None:
        worth = plan.stochastic
        console.print(
            f"Committing with all scenarios in view instead of their mean is worth {worth.value_usd:,.0f} USD "
            f"({worth.mean_demand_usd:,.0f} against {worth.recourse_usd:,.0f})",
            "",
        )
    for text in plan.notes:
        console.print(f"[dim]{escape(text)}[/]")
    for text in standing.of_plan(bundle, today).lines:
        console.print(escape(text), soft_wrap=True)


def _lost(plan: FleetPlan) -> Rows:
    """Every configuration that is not in the plan, once, with its reason for each class."""
    found: dict[tuple[str, str], list[str]] = {}
    for one in plan.rejected:
        where = f" (in {one.region})" if one.region else ""
        found.setdefault((one.configuration.label, f"{one.excuse}{where}"), []).append(one.request_class)
    return [(label, ", ".join(dict.fromkeys(classes)), why) for (label, why), classes in found.items()]


def as_json(bundle: PlanBundle, today: date) -> str:
    """The same for machines, all rows, as they stand in plan.json, and what stands under every answer."""
    document: dict[str, Any] = plan_document(bundle)
    told = {key: document[key] for key in KEYS} | standing.of_plan(bundle, today).document
    return json.dumps(told, indent=2, ensure_ascii=False, allow_nan=False) + "\n"
