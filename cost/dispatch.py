"""Recourse dispatch of a fixed fleet, vectorised over scenarios: what is bought, served, sent to an API and shed when
demand, rates and prices come out different from the plan.

In a month and a (region, GPU), the plan's commitments are there and GPUs can be had by the hour, at a level for the
month. More GPUs serve more of each series; what a series would otherwise cost in API calls and shed requests falls
with them along a convex, piecewise linear curve, one piece between two blocks' needs. Taking the pieces in order of
what they save a GPU is therefore the linear programme's optimum (a continuous knapsack with a priced extension); tests
solve the programme beside it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from data.records import FloatArray, IntArray


@dataclass(frozen=True, slots=True)
class Curves:
    """What series would cost without GPUs, as sums of hinges: sum_j w_j max(t_j - x, 0) for x GPUs given to it.

    need: t, GPUs, [scenario, series, hinge]; worth: w, what the order goes by, US dollars a GPU-month, alike or
    [series, hinge]; a promised class is worth more here than its shed requests cost. Neither needs an order.
    """

    need: FloatArray
    worth: FloatArray


@dataclass(frozen=True, slots=True)
class Dispatch:
    """given: GPUs of each series, [scenario, series]; bought: GPUs by the hour, [scenario]; unmet: needs of reserves
    that could not be had, [scenario]."""

    given: FloatArray
    bought: FloatArray
    unmet: FloatArray


@dataclass(frozen=True, slots=True)
class Pieces:
    """Curves cut into pieces, the most worth first: worth a GPU-month, running GPUs before the piece, its GPUs, all
    [scenario, piece], and each piece's place among [series, hinge]."""

    value: FloatArray
    before: FloatArray
    width: FloatArray
    rank: IntArray
    series: int
    hinges: int


def pieces(curves: Curves) -> Pieces:
    """The pieces of curves in merit order."""
    scenarios, series, hinges = curves.need.shape
    order = np.argsort(-curves.need, axis=2, kind="stable")
    levels = np.take_along_axis(curves.need, order, axis=2)
    worth = np.take_along_axis(np.broadcast_to(curves.worth, curves.need.shape), order, axis=2)
    # Between the j-th and the next lower need, GPUs save the worth of the hinges from the highest to the j-th.
    value = np.cumsum(worth, axis=2).reshape(scenarios, series * hinges)
    width = -np.diff(levels, axis=2, append=np.zeros((scenarios, series, 1))).reshape(scenarios, series * hinges)
    rank = np.argsort(-value, axis=1, kind="stable")
    value, width = np.take_along_axis(value, rank, axis=1), np.take_along_axis(width, rank, axis=1)
    return Pieces(value, np.cumsum(width, axis=1) - width, width, rank, series, hinges)


def dispatch(
    found: Pieces, free: FloatArray, reserve: FloatArray, room: FloatArray, usd_per_gpu: FloatArray
) -> Dispatch:
    """The cheapest dispatch of one month and (region, GPU).

    free: GPUs that are there anyway, reserve: GPUs that must stay free of load, room: GPUs that can be bought,
    usd_per_gpu: for the month; all [scenario]. Reserves come before any load.
    """
    owed = np.maximum(reserve - free, 0.0)
    first = np.minimum(owed, room)
    there = np.maximum(free - reserve, 0.0)
    # Pieces worth their price may be bought for; the others only use what is there.
    limit = np.where(found.value > usd_per_gpu[:, None], (there + room - first)[:, None], there[:, None])
    taken = np.clip(limit - found.before, 0.0, found.width)
    given = np.zeros_like(taken)
    np.put_along_axis(given, found.rank, taken, axis=1)
    return Dispatch(
        given=given.reshape(len(given), found.series, found.hinges).sum(axis=2),
        bought=first + np.maximum(taken.sum(axis=1) - there, 0.0),
        unmet=owed - first,
    )
