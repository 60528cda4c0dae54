"""Lots: the least GPUs of an order, and what large orders save."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo

from data.plan_records import FleetProblem
from data.records import Offer
from optimizer.frame import Frame


@dataclass(frozen=True, slots=True)
class Step:
    """Orders from so many lots up to so many (inf: any number) cost `discount` less, all GPUs of them."""

    least: int
    most: float
    discount: float


def steps(problem: FleetProblem, offer: Offer, unit: int) -> tuple[Step, ...]:
    """The steps of an offer's price in lots of `unit` GPUs; empty where an order may be of any size at one price."""
    tiers = sorted(
        (tier.from_gpus, tier.discount)
        for tier in problem.volume_tiers
        if tier.option == offer.option and tier.gpu in ("", offer.gpu)
    )
    least = math.ceil(problem.minimum_gpus.get(offer.option, 0) / unit)
    if not tiers and least <= 1:
        return ()
    # A tier that begins within the minimum lot holds from that lot on.
    from_lots: dict[int, float] = {max(least, 1): 0.0}
    for gpus, discount in tiers:
        from_lots[max(math.ceil(gpus / unit), least, 1)] = discount
    begins = sorted(from_lots)
    ends = [*(begin - 1 for begin in begins[1:]), math.inf]
    return tuple(Step(begin, end, from_lots[begin]) for begin, end in zip(begins, ends, strict=True))


def least_lots(problem: FleetProblem, offer: Offer, unit: int) -> int:
    """Lots of the smallest order."""
    found = steps(problem, offer, unit)
    return found[0].least if found else 1


def add_lots(model: Any, frame: Frame) -> None:
    r"""An order is nothing, or lies on one step j of its price, from its minimum lot on:

    .. math:: B_{o\tau} = \sum_j b_{o\tau j}, \qquad l_j \delta_{o\tau j} \le b_{o\tau j} \le h_j \delta_{o\tau j},
              \qquad \sum_j \delta_{o\tau j} \le 1

    l and h are the lots at which a step begins and ends, delta is binary. All GPUs of the order have the step's price,
    so that an order may be made larger than it needs to be for the discount. An order is what starts in one month of
    one offer; orders of several months, regions or GPUs do not add up to a larger one.
    """
    at: dict[tuple[int, int], tuple[Step, ...]] = {}
    for o, start in model.buy:
        found = steps(frame.problem, frame.sets.commitments[o], frame.unit(frame.sets.commitments[o]))
        if found:
            at[o, start] = found
    model.price_steps = at
    if not at:
        return
    cells = [(o, start, j) for (o, start), found in at.items() for j in range(len(found))]

    def most(o: int, start: int, j: int) -> int:
        return int(min(at[o, start][j].most, model.buy[o, start].ub))

    model.on_step = pyo.Var(cells, domain=pyo.Binary)
    model.step_lots = pyo.Var(cells, bounds=lambda _, o, start, j: (0, max(most(o, start, j), 0)))
    model.order_lots = pyo.Constraint(
        list(at),
        rule=lambda x, o, start: x.buy[o, start] == sum(x.step_lots[o, start, j] for j in range(len(at[o, start]))),
    )
    model.step_least = pyo.Constraint(
        cells, rule=lambda x, o, start, j: x.step_lots[o, start, j] >= at[o, start][j].least * x.on_step[o, start, j]
    )
    model.step_most = pyo.Constraint(
        cells, rule=lambda x, o, start, j: x.step_lots[o, start, j] <= most(o, start, j) * x.on_step[o, start, j]
    )
    model.one_step = pyo.Constraint(
        list(at), rule=lambda x, o, start: sum(x.on_step[o, start, j] for j in range(len(at[o, start]))) <= 1
    )


def paid_lots(model: Any, o: int, start: int) -> Any:
    """Lots of an order as they are paid: those at a discount count for less."""
    saved = [
        step.discount * model.step_lots[o, start, j]
        for j, step in enumerate(model.price_steps.get((o, start), ()))
        if step.discount > 0.0
    ]
    return model.buy[o, start] - sum(saved) if saved else model.buy[o, start]
