"""The goldens of the fleet model: what each pins, and how to make them again.

    python -m tests.optimizer.golden > tests/optimizer/golden.json

Do that when the formulation is changed on purpose, and say in the change what moved and why.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np

from data.plan_records import ApiOffer, Facility, FleetProblem, HeldCommitment, Reserves, VolumeTier
from data.records import SeriesKey
from optimizer.frame import Frame
from optimizer.matrix import compiled, run
from optimizer.merge import merge
from optimizer.model import build_model
from optimizer.sets import build_sets
from tests.optimizer.factory import capacity, demand, offer, problem

FILE = Path(__file__).with_name("golden.json")


def base() -> FleetProblem:
    """Two LLMs, two regions, two months, two scenarios; quotas, N+1, terms, held GPUs, lead times."""
    keys = [SeriesKey("m", "chat", "eu"), SeriesKey("m", "batch", "us"), SeriesKey("n", "chat", "us")]
    rows = [capacity("A", 2.0), capacity("A", 3.0, name="batch"), capacity("B", 5.0, tp=2), capacity("B", 1.7, llm="n")]
    offers = [offer(g, usd, region=r) for r in ("eu", "us") for g, usd in (("A", 1.0), ("B", 1.3))]
    offers += [offer("A", 0.7, "reserved_1y", 12, "eu"), offer("B", 0.8, "reserved_3y", 36, "us")]
    load = np.array([[6.3, 9.2], [7.7, 12.4]])
    given = problem(demand(load.tolist(), [0.7, 0.3], keys), rows, offers, planning_quantile=0.95)
    return replace(
        given,
        protected={"chat": True, "batch": False},
        quotas={("eu", "A"): 14, ("us", "B"): 30},
        held=(HeldCommitment("us", "B", 2, 0.9, "2027-02"),),
        lead_time_months={"reserved_1y": 1},
        failures_per_pool=1,
        pool_start_usd=200.0,
    )


def cases() -> dict[str, FleetProblem]:
    """Every rule of the model on in at least one golden."""
    given, held = base(), Reserves(canary_share=0.1, maintenance_share=0.05, warm_share=0.2)
    ways = [*given.offers, offer("A", 0.4, "spot", 0, "us")]
    return {
        "base": given,
        "one month, one scenario": problem(demand([[9.1]], [1.0]), [capacity("A", 2.0)], [offer("A", 1.0)]),
        "every reserve, all at once": replace(given, reserves=held, rollout_surge=0.1),
        "every reserve, one at a time": replace(given, reserves=replace(held, together="max"), rollout_surge=0.1),
        "zone and region loss": replace(given, reserves=Reserves(zones=3, zone_loss=True, region_loss=True)),
        "spot, API and an on-demand share": replace(
            given,
            offers=tuple(ways),
            spot_share_max=0.4,
            on_demand_share_min=0.2,
            api={("m", "batch"): ApiOffer(1e-4, 2.0)},
        ),
        "averse to risk, within a budget": replace(given, cvar_weight=0.4, cvar_alpha=0.8, budget_usd_per_month=15e3),
        "sites with little power and floor": replace(
            given, facilities={"eu": Facility(3e3, 1.3, {"A": 700.0, "B": 450.0}), "us": Facility(racks=0.6)}
        ),
        "slow and dear to change": replace(given, churn_gpus_max=6, churn_usd_per_gpu=40.0),
        "minimum lots and volume discounts": replace(
            given,
            minimum_gpus={"reserved_1y": 6, "reserved_3y": 10},
            volume_tiers=(VolumeTier("reserved_1y", 9, 0.1), VolumeTier("reserved_3y", 8, 0.6, "B")),
        ),
        "whole nodes": replace(
            given, whole_nodes=True, offers=tuple(replace(one, gpus_per_node=4) for one in given.offers)
        ),
    }


def measured(given: FleetProblem) -> dict[str, float | int]:
    """Objective in thousands of US dollars, optimum of the model and of its relaxation, and the model's size."""
    alike, _ = merge(given)
    matrix = compiled(build_model(Frame(alike, build_sets(alike)))).matrix
    best, relaxed = run(matrix, gap=1e-9), run(matrix, relax=True)
    return {
        "objective": round(best.objective, 6),
        "relaxation": round(relaxed.objective, 6),
        "columns": matrix.columns,
        "rows": matrix.rows,
        "integers": int(matrix.integer.sum()),
    }


if __name__ == "__main__":
    print(json.dumps({name: measured(given) for name, given in cases().items()}, indent=2))
