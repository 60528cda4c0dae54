"""What each rule of a plan costs: the linear relaxation with every rule on, less its value without the one.

Relaxed because the price of a rule is a difference of two plans, and two plans each within a gap of their optimum
differ by that gap alone; two relaxations are exact. It leaves out what the rule adds to rounding.
"""

from __future__ import annotations

import time
from dataclasses import replace

from data.plan_records import FleetProblem, RulePrice
from optimizer.cost import USD_SCALE
from optimizer.frame import Frame
from optimizer.matrix import compiled, run
from optimizer.merge import merge
from optimizer.model import build_model
from optimizer.sets import build_sets

RULES_COLUMNS = 8000
"""Rules of larger models are not priced unasked: each costs one more relaxation."""


def without(problem: FleetProblem) -> dict[str, FleetProblem]:
    """Rule -> the problem without it, for every rule that is on."""
    held = problem.reserves
    anywhere = dict.fromkeys(problem.may_serve, problem.regions)
    found = {
        "N+k": (problem.failures_per_pool > 0, replace(problem, failures_per_pool=0)),
        "rollout surge": (problem.rollout_surge > 0, replace(problem, rollout_surge=0.0)),
        "canary": (held.canary_share > 0, replace(problem, reserves=replace(held, canary_share=0.0))),
        "maintenance": (held.maintenance_share > 0, replace(problem, reserves=replace(held, maintenance_share=0.0))),
        "warm replicas": (held.warm_share > 0, replace(problem, reserves=replace(held, warm_share=0.0))),
        "zone loss": (held.zone_loss, replace(problem, reserves=replace(held, zone_loss=False))),
        "region loss": (held.region_loss, replace(problem, reserves=replace(held, region_loss=False))),
        "residency": (
            any(set(places) != set(problem.regions) for places in problem.may_serve.values()),
            replace(problem, may_serve=anywhere),
        ),
        "quotas": (bool(problem.quotas), replace(problem, quotas={})),
        "on-demand share": (problem.on_demand_share_min > 0, replace(problem, on_demand_share_min=0.0)),
        "budget": (problem.budget_usd_per_month is not None, replace(problem, budget_usd_per_month=None)),
        "lead times": (
            problem.commitment_lead_time_months > 0 or any(problem.lead_time_months.values()),
            replace(problem, commitment_lead_time_months=0, lead_time_months={}),
        ),
    }
    return {name: bare for name, (on, bare) in found.items() if on}


def relaxed_usd(problem: FleetProblem, seconds: float = 60.0) -> float:
    """Value of the linear relaxation, US dollars; nan where it was not solved in time."""
    alike, _ = merge(problem)
    declared = compiled(build_model(Frame(alike, build_sets(alike))))
    return run(declared.matrix, relax=True, time_limit_s=seconds, seed=problem.seed).objective / USD_SCALE


def rule_prices(problem: FleetProblem, seconds: float) -> tuple[RulePrice, ...]:
    """Prices of the rules that are on, dearest first, as many as fit in the seconds."""
    stop = time.perf_counter() + seconds
    whole = relaxed_usd(problem, seconds)
    found = []
    for name, bare in without(problem).items():
        left = stop - time.perf_counter()
        if left <= 0.0:
            break
        price = whole - relaxed_usd(bare, left)
        if price == price:  # nan: not solved in time
            found.append(RulePrice(name, max(price, 0.0)))
    return tuple(sorted(found, key=lambda one: (-one.usd, one.rule)))
