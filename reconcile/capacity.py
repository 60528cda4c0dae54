"""Capacity error: hours short against the stated risk, GPU-hours too many, reserve use."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.plan_records import Pool
from data.records import FloatArray, SeriesKey
from data.units import SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class PoolSupply:
    """What a plan runs in one month for one LLM, over all pools: requests/s of steady replicas and of the reserve, all
    that is kept beyond them for whatever purpose, and GPUs of either."""

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
        math.fsum((p.replicas - p.steady_replicas) * p.operating_rps_per_replica for p in mine),
        sum(p.steady_replicas * p.configuration.gpus for p in mine),
        sum((p.replicas - p.steady_replicas) * p.configuration.gpus for p in mine),
    )


def by_api(
    hourly: Mapping[SeriesKey, FloatArray], llm: str, rps_max: Mapping[tuple[str, str], float], burst_factor: float
) -> FloatArray:
    """Requests of an LLM that the APIs of a plan could have taken, [hours]: of every class of (LLM, class) in rps_max
    all, up to its rate limit (infinite: no limit). NaN where no class was observed."""
    classes: dict[str, FloatArray] = {}
    for key, requests in hourly.items():
        if key.llm == llm:
            classes[key.request_class] = classes.get(key.request_class, 0.0) + requests
    most = {name: rps_max.get((llm, name), 0.0) * SECONDS_PER_HOUR / burst_factor for name in classes}
    took: FloatArray = np.sum([np.minimum(requests, most[name]) for name, requests in classes.items()], axis=0)
    return took


def capacity_score(
    llm: str, month: str, requests: FloatArray, there: PoolSupply, burst_factor: float, planning_quantile: float,
    to_api: FloatArray | float = 0.0,
) -> CapacityScore:  # fmt: skip
    """Hourly requests of one LLM in one month, [hours], NaN where not observed, against what the plan ran.

    Load is the hour's mean rate times the burst factor the plan was made with; to_api: requests that an API of the plan
    could have taken, [hours], which are not short and call on no reserve.
    """
    observed = ~np.isnan(requests)
    whole = requests[observed] * burst_factor / SECONDS_PER_HOUR
    seen = (requests - to_api)[observed] * burst_factor / SECONDS_PER_HOUR
    steady, all_of_it = there.steady_rps, there.steady_rps + there.reserve_rps
    needed = np.ceil(whole / steady * there.steady_gpus) if steady > 0 else np.zeros(len(whole))
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
