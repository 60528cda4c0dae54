"""What if: the last plan's own traffic, forecast and capacities, something changed, and the fleet solved again."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.changes import Setting, changed, nearest, read_setting
from configs.errors import InputError
from data.forecast_records import Forecast
from data.plain import finite
from data.plan_records import FleetPlan, FleetProblem
from data.records import Offer
from data.scenario_names import check_names
from flows import steps
from flows.changes import compare
from flows.lengths import at_forecast_lengths
from flows.problem import fleet_problem
from flows.progress import report
from optimizer.solve import solve
from reports import standing
from reports.bundle import PlanBundle
from reports.machine import plan_document


@dataclass(frozen=True, slots=True)
class WhatIf:
    """The plan as it was and as it would be, and what was computed again for it."""

    run: str
    settings: tuple[str, ...]
    before: PlanBundle
    after: PlanBundle
    again: tuple[str, ...]


def what_if(folder: Path, bundle: PlanBundle, texts: Sequence[str], seconds: float) -> WhatIf:
    """Solves the fleet of a run again with settings changed; only what they touch is computed again.

    The changed plan is not replayed. Raises InputError for a path or value that the schema does not have.
    """
    settings = [read_setting(text) for text in texts]
    growth = [one for one in settings if _is_growth(one)]
    prices = [one for one in settings if one.path[0] == "prices"]
    rest = [one for one in settings if one not in growth and one not in prices]
    scenario = changed(bundle.scenario, rest)
    check_names(scenario)
    if scenario.traffic.series != bundle.scenario.traffic.series:
        raise InputError(
            "--set traffic.series",
            "a change to the plan, not to the history it was made from",
            "another history",
            "Change the scenario file and run `fleetcast plan`.",
        )
    forecast, capacity, again = bundle.forecast, bundle.capacity, []
    # Checked before anything is computed: a wrong name is answered at once.
    _check_growth(bundle, growth)
    if scenario.forecast != bundle.scenario.forecast:
        report("forecasting demand")
        again.append("forecast")
        forecast = steps.forecast(scenario, bundle.history)
    slos = {name: one.slo for name, one in scenario.traffic.classes.items()}
    if scenario.evaluate != bundle.scenario.evaluate or slos != {
        name: one.slo for name, one in bundle.scenario.traffic.classes.items()
    }:
        report("evaluating configurations")
        again.append("capacity")
        capacity = steps.evaluate(scenario, at_forecast_lengths(bundle.history, forecast))
    for one in growth:
        forecast = _grown(forecast, nearest(one, one.path[1], list(scenario.traffic.classes)), one.factor())
    problem = fleet_problem(scenario, forecast, capacity)
    problem = replace(problem, offers=_priced(problem.offers, prices), time_limit_s=min(seconds, problem.time_limit_s))
    report("planning the fleet")
    again.append("fleet")
    plan = solve(problem, report)
    after = replace(
        bundle, scenario=scenario, forecast=forecast, capacity=capacity, problem=problem, plan=plan,
        provenance=dict(bundle.provenance) | {"fingerprint": "what-if"},
    )  # fmt: skip
    return WhatIf(folder.name, tuple(texts), bundle, after, tuple(again))


def _is_growth(one: Setting) -> bool:
    return one.path[0] == "classes" and len(one.path) == 3 and one.path[2] == "growth"


def _check_growth(bundle: PlanBundle, growth: Sequence[Setting]) -> None:
    with_traffic = sorted({key.request_class for key in bundle.problem.demand.series})
    for one in growth:
        nearest(one, one.path[1], with_traffic)
        one.factor()


def _grown(forecast: Forecast, name: str, factor: float) -> Forecast:
    """Demand of a class times a factor, in the scenarios of the plan and in the forecast that is told."""
    demand = forecast.demand
    rps = demand.rps.copy()
    for i, key in enumerate(demand.series):
        if key.request_class == name:
            rps[i] *= factor
    series = tuple(
        replace(
            one, hourly=one.hourly * factor, monthly_total=one.monthly_total * factor,
            monthly_peak_hour=one.monthly_peak_hour * factor,
        )
        if one.key.request_class == name
        else one
        for one in forecast.series
    )  # fmt: skip
    return replace(forecast, series=series, demand=replace(demand, rps=rps))


def _priced(offers: Sequence[Offer], settings: Sequence[Setting]) -> tuple[Offer, ...]:
    """Offers with their prices set: prices.GPU, prices.GPU.OPTION or prices.GPU.OPTION.REGION."""
    found = list(offers)
    for one in settings:
        if not 2 <= len(one.path) <= 4:
            raise InputError(
                f"--set {one.text}", "prices.GPU, prices.GPU.OPTION or prices.GPU.OPTION.REGION",
                ".".join(one.path), "Write e.g. --set prices.h100.on_demand=-15%.",
            )  # fmt: skip
        mine = range(len(found))
        for part, field in zip(one.path[1:], ("gpu", "option", "region"), strict=False):
            names = sorted({str(getattr(found[i], field)) for i in mine})
            wanted = nearest(one, part, names)
            mine = [i for i in mine if getattr(found[i], field) == wanted]  # type: ignore[assignment]
        for i in mine:
            found[i] = replace(found[i], usd_per_gpu_h=one.applied(found[i].usd_per_gpu_h), note="what if")
    return tuple(found)


def difference(found: WhatIf) -> tuple[str, ...]:
    """What the plan would say otherwise."""
    return compare(plan_document(found.before), plan_document(found.after), ())


def _untried(after: PlanBundle) -> PlanBundle:
    """Without what was found for the plan before: fresh scenarios that the changed plan was not tried on."""
    return replace(after, plan=replace(after.plan, sample=None))


def _figures(problem: FleetProblem, plan: FleetPlan) -> dict[str, float]:
    months: dict[str, int] = {}
    for pool in plan.pools:
        months[pool.month] = months.get(pool.month, 0) + pool.gpus
    return {
        "cash_usd": sum(one.cash_usd for one in plan.costs),
        "largest_month_gpus": max(months.values(), default=0),
        "committed_gpus": sum(one.gpus for one in plan.purchases if one.term_months),
        "short_blocks": len(plan.shortfalls),
        "gap": plan.stats.gap,
    }


def as_json(found: WhatIf, today: date) -> str:
    """Figures before and after, the lines of the difference, the changed plan's purchases and pools, and what stands
    under every answer."""
    document: dict[str, Any] = plan_document(found.after)
    told = {
        "run": found.run,
        "set": list(found.settings),
        "computed_again": list(found.again),
        "before": _figures(found.before.problem, found.before.plan),
        "after": _figures(found.after.problem, found.after.plan),
        "changes": list(difference(found)),
        "purchases": document["purchases"],
        "pools": document["pools"],
        "shortfalls": document["shortfalls"],
        "exposures": document["exposures"],
    } | standing.of_plan(_untried(found.after), today).document
    return json.dumps(finite(told), indent=2, allow_nan=False) + "\n"


LABELS = {
    "cash_usd": "cash of the horizon, USD",
    "largest_month_gpus": "GPUs in the largest month",
    "committed_gpus": "GPUs committed to",
    "short_blocks": "blocks with demand not served",
}
SHOWN = 20


def show(console: Console, found: WhatIf, today: date) -> None:
    """Before, after and difference."""
    console.print(f"[bold]What if[/] {escape(', '.join(found.settings))} [dim](from {escape(found.run)})[/]")
    before, after = (_figures(one.problem, one.plan) for one in (found.before, found.after))
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("", "plan", "what if", "difference"):
        table.add_column(name, justify="right" if name else "left")
    for key, label in LABELS.items():
        share = f" ({after[key] / before[key] - 1:+.1%})" if before[key] else ""
        table.add_row(label, f"{before[key]:,.0f}", f"{after[key]:,.0f}", f"{after[key] - before[key]:+,.0f}{share}")
    console.print(table)
    for text in found.after.broken:
        console.print(f"[yellow]![/] {escape(text)}", soft_wrap=True)
    lines = difference(found)
    for text in lines[:SHOWN]:
        console.print(f"  {escape(text)}", soft_wrap=True)
    if len(lines) > SHOWN:
        console.print(f"  ... and {len(lines) - SHOWN} more with --json")
    for one in found.after.plan.shortfalls[:5]:
        console.print(f"[yellow]![/] {escape(str(one.series))} {one.month} short: {escape(one.cause)}", soft_wrap=True)
    console.print(
        f"[dim]Computed again: {', '.join(found.again)}; gap {after['gap']:.2%}; not replayed. To decide on it, change "
        "the scenario file and run `fleetcast plan`.[/]"
    )
    for text in standing.of_plan(_untried(found.after), today).lines:
        console.print(escape(text), soft_wrap=True)
