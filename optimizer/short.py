"""What a plan runs into: demand that is short with the limit that stops it, and what each limit costs."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

from data.plan_records import BindingConstraint, FleetProblem, Shortfall
from data.records import SeriesKey
from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from optimizer.cost import USD_SCALE
from optimizer.extract import TOLERANCE_RPS, committed, hourly_gpus, number, whole
from optimizer.frame import Frame, active, held_gpus, supply_of
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
    if not able:
        places = ", ".join(frame.problem.may_serve[key.region])
        return (
            f"no evaluated configuration of {key.llm} holds the SLO of {key.request_class} on a GPU sold in {places}",
            "evaluate more GPUs or precisions, relax the SLO, or add a market; the capacity table says why each failed",
        )
    firm = committed(frame, model, m)
    blocked = {p: _blocked(frame, model, key, p, m, worst, firm) for p in able}
    free = [p for p, found in blocked.items() if found is None]
    if not free:
        found = [one for one in blocked.values() if one is not None]
        causes = list(dict.fromkeys(one.cause for one in sorted(found, key=lambda one: (one.order, one.cause))))
        return " and ".join(causes), min(found, key=lambda one: (one.order, one.size, one.remedy)).remedy
    if (usd := _budget_left(frame, model, key, free, m)) is not None:
        return (
            f"the monthly budget is spent: the {max(usd, 0.0):,.0f} USD left of it pay no further replica with its N+k",
            "raise the budget, or lower the price of shed requests",
        )
    return _too_dear(frame, model, key, free, m)


@dataclass(frozen=True, slots=True)
class _Limit:
    """Why a pool cannot grow: order says which of several causes is told first, size how much lifting
    it takes: US dollars an hour of a quota's GPUs, else units of the limit."""

    order: int
    cause: str
    remedy: str
    size: float


def _blocked(
    frame: Frame, model: Any, key: SeriesKey, p: PoolKey, m: int, worst: float,
    committed_in_month: Mapping[tuple[str, str], tuple[int, float]],
) -> _Limit | None:  # fmt: skip
    """The limit that keeps a pool from one more replica in a month of the design scenario; None where none does."""
    problem, sets, g, s = frame.problem, frame.sets, supply_of(p), frame.sets.design
    gpus, k = p.configuration.gpus, problem.failures_per_pool
    at = sets.pools.index(p)
    runs = whole(model.replicas[m, at, s]) > 0
    least = gpus * (1 if runs else k + 1)
    extra = (math.ceil(worst / sets.rate[p, key.request_class]) + (0 if runs else k)) * gpus
    usd = extra * (cheapest_usd_per_h(problem, p.configuration.gpu) or math.inf)
    firm = committed_in_month.get(g, (0, 0.0))[0] + held_gpus(problem, *g, problem.demand.months[m])
    taken = firm + sum(hourly_gpus(frame, model, name, m, g, s) for name in ("on_demand", "spot"))
    used = sum(sets.pools[q].configuration.gpus * whole(model.replicas[m, q, s]) for q in frame.on[g])
    # What is paid for and idle is room, too; more comes in whole lots.
    idle, limit = max(taken - used, 0.0), problem.quotas.get(g)
    lots = [frame.unit(o) for o in (*sets.on_demand.values(), *sets.commitments) if (o.region, o.gpu) == g]
    lot = min(lots, default=1)
    if limit is not None and idle + max(math.floor((limit - taken) / lot + 1e-6), 0) * lot < least - 1e-6:
        short = f"raise the quota of {g[1]} in {g[0]} by {math.ceil(extra / lot) * lot} GPUs"
        return _Limit(0, f"the quota of {g[1]} in {g[0]} is used up", short, usd)
    for name, spare, each, unit in _site_limits(frame, model, p.region, g[1], m):
        if spare < least * each - 1e-9:
            return _Limit(
                1, f"the {name} of {p.region} is used up", f"raise it by {extra * each:,.3g} {unit}", extra * each
            )
    starts = (start for i, o in enumerate(sets.commitments) if (o.region, o.gpu) == g
              for start in frame.starts(i) if active(start, m, o.term_months))  # fmt: skip
    if g not in sets.on_demand and idle < least - 1e-6 and not any(True for _ in starts):
        return _Limit(
            2, "nothing is sold on demand here and no commitment starts in time",
            "add a market with on-demand GPUs, or order before the lead time", usd,
        )  # fmt: skip
    return None


