"""The plan replayed before it is believed: pools that miss are derated, and the plan is solved again."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from configs.catalog_schema import CoefficientCatalog
from configs.schema import Scenario
from data.catalog import find_engine, find_gpu, find_llm
from data.forecast_records import Forecast
from data.history import TrafficHistory
from data.plan_records import FleetPlan, FleetProblem, Pool, Route
from data.records import Capacity, CapacityTable, Configuration, SeriesKey
from data.replay_records import Derating, PoolReplay, Replay
from data.slo import slo_target
from flows.problem import fleet_problem
from flows.progress import report
from models.replay import PoolLoad, replay
from models.simulator.load import ClassLoad, Mix
from optimizer.extract import TOLERANCE_RPS
from optimizer.failover import after_region_loss
from optimizer.solve import solve

Lacking = dict[tuple[str, str], dict[str, dict[SeriesKey, float]]]
"""(Situation, LLM) -> month -> requests/s of every series that no pool has room for."""
ROUNDS = 3
"""Times that a plan is solved again at most."""
SAFETY = 0.98
"""Share of the rate that a replica was found to hold that it is planned with afterwards."""


def check(
    scenario: Scenario,
    history: TrafficHistory,
    forecast: Forecast,
    capacity: CapacityTable,
    problem: FleetProblem,
    plan: FleetPlan,
    coefficients: CoefficientCatalog,
) -> tuple[CapacityTable, FleetProblem, FleetPlan, Replay]:
    """The plan whose replay holds, or the last one with what still misses, and the capacities it was made with."""
    deratings: list[Derating] = []
    for again in range(ROUNDS + 1):
        rows = replay_plan(scenario, history, capacity, problem, plan, coefficients)
        found = _deratings(rows, capacity)
        if not found or again == ROUNDS:
            break
        deratings += found
        # A second miss says that more than one configuration promises too much: the next to be chosen would, too.
        capacity = derate(capacity, [*found, *_spread(found, deratings, capacity)] if again else found)
        problem = replace(fleet_problem(scenario, forecast, capacity), last=problem.last)
        report(f"  {len(found)} configurations derated after the replay; planning again")
        plan = solve(problem, report)
    method = (
        "continuous-batching simulation of the classes mixed on each pool as the plan routes them, 4 x 2,000 requests "
        "of seeds of their own; when a zone or a region is lost, of the protected classes alone"
    )
    return capacity, problem, plan, Replay(rows, tuple(deratings), again, method)


def replay_plan(
    scenario: Scenario,
    history: TrafficHistory,
    capacity: CapacityTable,
    problem: FleetProblem,
    plan: FleetPlan,
    coefficients: CoefficientCatalog,
) -> tuple[PoolReplay, ...]:
    """Every pool of every month at its peak: whole, and in every situation that the plan keeps a reserve for: replicas
    lost, a rollout that holds its surge, a zone lost, a region lost.

    Pools that differ in the month alone are replayed once, at their highest load a replica.
    """
    loads: dict[tuple[object, ...], PoolLoad] = {}

    def add(pool: Pool, situation: str, replicas: int, rps: float, carried: Mapping[str, float]) -> None:
        mix = mix_of(scenario, history, pool.configuration, carried)
        row = next(row for row in capacity.rows if row.configuration == pool.configuration and row.excuse is None)
        load = PoolLoad(
            pool.configuration, pool.region, pool.month, situation, replicas, rps, mix, row.kv_capacity_tokens,
            promised_rps(mix, capacity, pool.configuration),
        )  # fmt: skip
        key = (pool.configuration, pool.region, situation)
        other = loads.get(key)
        if other is None or _per_replica(load) > _per_replica(other):
            loads[key] = load

    held = problem.reserves
    lacking: Lacking = {}
    for pool in plan.pools:
        carried = _on_pool(capacity, problem, plan.routes, pool)
        for situation, replicas in situations(pool):
            add(pool, situation, replicas, pool.peak_rps, carried)
        guarded = _carried(capacity, problem, plan.routes, pool, [n for n, kept in problem.protected.items() if kept])
        if held.zone_loss and held.zones > 1 and sum(guarded.values()) > TOLERANCE_RPS:
            left = pool.replicas - math.ceil(pool.replicas / held.zones - 1e-9)
            add(pool, "zone lost", left, sum(guarded.values()), guarded)
    if held.region_loss:
        for month in dict.fromkeys(pool.month for pool in plan.pools):
            for region in problem.regions:
                after = after_region_loss(problem, plan.pools, month, region)
                for pool, moved in after.carried.items():
                    add(pool, f"{region} lost", pool.replicas, sum(moved.values()), moved)
                for key, rps in after.unserved.items():
                    lacking.setdefault((f"{region} lost", key.llm), {}).setdefault(month, {})[key] = rps
    policy = scenario.evaluate
    rows = replay(
        list(loads.values()),
        {find_llm(name).name: find_llm(name) for name in policy.llms},
        {find_gpu(name).name: find_gpu(name) for name in policy.gpus},
        find_engine(policy.engine),
        coefficients,
        seed=scenario.seed + 1,
        cv=policy.arrival_cv,
        routing=policy.routing,
    )
    return _with_unserved(rows, lacking, plan.pools)


def _with_unserved(rows: Sequence[PoolReplay], lacking: Lacking, pools: Sequence[Pool]) -> tuple[PoolReplay, ...]:
    """Rows in which those of a region's loss miss where not all of their LLM's load has room, however well they carry
    what they have; a loss that leaves the LLM no pool with load has a row for each pool that was lost.

    No replica is to blame, so that none of them says what a replica would hold: nothing is derated for it.
    """
    found = list(rows)
    for (situation, llm), by_month in lacking.items():
        month, short = max(by_month.items(), key=lambda one: sum(one[1].values()))
        names = ", ".join(str(key) for key in sorted(short, key=str))
        breaks = f"{sum(short.values()):,.3g} req/s of {names} find no room in {month}"
        mine = [i for i, row in enumerate(found) if row.situation == situation and row.configuration.llm == llm]
        for i in mine:
            row = found[i]
            found[i] = replace(row, holds=False, breaks=", ".join(filter(None, (row.breaks, breaks))))
        if not mine:
            gone = [one for one in pools if one.month == month and f"{one.region} lost" == situation]
            found += [
                PoolReplay(
                    one.configuration, one.region, month, situation, 0, sum(short.values()), math.nan, (), False, breaks
                )
                for one in gone
                if one.configuration.llm == llm
            ]
    return tuple(found)


def situations(pool: Pool) -> list[tuple[str, int]]:
    """What happens to a pool that goes on carrying all its classes, and the replicas that are left then; only what the
    plan keeps a reserve for."""
    found = [("all replicas", pool.replicas)]
    if pool.failure_replicas:
        found.append((f"{pool.failure_replicas} lost", pool.replicas - pool.failure_replicas))
    if pool.rollout_replicas:
        found.append(("rollout", pool.replicas - pool.rollout_replicas))
    return found


def promised_rps(mix: Mix, capacity: CapacityTable, configuration: Configuration) -> float:
    """Requests/s of the mix that fill a replica by its classes' operating rates: they add up by bottleneck seconds."""
    rate = _rates(capacity, configuration)
    total = sum(one.share for one in mix)
    return 1.0 / sum(one.share / total / rate[one.name] for one in mix)


