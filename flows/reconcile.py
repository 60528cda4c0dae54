"""`fleetcast reconcile`: what was said against what happened, recorded, with corrections for someone to review."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import numpy as np

from data.actuals import overlaid_series
from data.actuals_goodput import MeasuredGoodput
from data.ledger import read
from data.ledger.connect import Ledger
from data.ledger.content import canonical, sha256
from data.ledger.records import HOUR, Actual, Correction, Entry, Run, Vintage
from data.ledger.store import ID_DIGITS, record
from data.records import FloatArray, SeriesKey
from flows.corrections import in_force
from flows.evidence import Evidence, gather, measured_goodput, measured_mix, uncounted
from flows.ledger import code_version, plain, unique_id
from flows.misses import Happened, Part, cost_miss, short_miss
from flows.recorded import RecordedPlan, api_limits, load_plan, plan_of_month, plan_pools, stale, which_scenario
from reconcile.attribution import Waterfall
from reconcile.capacity import CapacityScore, by_api, capacity_score, supply
from reconcile.corrections import ended, propose
from reconcile.expected import expected
from reconcile.fleet import Reconciliation, reconcile_fleet
from reconcile.standing import corrected, holding
from reconcile.tenants import TenantMiss, TenantMonth, tenant_misses, tenant_months


@dataclass(frozen=True, slots=True)
class MonthCost:
    """Cost of a month, US dollars: planned for the whole month, and billed (NaN where there is no bill)."""

    month: str
    planned_usd: float
    billed_usd: float
    run_id: str


@dataclass(frozen=True, slots=True)
class Reconciled:
    """Everything a reconciliation found; `run_id` is its record in the ledger."""

    run_id: str
    scenario: str
    errors: Reconciliation
    capacity: tuple[CapacityScore, ...]
    costs: tuple[MonthCost, ...]
    waterfalls: tuple[Waterfall, ...]
    goodput: tuple[tuple[MeasuredGoodput, float], ...]
    tenants: tuple[TenantMiss, ...]
    tenant_months: tuple[TenantMonth, ...]
    proposals: Mapping[str, Correction]
    stale: tuple[str, ...]
    notes: tuple[str, ...]

    @property
    def alarming(self) -> bool:
        """Whether someone should look: drift at alarm, or a month with hours short."""
        return any(one.drift.severity == "alarm" for one in self.errors.series) or any(
            one.short_hours for one in self.capacity
        )


Source = Iterator[tuple[SeriesKey, tuple[Vintage, ...], Actual | None]]


@dataclass(slots=True)
class Heard:
    """What is kept of a ledger read once: actuals by series, the vintages of series whose tenants are known, and actual
    and planned requests by (run, month), LLM and class over the hours that were observed."""

    actuals: dict[SeriesKey, Actual]
    said: dict[SeriesKey, tuple[Vintage, ...]]
    volumes: dict[tuple[str, str], dict[Part, FloatArray]]

    def spoke(self, month: str) -> set[str]:
        """Runs whose forecasts reach into a month."""
        return {run for run, known in self.volumes if known == month}


def listening(
    source: Source, new: Mapping[SeriesKey, Actual], heard: Heard, shared: Collection[SeriesKey] = ()
) -> Source:
    """What the ledger knows with what was just heard on top, noted in `heard` as it passes; vintages of `shared`
    series are kept."""
    for key, vintages, old in source:
        if key in shared:
            heard.said[key] = vintages
        actual = overlaid_series(old, new.get(key))
        if actual is not None:
            heard.actuals[key] = actual
            for one in vintages:
                _note_volume(heard, one, actual)
        yield key, vintages, actual


def _note_volume(heard: Heard, one: Vintage, actual: Actual) -> None:
    stop = one.first_hour + len(one.hourly) * HOUR
    real = actual.between(one.first_hour, stop)
    said = np.where(np.isnan(real), 0.0, expected(one))
    month = (one.first_hour + np.arange(len(real)) * HOUR).astype("datetime64[M]")
    edges = np.flatnonzero(np.diff(month.astype(np.int64), prepend=-(10**6)))
    sums = np.add.reduceat(np.stack([np.nan_to_num(real), said]), edges, axis=1)
    for i, edge in enumerate(edges):
        place = one.run_id, str(month[edge])
        known = heard.volumes.setdefault(place, {})
        part = one.key.llm, one.key.request_class
        known[part] = known.get(part, np.zeros(2)) + sums[:, i]


def month_hours(actual: Actual, month: str) -> FloatArray:
    """Requests of a calendar month, NaN where not observed."""
    start = np.datetime64(month, "M")
    return actual.between(start.astype("datetime64[h]"), (start + np.timedelta64(1, "M")).astype("datetime64[h]"))


def observed_months(actuals: Mapping[SeriesKey, Actual]) -> tuple[str, ...]:
    """Months of which some hour was observed."""
    found: set[str] = set()
    for one in actuals.values():
        first, last = one.first_hour.astype("datetime64[M]"), (one.end - HOUR).astype("datetime64[M]")
        found |= {str(month) for month in np.arange(first, last + np.timedelta64(1, "M"))}
    return tuple(sorted(found))


def reconcile(
    ledger: Ledger,
    scenario: str,
    evidence: Evidence,
    today: date | None = None,
) -> Reconciled:
    """Joins every vintage of a scenario with what happened, finds and attributes the errors, proposes corrections, and
    records all of it with the actuals in one transaction."""
    new = {one.key: one for one in evidence.traffic.series}
    known = read.series_of(ledger, scenario)
    plans = read.plan_corrections(ledger, scenario)
    accepted = in_force(ledger, scenario).lines
    heard = Heard({}, {}, {})
    shared = {key for key, _ in evidence.traffic.tenants}
    source = listening(read.said_and_done(ledger, scenario), new, heard, shared)
    last = load_plan(ledger, read.runs(ledger, scenario, "plan")[-1].id)
    classes = last.scenario.traffic.classes
    tenants = {name: one.tenant for name, one in classes.items() if one.tenant is not None}
    found = reconcile_fleet(source, corrected(accepted, known, plans), tenants)
    actuals = heard.actuals
    notes = [f"{key}: in the actuals, but no vintage speaks of it" for key in new if key not in set(known)]
    notes += [f"{key}: no actuals for its vintages" for key in found.without]
    notes += [*ended(found), *uncounted(last, evidence.traffic)]
    mixes, works = measured_mix(last, evidence.traffic)
    goodputs, pairs, goodput, available = measured_goodput(last, evidence.goodput)

    capacity: list[CapacityScore] = []
    costs: list[MonthCost] = []
    falls: list[Waterfall] = []
    months: list[TenantMonth] = []
    for month in observed_months(actuals):
        plan = plan_of_month(ledger, scenario, month, heard.spoke(month))
        if plan is None:
            continue
        policy, pools = plan.scenario, plan_pools(plan.document)
        months += tenant_months(plan.tenants, evidence.traffic.tenants, month)
        billed = float("nan") if evidence.billed is None else evidence.billed.usd.get(month, float("nan"))
        planned = sum(float(one["cash_usd"]) for one in plan.document["costs"] if one["month"] == month)
        costs.append(MonthCost(month, planned, billed, plan.run.id))
        happened = Happened(heard.volumes.get((plan.run.id, month), {}), works, goodput, available)
        falls.append(cost_miss(plan, month, planned, evidence.billed, happened))
        for llm in sorted({key.llm for key in actuals}):
            hours = np.sum([month_hours(one, month) for key, one in actuals.items() if key.llm == llm], axis=0)
            there = supply(pools, llm, month)
            if np.isnan(hours).all() or there.steady_rps == 0:
                continue
            burst, quantile = policy.forecast.burst_factor, policy.plan.planning_quantile
            observed = {key: month_hours(one, month) for key, one in actuals.items()}
            to_api = by_api(observed, llm, api_limits(policy.plan.api), burst)
            one = capacity_score(llm, month, hours, there, burst, quantile, to_api)
            capacity.append(one)
            if one.short_hours:
                falls.append(short_miss(llm, month, hours - to_api, there, burst, happened))
    declared = {**{name: {one: 1.0} for name, one in tenants.items()}, **last.scenario.costs.tenants}
    shares = tenant_shares(shared, declared, last)
    lines = read.corrections(ledger, scenario)
    plan_of = {one.month: one.run_id for one in costs}
    proposals = [
        holding(one, lines, plans, found, capacity, plan_of, last.run.id)
        for one in propose(scenario, found, [*mixes, *goodputs], capacity)
    ]
    stamp = datetime.now(UTC)
    outcome = Reconciled(
        unique_id(f"{scenario}-reconcile-{stamp:%Y%m%dT%H%M%SZ}"),
        scenario,
        found,
        tuple(capacity),
        tuple(costs),
        tuple(falls),
        tuple(pairs),
        tenant_misses(heard.said, evidence.traffic.tenants, shares),
        tuple(months),
        {sha256(one.content())[:ID_DIGITS]: one for one in proposals},
        stale(last, today or stamp.date()),
        tuple(notes),
    )
    _record(ledger, outcome, evidence, [one for key, one in new.items() if key in set(known)])
    return outcome


def tenant_shares(
    keys: Collection[SeriesKey], declared: Mapping[str, Mapping[str, float]], plan: RecordedPlan
) -> dict[SeriesKey, dict[str, float]]:
    """Each tenant's share of a series: as the scenario declares it for the class, else as the plan forecast it."""
    found = {key: dict(declared[key.request_class]) for key in keys if key.request_class in declared}
    for one in plan.tenants:
        if one.key.request_class not in declared:
            found.setdefault(one.key, {})[one.tenant] = one.share
    return found


