"""From a solved model to the records of a plan. The design scenario is what pools are provisioned for."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import pyomo.environ as pyo

from data.plan_records import (
    BindingConstraint,
    FleetProblem,
    MonthCost,
    Pool,
    Purchase,
    Rejected,
    Shortfall,
)
from data.records import Excuse
from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from optimizer.model import USD_SCALE, active, commitment_months, held_gpus, held_usd
from optimizer.sets import PoolKey, Sets, cheapest_usd_per_h

TOLERANCE_RPS = 1e-4


def number(variable: Any) -> float:
    """A variable's value; 0 where the solver left it out of the model."""
    value = pyo.value(variable, exception=False)
    return 0.0 if value is None else float(value)


def whole(variable: Any) -> int:
    """An integer variable's value."""
    return round(number(variable))


def pools(problem: FleetProblem, sets: Sets, model: Any) -> tuple[Pool, ...]:
    """Pools of the design scenario, with replicas by purpose.

    Replicas beyond steady + failure + rollout (rounding of shared supply) count as steady: they serve.
    """
    found = []
    demand, s = problem.demand, sets.design
    for m, month in enumerate(demand.months):
        for p in sets.pools:
            count = whole(model.replicas[p, m, s])
            if count == 0:
                continue
            peak, busiest = 0.0, 0.0
            for b in range(len(demand.blocks)):
                flows = [(key, number(model.flow[key, p, m, b, s])) for key in demand.series if p in sets.serves[key]]
                load = sum(flow / sets.rate[p, key.request_class] for key, flow in flows)
                if load >= busiest:
                    busiest, peak = load, sum(flow for _, flow in flows)
            failure = min(problem.failures_per_pool, count)
            rollout = min(math.ceil(problem.rollout_surge * busiest - 1e-6), count - failure)
            classes = [key.request_class for key in demand.series if p in sets.serves[key]]
            rate = peak / busiest if busiest > 0 else max(sets.rate[p, name] for name in classes)
            found.append(
                Pool(p.configuration, p.region, month, count - failure - rollout, failure, rollout, peak, rate)
            )
    return tuple(found)


def purchases(problem: FleetProblem, sets: Sets, model: Any) -> tuple[Purchase, ...]:
    """Commitments by start month, then on-demand levels of the design scenario with their expected cost."""
    months, pi = problem.demand.months, problem.demand.probabilities
    found = []
    for o, offer in enumerate(sets.commitments):
        for start in commitment_months(problem):
            count = whole(model.buy[o, start])
            if count:
                inside = min(len(months) - start, offer.term_months)
                usd = count * offer.usd_per_gpu_h * HOURS_PER_MONTH * inside
                found.append(
                    Purchase(
                        offer.region, offer.gpu, offer.option, months[start], count, offer.usd_per_gpu_h,
                        offer.term_months, usd,
                    )
                )  # fmt: skip
    for (region, gpu), offer in sorted(sets.on_demand.items()):
        for m, month in enumerate(months):
            level = number(model.on_demand[region, gpu, m, sets.design])
            expected = sum(float(pi[s]) * number(model.on_demand[region, gpu, m, s]) for s in range(len(pi)))
            if level > 1e-6 or expected > 1e-6:
                usd = expected * offer.usd_per_gpu_h * HOURS_PER_MONTH
                found.append(
                    Purchase(region, gpu, "on_demand", month, math.ceil(level - 1e-6), offer.usd_per_gpu_h, 0, usd)
                )
    return tuple(found)


def _on_demand_usd(sets: Sets, model: Any, month: int, s: int) -> float:
    return sum(
        offer.usd_per_gpu_h * HOURS_PER_MONTH * number(model.on_demand[g, month, s])
        for g, offer in sets.on_demand.items()
    )


