"""From a solved model to the records of a plan. The design scenario is what pools are provisioned for."""

from __future__ import annotations

import math
from typing import Any

import pyomo.environ as pyo

from data.plan_records import (
    FleetProblem,
    MonthCost,
    Pool,
    Purchase,
    Rejected,
)
from data.records import Excuse
from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from optimizer.churn import churned_gpus
from optimizer.frame import Frame, active, held_gpus, held_usd
from optimizer.lots import paid_lots
from optimizer.purposes import purposes
from optimizer.sets import PoolKey, cheapest_usd_per_h

TOLERANCE_RPS = 1e-4


def number(variable: Any) -> float:
    """A variable's value; 0 where the solver left it out of the model."""
    value = pyo.value(variable, exception=False)
    return 0.0 if value is None else float(value)


def whole(variable: Any) -> int:
    """An integer variable's value."""
    return round(number(variable))


def pools(frame: Frame, model: Any) -> tuple[Pool, ...]:
    """Pools of the design scenario, with replicas by purpose (optimizer/purposes.py)."""
    found = []
    demand, s = frame.problem.demand, frame.sets.design
    for m, month in enumerate(demand.months):
        for p, pool in enumerate(frame.sets.pools):
            count = whole(model.replicas[m, p, s])
            if count == 0:
                continue
            peak = busiest = guarded = 0.0
            for b in frame.B:
                flows = [(k, number(model.flow[m, k, p, b, s]), rate) for k, rate in frame.into[p]]
                load = sum(flow / rate for _, flow, rate in flows)
                guarded = max(guarded, sum(flow / rate for k, flow, rate in flows if frame.protected[k]))
                if load >= busiest:
                    busiest, peak = load, sum(flow for _, flow, _ in flows)
            rate = peak / busiest if busiest > 0 else max(rate for _, rate in frame.into[p])
            parts = purposes(frame.problem, count, busiest, guarded)
            found.append(
                Pool(
                    pool.configuration, pool.region, month, parts["steady"], parts["failure"], parts["rollout"], peak,
                    rate, parts["canary"], parts["maintenance"], parts["warm"], parts["zone"], parts["region"],
                )
            )  # fmt: skip
    return tuple(found)


def purchases(frame: Frame, model: Any) -> tuple[Purchase, ...]:
    """Commitments by start month, then on-demand and spot levels of the design scenario with their expected cost."""
    problem, sets = frame.problem, frame.sets
    months, pi = problem.demand.months, problem.demand.probabilities
    found = []
    for o, offer in enumerate(sets.commitments):
        for start in frame.starts(o):
            count = whole(model.buy[o, start]) * frame.unit(offer)
            if count:
                inside = min(len(months) - start, offer.term_months)
                price = paid_usd_per_gpu_h(frame, model, o, start)
                usd = count * price * HOURS_PER_MONTH * inside
                found.append(
                    Purchase(
                        offer.region, offer.gpu, offer.option, months[start], count, price,
                        offer.term_months, usd,
                    )
                )  # fmt: skip
    for name, offers in (("on_demand", sets.on_demand), ("spot", sets.spot)):
        for (region, gpu), offer in sorted(offers.items()):
            for m, month in enumerate(months):
                level = hourly_gpus(frame, model, name, m, (region, gpu), sets.design)
                expected = sum(
                    float(pi[s]) * hourly_gpus(frame, model, name, m, (region, gpu), s) for s in range(len(pi))
                )
                if level > 1e-6 or expected > 1e-6:
                    share = 1.0 - problem.spot_interrupted_share if name == "spot" else 1.0
                    usd = expected * offer.usd_per_gpu_h * HOURS_PER_MONTH * share
                    found.append(
                        Purchase(region, gpu, name, month, math.ceil(level - 1e-6), offer.usd_per_gpu_h, 0, usd)
                    )
    return tuple(found)


def hourly_gpus(frame: Frame, model: Any, name: str, m: int, g: tuple[str, str], s: int) -> float:
    """GPUs bought by the hour in a month and scenario."""
    levels = getattr(model, name)
    if (m, *g, s) not in levels:
        return 0.0
    size = frame.unit(frame.sets.on_demand[g]) if name == "on_demand" else 1
    return size * number(levels[(m, *g, s)])


def used_gpus(frame: Frame, model: Any, m: int, g: tuple[str, str]) -> list[int]:
    """GPUs of a supply in use in a month, by scenario."""
    sizes = {p: frame.sets.pools[p].configuration.gpus for p in frame.on[g]}
    return [sum(size * whole(model.replicas[m, p, s]) for p, size in sizes.items()) for s in frame.S]


def _hourly_usd(frame: Frame, model: Any, month: int, s: int) -> float:
    """On-demand and spot cost of a month in a scenario."""
    there = 1.0 - frame.problem.spot_interrupted_share
    firm = sum(
        offer.usd_per_gpu_h * HOURS_PER_MONTH * hourly_gpus(frame, model, "on_demand", month, g, s)
        for g, offer in frame.sets.on_demand.items()
    )
    return firm + sum(
        there * offer.usd_per_gpu_h * HOURS_PER_MONTH * hourly_gpus(frame, model, "spot", month, g, s)
        for g, offer in frame.sets.spot.items()
    )


