"""A run folder read back: the problem it answered and the plan it found."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.errors import InputError
from configs.schema import Scenario
from configs.validation import validated
from configs.yaml_files import load_yaml
from data.cost_records import Slower, TokenMix
from data.forecast_records import Forecast
from data.plain import configuration_of
from data.plan_records import FleetPlan, FleetProblem, MonthCost, Purchase, SolveStats
from data.records import Block, Capacity, CapacityTable, Demand, Offer, SeriesKey, Source
from data.slo import slo_target
from flows.problem import fleet_problem
from flows.recorded import plan_pools


@dataclass(frozen=True, slots=True)
class Rebuilt:
    """A run as far as its files say it: enough to price and to plan again."""

    scenario: Scenario
    problem: FleetProblem
    plan: FleetPlan
    mixes: dict[tuple[str, str], TokenMix]


def read_run(folder: Path) -> Rebuilt:
    """The run in a folder that `fleetcast plan` wrote. InputError where a file is missing or of an older form."""
    try:
        document = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        scenario = validated(Scenario, load_yaml(folder / "scenario.yaml"), str(folder / "scenario.yaml"))
        demand = _demand(pd.read_parquet(folder / "demand.parquet"))
        capacity = _capacity(pd.read_parquet(folder / "capacity.parquet"), scenario)
        mixes = {(one["llm"], one["request_class"]): _mix(one) for one in document["full_cost"]["mixes"]}
        offers = tuple(Offer(**one | {"source": Source(**one["source"])}) for one in document["prices"])
        plan = _plan(document)
    except (OSError, KeyError, TypeError, ValueError) as error:
        if isinstance(error, InputError):
            raise
        fix = "Name a folder that this version's `fleetcast plan` wrote, or pass --config."
        raise InputError(str(folder), "a run folder", f"{type(error).__name__}: {error}", fix) from None
    # Corrections of the ledger are in the demand and the capacities already; prices are those of the run.
    problem = replace(fleet_problem(scenario, Forecast((), demand, ""), capacity), offers=offers)
    return Rebuilt(scenario, problem, plan, mixes)


def _mix(one: dict[str, Any]) -> TokenMix:
    found = one["slower"]
    slower = None if found is None else Slower(**{name: tuple(values) for name, values in found.items()})
    return TokenMix(one["prefill_share"], one["cached_share"], slower)


def _demand(frame: pd.DataFrame) -> Demand:
    """The demand as it was written: [series, month, block, scenario] in the order of the rows."""

    def order(names: list[str]) -> pd.DataFrame:
        return frame[names].drop_duplicates()

    series = tuple(SeriesKey(*map(str, row)) for row in order(["llm", "request_class", "region"]).to_numpy())
    months = tuple(map(str, order(["month"])["month"]))
    blocks = tuple(Block(str(name), float(hours)) for name, hours in order(["block", "block_hours"]).to_numpy())
    probabilities = order(["scenario", "probability"])["probability"].to_numpy(dtype=float)
    shape = (len(series), len(months), len(blocks), len(probabilities))
    return Demand(series, months, blocks, probabilities, frame["rps"].to_numpy(dtype=float).reshape(shape))


def _capacity(frame: pd.DataFrame, scenario: Scenario) -> CapacityTable:
    """Feasible rows; what a plan does not need of them is left at 0."""
    rows = []
    for one in frame[frame["excuse"].isna()].to_dict("records"):
        slo = scenario.traffic.classes[one["request_class"]].slo
        configuration = configuration_of(one)
        rows.append(
            Capacity(
                configuration, one["request_class"], slo_target(slo),
                one["knee_rps"], one["operating_rps"], one["ttft_s"], one["tpot_s"], 0.0, one["binding"],
                one["weight_bytes_per_gpu"], one["kv_capacity_tokens"], one["max_concurrency"], one["method"],
                one["provenance"], knee_band=float(np.nan if one["knee_band"] is None else one["knee_band"]),
                pool_replicas=int(one.get("pool_replicas", 1)),
            )
        )  # fmt: skip
    return CapacityTable(tuple(rows), "run folder", 0)


def _plan(document: dict[str, Any]) -> FleetPlan:
    """Pools, purchases and costs of a plan.json."""

    def number(value: float | None) -> float:
        return float("nan") if value is None else value

    stats: dict[str, Any] = {
        name: number(value) if name.endswith(("usd", "gap")) else value for name, value in document["status"].items()
    }
    return FleetPlan(
        stats=SolveStats(**stats, build_s=0.0, solve_s=0.0),
        pools=plan_pools(document),
        purchases=tuple(Purchase(**one) for one in document["purchases"]),
        costs=tuple(MonthCost(**{k: v for k, v in one.items() if k != "cash_usd"}) for one in document["costs"]),
        design_scenario=document["design_scenario"],
    )
