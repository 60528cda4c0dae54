"""The full cost of a plan as tables of text, plain data and frames."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any

import pandas as pd

from data.cost_records import CostLine, CostReport

Rows = list[tuple[str, ...]]
ORDER = (
    "compute", "power and cooling", "storage", "network", "provider API", "tool API", "observability", "evaluation",
    "engineering", "pool start",
)  # fmt: skip
UNITS = ("a request", "a successful task", "a million input tokens", "a million output tokens")
"""Columns of the table of unit costs; see `cost.units`."""


def _money(value: float) -> str:
    return f"{value:,.0f}"


def _unit_price(value: float) -> str:
    return f"{value:.4g}" if value < 0.01 else f"{value:,.4f}" if value < 1 else f"{value:,.2f}"


def _name(line: CostLine) -> tuple[str, str, str]:
    return line.item, line.option.replace("_", "-"), line.purpose


def by_item(report: CostReport) -> Rows:
    """Item, purchase option, purpose, USD over the horizon, share of the bill, source and date; reserves and idle
    commitments on rows of their own."""
    groups: dict[tuple[str, str, str], list[CostLine]] = {}
    for line in report.lines:
        groups.setdefault(_name(line), []).append(line)
    total = report.usd
    rows: Rows = []
    for key in sorted(groups, key=lambda one: (ORDER.index(one[0]), one[1:])):
        lines = groups[key]
        usd = math.fsum(line.usd for line in lines)
        sources = sorted({line.source.citation for line in lines})
        dates = sorted({line.source.as_of for line in lines})
        more = f" and {len(sources) - 1} more" if len(sources) > 1 else ""
        rows.append((*key, _money(usd), f"{usd / total:.1%}", ", ".join(dates), sources[0] + more))
    rows.append(("total", "", "", _money(total), "100.0%", "", ""))
    return rows


def brief(report: CostReport) -> Rows:
    """Item or purpose and USD, as few rows as a terminal shows: idle and all reserves each on their own."""
    usd: dict[str, float] = {}
    for line in report.lines:
        what = f"{line.item}: {line.purpose}" if line.purpose not in ("", "steady") else line.item
        usd[what] = usd.get(what, 0.0) + line.usd
    ranked = sorted(usd.items(), key=lambda one: -one[1])
    return [(what, _money(amount), f"{amount / report.usd:.1%}") for what, amount in ranked]


def attributed(report: CostReport) -> Rows:
    """Product, tenant, LLM, class; own, shared and idle cost over the horizon."""
    sums: dict[tuple[str, ...], list[float]] = {}
    for one in report.attribution:
        mine = sums.setdefault((one.product, one.tenant, one.llm, one.request_class), [0.0, 0.0, 0.0])
        for i, value in enumerate((one.direct_usd, one.shared_usd, one.idle_usd)):
            mine[i] += value
    ranked = sorted(sums.items(), key=lambda one: -sum(one[1]))
    return [(*key, *(_money(value) for value in mine), _money(sum(mine))) for key, mine in ranked]


def units(report: CostReport) -> Rows:
    """LLM, class, USD of each of UNITS, and everything a unit cost is not stated without; equal ones share a row."""
    found: dict[tuple[str, ...], dict[str, float]] = {}
    for one in report.units:
        key = (one.llm, one.request_class, one.region, one.period, one.as_of, one.success_criterion)
        found.setdefault(key, {})[one.unit] = one.usd
    return [
        (*key[:2], *(_unit_price(usd[unit]) if unit in usd else "" for unit in UNITS), *key[2:])
        for key, usd in found.items()
    ]


def assumptions(report: CostReport) -> Rows:
    """Name, value, unit, date and source."""
    return [
        (name.replace("_", " "), f"{value:g}", unit, source.as_of, source.citation)
        for name, (value, unit, source) in report.assumptions.items()
    ]


def cost_tables(report: CostReport) -> dict[str, Rows]:
    """What templates/_costs.html.j2 shows."""
    return {
        "by_item": by_item(report), "attributed": attributed(report), "units": units(report),
        "assumptions": assumptions(report),
    }  # fmt: skip


def cost_document(report: CostReport) -> dict[str, Any]:
    """The report as plain data."""
    return {
        "usd": report.usd,
        "currency": "USD",
        "lines": [asdict(line) for line in report.lines],
        "attribution": [asdict(one) | {"usd": one.usd} for one in report.attribution],
        "unit_costs": [asdict(one) for one in report.units],
        "mixes": [{"llm": llm, "request_class": name} | asdict(mix) for (llm, name), mix in report.mixes.items()],
        "assumptions": [
            {"name": name, "value": value, "unit": unit, "source": asdict(source)}
            for name, (value, unit, source) in report.assumptions.items()
        ],
    }


def cost_frames(report: CostReport) -> dict[str, pd.DataFrame]:
    """cost_lines and attribution, one row a record."""
    lines = [
        {key: value for key, value in asdict(line).items() if key != "source"}
        | {"source": line.source.citation, "source_date": line.source.as_of}
        for line in report.lines
    ]
    return {
        "cost_lines": pd.DataFrame(lines),
        "attribution": pd.DataFrame([asdict(one) | {"usd": one.usd} for one in report.attribution]),
    }
