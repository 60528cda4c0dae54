"""The full cost of a plan: the kernels say what a request takes, the forecast how many there are, `cost` the rest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from configs.catalog_schema import CoefficientCatalog
from configs.schema import Scenario
from cost.report import cost_report
from data.catalog import find_engine, find_gpu, find_llm
from data.cost_records import CostReport, ResourceUse, Work
from data.plan_records import FleetPlan, FleetProblem
from data.records import Capacity, CapacityTable, Demand, LengthSample
from data.slo import slo_target
from data.units import SECONDS_PER_HOUR
from flows.heavier import slower
from models.resources import resource_uses


def expected_work(demand: Demand, lengths: Mapping[tuple[str, str], LengthSample]) -> tuple[Work, ...]:
    """Expected requests of every series and month, from the demand blocks; the peak block is capacity, not volume, and
    counts at the busy block's rate where there is one."""
    blocks = demand.blocks
    found = []
    for k, key in enumerate(demand.series):
        sample = lengths[key.llm, key.request_class]
        tokens_in, tokens_out, cached = (
            float(np.average(part, weights=sample.weight))
            for part in (sample.input_tokens, sample.output_tokens, sample.cached_tokens)
        )
        for m, month in enumerate(demand.months):
            hours = (
                block.hours * float(demand.rps[k, m, max(b, 1) if len(blocks) > 1 else b] @ demand.probabilities)
                for b, block in enumerate(blocks)
            )
            found.append(Work(key, month, sum(hours) * SECONDS_PER_HOUR, tokens_in, tokens_out, cached / tokens_in))
    return tuple(found)


def uses_of(
    scenario: Scenario,
    rows: tuple[Capacity, ...],
    lengths: Mapping[tuple[str, str], LengthSample],
    coefficients: CoefficientCatalog,
) -> tuple[ResourceUse, ...]:
    """What a request takes of the configurations of some rows of the capacity table, by the coefficients (calibrated or
    not) that the table was made with."""
    llms = {name: find_llm(name) for name in {row.configuration.llm for row in rows}}
    gpus = {name: find_gpu(name) for name in {row.configuration.gpu for row in rows}}
    return resource_uses(rows, llms, gpus, find_engine(scenario.evaluate.engine), coefficients, lengths)


def full_cost(
    scenario: Scenario,
    problem: FleetProblem,
    plan: FleetPlan,
    capacity: CapacityTable,
    lengths: Mapping[tuple[str, str], LengthSample],
    coefficients: CoefficientCatalog,
) -> CostReport:
    """Every line of the plan's cost, attributed, with unit costs."""
    running = {pool.configuration for pool in plan.pools}
    rows = tuple(row for row in problem.capacities if row.configuration in running)
    slos = {name: slo_target(one.slo) for name, one in scenario.traffic.classes.items()}
    found = cost_report(
        problem,
        plan,
        scenario.costs,
        expected_work(problem.demand, lengths),
        uses_of(scenario, rows, lengths, coefficients),
        {row.configuration: row.weight_bytes_per_gpu * row.configuration.gpus for row in capacity.rows},
        {offer.gpu: find_gpu(offer.gpu).tdp_w for offer in problem.offers},
        slos,
        {name: one.success for name, one in scenario.traffic.classes.items()},
    )
    heavier = slower(scenario, plan, lengths, slos, coefficients)
    return replace(found, mixes={key: replace(mix, slower=heavier.get(key)) for key, mix in found.mixes.items()})
