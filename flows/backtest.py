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
from flows.decision import BUFFERS, RULES, Lived, Moment, Rule, carried, live, moments, remaining_usd, scaled
from flows.ledger import code_version, plain, unique_id
from flows.problem import fleet_problem
from optimizer.solve import solve

LEAST_WEEKS = 4


FACTORS = (0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95, 1.0, 1.05, 1.1, 1.15, 1.2, 1.3, 1.4, 1.5, 1.75, 2.0, 2.5, 3.0)
"""By which a rule's demand is multiplied to make it as safe as Fleetcast's plans were."""


@dataclass(frozen=True, slots=True)
class Equal:
    """A rule at the shortfall of Fleetcast's plans: the least factor on its demand, the same in every month and chosen
    in hindsight, at which it is short in no more hours and needs the reserve in no more; what it then costs. The factor
    levels what a rule adds for safety, so that costs compare how well it tells one month from another."""

    rule: str
    factor: float
    usd: float
    short_hours: int
    reserve_hours: int


@dataclass(frozen=True, slots=True)
class Backtest:
    """Every month under every rule, in the order of months; left_usd: what a rule's commitments cost after the last
    month and are assumed not to be worth (1 - residual value), as the plans themselves count it."""

    scenario: str
    rows: tuple[Lived, ...]
    left_usd: Mapping[str, float]
    notes: tuple[str, ...]
    equal: tuple[Equal, ...] = ()
    """The rules made as safe as Fleetcast's plans, and no safer, where asked for."""


def walk(
    loaded: LoadedScenario,
    history: TrafficHistory,
    capacity: CapacityTable,
    rules: Mapping[str, Rule] = RULES,
    least_weeks: int = LEAST_WEEKS,
    say: Callable[[str], None] = lambda _: None,
    every_days: int | None = None,
) -> Backtest:
    """Plans every month, or every so many days, from what was known before, by every rule, and lives through what came.

    Commitments that a rule buys are held in its later months. Raises InputError where no month has enough history.
    """
    scenario = loaded.scenario
    found = moments(history, scenario.forecast, scenario.seed, least_weeks, every_days=every_days)
    if not found:
        raise InputError(
            "backtest", f"a calendar month with {least_weeks} weeks of history before it and 7 days in it",
            "none", "Give a longer history, or a smaller --weeks.",
        )  # fmt: skip
    rows: list[Lived] = []
    holds: dict[str, tuple[HeldCommitment, ...]] = {}
    for number, moment in enumerate(found):
        for i, (name, rule) in enumerate(rules.items(), start=1):
            say(f"  plan {number * len(rules) + i} of {len(found) * len(rules)}: {moment.month}, {name}")
            row, holds[name] = _decide(loaded, moment, name, rule, capacity, holds.get(name))
            rows.append(row)
    share = 1.0 - scenario.plan.residual_value
    notes = [
        "every rule plans with the same optimizer, capacities and prices, and sees demand up to the month's start; "
        "the clairvoyant sees the month itself",
        "a plan pays for the fleet it provisions, that of its design scenario",
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


def at_equal_shortfall(
    loaded: LoadedScenario,
    history: TrafficHistory,
    capacity: CapacityTable,
    found: Backtest,
    least_weeks: int,
    say: Callable[[str], None],
    every_days: int | None = None,
) -> Backtest:
    """The backtest with every rule scaled until it is just no shorter than Fleetcast's plans were; those that no factor
    makes so are left out."""
    table = {row[0]: row for row in totals(found)}
    mine = table["fleetcast"]
    equal = []
    for name in ("fleetcast", *BUFFERS):
        low, high = 0, len(FACTORS) - 1
        best: Equal | None = None
        while low <= high:
            middle = (low + high) // 2
            say(f"  {name} x {FACTORS[middle]:g}")
            rule = {name: scaled(RULES[name], FACTORS[middle])}
            (row,) = totals(walk(loaded, history, capacity, rule, least_weeks, every_days=every_days))
            if row[3] <= mine[3] and row[3] + row[5] <= mine[3] + mine[5]:
                best, high = Equal(name, FACTORS[middle], row[1], row[3], row[5]), middle - 1
            else:
                low = middle + 1
        if best is not None:
            equal.append(best)
    return replace(found, equal=tuple(equal))


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
    loaded: LoadedScenario, data_folder: Path | None, ledger: Ledger, least_weeks: int, say: Callable[[str], None],
    every_days: int | None = None, equal: bool = False,
) -> Backtest:  # fmt: skip
    """The backtest of a scenario, recorded in the ledger."""
    say("reading traffic")
    history = steps.ingest(loaded, data_folder)
    say("evaluating configurations")
    capacity = steps.evaluate(loaded.scenario, history, loaded.base)
    say("walking history")
    found = walk(loaded, history, capacity, RULES, least_weeks, say, every_days)
    if equal:
        say("scaling every rule to the same shortfall")
        found = at_equal_shortfall(loaded, history, capacity, found, least_weeks, say, every_days)
    stamp = datetime.now(UTC)
    inputs = dict(history.inputs) | steps.catalogs(loaded)
    record(
        ledger,
        Run(
            id=unique_id(f"{found.scenario}-backtest-{stamp:%Y%m%dT%H%M%SZ}"),
            kind="backtest",
            scenario=found.scenario,
            fingerprint=provenance.fingerprint(
                loaded.scenario.model_dump(mode="json", exclude={"compute"}), inputs, provenance.versions()
            ),
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
    for buffer in found.equal:
        console.print(
            f"at fleetcast's shortfall, chosen in hindsight: {escape(buffer.rule)} x {buffer.factor:g} for "
            f"{buffer.usd:,.0f} USD ({buffer.short_hours} short h, {buffer.reserve_hours} reserve h)"
        )
    for text in found.notes:
        console.print(f"[dim]{escape(text)}[/]")
