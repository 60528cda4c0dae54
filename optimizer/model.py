"""The fleet MIP, declared: variables, constraints, objective. Data in, Pyomo model out; no solver here.

Indices: k demand series (LLM, class, origin), p pool (configuration, serving region), g supply (region, GPU), o
commitment offer, m month, b block, s scenario with probability pi_s.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyomo.environ as pyo

from data.plan_records import FleetProblem
from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from optimizer.sets import PoolKey, Sets

USD_SCALE = 1e-3
"""The objective is in thousands of dollars: HiGHS wants coefficients near 1."""
PROMISE_FACTOR, PROMISE_LEAST_USD = 1000.0, 100.0
"""How dear the solver sees a shed request of a protected class within the planning quantile: serving it is a promise,
kept whenever capacity can be had at all. Reported costs use the plain price."""


def active(start: int, month: int, term: int) -> bool:
    """Whether a commitment that starts in month `start` is still running in `month`."""
    return start <= month < start + term


def commitment_months(problem: FleetProblem) -> range:
    """Months in which a commitment ordered now or later can start: after the lead time."""
    return range(min(problem.commitment_lead_time_months, len(problem.demand.months)), len(problem.demand.months))


def held_gpus(problem: FleetProblem, region: str, gpu: str, month: str) -> int:
    """GPUs of commitments already held that still run in a month."""
    return sum(h.gpus for h in problem.held if (h.region, h.gpu) == (region, gpu) and month < h.expires)


def commitment_usd(problem: FleetProblem, usd_per_gpu_h: float, term_months: int, start: int) -> float:
    """What one committed GPU costs the plan, US dollars.

    Its hours within the horizon in full, and 1 - residual_value of those after it: later demand is assumed to be worth
    the rest. With residual_value 1 a long term would always win on price; with 0 it would never win in a short horizon.
    """
    inside = min(len(problem.demand.months) - start, term_months)
    after = term_months - inside
    return usd_per_gpu_h * HOURS_PER_MONTH * (inside + (1.0 - problem.residual_value) * after)


def build_model(problem: FleetProblem, sets: Sets) -> Any:
    """The Pyomo model of a problem over its pruned sets."""
    demand = problem.demand
    K, P, G = list(demand.series), list(sets.pools), sorted(sets.supply)
    offer_ids = list(range(len(sets.commitments)))
    M, B, S = (list(range(len(axis))) for axis in (demand.months, demand.blocks, demand.probabilities))
    starts = list(commitment_months(problem))

    model = pyo.ConcreteModel()
    model.buy = pyo.Var(offer_ids, starts, domain=pyo.NonNegativeIntegers)
    model.on_demand = pyo.Var(G, M, S, domain=pyo.NonNegativeReals)
    model.replicas = pyo.Var(P, M, S, domain=pyo.NonNegativeIntegers)
    model.open = pyo.Var(P, M, domain=pyo.Binary)
    model.start = pyo.Var(P, M, bounds=(0, 1))
    routes = [(k, p) for k in K for p in sets.serves[k]]
    model.flow = pyo.Var(routes, M, B, S, domain=pyo.NonNegativeReals)
    model.shed = pyo.Var(K, M, B, S, domain=pyo.NonNegativeReals)

    add_flow(model, problem, sets, K, M, B, S)
    add_capacity(model, problem, sets, P, M, B, S)
    add_inventory(model, problem, sets, G, M, S, starts)
    add_cost(model, problem, sets, K, G, offer_ids, M, B, S, starts)
    return model


def add_flow(model: Any, problem: FleetProblem, sets: Sets, K: Any, M: Any, B: Any, S: Any) -> None:
    r"""Every request is served somewhere it may be, or shed at a price:

    .. math:: \sum_{p \in P(k)} f_{kpmbs} + u_{kmbs} = d_{kmbs}
    """
    rps = problem.demand.rps

    def rule(m: Any, i: int, month: int, b: int, s: int) -> Any:
        k = K[i]
        served = sum(m.flow[k, p, month, b, s] for p in sets.serves[k])
        return served + m.shed[k, month, b, s] == float(rps[i, month, b, s])

    model.flow_balance = pyo.Constraint(list(range(len(K))), M, B, S, rule=rule)


def add_capacity(model: Any, problem: FleetProblem, sets: Sets, P: Any, M: Any, B: Any, S: Any) -> None:
    r"""A pool's steady replicas carry its load in bottleneck seconds; k of its replicas and a share kappa for rollouts
    are not counted on:

    .. math:: \sum_k f_{kpmbs} / \rho_{kp} + k z_{pm} \le n_{pms}, \qquad
              (1 + \kappa) \sum_k f_{kp m b s} / \rho_{kp} + k z_{pm} \le n_{pms}, \qquad n_{pms} \le N_{pm} z_{pm}

    The two merge into the second. N is what the pool would need to carry everything it may serve. A pool that did not
    run the month before starts, y_pm >= z_pm - z_{p,m-1}, at a one-time cost: it keeps the fleet from changing its
    hardware every month for a few dollars, and from scattering over many kinds.

    Two rules of operation, which also shorten the search: an open pool has at least one replica beyond its reserve, and
    a more loaded scenario never runs fewer replicas of a pool than a less loaded one (a fleet grows with demand, it is
    not reshuffled).
    """
    demand, kappa, k = problem.demand, problem.rollout_surge, problem.failures_per_pool
    into: dict[PoolKey, list[tuple[int, Any]]] = {p: [] for p in P}
    for i, key in enumerate(demand.series):
        for p in sets.serves[key]:
            into[p].append((i, key))

    def most(p: PoolKey, month: int) -> int:
        worst = sum(
            float(demand.rps[i, month].max()) / sets.rate[p, key.request_class] * (1 + kappa) for i, key in into[p]
        )
        return math.ceil(worst) + k

    def carry(m: Any, p_index: int, month: int, b: int, s: int) -> Any:
        p = P[p_index]
        load = sum(m.flow[key, p, month, b, s] / sets.rate[p, key.request_class] for _, key in into[p])
        return (1 + kappa) * load + k * m.open[p, month] <= m.replicas[p, month, s]

    def opened(m: Any, p_index: int, month: int, s: int) -> Any:
        p = P[p_index]
        return m.replicas[p, month, s] <= most(p, month) * m.open[p, month]

    def started(m: Any, p_index: int, month: int) -> Any:
        p = P[p_index]
        before = m.open[p, month - 1] if month > 0 else 0
        return m.start[p, month] >= m.open[p, month] - before

    def worth_opening(m: Any, p_index: int, month: int, s: int) -> Any:
        p = P[p_index]
        return m.replicas[p, month, s] >= (k + 1) * m.open[p, month]

    def grows(m: Any, p_index: int, month: int, s: int) -> Any:
        p = P[p_index]
        if s == 0 or not ordered:
            return pyo.Constraint.Skip
        return m.replicas[p, month, s] >= m.replicas[p, month, s - 1]

    # Scenarios come in order of load; where every series' peak agrees with that order, so must every pool.
    peaks = demand.rps.max(axis=2)
    ordered = bool((np.diff(peaks, axis=2) >= -1e-9).all())
    index = list(range(len(P)))
    model.worth_opening = pyo.Constraint(index, M, S, rule=worth_opening)
    model.grows = pyo.Constraint(index, M, S, rule=grows)
    model.started = pyo.Constraint(index, M, rule=started)
    model.capacity = pyo.Constraint(index, M, B, S, rule=carry)
    model.opened = pyo.Constraint(index, M, S, rule=opened)


def add_inventory(model: Any, problem: FleetProblem, sets: Sets, G: Any, M: Any, S: Any, starts: Any) -> None:
    r"""GPUs of running replicas come from commitments that are active, held or on demand, within the quota:

    .. math:: \sum_{p \in g} G_p n_{pms} \le \sum_{o \in g} \sum_{\tau \le m} B_{o\tau} + H_{gm} + a_{gms}

    On-demand GPUs exist only where somebody sells them, and make up at least the policy's share.
    """
    months = problem.demand.months

    def committed(m: Any, g: tuple[str, str], month: int) -> Any:
        return sum(
            m.buy[o, start]
            for o, offer in enumerate(sets.commitments)
            if (offer.region, offer.gpu) == g
            for start in starts
            if active(start, month, offer.term_months)
        )

    def used(m: Any, g: tuple[str, str], month: int, s: int) -> Any:
        return sum(
            p.configuration.gpus * m.replicas[p, month, s] for p in sets.pools if (p.region, p.configuration.gpu) == g
        )

    def supply(m: Any, region: str, gpu: str, month: int, s: int) -> Any:
        g = (region, gpu)
        need = used(m, g, month, s)
        if isinstance(need, int):
            return pyo.Constraint.Skip
        held = held_gpus(problem, region, gpu, months[month])
        return need <= committed(m, g, month) + held + m.on_demand[region, gpu, month, s]

    def quota(m: Any, region: str, gpu: str, month: int, s: int) -> Any:
        limit = problem.quotas.get((region, gpu))
        if limit is None:
            return pyo.Constraint.Skip
        held = held_gpus(problem, region, gpu, months[month])
        return committed(m, (region, gpu), month) + m.on_demand[region, gpu, month, s] <= max(limit - held, 0)

    def sold(m: Any, region: str, gpu: str, month: int, s: int) -> Any:
        if (region, gpu) in sets.on_demand:
            return pyo.Constraint.Skip
        return m.on_demand[region, gpu, month, s] <= 0

    def flexible(m: Any, month: int, s: int) -> Any:
        share = problem.on_demand_share_min
        everything = sum(used(m, g, month, s) for g in G)
        if share <= 0.0 or isinstance(everything, int):
            return pyo.Constraint.Skip
        return sum(m.on_demand[g, month, s] for g in G) >= share * everything

    model.supply = pyo.Constraint(G, M, S, rule=supply)
    model.quota = pyo.Constraint(G, M, S, rule=quota)
    model.sold = pyo.Constraint(G, M, S, rule=sold)
    model.flexible = pyo.Constraint(M, S, rule=flexible)


def add_cost(
    model: Any, problem: FleetProblem, sets: Sets, K: Any, G: Any, offer_ids: Any, M: Any, B: Any, S: Any, starts: Any
) -> None:
    r"""Expected cost, mixed with its conditional value at risk (Rockafellar and Uryasev, 2000):

    .. math:: \min\; (1-\lambda) \sum_s \pi_s C_s + \lambda \Bigl(\eta + \tfrac{1}{1-\alpha} \sum_s \pi_s \xi_s\Bigr),
              \qquad \xi_s \ge C_s - \eta

    C_s is commitments + on-demand hours + shed requests at their price. Commitments already held are sunk. A budget
    bounds each month's expected commitments and on-demand hours.
    """
    demand, pi = problem.demand, problem.demand.probabilities
    seconds = [block.hours * SECONDS_PER_HOUR for block in demand.blocks]

    bought = sum(
        USD_SCALE * commitment_usd(problem, sets.commitments[o].usd_per_gpu_h, sets.commitments[o].term_months, start)
        * model.buy[o, start]
        for o in offer_ids
        for start in starts
    )  # fmt: skip

    def hourly(month: int, s: int) -> Any:
        return sum(
            USD_SCALE * offer.usd_per_gpu_h * HOURS_PER_MONTH * model.on_demand[g, month, s]
            for g, offer in sets.on_demand.items()
        )

    def lost(month: int, s: int) -> Any:
        return sum(
            USD_SCALE * shed_usd(problem, sets, k.request_class, s) * seconds[b] * model.shed[k, month, b, s]
            for k in K
            for b in B
        )

    # A hair on open pools keeps the solver from leaving empty ones open where starting is free.
    tidy = sum(
        1e-4 * model.open[p, month] + USD_SCALE * problem.pool_start_usd * model.start[p, month]
        for p in sets.pools
        for month in M
    )
    scenario = {s: sum(hourly(month, s) + lost(month, s) for month in M) for s in S}
    expected = sum(float(pi[s]) * scenario[s] for s in S)
    weight = problem.cvar_weight if len(S) > 1 else 0.0
    if weight > 0.0:
        model.eta = pyo.Var(domain=pyo.Reals)
        model.excess = pyo.Var(S, domain=pyo.NonNegativeReals)
        model.tail = pyo.Constraint(S, rule=lambda m, s: m.excess[s] >= scenario[s] - m.eta)
        tail = model.eta + sum(float(pi[s]) * model.excess[s] for s in S) / (1.0 - problem.cvar_alpha)
        expected = (1.0 - weight) * expected + weight * tail
    model.cost = pyo.Objective(expr=bought + expected + tidy, sense=pyo.minimize)

    budget = problem.budget_usd_per_month
    if budget is not None:

        def within(m: Any, month: int) -> Any:
            commitments = sum(
                USD_SCALE * offer.usd_per_gpu_h * HOURS_PER_MONTH * m.buy[o, start]
                for o, offer in enumerate(sets.commitments)
                for start in starts
                if active(start, month, offer.term_months)
            )
            left = USD_SCALE * (budget - held_usd(problem, month))
            spent = commitments + sum(float(pi[s]) * hourly(month, s) for s in S)
            return spent <= max(left, 0.0)

        model.budget = pyo.Constraint(M, rule=within)


def shed_usd(problem: FleetProblem, sets: Sets, request_class: str, scenario: int) -> float:
    """Price of a shed request as the solver sees it."""
    promised = problem.protected[request_class] and scenario <= sets.design
    price = problem.shed_usd_per_request[request_class]
    return max(PROMISE_FACTOR * price, PROMISE_LEAST_USD) if promised else price


def held_usd(problem: FleetProblem, month: int) -> float:
    """What commitments already held cost in a month."""
    label = problem.demand.months[month]
    return float(np.sum([h.gpus * h.usd_per_gpu_h * HOURS_PER_MONTH for h in problem.held if label < h.expires]))
