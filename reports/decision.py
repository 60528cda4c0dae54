"""What the monthly meeting asks first: what to buy by when, what it costs against the budget, what may go wrong."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from data.records import FloatArray
from reports.bundle import PlanBundle

ACTIONS = {"buy": "buy now", "defer": "defer", "drop": "drop"}
SLACK = 1.0 + 1e-6
QUANTILES = {"P50": 0.5, "P90": 0.9, "P95": 0.95}


@dataclass(frozen=True, slots=True)
class Decision:
    """One line of the decision. action: buy now, defer, drop, rent (on demand). usd: over the term; for rent, expected
    in the horizon. order_by: a date, or empty. regret_usd: what the other choice costs, None where not known."""

    action: str
    gpu: str
    region: str
    option: str
    gpus: int
    usd_per_gpu_h: float
    usd: float
    order_by: str
    starts: str
    regret_usd: float | None
    why: str


def decisions(bundle: PlanBundle) -> list[Decision]:
    """Orders in the order of their deadline, then what is rented, then what is not ordered."""
    orders = _ordered(bundle)
    return [
        *(one for one in orders if one.action != "drop"),
        *_rented(bundle),
        *(one for one in orders if one.action == "drop"),
    ]


def _ordered(bundle: PlanBundle) -> list[Decision]:
    """Orders of the procurement view, first deadline first."""
    return [
        Decision(
            ACTIONS[one.action], one.gpu, one.region, one.option, one.gpus, one.usd_per_gpu_h, one.usd_of_term,
            one.order_by, one.starts, one.regret_usd, one.reason,
        )
        for one in bundle.plan.procurement.orders
    ]  # fmt: skip


def _rented(bundle: PlanBundle) -> list[Decision]:
    """Pay-as-you-go purchases of the horizon, one line a GPU, region and option at its largest month."""
    found: dict[tuple[str, str, str], Decision] = {}
    for p in bundle.plan.purchases:
        if p.term_months or not p.gpus:
            continue
        key = (p.gpu, p.region, p.option)
        old = found.get(key)
        found[key] = Decision(
            "rent", *key, max(p.gpus, old.gpus if old else 0), p.usd_per_gpu_h,
            p.usd_in_horizon + (old.usd if old else 0.0), "", min(p.month, old.starts if old else p.month), None,
            "",
        )  # fmt: skip
    return sorted(found.values(), key=lambda one: -one.usd)


def quantile(values: np.ndarray, probabilities: np.ndarray, level: float) -> float:
    """The smallest value whose cumulative probability reaches the level."""
    order = np.argsort(values)
    reached = np.searchsorted(np.cumsum(probabilities[order]), level - 1e-9)
    return float(values[order][min(int(reached), len(values) - 1)])


def cost_quantiles(bundle: PlanBundle) -> dict[str, float]:
    """Expected, P50, P90 and P95 of the horizon's cash over the demand scenarios, US dollars; empty without a plan."""
    usd, p = np.asarray(bundle.plan.scenario_usd), np.asarray(bundle.problem.demand.probabilities)
    if not len(usd):
        return {}
    return {"expected": float(usd @ p)} | {name: quantile(usd, p, level) for name, level in QUANTILES.items()}


def over_budget(bundle: PlanBundle) -> float | None:
    """Probability that the horizon's cash passes its budget; None without a budget."""
    budget = bundle.problem.budget_usd_per_month
    if budget is None or not bundle.plan.scenario_usd:
        return None
    usd, p = np.asarray(bundle.plan.scenario_usd), np.asarray(bundle.problem.demand.probabilities)
    return float(p[usd > budget * len(bundle.plan.costs)].sum())


def shortfall_risk(bundle: PlanBundle) -> tuple[float, float]:
    """Probability that some LLM's peak passes the steady capacity, and all capacity with reserves, in some month.

    Peaks and capacity are summed over regions, so load is taken to move freely between them. What a provider's API may
    take of a class, up to its limit, needs no capacity.
    """
    demand, p = bundle.problem.demand, np.asarray(bundle.problem.demand.probabilities)
    beyond = np.zeros((2, len(p)), dtype=bool)
    for llm in {key.llm for key in demand.series}:
        classes = sorted({key.request_class for key in demand.series if key.llm == llm})
        for m, month in enumerate(demand.months):
            pools = [one for one in bundle.plan.pools if one.configuration.llm == llm and one.month == month]
            steady = sum(one.steady_replicas * one.operating_rps_per_replica for one in pools)
            everything = sum(one.replicas * one.operating_rps_per_replica for one in pools)
            peak = sum((_beyond_api(bundle, llm, name, m) for name in classes), np.zeros(len(p)))
            beyond |= np.stack([peak > steady * SLACK, peak > everything * SLACK])
    return float(p[beyond[0]].sum()), float(p[beyond[1]].sum())


def _beyond_api(bundle: PlanBundle, llm: str, name: str, month: int) -> FloatArray:
    """Peak of a class in a month that pools must carry, requests/s by scenario: what the class's API may not take,
    whose limit is one for all regions."""
    demand, offer = bundle.problem.demand, bundle.problem.api.get((llm, name))
    mine = [i for i, key in enumerate(demand.series) if (key.llm, key.request_class) == (llm, name)]
    peak: FloatArray = demand.rps[mine, month, 0, :].sum(axis=0)
    return peak if offer is None else np.maximum(peak - offer.rps_max, 0.0)


def days_left(order_by: str, begun: str) -> str:
    """Words for a deadline as seen on the day the plan was made."""
    if not order_by:
        return ""
    left = date.fromisoformat(order_by) - date.fromisoformat(begun[:10])
    if left <= timedelta(0):
        return "at once"
    return f"{left.days} days left"
