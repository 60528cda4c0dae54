"""Plans within a search: from the pools that a relaxation uses or that the parts open, and better ones from there."""

from __future__ import annotations

import time
from collections.abc import Iterator

import numpy as np

from data.records import BoolArray, FloatArray
from optimizer.matrix import run
from optimizer.parts import OPERATION, TAIL, Layout, fixed_but
from optimizer.pools import GAP, USED, Small, in_months, ordered, put, used
from optimizer.search_state import Search

SPAN_MONTHS = 4
"""Months of an area that are freed together: enough for its commitments, few enough to be solved in a second."""


def begin(state: Search, small: Small, gpus: FloatArray, until: float) -> None:
    """Plans of the pools that a relaxation uses. gpus: of a replica, by pool."""
    for share in USED:
        plan_of(state, small, used(small.cut, gpus, small.x, share), "pools of the relaxation", GAP, until)


def again(state: Search, small: Small, gap: float, until: float) -> None:
    """Plans of the pools that the months open by themselves: most of their scenarios, and any."""
    for least in (0.5, 0.0):
        plan_of(state, small, _opened(state, least), "pools of the months", gap, until)


def plan_of(state: Search, small: Small, pools: frozenset[int], what: str, gap: float, until: float) -> None:
    """The plan of these pools (optimizer/pools.py), unless they were tried to this gap already."""
    left = min(until - time.perf_counter(), state.left())
    if not pools or state.tried.get(pools, np.inf) <= gap or left <= 0.0 or (state.done and state.x is not None):
        return
    state.tried[pools] = gap
    bought = ordered(small.cut, pools, left, state.seed)
    left = min(until - time.perf_counter(), state.left())
    if bought.x is None or left <= 0.0:
        return
    orders = np.zeros(state.whole.matrix.columns)
    orders[small.places] = bought.x[small.orders]
    state.offer(in_months(state.whole, state.prices, pools, orders, left, state.seed, gap), what)


def _opened(state: Search, least: float) -> frozenset[int]:
    """Pools that more than so large a share of any month's parts opens."""
    whole = state.whole
    votes, counts = np.zeros(whole.matrix.columns), np.zeros(whole.matrix.columns)
    for name, one in state.parts.items():
        if one.x is not None:
            columns = whole.columns_of(*name)
            votes[columns] += np.ceil(np.clip(one.x - 0.3, 0.0, None))
            counts[columns] += 1.0
    open_ = (whole.name == "open") & (votes > least * counts)
    return frozenset(whole.pool[open_].tolist())


def _neighbourhoods(whole: Layout) -> Iterator[tuple[str, BoolArray]]:
    """Columns that are freed together: each area over some months with its supply, each month on its commitments."""
    supply = ~np.isin(whole.name, OPERATION)
    span = min(SPAN_MONTHS, whole.months)
    for area in range(int(whole.area.max()) + 1):
        for first in range(0, whole.months, span):
            here = (whole.month >= first) & (whole.month < first + span)
            yield "one area over some months", supply | ((whole.area == area) & here)
    loose = np.isin(whole.name, ("start", *TAIL))
    for month in range(whole.months):
        yield "one month", ((whole.month == month) & (whole.name != "committed")) | loose


def improve(state: Search, until: float, rounds: int) -> None:
    """Frees neighbourhoods in turn while that helps."""
    for _ in range(rounds):
        before = state.objective
        areas = list(_neighbourhoods(state.whole))
        for i, (what, free) in enumerate(areas):
            if state.x is None or state.done or time.perf_counter() >= until:
                return
            limit = min(max((until - time.perf_counter()) / (len(areas) - i) * 2.0, 0.5), state.left())
            sub, columns = fixed_but(state.whole.matrix, free, state.x)
            start = state.x[columns]
            solved = run(sub, gap=state.gap / 10, time_limit_s=limit, seed=state.seed, start=start)
            if solved.x is not None:
                state.offer(put(state.x, columns, sub.integer, solved.x), what)
        if state.objective >= before - 1e-6:
            return
