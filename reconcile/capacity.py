"""Capacity error: hours short against the stated risk, GPU-hours too many, reserve use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.plan_records import Pool
from data.records import FloatArray
from data.units import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class PoolSupply:
    """What a plan runs in one month for one LLM, over all pools: requests/s of steady replicas and of the reserve, and
    GPUs of either."""

    steady_rps: float
    reserve_rps: float
    steady_gpus: int
    reserve_gpus: int


@dataclass(frozen=True, slots=True)
class CapacityScore:
    """One LLM in one month, or month to date.

    stated_risk: probability with which the plan allowed a month to be short at all; short_hours and reserve_hours of
    `hours` observed: load above steady and reserve, and above steady alone;
    carried_rps: what steady and reserve carry together; over_gpu_hours: steady GPUs beyond what each hour needed.
    """

    llm: str
    month: str
    hours: int
    stated_risk: float
    short_hours: int
    reserve_hours: int
    worst_short_rps: float
    carried_rps: float
    gpu_hours: float
    over_gpu_hours: float


def supply(pools: Sequence[Pool], llm: str, month: str) -> PoolSupply:
    """The supply of an LLM in a month; pools in several regions share their load, as planned."""
    mine = [p for p in pools if p.configuration.llm == llm and p.month == month]
    return PoolSupply(
        math.fsum(p.steady_replicas * p.operating_rps_per_replica for p in mine),
        math.fsum((p.failure_replicas + p.rollout_replicas) * p.operating_rps_per_replica for p in mine),
        sum(p.steady_replicas * p.configuration.gpus for p in mine),
        sum((p.failure_replicas + p.rollout_replicas) * p.configuration.gpus for p in mine),
    )


def capacity_score(
    llm: str, month: str, requests: FloatArray, there: PoolSupply, burst_factor: float, planning_quantile: float
) -> CapacityScore:
    """Hourly requests of one LLM in one month, [hours], NaN where not observed, against what the plan ran.

    Load is the hour's mean rate times the burst factor the plan was made with.
    """
    seen = requests[~np.isnan(requests)] * burst_factor / SECONDS_PER_HOUR
    steady, all_of_it = there.steady_rps, there.steady_rps + there.reserve_rps
    needed = np.ceil(seen / steady * there.steady_gpus) if steady > 0 else np.zeros(len(seen))
    return CapacityScore(
        llm=llm,
        month=month,
        hours=len(seen),
        stated_risk=1.0 - planning_quantile,
        short_hours=int((seen > all_of_it).sum()),
        reserve_hours=int(((seen > steady) & (seen <= all_of_it)).sum()),
        worst_short_rps=float(max((seen - all_of_it).max(), 0.0)) if len(seen) else 0.0,
        carried_rps=all_of_it,
        gpu_hours=float(len(seen) * (there.steady_gpus + there.reserve_gpus)),
        over_gpu_hours=float(np.maximum(there.steady_gpus - needed, 0.0).sum()),
    )


def short_hours(requests: FloatArray, there: PoolSupply, burst_factor: float, ratios: Mapping[str, float]) -> float:
    """Hours in which load exceeds supply when work and supply change by these ratios of actual over planned."""
    work = ratios["volume"] * ratios["mix and length"] * ratios["cache hit"]
    able = (there.steady_rps + there.reserve_rps) * ratios["goodput"] * ratios["availability"]
    return float((requests * burst_factor / SECONDS_PER_HOUR * work > able).sum())


def worst_month(scores: Sequence[CapacityScore]) -> CapacityScore:
    """The month in which most was lacking in an hour."""
    return max(scores, key=lambda one: one.worst_short_rps)


def more_short_than_stated(scores: Sequence[CapacityScore]) -> float:
    """The chance of at least as many short months as were seen, each short with its stated risk (binomial for equal
    risks, exact by convolution otherwise); 1 where none was short. Small values say that the plan's risk is not what it
    states."""
    counts = np.array([1.0])
    for one in scores:
        counts = np.convolve(counts, [1.0 - one.stated_risk, one.stated_risk])
    seen = sum(one.short_hours > 0 for one in scores)
    return float(counts[seen:].sum()) if seen else 1.0
