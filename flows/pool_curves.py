"""Service curves of the configurations that a plan runs: load to latency, admission limits and scaling thresholds."""

from __future__ import annotations

from pathlib import Path

from configs.schema import Scenario
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.curve_records import ServiceCurve
from data.history import TrafficHistory
from data.plan_records import Pool
from flows.check_plan import pool_mix
from flows.steps import Planned, calibration_files
from models.curve import Asked, service_curve
from models.simulator.engine import engine_limits
from models.simulator.load import mean_context_tokens
from models.step_cost import step_cost

REQUESTS, SEEDS = 1000, 4
"""Fewer than `fleetcast curve` takes: the knee of the plan is known already, and this draws the curve around it."""


def curves_of(
    scenario: Scenario, history: TrafficHistory, planned: Planned, base: Path = Path()
) -> tuple[ServiceCurve, ...]:
    """One curve a configuration, for the classes mixed as on its largest pool; calibration files start at `base`."""
    capacity, problem, plan = planned.capacity, planned.problem, planned.plan
    largest: dict[object, Pool] = {}
    for pool in plan.pools:
        old = largest.get(pool.configuration)
        if old is None or pool.gpus > old.gpus:
            largest[pool.configuration] = pool
    engine, coefficients = (
        find_engine(scenario.evaluate.engine),
        load_coefficients(calibration=calibration_files(scenario, base)),
    )
    found = []
    for pool in sorted(largest.values(), key=lambda one: -one.gpus)[: scenario.report.service_curves]:
        one = pool.configuration
        mix = pool_mix(scenario, history, capacity, problem, pool)
        rows = [row for row in capacity.rows if row.configuration == one and row.excuse is None]
        knees = {row.request_class: row.knee_rps for row in rows}
        shares = {each.name: each.share for each in mix}
        total = sum(shares.values())
        if not total or any(not knees.get(name) for name in shares):
            continue
        context = mean_context_tokens(mix)
        cost = step_cost(
            [one], {one.llm: find_llm(one.llm)}, {one.gpu: find_gpu(one.gpu)}, engine, coefficients, [context]
        )
        limits = engine_limits(engine, one.max_num_seqs, one.max_num_batched_tokens, rows[0].kv_capacity_tokens)
        guess = total / sum(share / knees[name] for name, share in shares.items())
        curve = service_curve(
            Asked(
                one, cost, limits, mix, guess, rows[0].provenance, scenario.evaluate.operating_point,
                seed=scenario.seed, requests=REQUESTS, seeds=SEEDS, cv=scenario.evaluate.arrival_cv,
            )
        )  # fmt: skip
        if curve is not None:
            found.append(curve)
    return tuple(found)