def _record(ledger: Ledger, outcome: Reconciled, evidence: Evidence, actuals: Sequence[Actual]) -> None:
    entries = [Entry("input", name, canonical({"sha256": key})) for name, key in evidence.inputs.items()]
    entries += [
        Entry("result", "reconciliation.json", canonical(document(outcome))),
        Entry("code", "versions", code_version()),
    ]
    record(
        ledger,
        Run(
            id=outcome.run_id,
            kind="reconcile",
            scenario=outcome.scenario,
            fingerprint=sha256(canonical([dict(evidence.inputs), outcome.scenario]))[:12],
            issued_from=outcome.errors.until,
            entries=tuple(entries),
            actuals=tuple(actuals),
            corrections=tuple(outcome.proposals.values()),
        ),
    )


def document(outcome: Reconciled) -> dict[str, Any]:
    """The reconciliation as plain data."""
    errors = outcome.errors
    series = [
        {
            "series": asdict(one.key),
            "drift": asdict(one.drift),
            "track_start": str(one.track_start),
            "vintages": [asdict(v) | {"issued_from": str(v.issued_from)} for v in one.vintages],
        }
        for one in errors.series
    ]
    found = {
        "schema": "fleetcast.reconciliation/1",
        "run": outcome.run_id,
        "scenario": outcome.scenario,
        "observed_until": errors.until,
        "vintages": errors.vintages,
        "series": series,
        "groups": [asdict(one) for one in errors.groups],
        "horizons": [{"ahead": name} | asdict(one) for name, one in errors.horizons],
        "capacity": [asdict(one) for one in outcome.capacity],
        "costs": [asdict(one) for one in outcome.costs],
        "waterfalls": [asdict(one) for one in outcome.waterfalls],
        "tenants": [asdict(one) | {"miss": one.miss} for one in outcome.tenants],
        "tenant_months": [
            asdict(one) | {"inside": {f"{n:g}": held for n, held in one.inside.items()}}
            for one in outcome.tenant_months
        ],
        "goodput": [asdict(one) | {"predicted_rps": predicted} for one, predicted in outcome.goodput],
        "corrections": {key: asdict(one) for key, one in outcome.proposals.items()},
        "stale": list(outcome.stale),
        "notes": list(outcome.notes),
    }
    cleaned: dict[str, Any] = plain(found)
    return cleaned


def reconcile_files(
    ledger: Ledger, scenario: str | None, actuals: Path, billing: Path | None = None, goodput: Path | None = None
) -> Reconciled:
    """Reconciles a scenario (None: the one planned last) with files. Raises InputError for what cannot be used."""
    name = which_scenario(ledger, scenario)
    last = load_plan(ledger, read.runs(ledger, name, "plan")[-1].id)
    return reconcile(ledger, name, gather(last.scenario, actuals, billing, goodput))
