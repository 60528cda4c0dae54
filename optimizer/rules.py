"""What each rule of a plan costs: the linear relaxation with every rule on, less its value without the one.

Relaxed because the price of a rule is a difference of two plans, and two plans each within a gap of their optimum
differ by that gap alone; two relaxations are exact. It leaves out what the rule adds to rounding.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

from data.plan_records import FleetProblem, RulePrice
from optimizer.cost import USD_SCALE
from optimizer.frame import Frame
from optimizer.matrix import compiled, run
from optimizer.merge import merge
from optimizer.model import build_model
from optimizer.sets import build_sets

RULES_COLUMNS = 8000
"""Rules of larger models are not priced unasked: each costs one more relaxation."""


Lift = Callable[[FleetProblem], FleetProblem]


def _reserve(**off: Any) -> Lift:
    return lambda problem: replace(problem, reserves=replace(problem.reserves, **off))


def _plain(**off: Any) -> Lift:
    return lambda problem: replace(problem, **off)


def switches(problem: FleetProblem) -> dict[str, Lift]:
    """Rule -> what takes it out of a problem, for every rule that is on."""
    held = problem.reserves
    anywhere = dict.fromkeys(problem.may_serve, problem.regions)
    found: dict[str, tuple[bool, Lift]] = {
        "N+k": (problem.failures_per_pool > 0, _plain(failures_per_pool=0)),
        "rollout surge": (problem.rollout_surge > 0, _plain(rollout_surge=0.0)),
        "canary": (held.canary_share > 0, _reserve(canary_share=0.0)),
        "maintenance": (held.maintenance_share > 0, _reserve(maintenance_share=0.0)),
        "warm replicas": (held.warm_share > 0, _reserve(warm_share=0.0)),
        "zone loss": (held.zone_loss, _reserve(zone_loss=False)),
        "region loss": (held.region_loss, _reserve(region_loss=False)),
        "residency": (
            any(set(places) != set(problem.regions) for places in problem.may_serve.values()),
            _plain(may_serve=anywhere),
        ),
        "quotas": (bool(problem.quotas), _plain(quotas={})),
        "on-demand share": (problem.on_demand_share_min > 0, _plain(on_demand_share_min=0.0)),
        "budget": (problem.budget_usd_per_month is not None, _plain(budget_usd_per_month=None)),
        "lead times": (
            problem.commitment_lead_time_months > 0 or any(problem.lead_time_months.values()),
            _plain(commitment_lead_time_months=0, lead_time_months={}),
        ),
    }
    return {name: lift for name, (on, lift) in found.items() if on}


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
    for name, lift in switches(problem).items():
        left = stop - time.perf_counter()
        if left <= 0.0:
            break
        price = whole - relaxed_usd(lift(problem), left)
        if price == price:  # nan: not solved in time
            found.append(RulePrice(name, max(price, 0.0)))
    return tuple(sorted(found, key=lambda one: (-one.usd, one.rule)))
