"""Index sets of the fleet MIP, pruned: what could never be part of a best plan is left out and explained."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from data.plan_records import FleetProblem, Rejected
from data.records import Capacity, Configuration, Excuse, Offer, SeriesKey
from optimizer.outbid import outbid


@dataclass(frozen=True, slots=True, order=True)
class PoolKey:
    """Replicas of one configuration in one serving region."""

    region: str
    configuration: Configuration


@dataclass(frozen=True, slots=True)
class Sets:
    """pools: candidate pools; rate: (pool, class) -> requests/s of one replica at its operating point; serves: demand
    series -> pools that may carry it; commitments: offers with a term; on_demand and spot: the cheapest without one by
    (region, GPU); design: index of the design scenario; rejected: what was pruned and why."""

    pools: tuple[PoolKey, ...]
    rate: Mapping[tuple[PoolKey, str], float]
    serves: Mapping[SeriesKey, tuple[PoolKey, ...]]
    commitments: tuple[Offer, ...]
    on_demand: Mapping[tuple[str, str], Offer]
    spot: Mapping[tuple[str, str], Offer]
    supply: frozenset[tuple[str, str]]
    design: int
    rejected: tuple[Rejected, ...]


def cheapest_usd_per_h(problem: FleetProblem, gpu: str) -> float | None:
    """Lowest price of one GPU-hour in any region, or what is paid for GPUs held where nobody sells it, or None where
    there are none."""
    prices = [offer.usd_per_gpu_h for offer in problem.offers if offer.gpu == gpu]
    prices = prices or [held.usd_per_gpu_h for held in problem.held if held.gpu == gpu]
    return min(prices) if prices else None


def _dominated(rows: list[Capacity], other: list[Capacity], churning: bool) -> bool:
    """Whether `other`, on the same GPU, is no larger a replica and at least as fast a GPU for every class, and better
    somewhere: then rows' configuration can be replaced without cost in steady state, reserve or rounding. Where churn
    counts, a whole number of its replicas must take the place of one, so that as many GPUs change as before."""
    mine, theirs = rows[0].configuration, other[0].configuration
    if mine.gpu != theirs.gpu or theirs.gpus > mine.gpus or (churning and mine.gpus % theirs.gpus):
        return False
    rates = {row.request_class: row.operating_rps / mine.gpus for row in rows}
    better = theirs.gpus < mine.gpus
    theirs_by_class = {row.request_class: row.operating_rps / theirs.gpus for row in other}
    for name, rate in rates.items():
        if theirs_by_class.get(name, 0.0) < rate:
            return False
        better = better or theirs_by_class[name] > rate
    return better or theirs < mine


def design_scenario(problem: FleetProblem) -> int:
    """The first scenario, in order of load, whose cumulative probability reaches the planning quantile."""
    cumulative = np.cumsum(problem.demand.probabilities)
    return min(int(np.searchsorted(cumulative, problem.planning_quantile - 1e-9)), len(cumulative) - 1)


def _cheapest(problem: FleetProblem, option: str) -> dict[tuple[str, str], Offer]:
    """The cheapest offer of an option by (region, GPU)."""
    found: dict[tuple[str, str], Offer] = {}
    for offer in problem.offers:
        key = (offer.region, offer.gpu)
        if offer.option == option and (key not in found or offer.usd_per_gpu_h < found[key].usd_per_gpu_h):
            found[key] = offer
    return found


def build_sets(problem: FleetProblem, prune: bool = True) -> Sets:
    """Sets of a problem; capacities of (LLM, class) pairs without demand are ignored. Without `prune` every pool that
    could run is kept."""
    wanted = {(key.llm, key.request_class) for key in problem.demand.series}
    by_configuration: dict[Configuration, list[Capacity]] = {}
    for row in problem.capacities:
        if row.operating_rps > 0 and (row.configuration.llm, row.request_class) in wanted:
            by_configuration.setdefault(row.configuration, []).append(row)
    churning = problem.churn_gpus_max is not None or problem.churn_usd_per_gpu > 0.0
    rejected: list[Rejected] = []
    kept: dict[Configuration, list[Capacity]] = {}
    for one, rows in sorted(by_configuration.items()):
        rivals = [other for name, other in by_configuration.items() if name.llm == one.llm and name != one]
        winner = next((other for other in rivals if prune and _dominated(rows, other, churning)), None)
        if cheapest_usd_per_h(problem, one.gpu) is None:
            excuse = Excuse("price", 1, 0, "offers", f"no market of the plan sells {one.gpu} by a chosen option")
        elif winner is not None:
            better = max(row.operating_rps for row in winner) / winner[0].configuration.gpus
            mine = max(row.operating_rps for row in rows) / one.gpus
            excuse = Excuse("dominated", better, mine, "req/s a GPU", f"{winner[0].configuration.label} is better")
        else:
            kept[one] = rows
            continue
        rejected += [Rejected(one, row.request_class, excuse) for row in rows]

    commitments = tuple(offer for offer in problem.offers if offer.term_months > 0)
    on_demand, spot = _cheapest(problem, "on_demand"), _cheapest(problem, "spot")
    supply = frozenset(
        {(offer.region, offer.gpu) for offer in commitments}
        | set(on_demand)
        | {(held.region, held.gpu) for held in problem.held}
    )
    rejected += outbid(problem, kept, on_demand) if prune else []
    lost = {(r.region, r.configuration) for r in rejected if r.region}
    pools = tuple(
        PoolKey(region, one)
        for region in problem.regions
        for one in kept
        if (region, one.gpu) in supply and (region, one) not in lost
    )
    rate = {(pool, row.request_class): row.operating_rps for pool in pools for row in kept[pool.configuration]}
    serves = {
        key: tuple(
            pool
            for pool in pools
            if pool.configuration.llm == key.llm
            and (pool, key.request_class) in rate
            and pool.region in problem.may_serve[key.region]
        )
        for key in problem.demand.series
    }
    used = {pool for found in serves.values() for pool in found}
    return Sets(
        pools=tuple(pool for pool in pools if pool in used),
        rate=rate,
        serves=serves,
        commitments=tuple(o for o in commitments if (o.region, o.gpu) in supply),
        on_demand=on_demand,
        spot={g: offer for g, offer in spot.items() if g in supply},
        supply=supply,
        design=design_scenario(problem),
        rejected=tuple(rejected),
    )
