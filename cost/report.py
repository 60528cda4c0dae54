"""The whole cost of a plan, put together."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from configs.costs import CostPolicy
from configs.slo import SuccessCriterion
from cost.attribution import attribute
from cost.compute import compute_lines
from cost.services import service_lines
from cost.units import criteria, prefill_share, unit_costs
from data.cost_records import CostReport, ResourceUse, TokenMix, Work
from data.costs import assumed
from data.plan_records import FleetPlan, FleetProblem
from data.records import Configuration, SloTarget


def cost_report(
    problem: FleetProblem,
    plan: FleetPlan,
    policy: CostPolicy,
    work: Sequence[Work],
    uses: Sequence[ResourceUse],
    weight_bytes: Mapping[Configuration, float],
    tdp_w: Mapping[str, float],
    slos: Mapping[str, SloTarget],
    success: Mapping[str, SuccessCriterion],
) -> CostReport:
    """Lines, attribution and unit costs of a plan.

    work: expected requests by series and month; uses: what a request takes of each configuration; weight_bytes: of a
    whole replica; tdp_w by GPU; slos and success by class.
    """
    figures = assumed(policy)
    lines = (
        *compute_lines(problem, plan, figures, tdp_w),
        *service_lines(plan, work, figures, policy, weight_bytes),
    )
    shares = attribute(lines, plan.pools, work, uses, problem.may_serve, policy)
    mixes = {}
    for one in work:
        key = (one.series.llm, one.series.request_class)
        prefill = prefill_share(*key, plan.pools, uses)
        # Half and half where no pool runs it: nothing is known of its compute then.
        mixes[key] = TokenMix(0.5 if prefill is None else prefill, one.cached_share)
    done = criteria(policy, slos, success, figures["failed_share"][0])
    return CostReport(lines, shares, unit_costs(lines, shares, work, plan.pools, uses, done), figures, mixes)
