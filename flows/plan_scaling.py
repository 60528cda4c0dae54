"""How the pools of a plan are scaled, found within the plan: briefly, from the service curves that it has drawn."""

from __future__ import annotations

from dataclasses import replace

from configs.errors import InputError
from flows.lengths import at_forecast_lengths
from flows.scaling_pool import scale_pool
from flows.scaling_pools import pools_of, standing_by, unscaled
from flows.scaling_replica import of_curve
from reports.bundle import PlanBundle
from reports.machine import frames, plan_document


def with_scaling(bundle: PlanBundle) -> PlanBundle:
    """The bundle with thresholds, limits and warm reserve of every pool whose configuration has a curve; pools that
    could not be scaled are named with the reason."""
    scenario = bundle.scenario
    history = at_forecast_lengths(bundle.history, bundle.forecast)
    curves = {one.configuration: one for one in bundle.curves}
    rows = {row.configuration: row for row in bundle.problem.capacities}
    plan = plan_document(bundle)
    scaled, left = [], []
    for ask in pools_of(plan, scenario.autoscaling.max_replicas, frames(bundle)["demand"]):
        where = f"{ask.configuration.label} in {ask.region}"
        curve = curves.get(ask.configuration)
        if curve is None:
            left.append(f"{where}: its service curve was not drawn (report.service_curves)")
            continue
        known = of_curve(scenario, history, curve, rows[ask.configuration])
        try:
            scaled.append(scale_pool(scenario, history, ask, known, brief=True))
        except InputError as error:
            left.append(f"{where}: expected {error.expected}, got {error.got}")
    return replace(bundle, scaling=tuple(scaled), unscaled=(*left, *unscaled(standing_by(plan))))