def _least(frame: Frame, model: Any, p: PoolKey, m: int) -> int:
    """Replicas that a pool would take more, at least: one, or with its N+k where it does not run."""
    runs = whole(model.replicas[m, frame.sets.pools.index(p), frame.sets.design]) > 0
    return 1 if runs else frame.problem.failures_per_pool + 1


def _replica_usd(frame: Frame, p: PoolKey) -> float:
    """US dollars a month of one more replica: by the hour where its GPU is sold so, else at the cheapest price."""
    hourly = frame.sets.on_demand.get(supply_of(p))
    prices = [o.usd_per_gpu_h for o in frame.problem.offers if (o.region, o.gpu) == supply_of(p)]
    price = min(prices, default=math.inf) if hourly is None else hourly.usd_per_gpu_h
    return price * HOURS_PER_MONTH * p.configuration.gpus


def _expected_usd(frame: Frame, p: PoolKey, m: int, share: float) -> float:
    """Least expected US dollars a month of one more replica in scenarios of this probability: hours are paid in these,
    a commitment in all."""
    sets, g = frame.sets, supply_of(p)
    prices = [share * sets.on_demand[g].usd_per_gpu_h] if g in sets.on_demand else []
    for i, o in enumerate(sets.commitments):
        if (o.region, o.gpu) == g and any(active(start, m, o.term_months) for start in frame.starts(i)):
            prices.append(o.usd_per_gpu_h)
    return min(prices, default=math.inf) * HOURS_PER_MONTH * p.configuration.gpus


def _budget_left(frame: Frame, model: Any, key: SeriesKey, free: Sequence[PoolKey], m: int) -> float | None:
    """US dollars left of a month's budget, expected over scenarios, where that does not pay the cheapest replica in the
    scenarios that are short; else None."""
    if frame.problem.budget_usd_per_month is None:
        return None
    row, k, pi = model.budget[m], frame.problem.demand.series.index(key), frame.problem.demand.probabilities
    spare = (float(pyo.value(row.upper)) - float(pyo.value(row.body, exception=False) or 0.0)) / USD_SCALE
    short = [float(pi[s]) for s in frame.S if any(number(model.shed[m, k, b, s]) > TOLERANCE_RPS for b in frame.B)] or [
        1.0
    ]
    needed = min(_least(frame, model, p, m) * _expected_usd(frame, p, m, sum(short)) for p in free)
    return spare if spare < needed else None


def _too_dear(frame: Frame, model: Any, key: SeriesKey, free: Sequence[PoolKey], m: int) -> tuple[str, str]:
    """What the next replica, with its N+k where the pool does not run, would cost for what it would serve, in figures;
    where that is no reason, that no limit alone is."""
    problem, s, k = frame.problem, frame.sets.design, frame.problem.demand.series.index(key)
    price = problem.shed_usd_per_request[key.request_class]
    found = []
    for p in free:
        rate = frame.sets.rate[p, key.request_class]
        more = [min(number(model.shed[m, k, b, s]), rate) * problem.demand.blocks[b].hours for b in frame.B]
        found.append(
            (
                _least(frame, model, p, m) * _replica_usd(frame, p) / max(sum(more) * SECONDS_PER_HOUR, 1e-9),
                sum(more),
                p,
            )
        )
    each, more_hours, p = min(found)
    named = f"{p.configuration.gpus} x {p.configuration.gpu} in {p.region} at {_replica_usd(frame, p):,.0f} USD a month"
    if more_hours <= 0.0:
        return f"it is priced below the next replica, {named}", "raise shed_usd_per_request"
    if each < price:
        return (
            f"no limit alone keeps out the next replica, {named}, at {each:,.2g} USD a request: several do together",
            "lift a rule that contradicts the promise, or give the search more time",
        )
    cause = f"shedding at {price:g} USD a request is cheaper than the next replica, {named}: {each:,.2g} USD a request"
    return cause, f"raise shed_usd_per_request of {key.request_class} above {each:,.2g}"


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
