"""What a plan runs into: demand that is short with the limit that stops it, and what each limit costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import pyomo.environ as pyo

from data.plan_records import BindingConstraint, FleetProblem, Shortfall
from data.records import SeriesKey
from optimizer.cost import USD_SCALE
from optimizer.extract import TOLERANCE_RPS, committed, hourly_gpus, number
from optimizer.frame import Frame, held_gpus
from optimizer.sets import PoolKey, cheapest_usd_per_h


def shortfalls(frame: Frame, model: Any) -> tuple[Shortfall, ...]:
    """Demand shed in a scenario that the plan promised to serve, with the limit that stops it."""
    demand, pi = frame.problem.demand, frame.problem.demand.probabilities
    found = []
    for k, key in enumerate(demand.series):
        for m, month in enumerate(demand.months):
            for b, block in enumerate(demand.blocks):
                shed = [number(model.shed[m, k, b, s]) for s in frame.S]
                worst = max(shed[: frame.sets.design + 1])
                if worst <= TOLERANCE_RPS:
                    continue
                able = frame.sets.serves[key]
                cause, remedy = why(frame, model, key, able, m, worst)
                expected = sum(float(pi[s]) * shed[s] for s in frame.S)
                found.append(Shortfall(key, month, block.name, expected, worst, cause, remedy))
    return tuple(found)


def why(frame: Frame, model: Any, key: SeriesKey, able: Sequence[PoolKey], m: int, worst: float) -> tuple[str, str]:
    """The limit that keeps `worst` requests/s of a series off the pools able to carry them in a month, and the cheapest
    way to lift it."""
    problem, sets = frame.problem, frame.sets
    if not able:
        places = ", ".join(problem.may_serve[key.region])
        return (
            f"no evaluated configuration of {key.llm} holds the SLO of {key.request_class} on a GPU sold in {places}",
            "evaluate more GPUs or precisions, relax the SLO, or add a market; the capacity table says why each failed",
        )
    month = problem.demand.months[m]
    full: list[tuple[float, str, str, int]] = []
    for p in able:
        g = (p.region, p.configuration.gpu)
        limit = problem.quotas.get(g)
        if limit is None:
            continue
        firm = committed(frame, model, m).get(g, (0, 0.0))[0]
        taken = firm + held_gpus(problem, *g, month) + hourly_gpus(frame, model, "on_demand", m, g, sets.design)
        if limit - taken < p.configuration.gpus * (problem.failures_per_pool + 1):
            rate = sets.rate[p, key.request_class]
            extra = (math.ceil(worst / rate) + problem.failures_per_pool) * p.configuration.gpus
            price = cheapest_usd_per_h(problem, p.configuration.gpu) or math.inf
            full.append((extra * price, *g, extra))
    if full:
        names = ", ".join(sorted({f"{gpu} in {region}" for _, region, gpu, _ in full}))
        _, region, gpu, extra = min(full)
        return f"the quota of {names} is used up", f"raise the quota of {gpu} in {region} by {extra} GPUs"
    spent = _site_spent(frame, model, key, able, m, worst)
    if spent is not None:
        return spent
    if problem.budget_usd_per_month is not None:
        return "the monthly budget is spent", "raise the budget, or lower the price of shed requests"
    if all((p.region, p.configuration.gpu) not in sets.on_demand for p in able):
        return (
            "nothing is sold on demand here and no commitment starts in time",
            "add a market with on-demand GPUs, or order before the lead time",
        )
    price = problem.shed_usd_per_request[key.request_class]
    return f"shedding at {price:g} USD a request is cheaper than serving", "raise shed_usd_per_request"


def _site_spent(
    frame: Frame, model: Any, key: SeriesKey, able: Sequence[PoolKey], m: int, worst: float
) -> tuple[str, str] | None:
    """The limit of the cheapest site that could serve, where every region that could has one that is used up."""
    sets, k = frame.sets, frame.problem.failures_per_pool
    told: list[tuple[float, str, str]] = []
    for region in sorted({p.region for p in able}):
        here = [p for p in able if p.region == region]
        best = min(here, key=lambda p: (p.configuration.gpus / sets.rate[p, key.request_class], p))
        gpus = best.configuration.gpus
        extra = (math.ceil(worst / sets.rate[best, key.request_class]) + k) * gpus
        spent = [
            (extra * each, f"the {name} of {region} is used up", f"raise it by {extra * each:,.3g} {unit}")
            for name, spare, each, unit in _site_limits(frame, model, region, best.configuration.gpu, m)
            if spare < (k + 1) * gpus * each
        ]
        if not spent:
            return None
        told.append(spent[0])
    return min(told)[1:] if told else None


def _site_limits(frame: Frame, model: Any, region: str, gpu: str, m: int) -> Iterator[tuple[str, float, float, str]]:
    """Limits of a region in a month of the design scenario: name, what is left, what a GPU takes, unit."""
    at = (m, region, frame.sets.design)

    def spare(row: Any) -> float:
        return float(pyo.value(row.upper)) - float(pyo.value(row.body, exception=False) or 0.0)

    site = frame.problem.facilities.get(region)
    if site is not None and at in model.power:
        yield "power", spare(model.power[at]), site.pue * site.gpu_w[gpu] / 1e3, "kW"
    if site is not None and at in model.floor:
        yield "floor space", spare(model.floor[at]) / site.gpus_per_rack, 1.0 / site.gpus_per_rack, "racks"
    if hasattr(model, "churn_limit") and at in model.churn_limit:
        yield "churn limit", spare(model.churn_limit[at]), 1.0, "GPUs a month"


def binding(problem: FleetProblem, duals: Mapping[str, float]) -> tuple[BindingConstraint, ...]:
    """Limits with a price at the margin of the linear relaxation, dearest first."""
    found: dict[tuple[str, str], tuple[float, float, str]] = {}
    for name, dual in duals.items():
        usd = -dual / USD_SCALE
        if usd < 1.0:
            continue
        if name.startswith("quota["):
            _, region, gpu, _ = name[len("quota[") : -1].split(",")
            limit, unit = float(problem.quotas[region, gpu]), "GPU"
            place = ("quota", f"{gpu} in {region}")
        elif name.startswith("budget["):
            limit, unit = float(problem.budget_usd_per_month or 0.0), "USD a month"
            place = ("budget", problem.demand.months[int(name[len("budget[") : -1])])
        elif name.startswith("power["):
            region = name.split(",")[1]
            # The row is in kilowatts of the meter.
            limit, unit, place = float(problem.facilities[region].power_w or 0.0) / 1e3, "kW", ("power", region)
        elif name.startswith("floor["):
            region = name.split(",")[1]
            site = problem.facilities[region]
            limit, unit, place = float(site.racks or 0.0), "rack", ("floor space", region)
            usd *= site.gpus_per_rack
        elif name.startswith("churn_limit["):
            region = name.split(",")[1]
            limit, unit, place = float(problem.churn_gpus_max or 0), "GPU a month", ("churn limit", region)
        else:
            continue
        already = found.get(place, (0.0, limit, unit))[0]
        found[place] = (already + usd, limit, unit)
    rows = [BindingConstraint(kind, where, limit, unit, usd) for (kind, where), (usd, limit, unit) in found.items()]
    return tuple(sorted(rows, key=lambda row: -row.shadow_usd_per_unit))
