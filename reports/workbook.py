"""The plan as a workbook for finance: one sheet a topic, numbers as numbers, text as text.

Text is never read as a formula or a link, whatever it begins with; the only formulas are the sums written here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import xlsxwriter
from xlsxwriter.utility import xl_rowcol_to_cell

from data.scaling_records import PoolScaling
from reports.assumptions import assumptions
from reports.bundle import PlanBundle
from reports.decision import cost_quantiles, decisions
from reports.page import banners, headline, notes
from reports.scaling import UNITS

Cell = str | float | int | None
CREATED = datetime(2000, 1, 1, tzinfo=UTC)
"""A fixed date: equal plans give equal files."""
MONEY, PLAIN, FINE = "#,##0", "#,##0.##", "0.0000"


def write_workbook(bundle: PlanBundle, path: Path) -> None:
    """decision, orders, purchases, costs, scenarios, fleet, scaling, prices, assumptions, notes."""
    options = {"strings_to_formulas": False, "strings_to_urls": False, "strings_to_numbers": False}
    book = xlsxwriter.Workbook(str(path), options)
    book.set_properties({"title": f"Fleet plan: {bundle.name}", "created": CREATED})
    try:
        _sheets(book, bundle)
    finally:
        book.close()


def _sheets(book: xlsxwriter.Workbook, bundle: PlanBundle) -> None:
    plan = bundle.plan
    bold = book.add_format({"bold": True, "text_wrap": True, "valign": "top", "bottom": 1})
    formats = {name: book.add_format({"num_format": name}) for name in (MONEY, PLAIN, FINE)}

    def sheet(
        title: str,
        head: Sequence[str],
        rows: Sequence[Sequence[Cell]],
        formatted: str = PLAIN,
        total: Sequence[int] = (),
    ) -> None:
        page = book.add_worksheet(title)
        page.freeze_panes(1, 0)
        page.set_landscape()
        page.fit_to_pages(1, 0)
        for column, name in enumerate(head):
            page.write_string(0, column, name, bold)
            longest = max([len(name) // 2, *(len(_text(row[column])) for row in rows)], default=8)
            page.set_column(column, column, min(max(longest + 2, 9), 60))
        for index, row in enumerate(rows, start=1):
            for column, value in enumerate(row):
                if isinstance(value, str):
                    page.write_string(index, column, value)
                elif value is not None and math.isfinite(value):
                    fine = any(word in head[column] for word in ("a GPU-hour", "share"))
                    page.write_number(index, column, value, formats[FINE if fine else formatted])
        if rows:
            page.autofilter(0, 0, len(rows), len(head) - 1)
        if rows and total:
            page.write_string(len(rows) + 1, 0, "Total", bold)
            for column in total:
                first, last = xl_rowcol_to_cell(1, column), xl_rowcol_to_cell(len(rows), column)
                known = sum(float(row[column] or 0.0) for row in rows)
                page.write_formula(len(rows) + 1, column, f"=SUM({first}:{last})", formats[formatted], known)

    sheet(
        "Decision",
        ("What", "Value"),
        [("Plan", headline(bundle)), *_money(bundle), *(("!", t) for t in banners(bundle))],
    )
    sheet(
        "Orders",
        (
            "Decision",
            "GPU",
            "Region",
            "Option",
            "GPUs",
            "USD a GPU-hour",
            "USD",
            "Order by",
            "Starts",
            "Regret USD",
            "Why",
        ),
        [
            (
                d.action,
                d.gpu,
                d.region,
                d.option,
                d.gpus,
                d.usd_per_gpu_h,
                d.usd,
                d.order_by,
                d.starts,
                d.regret_usd,
                d.why,
            )
            for d in decisions(bundle)
        ],
        MONEY,
    )
    sheet(
        "Purchases",
        ("GPU", "Region", "Option", "Month", "GPUs", "USD a GPU-hour", "Term, months", "USD in the horizon"),
        [
            (p.gpu, p.region, p.option, p.month, p.gpus, p.usd_per_gpu_h, p.term_months, p.usd_in_horizon)
            for p in plan.purchases
        ],
        MONEY,
        (7,),
    )
    budget = bundle.problem.budget_usd_per_month
    sheet(
        "Cost by month",
        (
            "Month", "Commitments", "On demand", "Held", "Pool starts", "API", "Cash", "of it idle", "Shed (not cash)",
            "Budget",
        ),
        [
            (
                c.month, c.committed_usd, c.on_demand_usd, c.held_usd, c.start_usd, c.api_usd, c.cash_usd, c.idle_usd,
                c.shed_usd, budget,
            )
            for c in plan.costs
        ],
        MONEY,
        (1, 2, 3, 4, 5, 6),
    )  # fmt: skip
    sheet(
        "Scenarios",
        ("Scenario", "Probability", "Cash, USD"),
        [
            (i, float(p), usd)
            for i, (p, usd) in enumerate(zip(bundle.problem.demand.probabilities, plan.scenario_usd, strict=False))
        ],
    )
    sheet(
        "Fleet",
        (
            "LLM", "GPU", "Precision", "GPUs a replica", "Region", "Month", "Steady", "Reserve", "Replicas", "GPUs",
            "Peak req/s",
        ),
        [
            (
                p.configuration.llm, p.configuration.gpu, p.configuration.precision, p.configuration.gpus, p.region,
                p.month, p.steady_replicas, sum(p.reserve.values()), p.replicas, p.gpus, p.peak_rps,
            )
            for p in plan.pools
        ],
    )  # fmt: skip
    sheet(
        "Scaling",
        (
            "LLM", "GPU", "Precision", "GPUs a replica", "Region", "Policy", "Signal", "Scale at", "Unit",
            "Least replicas", "Most replicas", "Warm reserve", "Standby nodes", "Holds the SLO", "Reaction alone holds",
            "In SLO at worst, share", "Short at worst, s", "USD a day", "USD a day, all up", "Saved a day, USD",
        ),
        [*(_scaled(one) for one in bundle.scaling), *_unscaled(bundle)],
        total=(17, 18, 19),
    )  # fmt: skip
    sheet(
        "Prices",
        ("GPU", "Region", "Option", "USD a GPU-hour", "Provider", "As of", "Kind", "Source"),
        [
            (o.gpu, o.region, o.option, o.usd_per_gpu_h, o.provider, o.source.as_of, o.quality, o.source.citation)
            for o in bundle.problem.offers
        ],
    )
    sheet(
        "Assumptions",
        ("Kind", "Name", "Value", "Unit", "As of", "Source"),
        [(a["kind"], a["name"], a["value"], a["unit"], a["as_of"], a["source"]) for a in assumptions(bundle)],
    )
    sheet("Notes", ("Note",), [(text,) for text in notes(bundle)])


def _scaled(pool: PoolScaling) -> tuple[Cell, ...]:
    """A pool's policy, what it holds, and what it costs beside replicas that are up day and night."""
    one, best, policy = pool.configuration, pool.chosen, pool.chosen.policy
    reaction = next(kind.best for kind in pool.kinds if kind.name == "reaction")
    return (
        pool.llm, one.gpu, one.precision, one.gpus, pool.region, pool.chosen_kind, policy.signal, policy.target,
        UNITS[policy.signal], policy.min_replicas, policy.max_replicas, pool.warm_reserve, policy.standby_nodes,
        "yes" if best.holds else "no", "yes" if reaction.holds else "no", best.worst_attainment, best.worst_short_s,
        best.usd_per_day, pool.fixed_usd_per_day, pool.fixed_usd_per_day - best.usd_per_day,
    )  # fmt: skip


def _unscaled(bundle: PlanBundle) -> list[tuple[Cell, ...]]:
    """Pools that do not scale: why in place of the policy, no figures."""
    found: list[tuple[Cell, ...]] = []
    places = {f"{p.configuration.label} in {p.region}: ": p for p in bundle.plan.pools}
    for text in bundle.unscaled:
        where, pool = next(((name, pool) for name, pool in places.items() if text.startswith(name)), ("", None))
        one = None if pool is None else pool.configuration
        of = (None,) * 5 if pool is None or one is None else (one.llm, one.gpu, one.precision, one.gpus, pool.region)
        found.append((*of, f"not scaled: {text.removeprefix(where)}", *(None,) * 14))
    return found


def _text(value: Cell) -> str:
    return "" if value is None else value if isinstance(value, str) else f"{value:,.0f}"


def _money(bundle: PlanBundle) -> list[tuple[Cell, Cell]]:
    found = cost_quantiles(bundle)
    budget = bundle.problem.budget_usd_per_month
    rows: list[tuple[Cell, Cell]] = [(f"Cash of the horizon, {name}, USD", value) for name, value in found.items()]
    if budget is not None:
        rows.append(("Budget of the horizon, USD", budget * len(bundle.plan.costs)))
    return rows
