"""What each rule of a plan costs: the linear relaxation with every rule on, less its value without the one.

Relaxed because the price of a rule is a difference of two plans, and two plans each within a gap of their optimum
differ by that gap alone; two relaxations are exact. It leaves out what the rule adds to rounding.

A relaxation knows no lots. What minimum lots cost and volume discounts save is found on the plan's own replicas: their
GPUs bought as cheaply as can be with the rule, less the same without it, in whole orders. A discount has a price below
zero.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np

from data.plan_records import FleetProblem, RulePrice, lead_months, without_lead
from data.records import FloatArray
from optimizer.cost import USD_SCALE
from optimizer.frame import Frame
from optimizer.matrix import Declared, compiled, run
from optimizer.merge import merge
from optimizer.model import build_model
from optimizer.parts import OPERATION, fixed_but
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
            any(lead_months(problem, one) > 0 for one in problem.offers if one.term_months > 0),
            without_lead,
        ),
    }
    found |= {
        "power": (_limited(problem, "power_w"), _unlimited(problem, "power_w")),
        "floor space": (_limited(problem, "racks"), _unlimited(problem, "racks")),
        "churn limit": (problem.churn_gpus_max is not None, _plain(churn_gpus_max=None)),
        "churn cost": (problem.churn_usd_per_gpu > 0.0, _plain(churn_usd_per_gpu=0.0)),
        **{name: (on, lift) for name, (on, lift) in _lot_rules(problem).items()},
    }
    return {name: lift for name, (on, lift) in found.items() if on}


def _limited(problem: FleetProblem, what: str) -> bool:
    return any(getattr(site, what) is not None for site in problem.facilities.values())


def _unlimited(problem: FleetProblem, what: str) -> Lift:
    free: dict[str, Any] = {what: None}
    sites = {region: replace(site, **free) for region, site in problem.facilities.items()}
    return _plain(facilities=sites)


def _lot_rules(problem: FleetProblem) -> dict[str, tuple[bool, Lift]]:
    """Rules that say nothing to a relaxation."""
    return {
        "minimum lots": (any(gpus > 1 for gpus in problem.minimum_gpus.values()), _plain(minimum_gpus={})),
        "volume discounts": (bool(problem.volume_tiers), _plain(volume_tiers=())),
    }


def relaxed_usd(problem: FleetProblem, seconds: float = 60.0) -> float:
    """Value of the linear relaxation, US dollars; nan where it was not solved in time."""
    alike, _ = merge(problem)
    declared = compiled(build_model(Frame(alike, build_sets(alike))))
    return run(declared.matrix, relax=True, time_limit_s=seconds, seed=problem.seed).objective / USD_SCALE


def fed_usd(frame: Frame, declared: Declared, x: FloatArray, lift: Lift, seconds: float) -> float:
    """Least cost of the operation in x with its GPUs bought anew after a rule is lifted, US dollars; nan where that was
    not found in time."""
    named = ((v.parent_component().local_name, v.index()) for v in declared.variables)
    settled = dict(zip(named, x.tolist(), strict=True))
    # The same sets, so that pools keep their places.
    other = compiled(build_model(Frame(lift(frame.problem), frame.sets)))
    names = np.array([v.parent_component().local_name for v in other.variables])
    point = np.array([settled.get((v.parent_component().local_name, v.index()), 0.0) for v in other.variables])
    sub, _ = fixed_but(other.matrix, ~np.isin(names, OPERATION), point)
    solved = run(sub, gap=1e-6, time_limit_s=seconds, seed=frame.problem.seed)
    return solved.objective / USD_SCALE if solved.status == "optimal" else float("nan")


def rule_prices(
    problem: FleetProblem, seconds: float, frame: Frame, declared: Declared, x: FloatArray
) -> tuple[RulePrice, ...]:
    """Prices of the rules that are on, dearest first, as many as fit in the seconds; frame, declared and x: of the
    plan."""
    stop = time.perf_counter() + seconds
    whole = relaxed_usd(problem, seconds)
    found = []
    lots = _lot_rules(frame.problem)
    for name, lift in switches(problem).items():
        left = stop - time.perf_counter()
        if left <= 0.0:
            break
        if name in lots:
            price = fed_usd(frame, declared, x, _plain(), left) - fed_usd(frame, declared, x, lots[name][1], left)
        else:
            price = max(whole - relaxed_usd(lift(problem), left), 0.0)
        if price == price:  # nan: not solved in time
            found.append(RulePrice(name, price))
    return tuple(sorted(found, key=lambda one: (-one.usd, one.rule)))
