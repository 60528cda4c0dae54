"""The service curve of one replica of a configuration under a mix of classes."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from configs.autoscaling import AutoscalingPolicy
from configs.schema import Scenario
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.curve_records import ServiceCurve
from data.records import Capacity
from data.scaling_records import StartUp
from data.units import GB
from models.curve import Asked, service_curve
from models.simulator.engine import engine_limits
from models.simulator.load import Mix, mean_context_tokens, replica_cv
from models.step_cost import step_cost

REQUESTS, SEEDS = 1000, 4
POOL_REQUESTS, POOL_SEEDS = 600, 2
"""Fewer than `fleetcast curve` takes: the knee is known already, and this draws the curve around it."""


def replica_curve(
    scenario: Scenario, rows: Mapping[str, Capacity], mix: Mix, base: Path = Path()
) -> ServiceCurve | None:
    """The curve of a replica in a pool of as many as its capacity counts on; rows: the configuration's capacity by
    class, for every class of the mix. None where it serves no load within the SLO. Calibration files of the scenario
    start at `base`."""
    row = next(iter(rows.values()))
    one, engine = row.configuration, find_engine(row.configuration.engine)
    coefficients = load_coefficients(calibration=tuple(base / name for name in scenario.evaluate.calibration))
    llm, gpu = find_llm(one.llm), find_gpu(one.gpu)
    cost = step_cost([one], {one.llm: llm}, {one.gpu: gpu}, engine, coefficients, [mean_context_tokens(mix)])
    limits = engine_limits(
        engine, one.max_num_seqs, one.max_num_batched_tokens, row.kv_capacity_tokens / one.schedulers
    )
    total = sum(part.share for part in mix)
    together = min(rows[part.name].pool_replicas for part in mix)
    curve = service_curve(
        Asked(
            one,
            cost,
            limits,
            mix,
            total / sum(part.share / rows[part.name].knee_rps for part in mix) / one.schedulers,
            row.provenance,
            scenario.evaluate.operating_point,
            time_to_ready_s=start_up(scenario.autoscaling, row).cold_s,
            requests=REQUESTS,
            seeds=SEEDS,
            seed=scenario.seed,
            cv=replica_cv(scenario.evaluate.arrival_cv, together * one.schedulers, scenario.evaluate.routing),
            pool_requests=POOL_REQUESTS,
            pool_seeds=POOL_SEEDS,
            gains=False,
        )
    )
    return None if curve is None else curve.times(one.schedulers)


def start_up(policy: AutoscalingPolicy, row: Capacity) -> StartUp:
    """Seconds by part; weights by their bytes and the declared rate."""
    parts = policy.start_up
    weights_s = row.weight_bytes_per_gpu * row.configuration.gpus / (parts.weights_gb_per_s * GB)
    return StartUp(parts.node_s, parts.image_s, weights_s, parts.warm_up_s, parts.drain_s)
