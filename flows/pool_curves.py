"""Service curves of the configurations that a plan runs: load to latency, admission limits and scaling thresholds."""

from __future__ import annotations

from pathlib import Path

from configs.schema import Scenario
from data.curve_records import ServiceCurve
from data.history import TrafficHistory
from data.plan_records import Pool
from flows.check_plan import pool_mix
from flows.progress import report
from flows.replica_curve import replica_curve
from flows.steps import Planned


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
    drawn = sorted(largest.values(), key=lambda one: -one.gpus)[: scenario.report.service_curves]
    found = []
    for number, pool in enumerate(drawn, start=1):
        report(f"  curve {number} of {len(drawn)}")
        mix = pool_mix(scenario, history, capacity, problem, plan.routes, pool)
        rows = {
            row.request_class: row
            for row in capacity.rows
            if row.configuration == pool.configuration and row.excuse is None
        }
        if not sum(part.share for part in mix) or any(
            part.name not in rows or not rows[part.name].knee_rps for part in mix
        ):
            continue
        curve = replica_curve(scenario, rows, mix, base)
        if curve is not None:
            found.append(curve)
    return tuple(found)
