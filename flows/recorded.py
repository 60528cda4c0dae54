"""A plan as the ledger holds it, read back."""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np

from configs.errors import InputError
from configs.planning import ApiOverflow
from configs.schema import Scenario
from configs.validation import validated
from data.ages import age_days
from data.catalog import find_llm
from data.forecast_records import TenantForecast
from data.ledger import read
from data.ledger.connect import Ledger
from data.ledger.records import RunLine
from data.plain import configuration_of
from data.plan_records import Pool
from data.records import SeriesKey
from reports.assumptions import STALE_DAYS

RESERVES = {
    "canary": "canary_replicas", "maintenance": "maintenance_replicas", "warm": "warm_replicas",
    "zone": "zone_replicas", "region": "failover_replicas",
}  # fmt: skip
"""What `reserve_replicas` of plan.json calls a reserve -> the field of Pool; N+k and rollout have keys of their own."""


@dataclass(frozen=True, slots=True)
class RecordedPlan:
    """A plan as the ledger holds it."""

    run: RunLine
    document: Mapping[str, Any]
    scenario: Scenario
    assumptions: Sequence[Mapping[str, Any]]
    capacities: Sequence[Mapping[str, Any]]
    tenants: tuple[TenantForecast, ...] = ()


def load_plan(ledger: Ledger, run_id: str) -> RecordedPlan:
    """A recorded plan, read back."""
    run = read.find_run(ledger, run_id)

    def content(role: str, name: str) -> Any:
        return json.loads(read.content(ledger, run.entries[role, name]))

    config = validated(Scenario, content("config", "effective"), f"the configuration recorded with {run.id}")
    return RecordedPlan(
        run,
        content("file", "plan.json"),
        config,
        content("assumption", "all"),
        content("service_curve", "capacity"),
        tuple(map(_tenant, content("tenants", "forecast"))) if ("tenants", "forecast") in run.entries else (),
    )


def _tenant(raw: Mapping[str, Any]) -> TenantForecast:
    return TenantForecast(
        SeriesKey(**raw["key"]), raw["tenant"], raw["share"], tuple(raw["levels"]), tuple(raw["months"]),
        np.asarray(raw["monthly_total"]),
    )  # fmt: skip


def which_scenario(ledger: Ledger, name: str | None) -> str:
    """The scenario asked for, or the one planned last. InputError where the ledger has no plan of it."""
    plans = read.runs(ledger, name, "plan")
    if not plans:
        known = ", ".join(sorted({one.scenario for one in read.runs(ledger, None, "plan")})) or "none"
        what = "any scenario" if name is None else f"scenario {name!r}"
        raise InputError("ledger", f"a recorded plan of {what}", f"plans of: {known}", "Run `fleetcast plan` first.")
    return plans[-1].scenario


def plan_pools(document: Mapping[str, Any]) -> tuple[Pool, ...]:
    """The pools of a plan.json as records."""
    return tuple(
        Pool(
            configuration_of(one["configuration"]),
            one["region"],
            one["month"],
            one["steady_replicas"],
            one["failure_replicas"],
            one["rollout_replicas"],
            one["peak_rps"],
            one["operating_rps_per_replica"],
            # A plan.json of before there were other reserves has none of them.
            **{field: int(one.get("reserve_replicas", {}).get(name, 0)) for name, field in RESERVES.items()},
        )
        for one in document["pools"]
    )


def api_limits(offers: Sequence[ApiOverflow]) -> dict[tuple[str, str], float]:
    """(LLM, class) -> requests/s that an API of a scenario takes at most, infinite without a limit."""
    return {
        (find_llm(one.llm).name, one.request_class): float("inf") if one.rps_max is None else one.rps_max
        for one in offers
    }


def plan_of_month(ledger: Ledger, scenario: str, month: str, spoke: Collection[str]) -> RecordedPlan | None:
    """The plan that a month was run by: the last that covers it and was issued before it began, else the first.

    spoke: the runs whose forecasts reach into the month; no other is read."""
    begin = f"{month}-01T00:00Z"
    lines = [line for line in read.runs(ledger, scenario, "plan") if line.id in spoke]
    before = [line for line in reversed(lines) if line.issued_from < begin]
    after = [line for line in lines if line.issued_from >= begin]
    for line in (*before, *after):
        plan = load_plan(ledger, line.id)
        if month in plan.document["months"]:
            return plan
    return None


def stale(plan: RecordedPlan, today: date) -> tuple[str, ...]:
    """Assumptions of the last plan that are older than their rhythm allows."""
    found = []
    for one in plan.assumptions:
        age = age_days(str(one["as_of"]), today)
        if age is None:
            found.append(f"{one['kind']} {one['name']}: no date ({one['as_of'] or 'none given'})")
        elif age > STALE_DAYS[one["kind"]]:
            found.append(f"{one['kind']} {one['name']}: {age} days old ({one['as_of']}; {one['source']})")
    return tuple(found)