def paid_usd_per_gpu_h(frame: Frame, model: Any, o: int, start: int) -> float:
    """What a GPU-hour of an order costs, after the discount of its size."""
    price, lots = frame.sets.commitments[o].usd_per_gpu_h, number(model.buy[o, start])
    return price * (float(pyo.value(paid_lots(model, o, start))) / lots) if lots > 0.0 else price


def committed(frame: Frame, model: Any, month: int) -> dict[tuple[str, str], tuple[int, float]]:
    """(region, GPU) -> committed GPUs running in a month and their cost in it."""
    found: dict[tuple[str, str], tuple[int, float]] = {}
    for o, offer in enumerate(frame.sets.commitments):
        for start in frame.starts(o):
            count = whole(model.buy[o, start]) * frame.unit(offer)
            if count and active(start, month, offer.term_months):
                gpus, usd = found.get((offer.region, offer.gpu), (0, 0.0))
                more = count * paid_usd_per_gpu_h(frame, model, o, start) * HOURS_PER_MONTH
                found[offer.region, offer.gpu] = (gpus + count, usd + more)
    return found


def _api_usd(frame: Frame, model: Any, month: int, s: int) -> float:
    """API calls of a month in a scenario."""
    series, blocks = frame.problem.demand.series, frame.problem.demand.blocks
    total = 0.0
    for m, k, b, of in model.api:
        if (m, of) == (month, s):
            offer = frame.problem.api[series[k].llm, series[k].request_class]
            total += (
                offer.usd_per_request * blocks[b].hours * SECONDS_PER_HOUR * max(number(model.api[m, k, b, s]), 0.0)
            )
    return total


def costs(frame: Frame, model: Any) -> tuple[MonthCost, ...]:
    """Expected cost of every month; idle is the part of commitments that no replica uses, on average."""
    problem = frame.problem
    demand, pi = problem.demand, problem.demand.probabilities
    found = []
    for m, month in enumerate(demand.months):
        firm = committed(frame, model, m)
        idle = shed = 0.0
        for s in range(len(pi)):
            for g, (gpus, usd) in firm.items():
                used = sum(frame.sets.pools[p].configuration.gpus * whole(model.replicas[m, p, s]) for p in frame.on[g])
                free = max(gpus - max(used - held_gpus(problem, *g, month), 0), 0)
                idle += float(pi[s]) * usd * free / gpus
            for k, key in enumerate(demand.series):
                for b, block in enumerate(demand.blocks):
                    price = problem.shed_usd_per_request[key.request_class] * block.hours * SECONDS_PER_HOUR
                    shed += float(pi[s]) * price * number(model.shed[m, k, b, s])
        found.append(
            MonthCost(
                month=month,
                committed_usd=sum(usd for _, usd in firm.values()),
                on_demand_usd=sum(float(pi[s]) * _hourly_usd(frame, model, m, s) for s in range(len(pi))),
                held_usd=held_usd(problem, m),
                idle_usd=idle,
                shed_usd=shed,
                start_usd=_start_usd(frame, model, m)
                + sum(float(pi[s]) * _churn_usd(frame, model, m, s) for s in range(len(pi))),
                api_usd=sum(float(pi[s]) * _api_usd(frame, model, m, s) for s in range(len(pi))),
            )
        )
    return tuple(found)


def _start_usd(frame: Frame, model: Any, month: int) -> float:
    return frame.problem.pool_start_usd * sum(round(number(model.start[month, p])) for p in frame.P)


def _churn_usd(frame: Frame, model: Any, month: int, s: int) -> float:
    """GPUs that change what they do at the beginning of a month, in a scenario."""
    each = frame.problem.churn_usd_per_gpu
    return each * float(pyo.value(churned_gpus(frame, model, month, s))) if each > 0.0 else 0.0


def scenario_usd(frame: Frame, model: Any) -> tuple[float, ...]:
    """Cash of the horizon in every scenario."""
    fixed = sum(
        held_usd(frame.problem, m)
        + _start_usd(frame, model, m)
        + sum(usd for _, usd in committed(frame, model, m).values())
        for m in frame.M
    )
    return tuple(
        fixed
        + sum(
            _hourly_usd(frame, model, m, s) + _api_usd(frame, model, m, s) + _churn_usd(frame, model, m, s)
            for m in frame.M
        )
        for s in frame.S
    )


def not_chosen(frame: Frame, model: Any) -> tuple[Rejected, ...]:
    """Configurations that were candidates and run nowhere in the design scenario: what each costs a request beside
    the cheapest one that runs."""
    problem, sets = frame.problem, frame.sets
    running = {
        pool for p, pool in enumerate(sets.pools) if any(whole(model.replicas[m, p, sets.design]) for m in frame.M)
    }

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
    """What each reserve costs over the horizon: its GPU-hours at the cheapest price of the GPU in its region that may
    carry one, which spot may not."""
    totals: dict[str, float] = {}
    for pool in found:
        place = (pool.region, pool.configuration.gpu)
        prices = [o.usd_per_gpu_h for o in problem.offers if (o.region, o.gpu) == place and o.option != "spot"]
        usd = min(prices, default=0.0) * HOURS_PER_MONTH * pool.configuration.gpus
        for name, replicas in pool.reserve.items():
            totals[name] = totals.get(name, 0.0) + replicas * usd
    return {name: usd for name, usd in totals.items() if usd > 0.0 or name in ("failure (N+k)", "rollout")}
