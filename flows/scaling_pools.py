"""The pools that are scaled: those of a run, or one configuration that no plan holds."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.errors import InputError
from configs.loading import load_scenario
from configs.schema import Scenario
from data.catalog import find_engine, find_llm
from data.plain import configuration_of
from data.prices import load_prices, offers
from data.records import Configuration
from optimizer.extract import TOLERANCE_RPS

PLAN_SCHEMA = "fleetcast.plan/1"
STANDING_BY = {"region": "stands by for a region's loss", "zone": "stands by for a zone's loss"}
"""What a pool without load is there for, by the name of its reserve in plan.json."""


@dataclass(frozen=True, slots=True)
class PoolAsk:
    """A pool to be scaled: what runs where for whom, its design peak (sub-hour), most replicas, a replica-hour's price
    and its day, its median peak over its design peak, and the demand scenarios up to the design as (name, peak over
    design peak, probability)."""

    configuration: Configuration
    region: str
    request_classes: tuple[str, ...]
    peak_rps: float
    max_replicas: int
    usd_per_replica_h: float
    priced_as_of: str
    median_share: float = 1.0
    scenarios: tuple[tuple[str, float, float], ...] = (("design day", 1.0, 1.0),)


def read_plan(run: Path) -> dict[str, Any]:
    """plan.json of a run folder. Raises InputError where there is none or it is another version's."""
    path = run / "plan.json"
    try:
        plan = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        fix = "Name a folder that `fleetcast plan` wrote."
        raise InputError(str(run), "a run folder with plan.json", "none there", fix) from None
    except json.JSONDecodeError as error:
        raise InputError(str(path), "JSON", str(error), "Plan again: `fleetcast plan`.") from None
    if not isinstance(plan, dict) or plan.get("schema") != PLAN_SCHEMA:
        got = plan.get("schema") if isinstance(plan, dict) else type(plan).__name__
        raise InputError(str(path), f"schema {PLAN_SCHEMA}", repr(got), "Plan again with this version.")
    return plan


def pools_of(plan: Mapping[str, Any], most: int | None, demand: pd.DataFrame | None = None) -> list[PoolAsk]:
    """Every configuration and region of the plan once that carries load in some month, as in the month of those in
    which it has most replicas; demand: the run's demand table, for its scenarios. The others: `standing_by`."""
    largest: dict[tuple[Configuration, str], Mapping[str, Any]] = {}
    for key, pools in _by_place(plan).items():
        loaded = [pool for pool in pools if _loaded(pool)]
        if loaded:
            largest[key] = max(loaded, key=lambda pool: int(pool["replicas"]))
    found = []
    for (one, region), pool in sorted(largest.items(), key=lambda item: (item[0][0].label, item[0][1])):
        series = [row for row in plan["forecast"] if find_llm(row["series"]["llm"]).name == one.llm]
        classes = tuple(sorted({str(row["series"]["request_class"]) for row in series}))
        price, priced = _price(plan["prices"], region, one.gpu)
        replicas = int(pool["replicas"]) if most is None else most
        median = _median_share(series, str(pool["month"]), float(plan["planning_quantile"]))
        ask = PoolAsk(one, region, classes, float(pool["peak_rps"]), replicas, price * one.gpus, priced, median)
        if demand is not None:
            days = _scenarios(demand, one.llm, str(pool["month"]), int(plan["design_scenario"]))
            ask = replace(ask, scenarios=days or ask.scenarios)
        found.append(ask)
    return found


def standing_by(plan: Mapping[str, Any]) -> dict[tuple[Configuration, str], str]:
    """Configurations and regions that carry nothing in any month of the design scenario, and what they are there for:
    no load says when they are to scale."""
    found = {}
    for key, pools in _by_place(plan).items():
        if any(_loaded(pool) for pool in pools):
            continue
        held = {name for pool in pools for name, replicas in pool.get("reserve_replicas", {}).items() if replicas}
        purpose = next((told for name, told in STANDING_BY.items() if name in held), "carries nothing by this plan")
        found[key] = f"{purpose}; replicas stand as planned"
    return dict(sorted(found.items(), key=lambda item: (item[0][0].label, item[0][1])))


def unscaled(standing: Mapping[tuple[Configuration, str], str]) -> tuple[str, ...]:
    """Pools that stand by, as lists of unscaled pools name them."""
    return tuple(f"{one.label} in {region}: {because}" for (one, region), because in standing.items())


