"""Cost: expected, mixed with its tail, over commitments, on-demand hours, starts, API calls and shed requests."""

from __future__ import annotations

from typing import Any

import pyomo.environ as pyo

from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from optimizer.churn import churned_gpus
from optimizer.commitments import commitment_usd
from optimizer.frame import Frame, active, held_usd
from optimizer.lots import paid_lots

USD_SCALE = 1e-3
"""The objective is in thousands of dollars: HiGHS wants coefficients near 1."""
PROMISE_FACTOR, PROMISE_LEAST_USD = 1000.0, 100.0
"""How dear the solver sees a shed request of a protected class within the planning quantile: serving it is a promise,
kept whenever capacity can be had at all. Reported costs use the plain price."""
EXPOSED_HOURS = 1.0
"""Hours a month for which load that a region's loss would leave unserved is priced like a broken promise."""


def shed_usd(frame: Frame, k: int, s: int) -> float:
    """Price of a shed request as the solver sees it."""
    name = frame.problem.demand.series[k].request_class
    price = frame.problem.shed_usd_per_request[name]
    return max(PROMISE_FACTOR * price, PROMISE_LEAST_USD) if frame.protected[k] and s in frame.promised else price


def add_cost(model: Any, frame: Frame) -> None:
    r"""Expected cost, mixed with its conditional value at risk (Rockafellar and Uryasev, 2000):

    .. math:: \min\; A + (1-\lambda) \sum_s \pi_s C_s
              + \lambda \Bigl(\eta + \tfrac{1}{1-\alpha} \sum_s \pi_s \xi_s\Bigr), \qquad \xi_s \ge C_s - \eta

    A is what is decided now, commitments and pool starts; C_s what a scenario adds: on-demand and spot hours, API
    calls, GPUs that change what they do (optimizer/churn.py), shed requests at their price. Commitments already held
    are sunk. A budget bounds each month's expected commitments and hours.
    """
    problem, sets, (K, M, B, S) = frame.problem, frame.sets, (frame.K, frame.M, frame.B, frame.S)
    pi = problem.demand.probabilities
    series = problem.demand.series
    seconds = [block.hours * SECONDS_PER_HOUR for block in problem.demand.blocks]
    rent = {
        g: USD_SCALE * offer.usd_per_gpu_h * HOURS_PER_MONTH * frame.unit(offer) for g, offer in sets.on_demand.items()
    }
    spot = {g: USD_SCALE * sets.spot[g].usd_per_gpu_h * HOURS_PER_MONTH for g in sets.spot}
    there = 1.0 - problem.spot_interrupted_share
    passing = sorted({(region, gpu) for _, region, gpu, _ in model.spot})

    bought = sum(
        USD_SCALE * frame.unit(sets.commitments[o])
        * commitment_usd(problem, sets.commitments[o].usd_per_gpu_h, sets.commitments[o].term_months, start)
        * paid_lots(model, o, start)
        for o, start in model.buy
    )  # fmt: skip

    def hours(m: int, s: int) -> Any:
        firm = sum(usd * model.on_demand[(m, *g, s)] for g, usd in rent.items())
        return firm + sum(there * spot[g] * model.spot[(m, *g, s)] for g in passing)

    def lost(m: int, s: int) -> Any:
        shed = sum(USD_SCALE * seconds[b] * shed_usd(frame, k, s) * model.shed[m, k, b, s] for k in K for b in B)
        return shed + sum(
            USD_SCALE * seconds[b] * problem.api[series[k].llm, series[k].request_class].usd_per_request
            * model.api[m, k, b, s]
            for k in K
            if (series[k].llm, series[k].request_class) in problem.api
            for b in B
        )  # fmt: skip

    # A hair on open pools keeps the solver from leaving empty ones open where starting is free.
    begun = sum(
        1e-4 * model.open[m, p] + USD_SCALE * problem.pool_start_usd * model.start[m, p] for m in M for p in frame.P
    )
    if hasattr(model, "exposed"):
        begun += sum(
            USD_SCALE * SECONDS_PER_HOUR * EXPOSED_HOURS * float(pi[s]) * shed_usd(frame, k, s) * one
            for (_, _, k, _, s), one in model.exposed.items()
        )
    change = USD_SCALE * problem.churn_usd_per_gpu

    def moved(m: int, s: int) -> Any:
        return change * churned_gpus(frame, model, m, s) if change > 0.0 else 0.0

    scenario = {s: sum(hours(m, s) + lost(m, s) + moved(m, s) for m in M) for s in S}
    expected = sum(float(pi[s]) * scenario[s] for s in S)
    weight = problem.cvar_weight if len(S) > 1 else 0.0
    if weight > 0.0:
        model.eta = pyo.Var(domain=pyo.NonNegativeReals)
        model.excess = pyo.Var(S, domain=pyo.NonNegativeReals)
        model.tail = pyo.Constraint(S, rule=lambda x, s: x.excess[s] >= scenario[s] - x.eta)
        tail = model.eta + sum(float(pi[s]) * model.excess[s] for s in S) / (1.0 - problem.cvar_alpha)
        expected = (1.0 - weight) * expected + weight * tail
    model.cost = pyo.Objective(expr=bought + expected + begun, sense=pyo.minimize)

    budget = problem.budget_usd_per_month
    if budget is not None:

        def within(x: Any, m: int) -> Any:
            commitments = sum(
                USD_SCALE * frame.unit(sets.commitments[o]) * sets.commitments[o].usd_per_gpu_h * HOURS_PER_MONTH
                * paid_lots(x, o, start)
                for o, start in x.buy
                if active(start, m, sets.commitments[o].term_months)
            )  # fmt: skip
            left = USD_SCALE * (budget - held_usd(problem, m))
            return commitments + sum(float(pi[s]) * hours(m, s) for s in S) <= max(left, 0.0)

        model.budget = pyo.Constraint(M, rule=within)
