"""Small fleet problems, spelled out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from data.plan_records import FleetProblem
from data.records import Block, Capacity, Configuration, Demand, Offer, SeriesKey, SloTarget, Source

HERE = Source("test", "2026-11")
SLO = SloTarget(1.0, 0.05, 99.0)


def capacity(gpu: str, rate: float, tp: int = 1, llm: str = "m", name: str = "chat") -> Capacity:
    one = Configuration(llm, gpu, "bf16", "bf16", tp, "vllm", max_num_seqs=256, max_num_batched_tokens=8192)
    return Capacity(one, name, SLO, rate / 0.85, rate, 0.5, 0.02, 100.0, "tpot", 1e9, 1e5, 100.0, "test", "fitted")


def offer(gpu: str, usd: float, option: str = "on_demand", term: int = 0, region: str = "r") -> Offer:
    return Offer(region, gpu, option, usd, term, "p", region, HERE)


def demand(
    rps: Sequence[Sequence[float]], probabilities: Sequence[float], keys: Sequence[SeriesKey] | None = None
) -> Demand:
    """rps[month][scenario] of one series, or of each of `keys` alike; one block of 730 h."""
    table = np.asarray(rps, dtype=float)
    keys = keys or [SeriesKey("m", "chat", "r")]
    months = tuple(f"2027-{m + 1:02d}" for m in range(len(table)))
    array = np.stack([table[:, None, :]] * len(keys))
    return Demand(tuple(keys), months, (Block("peak", 730.0),), np.asarray(probabilities), array)


def problem(wanted: Demand, capacities: Sequence[Capacity], offers: Sequence[Offer], **changes: object) -> FleetProblem:
    names = {key.request_class for key in wanted.series}
    regions = tuple(dict.fromkeys(o.region for o in offers))
    base = FleetProblem(
        demand=wanted,
        capacities=tuple(capacities),
        offers=tuple(offers),
        regions=regions,
        quotas={},
        may_serve={key.region: regions for key in wanted.series},
        shed_usd_per_request=dict.fromkeys(names, 0.01),
        protected=dict.fromkeys(names, True),
        failures_per_pool=0,
        mip_gap=1e-6,
        time_limit_s=60.0,
        planning_quantile=1.0,
    )
    return replace(base, **changes)  # type: ignore[arg-type]
