"""Random fleets for property tests: a problem, a plan of it, work and resource use, all consistent."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data.cost_records import ResourceUse, Work
from data.plan_records import (
    FleetPlan,
    FleetProblem,
    HeldCommitment,
    MonthCost,
    PlacedCost,
    Pool,
    Purchase,
    SolveStats,
)
from data.records import Block, Configuration, Demand, Offer, SeriesKey, Source
from data.units import HOURS_PER_MONTH

STATS = SolveStats("optimal", "test", 0.0, 0.0, 0.0, 0, 0, 0, 0.0, 0.0, "none")
REGIONS = ("east", "west")
GPUS = ("H100-SXM", "L40S")
OPTIONS = {"on_demand": 0, "spot": 0, "reserved_1y": 12, "reserved_3y": 36, "owned": 48}
MONTHS = ("2026-11", "2026-12", "2027-01")


@dataclass(frozen=True)
class Fleet:
    problem: FleetProblem
    plan: FleetPlan
    work: tuple[Work, ...]
    uses: tuple[ResourceUse, ...]


def fleet(seed: int) -> Fleet:
    """A random fleet: some LLMs without pools, some GPUs without pools, idle and held commitments, empty months."""
    rng = np.random.default_rng(seed)
    llms = tuple(f"llm-{i}" for i in range(rng.integers(1, 4)))
    keys = tuple(
        SeriesKey(llm, f"class-{i}", region)
        for llm in llms
        for i in range(rng.integers(1, 4))
        for region in REGIONS
        if rng.random() < 0.8
    ) or (SeriesKey(llms[0], "class-0", "east"),)
    months = MONTHS[: rng.integers(1, 4)]
    source = Source("test list", "2026-11-01")
    offers = tuple(
        Offer(region, gpu, option, float(rng.uniform(0.3, 9.0)), term, "p", region, source)
        for region in REGIONS
        for gpu in GPUS
        for option, term in OPTIONS.items()
    )
    held = tuple(
        HeldCommitment("east", "L40S", int(rng.integers(1, 9)), 1.1, str(rng.choice(["2026-12", "2028-01"])))
        for _ in range(rng.integers(0, 2))
    )
    demand = Demand(
        keys, months, (Block("peak", HOURS_PER_MONTH),), np.ones(1), rng.uniform(0, 9, (len(keys), len(months), 1, 1))
    )
    problem = FleetProblem(
        demand,
        (),
        offers,
        REGIONS,
        {},
        {r: REGIONS if rng.random() < 0.5 else (r,) for r in REGIONS},
        {},
        {},
        held=held,
    )
    configurations = [
        Configuration(llm, gpu, "bf16", "bf16", tp, "vllm") for llm in llms for gpu in GPUS for tp in (1, 2)
    ]
    pools = tuple(
        Pool(
            one,
            region,
            month,
            *(int(n) for n in rng.integers(0, 4, 3)),
            1.0,
            1.0,
            *(int(n) for n in rng.integers(0, 2, 5)),
        )
        for one in configurations
        for region in REGIONS
        for month in months
        if rng.random() < 0.3
    )
    purchases, costs, placed = [], [], []
    for m, month in enumerate(months):
        for offer in offers:
            if rng.random() < 0.25:
                n = int(rng.integers(1, 30))
                inside = min(offer.term_months, len(months) - m) if offer.term_months else 1
                usd = (
                    n
                    * offer.usd_per_gpu_h
                    * HOURS_PER_MONTH
                    * inside
                    * (1.0 if offer.term_months else float(rng.random()))
                )
                purchases.append(
                    Purchase(
                        offer.region, offer.gpu, offer.option, month, n, offer.usd_per_gpu_h, offer.term_months, usd
                    )
                )
        committed = sum(p.gpus * p.usd_per_gpu_h * HOURS_PER_MONTH for p in purchases if p.term_months)
        hourly = sum(p.usd_in_horizon for p in purchases if p.term_months == 0 and p.month == month)
        sunk = sum(h.gpus * h.usd_per_gpu_h * HOURS_PER_MONTH for h in held if month < h.expires)
        idle = committed * float(rng.random())
        starts = [
            PlacedCost(
                "pool start", month, region, str(rng.choice(llms)), 1000.0, gpu=str(rng.choice(GPUS)), quantity=1.0
            )
            for region in REGIONS
            for _ in range(rng.integers(0, 2))
        ]
        calls = [
            PlacedCost(
                "provider API", month, key.region, key.llm, float(rng.random() * 99),
                request_class=key.request_class, quantity=float(rng.integers(1, 10**6)),
            )
            for key in keys
            if rng.random() < 0.5
        ]  # fmt: skip
        placed += [*starts, *calls]
        once, api = (math.fsum(one.usd for one in some) for some in (starts, calls))
        costs.append(MonthCost(month, committed, hourly, sunk, idle, 0.0, once, api))
    plan = FleetPlan(STATS, pools, purchases=tuple(purchases), costs=tuple(costs), placed=tuple(placed))
    work = tuple(Work(key, month, float(rng.integers(0, 10**7)), 800.0, 200.0) for key in keys for month in months)
    uses = tuple(
        ResourceUse(one, name, *rng.uniform(0.01, 1.0, 2).tolist(), float(rng.uniform(10, 1e5)), 1e5)
        for one in configurations
        for name in {key.request_class for key in keys if key.llm == one.llm}
        if rng.random() < 0.9
    )
    return Fleet(problem, plan, work, uses)