def _committed(problem: FleetProblem, sets: Sets, model: Any, month: int) -> dict[tuple[str, str], tuple[int, float]]:
    """(region, GPU) -> committed GPUs running in a month and their cost in it."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for o, offer in enumerate(sets.commitments):
        for start in commitment_months(problem):
            count = whole(model.buy[o, start])
            if count and active(start, month, offer.term_months):
                gpus, usd = found.get((offer.region, offer.gpu), (0, 0.0))
                more = count * offer.usd_per_gpu_h * HOURS_PER_MONTH
                found[offer.region, offer.gpu] = (gpus + count, usd + more)
    return found


def costs(problem: FleetProblem, sets: Sets, model: Any) -> tuple[MonthCost, ...]:
    """Expected cost of every month; idle is the part of commitments that no replica uses, on average."""
    demand, pi = problem.demand, problem.demand.probabilities
    found = []
    for m, month in enumerate(demand.months):
        committed = _committed(problem, sets, model, m)
        idle = shed = 0.0
        for s in range(len(pi)):
            for g, (gpus, usd) in committed.items():
                used = sum(
                    p.configuration.gpus * whole(model.replicas[p, m, s])
                    for p in sets.pools
                    if (p.region, p.configuration.gpu) == g
                )
                free = max(gpus - max(used - held_gpus(problem, *g, month), 0), 0)
                idle += float(pi[s]) * usd * free / gpus
            for key in demand.series:
                for b, block in enumerate(demand.blocks):
                    price = problem.shed_usd_per_request[key.request_class] * block.hours * SECONDS_PER_HOUR
                    shed += float(pi[s]) * price * number(model.shed[key, m, b, s])
        found.append(
            MonthCost(
                month=month,
                committed_usd=sum(usd for _, usd in committed.values()),
                on_demand_usd=sum(float(pi[s]) * _on_demand_usd(sets, model, m, s) for s in range(len(pi))),
                held_usd=held_usd(problem, m),
                idle_usd=idle,
                shed_usd=shed,
                start_usd=_start_usd(problem, sets, model, m),
            )
        )
    return tuple(found)


def _start_usd(problem: FleetProblem, sets: Sets, model: Any, month: int) -> float:
    return problem.pool_start_usd * sum(round(number(model.start[p, month])) for p in sets.pools)


def scenario_usd(problem: FleetProblem, sets: Sets, model: Any) -> tuple[float, ...]:
    """Cash of the horizon in every scenario."""
    months = range(len(problem.demand.months))
    fixed = sum(
        held_usd(problem, m)
        + _start_usd(problem, sets, model, m)
        + sum(usd for _, usd in _committed(problem, sets, model, m).values())
        for m in months
    )
    return tuple(
        fixed + sum(_on_demand_usd(sets, model, m, s) for m in months) for s in range(len(problem.demand.probabilities))
    )


def shortfalls(problem: FleetProblem, sets: Sets, model: Any) -> tuple[Shortfall, ...]:
    """Demand shed in a scenario that the plan promised to serve, with the limit that stops it."""
    demand, pi = problem.demand, problem.demand.probabilities
    found = []
    for key in demand.series:
        for m, month in enumerate(demand.months):
            for b, block in enumerate(demand.blocks):
                shed = [number(model.shed[key, m, b, s]) for s in range(len(pi))]
                worst = max(shed[: sets.design + 1])
                if worst <= TOLERANCE_RPS:
                    continue
                cause, remedy = _why(problem, sets, model, key, m, worst)
                expected = sum(float(pi[s]) * shed[s] for s in range(len(pi)))
                found.append(Shortfall(key, month, block.name, expected, worst, cause, remedy))
    return tuple(found)


def _why(problem: FleetProblem, sets: Sets, model: Any, key: Any, m: int, worst: float) -> tuple[str, str]:
    """The limit that stops a series in a month, and the cheapest way to lift it."""
    able = sets.serves[key]
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
        committed = _committed(problem, sets, model, m).get(g, (0, 0.0))[0]
        taken = committed + held_gpus(problem, *g, month) + number(model.on_demand[g, m, sets.design])
        if limit - taken < p.configuration.gpus * (problem.failures_per_pool + 1):
            rate = sets.rate[p, key.request_class]
            extra = (math.ceil(worst / rate) + problem.failures_per_pool) * p.configuration.gpus
            price = cheapest_usd_per_h(problem, p.configuration.gpu) or math.inf
            full.append((extra * price, *g, extra))
    if full:
        names = ", ".join(sorted({f"{gpu} in {region}" for _, region, gpu, _ in full}))
        _, region, gpu, extra = min(full)
        return f"the quota of {names} is used up", f"raise the quota of {gpu} in {region} by {extra} GPUs"
    if problem.budget_usd_per_month is not None:
        return "the monthly budget is spent", "raise the budget, or lower the price of shed requests"
    if all((p.region, p.configuration.gpu) not in sets.on_demand for p in able):
        return (
            "nothing is sold on demand here and no commitment starts in time",
            "add a market with on-demand GPUs, or order before the lead time",
        )
    price = problem.shed_usd_per_request[key.request_class]
    return f"shedding at {price:g} USD a request is cheaper than serving", "raise shed_usd_per_request"


def binding(problem: FleetProblem, duals: Mapping[str, float]) -> tuple[BindingConstraint, ...]:
    """Quotas and budgets with a price at the margin of the linear relaxation, dearest first."""
    found: dict[tuple[str, str], tuple[float, float, str]] = {}
    for name, dual in duals.items():
        usd = -dual / USD_SCALE
        if usd < 1.0:
            continue
        if name.startswith("quota["):
            region, gpu = name[len("quota[") :].split(",")[:2]
            limit, unit = float(problem.quotas[region, gpu]), "GPU"
            place = ("quota", f"{gpu} in {region}")
        elif name.startswith("budget["):
            limit, unit = float(problem.budget_usd_per_month or 0.0), "USD a month"
            place = ("budget", problem.demand.months[int(name[len("budget[") : -1])])
        else:
            continue
        already = found.get(place, (0.0, limit, unit))[0]
        found[place] = (already + usd, limit, unit)
    rows = [BindingConstraint(kind, where, limit, unit, usd) for (kind, where), (usd, limit, unit) in found.items()]
    return tuple(sorted(rows, key=lambda row: -row.shadow_usd_per_unit))


def not_chosen(problem: FleetProblem, sets: Sets, model: Any) -> tuple[Rejected, ...]:
    """Configurations that were candidates and run nowhere in the design scenario: what each costs a request beside
    the cheapest one that runs."""
    months = range(len(problem.demand.months))
    running = {p for p in sets.pools if any(whole(model.replicas[p, m, sets.design]) for m in months)}

    def usd_per_million(p: PoolKey, name: str) -> float:
        price = cheapest_usd_per_h(problem, p.configuration.gpu) or math.inf
        return price * p.configuration.gpus / (sets.rate[p, name] * SECONDS_PER_HOUR) * 1e6

    found = {}
    for p in sets.pools:
        if any(p.configuration == other.configuration for other in running):
            continue
        for name in sorted({key.request_class for key in problem.demand.series if p in sets.serves[key]}):
            best = min(
                (usd_per_million(other, name) for other in running if (other, name) in sets.rate
                 and other.configuration.llm == p.configuration.llm),
                default=math.nan,
            )  # fmt: skip
            mine = usd_per_million(p, name)
            if mine < best:
                advice = "cheaper a request at its best price, but that price, quota or reserve does not reach here"
            else:
                advice = "dearer a request than what runs"
            excuse = Excuse("cost", mine, best, "USD a million requests", advice)
            found[p.configuration, name] = Rejected(p.configuration, name, excuse)
    return tuple(found[key] for key in sorted(found))


def reserve_usd(problem: FleetProblem, found: tuple[Pool, ...]) -> dict[str, float]:
    """What each reserve costs over the horizon: its GPU-hours at the cheapest price of the GPU in its region."""
    totals = {"failure (N+k)": 0.0, "rollout": 0.0}
    for pool in found:
        prices = [o.usd_per_gpu_h for o in problem.offers if (o.region, o.gpu) == (pool.region, pool.configuration.gpu)]
        usd = min(prices, default=0.0) * HOURS_PER_MONTH * pool.configuration.gpus
        totals["failure (N+k)"] += pool.failure_replicas * usd
        totals["rollout"] += pool.rollout_replicas * usd
    return totals
