"""A plan of given pools, in seconds: what to order for them, then month after month in whole replicas.

1. Orders in whole lots that are best for these pools, with everything else in fractions: nearly a linear program.
2. Months in order, each in whole replicas on these orders and on what the months before it run; what later months
   have to say is in the prices of the rows they share (optimizer/parts.py).
3. Orders and hours anew for what runs.

Which pools is nearly all there is to decide: of those that the linear relaxation uses, few are left, and a month of
few pools is solved at the first node. Large models order on a smaller one with the same pools (optimizer/prices.py).
"""

from __future__ import annotations

import time
from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np

from data.records import BoolArray, FloatArray, IntArray
from optimizer.matrix import Solved, run
from optimizer.parts import OPERATION, ORDERS, Layout, Prices, fixed_but, month_after

USED = (0.02, 0.005)
"""Pools that hold less of a relaxation's GPUs are left out; both are tried, and neither is the better one always: 0.1 %
to 0.6 % apart on size M of benchmarks.fleet_plan, seeds 0 to 3 (2026-11)."""
GAP = 0.02
"""Gap of a month's integer program. A month of few pools ends far below it."""
LONGER = 4.0
"""A month may take so many times its even share of the time left."""


@dataclass(frozen=True)
class Small:
    """A model with the same pools and orders as another: its layout, its relaxation, its columns of what is ordered
    (`orders`) and where those are in the other (`places`)."""

    cut: Layout
    x: FloatArray
    orders: IntArray
    places: IntArray


def ordering(cut: Layout) -> IntArray:
    """Columns of what is ordered and of what that commits to."""
    return np.flatnonzero(np.isin(cut.name, (*ORDERS, "committed")))


def itself(cut: Layout, x: FloatArray) -> Small:
    """A model of middling size, to order on as it is."""
    return Small(cut, x, ordering(cut), ordering(cut))


def put(x: FloatArray, columns: IntArray, integer: BoolArray, values: FloatArray) -> FloatArray:
    """The point with some columns at a part's values, integers exact."""
    found = x.copy()
    found[columns] = np.where(integer, np.round(values), values)
    return found


def used(cut: Layout, gpus: FloatArray, x: FloatArray, share: float) -> frozenset[int]:
    """Pools that hold at least a share of all GPUs in a point. gpus: of a replica, by pool."""
    held = np.zeros(len(gpus))
    replicas = np.flatnonzero(cut.name == "replicas")
    np.add.at(held, cut.pool[replicas], x[replicas])
    held *= gpus
    return frozenset(np.flatnonzero(held > share * held.sum()).tolist())


def roof(cut: Layout, pools: Collection[int]) -> FloatArray:
    """Upper bounds of columns that let no other pools open."""
    return np.where((cut.name == "open") & ~np.isin(cut.pool, list(pools)), 0.0, np.inf)


def ordered(cut: Layout, pools: Collection[int], seconds: float, seed: int) -> Solved:
    """Whole orders for these pools, everything else relaxed; x is None where there are none in time."""
    matrix = cut.matrix
    integer = matrix.integer & np.isin(cut.name, ORDERS)
    upper = np.minimum(matrix.upper, roof(cut, pools))
    found = run(replace(matrix, upper=upper, integer=integer), gap=1e-3, time_limit_s=seconds, seed=seed)
    return found if found.x is None else replace(found, x=np.where(integer, np.round(found.x), found.x))


def in_months(
    cut: Layout, prices: Prices, pools: Collection[int], orders: FloatArray, seconds: float, seed: int, gap: float = GAP
) -> FloatArray | None:
    """The plan of these pools on these orders (values of the model's columns, of which those of no month and the
    commitments are read); None where a month has none in time."""
    stop, ceiling, x = time.perf_counter() + seconds, roof(cut, pools), orders
    for month in range(cut.months):
        sub, columns = month_after(cut, prices, month, x, ceiling)
        limit = LONGER * max(stop - time.perf_counter(), 0.0) / (cut.months - month)
        found = run(sub, gap=gap, time_limit_s=limit, seed=seed)
        if found.x is None:
            return None
        x = put(x, columns, sub.integer, found.x)
    return settled(cut, x, seconds, seed)


def settled(cut: Layout, x: FloatArray, seconds: float, seed: int) -> FloatArray | None:
    """Supply, starts and the tail of the cost anew for the operation in x; None where that is infeasible."""
    sub, columns = fixed_but(cut.matrix, ~np.isin(cut.name, OPERATION), x)
    found = run(sub, gap=1e-4, time_limit_s=seconds, seed=seed)
    return None if found.x is None else put(x, columns, sub.integer, found.x)
