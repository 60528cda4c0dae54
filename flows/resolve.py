"""Full re-solves of the fleet problem in parallel processes: what a plan made in another world would be."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, replace
from multiprocessing import get_context

import numpy as np
from scipy.stats import spearmanr

from cost.draws import Draws, some
from cost.fixed_fleet import FixedFleet
from data.plan_records import FleetPlan, FleetProblem
from data.records import Capacity, Demand, FloatArray
from data.sensitivity_records import Resolved

GAP = 0.02
SECONDS = 2.0
"""Gap and limit of one re-solve: a world among hundreds need not be proven to the plan's own gap."""


@dataclass(frozen=True, slots=True)
class World:
    """One draw: what changes in the problem. slowness by (LLM, class)."""

    values: Mapping[str, float]
    slowness: Mapping[tuple[str, str], float]


def changed(problem: FleetProblem, world: World, seconds: float = SECONDS) -> FleetProblem:
    """The problem in another world: demand grown, rates slower, hours dearer, commitments later.

    Terms' prices stay: they are what is decided on. llm_mix moves requests between LLMs; quality_routing does not enter
    (it is a serving decision that the re-pricing prices).
    """
    v = world.values
    demand = problem.demand
    months = np.arange(1, len(demand.months) + 1)
    rps = demand.rps * (v["volume"] * (1.0 + v["growth"]) ** months)[None, :, None, None]
    late = round(v["lead_time"])
    return replace(
        problem,
        demand=_moved(replace(demand, rps=rps), v.get("llm_mix", 0.0), problem.capacities),
        capacities=tuple(
            replace(row, operating_rps=row.operating_rps / slow, knee_rps=row.knee_rps / slow)
            for row in problem.capacities
            for slow in (world.slowness.get((row.configuration.llm, row.request_class), 1.0 / v["goodput"]),)
        ),
        offers=tuple(
            one if one.term_months else replace(one, usd_per_gpu_h=one.usd_per_gpu_h * v["prices"])
            for one in problem.offers
        ),
        api={key: replace(one, usd_per_request=one.usd_per_request * v["prices"]) for key, one in problem.api.items()},
        spot_interrupted_share=1.0 - v["spot_availability"],
        commitment_lead_time_months=problem.commitment_lead_time_months + late,
        lead_time_months={name: months + late for name, months in problem.lead_time_months.items()},
        mip_gap=max(problem.mip_gap, GAP),
        time_limit_s=seconds,
    )


def _moved(demand: Demand, share: float, capacities: Sequence[Capacity]) -> Demand:
    """Requests moved from the LLM with the slowest replicas a GPU to the one with the fastest."""
    speed: dict[str, list[float]] = {}
    for row in capacities:
        speed.setdefault(row.configuration.llm, []).append(row.operating_rps / row.configuration.gpus)
    known = sorted({key.llm for key in demand.series} & set(speed), key=lambda llm: (max(speed[llm]), llm))
    if share == 0.0 or len(known) < 2:
        return demand
    source = [k for k, key in enumerate(demand.series) if key.llm == known[0]]
    target = [k for k, key in enumerate(demand.series) if key.llm == known[-1]]
    rps = demand.rps.copy()
    taken = share * rps[source].sum()
    rps[source] *= 1.0 - share
    rps[target] *= max(1.0 + taken / max(rps[target].sum(), 1e-12), 0.0)
    return replace(demand, rps=rps)


def _solve(problem: FleetProblem) -> tuple[str, float, dict[str, int]]:
    """Status, objective and the first month's commitments, option and place -> GPUs; runs in a process of its own."""
    os.environ["OPENBLAS_NUM_THREADS"] = "1"
    from optimizer.solve import solve

    plan = solve(problem)
    return plan.stats.status, plan.stats.objective_usd, first_stage(plan)


def first_stage(plan: FleetPlan) -> dict[str, int]:
    """What is committed to: place, GPU and option -> GPUs, over all start months."""
    found: dict[str, int] = {}
    for one in plan.purchases:
        if one.term_months > 0:
            key = f"{one.gpu} in {one.region} {one.option}"
            found[key] = found.get(key, 0) + one.gpus
    return found


def same(one: Mapping[str, int], other: Mapping[str, int], within: float = 0.1) -> bool:
    """Whether two decisions buy the same things in amounts that differ by no more than a share of the larger's GPUs."""
    total = max(sum(one.values()), sum(other.values()))
    apart = sum(abs(one.get(key, 0) - other.get(key, 0)) for key in {*one, *other})
    return apart <= within * total


def worlds(fleet: FixedFleet, draws: Draws) -> list[World]:
    """Every draw as a world."""
    from cost.reprice import slowness

    slow = slowness(fleet, draws)
    return [
        World(
            {name: float(value[i]) for name, value in draws.values.items()},
            {key: float(value[i]) for key, value in slow.items()},
        )
        for i in range(len(draws))
    ]


def resolve(
    fleet: FixedFleet, plan: FleetPlan, draws: Draws, count: int, seconds: float = SECONDS, processes: int = 2
) -> Resolved:
    """`count` of the draws, evenly picked, each planned anew in full."""
    start = time.perf_counter()
    mine = some(draws, np.linspace(0, len(draws) - 1, count).astype(np.int64))
    problems = [changed(fleet.problem, world, seconds) for world in worlds(fleet, mine)]
    # Spawned: a fork after JAX has started would hang.
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as pool:
        answers = list(pool.map(_solve, problems, chunksize=max(1, count // (8 * processes))))
    spent = time.perf_counter() - start
    found = [i for i, (status, _, _) in enumerate(answers) if status in ("optimal", "feasible")]
    decided = first_stage(plan)
    gpus = np.array([float(sum(answers[i][2].values())) for i in found])
    kinds: dict[str, int] = {}
    for i in found:
        text = ", ".join(sorted(answers[i][2])) or "nothing"
        kinds[text] = kinds.get(text, 0) + 1
    ranked = sorted(kinds.items(), key=lambda one: (-one[1], one[0]))
    return Resolved(
        solves=len(found),
        seconds=spent,
        usd=tuple(answers[i][1] for i in found),
        committed_gpus=tuple(gpus.tolist()),
        changed=float(np.mean([not same(decided, answers[i][2]) for i in found])) if found else 0.0,
        drivers={name: correlation(value[found], gpus) for name, value in mine.values.items()},
        decisions=tuple((text, n / len(found)) for text, n in ranked),
    )


def correlation(x: FloatArray, y: FloatArray) -> float:
    """Spearman's rank correlation; 0 where either does not vary."""
    if len(x) < 3 or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return 0.0
    return float(spearmanr(x, y).statistic)


def mean_value(problem: FleetProblem, seconds: float) -> FleetPlan:
    """The plan for the expected demand alone: the yardstick of what planning for scenarios is worth."""
    from optimizer.solve import solve

    demand = problem.demand
    mean = (demand.rps * demand.probabilities).sum(axis=-1, keepdims=True)
    return solve(replace(problem, demand=replace(demand, rps=mean, probabilities=np.ones(1)), time_limit_s=seconds))
