"""Plans within a search: the first one from what the parts of a model would open, and better ones from there."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace

import numpy as np

from data.records import BoolArray, FloatArray, IntArray
from optimizer.matrix import run
from optimizer.parts import OPERATION, ORDERS, TAIL, Layout, fixed_but, month_after
from optimizer.prices import PRICED_BY_GROUPS
from optimizer.search_state import MORE_THAN_FAIR, Search

SPAN_MONTHS = 4
"""Months of an area that are freed together: enough for its commitments, few enough to be solved in a second."""
PLAN_TURNS = 3.0
"""Turns of seconds that the months of a first plan take at most."""


def opened(state: Search) -> tuple[FloatArray, FloatArray]:
    """Which pools the parts open (by vote of a month's parts), and which any part of any month opens, as values of the
    whole's columns."""
    whole = state.whole
    votes, counts = np.zeros(whole.matrix.columns), np.zeros(whole.matrix.columns)
    for name, one in state.parts.items():
        if one.x is None:
            continue
        columns = whole.columns_of(*name)
        votes[columns] += np.ceil(np.clip(one.x - 0.3, 0.0, None))
        counts[columns] += 1.0
    opens = np.flatnonzero(whole.name == "open")
    wanted = np.zeros(whole.matrix.columns)
    wanted[opens] = votes[opens] >= 0.5 * np.maximum(counts[opens], 1.0)
    ceiling = np.full(whole.matrix.columns, np.inf)
    by_month = (votes[opens] > 0).reshape(whole.months, -1)
    ceiling[opens] = np.tile(by_month.any(axis=0), whole.months)
    return wanted, ceiling


def first_plan(state: Search, wanted: FloatArray, ceiling: FloatArray, what: str, turn: float) -> None:
    """Commitments for wanted open pools; months in order on them, pools up to the ceiling; commitments bought anew. In
    large models that begins without orders: what is rented month by month is ordered at the end, where that is cheaper.
    Takes PLAN_TURNS turns of seconds and a little more."""
    whole, matrix = state.whole, state.whole.matrix
    if state.left() <= 0.0:
        return
    x = np.zeros(matrix.columns) if matrix.columns > PRICED_BY_GROUPS else _ordered(state, wanted, turn)
    if x is None:
        return
    stop = time.perf_counter() + min(PLAN_TURNS * turn, 0.6 * state.left())
    guess = _guess(state)
    for month in range(whole.months):
        answer = None
        limit = MORE_THAN_FAIR * max(stop - time.perf_counter(), 0.1 * turn) / (whole.months - month)
        for roof in (ceiling, np.full(matrix.columns, np.inf)):
            sub, columns = month_after(whole, state.prices, month, x, roof)
            within, start = max(0.1 * state.gap, 1e-6), guess[columns]
            answer = run(sub, gap=within, time_limit_s=min(limit, state.left()), seed=state.seed, start=start)
            if answer.x is not None:
                break
        if answer is None or answer.x is None:
            return
        x[columns] = np.where(sub.integer, np.round(answer.x), answer.x)
    state.offer(_settled(state, x), what)


def _ordered(state: Search, wanted: FloatArray, turn: float) -> FloatArray | None:
    """Orders that are best for wanted open pools, in whole lots and with replicas in fractions; None without any."""
    whole, matrix = state.whole, state.whole.matrix
    opens = whole.name == "open"
    fixed = replace(
        matrix,
        lower=np.where(opens, np.minimum(wanted, matrix.upper), matrix.lower),
        upper=np.where(opens, np.minimum(wanted, matrix.upper), matrix.upper),
        integer=matrix.integer & np.isin(whole.name, ORDERS),
    )
    bought = run(fixed, gap=1e-3, time_limit_s=min(turn, 0.3 * state.left()), seed=state.seed)
    if bought.x is None:
        # Pools that only a commitment could feed may not all open at once: let commitments alone decide.
        limit = min(turn, 0.3 * state.left())
        bought = run(replace(matrix, integer=fixed.integer), gap=1e-3, time_limit_s=limit, seed=state.seed)
    return None if bought.x is None else np.where(fixed.integer, np.round(bought.x), bought.x)


def _guess(state: Search) -> FloatArray:
    """What the parts would do, side by side: where a month may start from."""
    found = np.zeros(state.whole.matrix.columns)
    for name, one in state.parts.items():
        if one.x is not None:
            columns = state.whole.columns_of(*name)
            found[columns] = np.maximum(
                found[columns], np.where(state.whole.matrix.integer[columns], np.ceil(one.x - 0.3), one.x)
            )
    return found


def _settled(state: Search, x: FloatArray) -> FloatArray | None:
    """Supply, starts and the tail anew for the operation in x; None where that is infeasible."""
    free = ~np.isin(state.whole.name, OPERATION)
    sub, columns = fixed_but(state.whole.matrix, free, x)
    solved = run(sub, gap=1e-4, time_limit_s=max(0.3 * state.left(), 0.5), seed=state.seed)
    return None if solved.x is None else _put(x, columns, sub.integer, solved.x)


def _put(x: FloatArray, columns: IntArray, integer: BoolArray, values: FloatArray) -> FloatArray:
    found = x.copy()
    found[columns] = np.where(integer, np.round(values), values)
    return found


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
                state.offer(_put(state.x, columns, sub.integer, solved.x), what)
        if state.objective >= before - 1e-6:
            return