def _per_replica(load: PoolLoad) -> float:
    return load.rps / max(load.replicas, 1)


def pool_mix(
    scenario: Scenario,
    history: TrafficHistory,
    capacity: CapacityTable,
    problem: FleetProblem,
    routes: Sequence[Route],
    pool: Pool,
) -> Mix:
    """The classes on a pool: those that the plan routes there, in their shares of the block that fills it most."""
    return mix_of(scenario, history, pool.configuration, _on_pool(capacity, problem, routes, pool))


def mix_of(scenario: Scenario, history: TrafficHistory, one: Configuration, carried: Mapping[str, float]) -> Mix:
    """Classes on replicas of a configuration, in shares of what they carry, requests/s by class."""
    slos = scenario.traffic.classes
    return tuple(
        ClassLoad(name, share, history.lengths[one.llm, name], slo_target(slos[name].slo))
        for name, share in sorted(carried.items())
    )


def _on_pool(capacity: CapacityTable, problem: FleetProblem, routes: Sequence[Route], pool: Pool) -> dict[str, float]:
    classes = tuple(problem.protected)
    return _carried(capacity, problem, routes, pool, classes) or _could_come(capacity, problem, pool)


def _carried(
    capacity: CapacityTable, problem: FleetProblem, routes: Sequence[Route], pool: Pool, classes: Collection[str]
) -> dict[str, float]:
    """Requests/s of these classes in the block where they take most of a pool's time; empty where none is routed
    there."""
    rate = _rates(capacity, pool.configuration)
    blocks: dict[str, dict[str, float]] = {block.name: {} for block in problem.demand.blocks}
    for route in routes:
        if (route.configuration, route.region, route.month) == (pool.configuration, pool.region, pool.month):
            for block, rps in route.rps.items():
                name = route.series.request_class
                if rps > 0.0 and name in classes:
                    blocks[block][name] = blocks[block].get(name, 0.0) + rps
    return max(blocks.values(), key=lambda found: sum(rps / rate[name] for name, rps in found.items()))


