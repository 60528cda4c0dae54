"""`fleetcast backtest`: the whole decision, month by month, as it would have been made, beside three other rules."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.errors import InputError
from configs.loading import LoadedScenario
from data.forecast_records import Forecast
from data.history import TrafficHistory
from data.ledger.connect import Ledger
from data.ledger.content import canonical
from data.ledger.records import Entry, Run
from data.ledger.store import record
from data.plan_records import HeldCommitment
from data.records import CapacityTable
from flows import provenance, steps
from flows.decision import RULES, Lived, Moment, Rule, carried, live, moments, remaining_usd
from flows.ledger import code_version, plain, unique_id
from flows.problem import fleet_problem
from optimizer.solve import solve

LEAST_WEEKS = 4


@dataclass(frozen=True, slots=True)
class Backtest:
    """Every month under every rule, in the order of months; left_usd: what a rule's commitments cost after the last
    month and are assumed not to be worth (1 - residual value), as the plans themselves count it."""

    scenario: str
    rows: tuple[Lived, ...]
    left_usd: Mapping[str, float]
    notes: tuple[str, ...]


def walk(
    loaded: LoadedScenario,
    history: TrafficHistory,
    capacity: CapacityTable,
    rules: Mapping[str, Rule] = RULES,
    least_weeks: int = LEAST_WEEKS,
    say: Callable[[str], None] = lambda _: None,
) -> Backtest:
    """Plans every month from what was known before it, by every rule, and lives through what came.

    Commitments that a rule buys are held in its later months. Raises InputError where no month has enough history.
    """
    scenario = loaded.scenario
    found = moments(history, scenario.forecast, scenario.seed, least_weeks)
    if not found:
        raise InputError(
            "backtest", f"a calendar month with {least_weeks} weeks of history before it and 7 days in it",
            "none", "Give a longer history, or a smaller --weeks.",
        )  # fmt: skip
    rows: list[Lived] = []
    holds: dict[str, tuple[HeldCommitment, ...]] = {}
    for moment in found:
        for name, rule in rules.items():
            say(f"{moment.month}: {name}")
            row, holds[name] = _decide(loaded, moment, name, rule, capacity, holds.get(name))
            rows.append(row)
    share = 1.0 - scenario.plan.residual_value
    notes = [
        "every rule plans with the same optimizer, capacities and prices, and sees demand up to the month's start; "
        "the clairvoyant sees the month itself",
        "every plan keeps a reserve for failures; a rule that eats into it (reserve h) can cost less than the "
        "clairvoyant, who does not",
        "a load above steady and reserve replicas is short; it is the hour's mean times the burst factor",
        "costs include the share of commitments after the last month that plans assume to be lost "
        f"({share:.0%} of their price)",
        "today's prices, catalogs and token lengths are used in every month",
    ]
    notes += [
        f"{m.month}: {_seen(m)} of {m.hours} hours observed; costs are counted for these"
        for m in found
        if _seen(m) < m.hours
    ]
    left = {name: share * remaining_usd(holds[name], found[-1].month) for name in rules}
    return Backtest(scenario.name, tuple(rows), left, tuple(notes))


def _seen(moment: Moment) -> int:
    return max(int((~np.isnan(real)).sum()) for real in moment.actual.values())


def _decide(
    loaded: LoadedScenario,
    moment: Moment,
    name: str,
    rule: Rule,
    capacity: CapacityTable,
    held: tuple[HeldCommitment, ...] | None,
) -> tuple[Lived, tuple[HeldCommitment, ...]]:
    """One month by one rule, and the commitments that it leaves; held None: those of the scenario."""
    demand = rule(moment)
    problem = fleet_problem(loaded.scenario, Forecast((), demand, moment.month), capacity)
    problem = problem if held is None else replace(problem, held=held)
    plan = solve(problem)
    return live(moment, name, problem, plan), carried(plan, problem.held)


def backtest(
    loaded: LoadedScenario, data_folder: Path | None, ledger: Ledger, least_weeks: int, say: Callable[[str], None]
) -> Backtest:
    """The backtest of a scenario, recorded in the ledger."""
    say("reading traffic")
    history = steps.ingest(loaded, data_folder)
    say("evaluating configurations")
    capacity = steps.evaluate(loaded.scenario, history, loaded.base)
    found = walk(loaded, history, capacity, RULES, least_weeks, say)
    stamp = datetime.now(UTC)
    inputs = dict(history.inputs) | steps.catalogs(loaded)
    record(
        ledger,
        Run(
            id=unique_id(f"{found.scenario}-backtest-{stamp:%Y%m%dT%H%M%SZ}"),
            kind="backtest",
            scenario=found.scenario,
            fingerprint=provenance.fingerprint(loaded.scenario.model_dump(mode="json"), inputs, provenance.versions()),
            issued_from=found.rows[-1].month,
            entries=(
                Entry("config", loaded.file.name, loaded.file.read_bytes()),
                Entry("code", "versions", code_version()),
                Entry("result", "backtest.json", backtest_json(found).encode()),
                *(Entry("input", name, canonical({"sha256": key})) for name, key in inputs.items()),
            ),
        ),
    )
    return found


def backtest_json(found: Backtest) -> str:
    """The backtest for machines."""
    return json.dumps(plain(asdict(found)), indent=2) + "\n"


def totals(found: Backtest) -> list[tuple[str, float, float, int, int, int, float, int]]:
    """By rule: USD with what commitments leave, over the clairvoyant, short hours and months, reserve hours,
    share unserved, GPUs."""
    by_rule: dict[str, list[Lived]] = {}
    for one in found.rows:
        by_rule.setdefault(one.rule, []).append(one)
    best = sum(one.usd for one in by_rule.get("clairvoyant", [])) + found.left_usd.get("clairvoyant", 0.0)
    rows = []
    for name, lived in by_rule.items():
        usd = sum(one.usd for one in lived) + found.left_usd[name]
        requests = sum(one.requests for one in lived)
        rows.append(
            (
                name, usd, usd / best - 1.0 if best > 0 else float("nan"), sum(one.short_hours for one in lived),
                sum(one.short_hours > 0 for one in lived),
                sum(one.reserve_hours for one in lived),
                sum(one.unserved_requests for one in lived) / requests if requests else 0.0,
                round(sum(one.gpus for one in lived) / len(lived)),
            )
        )  # fmt: skip
    return rows


def show_backtest(console: Console, found: Backtest) -> None:
    """A backtest in the terminal."""
    months = sorted({one.month for one in found.rows})
    console.print(f"[bold]{escape(found.scenario)}[/]: {len(months)} months, {months[0]} to {months[-1]}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for i, name in enumerate(
        ("rule", "USD", "over clairvoyant", "short h", "months short", "reserve h", "unserved", "GPUs")
    ):
        table.add_column(name, justify="right" if i else "left")
    for name, usd, over, short, bad, reserve, unserved, gpus in totals(found):
        counts = (str(short), str(bad), str(reserve))
        table.add_row(escape(name), f"{usd:,.0f}", f"{over:+.1%}", *counts, f"{unserved:.4%}", str(gpus))
    console.print(table)
    by_month = Table(box=None, pad_edge=False, header_style="dim")
    for i, name in enumerate(("month", "rule", "USD", "GPUs", "short h", "reserve h", "status")):
        by_month.add_column(name, justify="right" if 1 < i < 6 else "left")
    for one in found.rows:
        by_month.add_row(
            one.month, escape(one.rule), f"{one.usd:,.0f}", str(one.gpus), str(one.short_hours),
            str(one.reserve_hours), one.status,
        )  # fmt: skip
    console.print("", by_month)
    for text in found.notes:
        console.print(f"[dim]{escape(text)}[/]")