def _by_place(plan: Mapping[str, Any]) -> dict[tuple[Configuration, str], list[Mapping[str, Any]]]:
    found: dict[tuple[Configuration, str], list[Mapping[str, Any]]] = {}
    for pool in plan["pools"]:
        found.setdefault((configuration_of(pool["configuration"]), str(pool["region"])), []).append(pool)
    return found


def _loaded(pool: Mapping[str, Any]) -> bool:
    return float(pool["peak_rps"]) > TOLERANCE_RPS


def _scenarios(demand: pd.DataFrame, llm: str, month: str, design: int) -> tuple[tuple[str, float, float], ...]:
    """Scenarios of the LLM's peak block by load over the design scenario's; those beyond it are not promised and left
    out, the others' probabilities add up to 1."""
    names = {name: find_llm(name).name for name in demand["llm"].unique()}
    mine = demand[(demand["llm"].map(names) == llm) & (demand["month"] == month)]
    peak = mine[mine["block"] == mine["block"].iloc[0]] if len(mine) else mine
    rps = peak.groupby("scenario")["rps"].sum()
    if design not in rps.index or rps[design] <= 0.0:
        return ()
    share = rps / rps[design]
    probability = peak.groupby("scenario")["probability"].first()
    kept = [s for s in share.index if share[s] <= 1.0 + 1e-9]
    total = float(probability[kept].sum())
    return tuple(
        (f"scenario {int(s) + 1} of {len(share)}", float(share[s]), float(probability[s]) / total) for s in kept
    )


def _price(rows: Sequence[Mapping[str, Any]], region: str, gpu: str) -> tuple[float, str]:
    """What an hour of a GPU costs there when it can be given back: on demand, else the cheapest way to have it, else
    that elsewhere; and the day that price is of. Nothing where nobody sells it: what is held costs the same idle."""
    alike = [row for row in rows if row["gpu"] == gpu]
    mine = [row for row in alike if row["region"] == region]
    able = [row for row in mine if row["option"] == "on_demand"] or mine or alike
    if not able:
        return 0.0, ""
    best = min(able, key=lambda row: row["usd_per_gpu_h"])
    return float(best["usd_per_gpu_h"]), str(best["source"]["as_of"])


def _median_share(series: Sequence[Mapping[str, Any]], month: str, quantile: float) -> float:
    """Median over high peak hour of the month, by the forecast; 1 where it does not say."""
    low = high = 0.0
    for row in series:
        levels = [float(one) for one in row["levels"]]
        if month not in row["months"]:
            continue
        peaks = [float(one) for one in row["monthly_peak_hour_requests"][row["months"].index(month)]]
        low += float(np.interp(0.5, levels, peaks))
        high += float(np.interp(quantile, levels, peaks))
    return low / high if high > 0 else 1.0


def one_pool(
    scenario: Scenario, asked: Configuration, classes: Sequence[str], peak_rps: float, operating_rps: float
) -> PoolAsk:
    """A pool that no plan holds: as many replicas as its burst needs, at the price of the scenario's first region that
    sells the GPU. Raises InputError where none does."""
    policy = scenario.autoscaling
    found = offers(scenario.plan.regions, {asked.gpu}, ("on_demand",), load_prices())
    if not found:
        raise InputError("plan.regions", f"a market that rents {asked.gpu}", "none", "Name one, for its price.")
    price = found[0].usd_per_gpu_h
    most = policy.max_replicas or math.ceil(policy.burst.factor * peak_rps / operating_rps) + 1
    priced = found[0].source.as_of
    return PoolAsk(asked, found[0].region, tuple(classes), peak_rps, most, price * asked.gpus, priced)


def asked_configuration(
    config: str | None, gpu: str, precision: str, tp: int, classes: Sequence[str]
) -> tuple[Configuration, tuple[str, ...]]:
    """The configuration of the command line for classes of a scenario (the first by default). Raises InputError for
    classes without traffic, and for classes of more than one LLM."""
    scenario = load_scenario(config).scenario
    known = {one.request_class: find_llm(one.llm).name for one in scenario.traffic.series}
    names = tuple(classes) or (next(iter(known)),)
    for name in names:
        if name not in known:
            raise InputError(f"class {name!r}", f"one of {', '.join(known)}", "an unknown one", "Name a class there.")
    llms = {known[name] for name in names}
    if len(llms) > 1:
        got = f"classes of {', '.join(sorted(llms))}"
        raise InputError("--class", "classes of one LLM", got, "A replica holds one LLM.")
    policy = scenario.evaluate
    one = Configuration(llms.pop(), gpu, precision, policy.kv_precision, tp, find_engine(policy.engine).name)
    return one, names
