"""Commitments: bought once for all scenarios, in whole lots, running from their start for their term."""

from __future__ import annotations

import math
from typing import Any

import pyomo.environ as pyo

from data.plan_records import FleetProblem
from data.units import HOURS_PER_MONTH
from optimizer.frame import Frame, active
from optimizer.lots import steps


def commitment_usd(problem: FleetProblem, usd_per_gpu_h: float, term_months: int, start: int) -> float:
    """What one committed GPU costs the plan, US dollars.

    Its hours within the horizon in full, and 1 - residual_value of those after it: later demand is assumed to be worth
    the rest. With residual_value 1 a long term would always win on price; with 0 it would never win in a short horizon.
    """
    inside = min(len(problem.demand.months) - start, term_months)
    after = term_months - inside
    return usd_per_gpu_h * HOURS_PER_MONTH * (inside + (1.0 - problem.residual_value) * after)


def add_commitments(model: Any, frame: Frame) -> None:
    r"""Lots B of offer o (1 and 3 years, capacity blocks of a month, owned hardware for its life) that start in tau,
    after the lead time; C is how many GPUs of them run in a month:

    .. math:: C_{mg} = \sum_{o \in g} U_o \sum_{\tau \le m < \tau + T_o} B_{o\tau}

    U is the lot: a whole node, where GPUs are sold by the node.
    """
    offers = frame.sets.commitments
    useful = frame.useful

    def lots(_: Any, o: int, start: int) -> tuple[int, int]:
        g = (offers[o].region, offers[o].gpu)
        limit = frame.problem.quotas.get(g)
        unit = frame.unit(offers[o])
        # An order may be larger than is useful, to be an order at all or to reach a discount.
        begins = [step.least for step in steps(frame.problem, offers[o], unit)]
        whole = max(math.ceil(useful[g] / unit), *begins, 0)
        return 0, whole if limit is None else min(whole, limit // unit + 1)

    model.buy = pyo.Var(
        [(o, start) for o in range(len(offers)) for start in frame.starts(o)],
        domain=pyo.NonNegativeIntegers,
        bounds=lots,
    )
    # Never binds: it gives the parts of the search (optimizer/parts.py) something to stand on.
    most = dict.fromkeys(frame.G, 0)
    for o, start in model.buy:
        g = (offers[o].region, offers[o].gpu)
        most[g] += frame.unit(offers[o]) * model.buy[o, start].ub
    model.committed = pyo.Var(
        frame.M, frame.G, domain=pyo.NonNegativeReals, bounds=lambda _, m, region, gpu: (0, most[region, gpu])
    )

    def running(x: Any, m: int, region: str, gpu: str) -> Any:
        return x.committed[m, region, gpu] == sum(
            frame.unit(offer) * x.buy[o, start]
            for o, offer in enumerate(offers)
            if (offer.region, offer.gpu) == (region, gpu)
            for start in frame.starts(o)
            if active(start, m, offer.term_months)
        )

    model.running = pyo.Constraint(frame.M, frame.G, rule=running)