def _could_come(capacity: CapacityTable, problem: FleetProblem, pool: Pool) -> dict[str, float]:
    """Demand in the pool's month by class of its LLM that it can serve and that may come to its region: for a pool that
    carries nothing in the scenario that routes are of."""
    one, demand = pool.configuration, problem.demand
    able = _rates(capacity, one)
    month = demand.months.index(pool.month)
    mean = (demand.rps[:, month, 0, :] * demand.probabilities).sum(axis=1)
    shares: dict[str, float] = {}
    for key, rps in zip(demand.series, mean, strict=True):
        if key.llm == one.llm and key.request_class in able and pool.region in problem.may_serve[key.region]:
            shares[key.request_class] = shares.get(key.request_class, 0.0) + float(rps)
    return shares


def _rates(capacity: CapacityTable, configuration: Configuration) -> dict[str, float]:
    """Operating rate of a replica by class that it can serve, requests/s."""
    rows = (row for row in capacity.rows if row.configuration == configuration and row.excuse is None)
    return {row.request_class: row.operating_rps for row in rows}


def _deratings(rows: Sequence[PoolReplay], capacity: CapacityTable) -> list[Derating]:
    """One for each configuration that misses: the worst factor over its situations."""
    worst: dict[object, Derating] = {}
    for row in rows:
        if row.holds:
            continue
        planned = row.rps / max(row.replicas, 1)
        factor = SAFETY * row.knee_rps / row.promised_rps
        classes = tuple(one.name for one in row.classes)
        because = f"{row.situation} in {row.region}, {planned:.3g} req/s a replica: {row.breaks}"
        old = worst.get(row.configuration)
        if factor < 1.0 and (old is None or factor < old.factor):
            worst[row.configuration] = Derating(row.configuration, classes, factor, because)
    return list(worst.values())


def _spread(found: Sequence[Derating], deratings: Sequence[Derating], capacity: CapacityTable) -> list[Derating]:
    """The worst factor of every LLM and class, for the configurations that have not been replayed."""
    known = {one.configuration for one in deratings}
    worst: dict[tuple[str, str], Derating] = {}
    for one in found:
        for name in one.request_classes:
            key = one.configuration.llm, name
            if key not in worst or one.factor < worst[key].factor:
                worst[key] = one
    spread = []
    for row in capacity.rows:
        like = worst.get((row.configuration.llm, row.request_class))
        if like is not None and row.excuse is None and row.configuration not in known:
            spread.append(replace(like, configuration=row.configuration, request_classes=(row.request_class,)))
    return spread


def derate(capacity: CapacityTable, deratings: Sequence[Derating]) -> CapacityTable:
    """The table with the operating rates of derated configurations lowered, and why in their method."""
    factors = {(one.configuration, name): one for one in deratings for name in one.request_classes}

    def lowered(row: Capacity) -> Capacity:
        found = factors.get((row.configuration, row.request_class))
        if found is None or row.excuse is not None:
            return row
        method = f"{row.method}; derated to {found.factor:.0%} by replay"
        return replace(row, operating_rps=row.operating_rps * max(found.factor, 1e-3), method=method)

    return replace(capacity, rows=tuple(lowered(row) for row in capacity.rows))
