"""How a fleet MIP is solved within a time budget: always a bound, a feasible plan where one exists, and the gap.

Small models go to HiGHS whole. Larger ones are solved in parts (optimizer/parts.py), as below; those of middling size
go to HiGHS whole as well, on a core of its own, and whichever proves the gap first ends the search.

0. what simpler rules would do (optimizer/baselines.py): plans to start from;
1. the linear relaxation (of large models, of their scenarios in groups: optimizer/prices.py): a bound, and the prices
   that cut the model into parts;
2. a plan of the pools that the relaxation uses (optimizer/pools.py): seconds, and seldom 1 % from the best there is;
3. every month at the relaxation's prices, to a share of the gap: most of the time goes here, since it is the bound
   that is hard; where time is too short for months, the finest parts instead, which are worth a little less;
4. plans of the pools that the months open; improvement (a month, or an area over some months with its commitments,
   freed in turn); then 3 and 4 in turns, closer and with more time for plans, while there is time.

Turns depend on the size of the model, and only where time is short on the time there is: more time continues what less
time did.
Plans and bounds are only ever replaced by better ones. Deterministic as long as no time limit is hit.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace

import numpy as np

from data import machine
from data.plan_records import PlanStatus
from data.records import FloatArray
from optimizer.baselines import Point, baselines
from optimizer.frame import Frame
from optimizer.matrix import Declared, Solved, run
from optimizer.parts import Layout, Prices, layout, part, price
from optimizer.plans import again, begin, improve, plan_of
from optimizer.pools import GAP, Small, itself, roof
from optimizer.search_state import MORE_THAN_FAIR, Parts, Proof, Search

WHOLE_INTEGERS = 250
"""Models with no more integers are solved whole."""
ALONGSIDE_INTEGERS = 1500
"""Models with no more are also given to HiGHS whole, beside their parts, on a core of its own."""
TURNS = 12
PLAN_TURNS = 3.0
"""Turns of seconds that plans of other pools take at most."""
TURN_COLUMNS_PER_S, TURN_LEAST_S, TURN_MOST = 3000.0, 1.0, 0.08
"""Seconds of the first turn: a model's columns over the first, no less than the second, and no more than this share of
the time there is, so that even a short search gets to a plan of its own."""
MONTHS_SHARE, AREAS_SHARE = 0.85, 0.5
"""Most of the time left that a round of months takes, and areas after it where months together are
FAR_FROM_DONE."""
FAR_FROM_DONE = 0.02
CLOSER = 0.5
"""Each round of parts is solved to this share of the gap of the one before."""
BEGIN_SHARE = 0.3
"""Most of the time that the first plan takes."""
LAST = "the pools of the last plan"
TOGETHER, TOGETHER_IN_LARGE = 20, 5
"""Scenarios of a month that one part holds; in models priced by groups. A month's scenarios share its open pools: cut
apart, each opens its own, which costs 2 % of the bound (size L of benchmarks.fleet_plan, 2026-11)."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """Status, objective and proven bound in the model's units (nan where there is none), the point, duals of the
    linear relaxation, and what ended the search."""

    status: PlanStatus
    termination: str
    objective: float
    bound: float
    x: FloatArray | None
    duals: FloatArray | None
    points: tuple[Point, ...] = ()
    """What simpler rules would do, where there was time to ask."""
    relaxed: float = float("nan")
    """Value of the linear relaxation."""


def search(
    frame: Frame, declared: Declared, relaxed: Solved, gap: float, seconds: float, seed: int,
    say: Callable[[str], None], known: Solved | None = None, floor: float = -np.inf, small: Small | None = None,
) -> Outcome:  # fmt: skip
    """The best plan and bound within a time budget, from the solved linear relaxation on, a plan that is known already
    and a bound that is; large models with a smaller one to order on."""
    begun = time.perf_counter()
    deadline = begun + seconds
    matrix = declared.matrix
    if relaxed.status in ("infeasible", "error"):
        return Outcome(relaxed.status, relaxed.termination, float("nan"), float("nan"), None, None)
    limit = max(0.02 * seconds, 0.05)
    points: list[Point] = []
    for point in baselines(frame, declared, relaxed.x, limit, seed):
        points.append(point)
        if time.perf_counter() > begun + 0.15 * seconds:
            break
    given = [] if known is None or known.x is None else [Point("the plan so far", known.x, known.objective)]
    best = min([*points, *given], key=lambda point: point.objective, default=None)
    last: frozenset[int] = frozenset().union(*frame.last)
    whole, fine = layout(frame, matrix, declared.variables, TOGETHER if small is None else TOGETHER_IN_LARGE)
    if relaxed.duals is None or int(matrix.integer.sum()) <= WHOLE_INTEGERS:
        if last:
            below = replace(matrix, upper=np.minimum(matrix.upper, roof(whole, last)))
            begin_at = run(below, gap=gap, time_limit_s=0.2 * seconds, seed=seed)
            if begin_at.x is not None and (best is None or begin_at.objective < best.objective):
                best = Point(LAST, np.where(matrix.integer, np.round(begin_at.x), begin_at.x), begin_at.objective)
                say(f"  plan {best.objective * 1e3:,.0f} USD ({LAST})")
        left = max(deadline - time.perf_counter(), 0.0)
        start = None if best is None else best.x
        return _whole(
            run(matrix, gap=gap, time_limit_s=left, seed=seed, start=start),
            relaxed,
            tuple(points),
            best,
            # No plan costs less than nothing: what is known where not even the relaxation was solved in time.
            max(floor, 0.0),
        )
    prices, fine_prices = price(whole, relaxed.duals), price(fine, relaxed.duals)
    state = Search(whole, fine, prices, fine_prices, gap, seed, begun, deadline, say, max(relaxed.objective, floor))
    if best is not None:
        state.offer(best.x, best.name)
    if small is None and relaxed.x is not None:
        small = itself(whole, relaxed.x)
    if small is not None:
        until = time.perf_counter() + BEGIN_SHARE * state.left()
        plan_of(state, small, last, LAST, GAP, until)
        gpus = np.array([pool.configuration.gpus for pool in frame.sets.pools])
        begin(state, small, gpus, until)
    cancel, also = threading.Event(), ThreadPoolExecutor(1)
    alone = int(matrix.integer.sum()) <= ALONGSIDE_INTEGERS
    whole_run = None
    if alone:
        left = max(deadline - time.perf_counter(), 0.0)
        whole_run = also.submit(run, matrix, gap=gap, time_limit_s=left, seed=seed, start=state.x, cancel=cancel)
    try:
        _in_parts(state, small, seconds, whole_run)
        if whole_run is not None and state.reached() > gap:
            _take(state, whole_run.result())
    finally:
        cancel.set()
        also.shutdown()
    if state.x is None:
        why = "Time limit reached before any plan was found"
        return Outcome("no_solution", why, float("nan"), state.bound, None, relaxed.duals)
    status: PlanStatus = "optimal" if state.reached() <= gap else "feasible"
    termination = "gap reached" if status == "optimal" else "Time limit reached"
    return Outcome(
        status, termination, state.objective, state.bound, state.x, relaxed.duals, tuple(points), relaxed.objective
    )


def _take(state: Search, solved: Solved) -> None:
    """The point and bound of a whole run."""
    if solved.x is not None:
        state.offer(np.where(state.whole.matrix.integer, np.round(solved.x), solved.x), "whole model")
    if np.isfinite(solved.bound):
        state.raise_bound(solved.bound, "whole model")


def _in_parts(state: Search, small: Small | None, seconds: float, whole_run: Future[Solved] | None) -> None:
    """Steps 3 and 4; ends early when the run of the whole model, if there is one, has ended."""
    gap = state.gap
    state.stop = whole_run.done if whole_run is not None else lambda: False
    threads = 1 if whole_run is not None else min(machine.cores(), 2)
    turn = min(max(state.whole.matrix.columns / TURN_COLUMNS_PER_S, TURN_LEAST_S), TURN_MOST * seconds)
    areas = (state.fine, state.fine_prices, state.fine_parts)
    months = (state.whole, state.prices, state.parts)
    with ThreadPoolExecutor(threads) as pool:
        _relax_parts(state, *months)
        for round_ in range(TURNS):
            closer = max(gap * CLOSER ** (round_ + 1), 1e-6)
            _solve_parts(state, *months, pool, threads, MONTHS_SHARE * state.left(), closer, "months at prices")
            if not round_ and _apart(state.parts) > FAR_FROM_DONE:
                _relax_parts(state, *areas)
                _solve_parts(state, *areas, pool, threads, AREAS_SHARE * state.left(), closer, "areas at prices")
                _lift(state)
            if state.done and state.x is not None:
                return
            if small is not None:
                again(state, small, closer, time.perf_counter() + PLAN_TURNS * turn)
            improve(state, until=time.perf_counter() + turn, rounds=2)
            turn *= 2.0


def enough(point: Solved, relaxed: Solved, bound: float, gap: float, seconds: float) -> Outcome | None:
    """A known point as the outcome, where it is within the gap of a known bound or there is no time for more."""
    if point.x is None or not np.isfinite(bound):
        return None
    bound = max(bound, relaxed.objective) if relaxed.status == "optimal" else bound
    reached = (point.objective - bound) / max(abs(point.objective), 1e-9)
    if reached > gap and seconds > 0.0:
        return None
    status: PlanStatus = "optimal" if reached <= gap else "feasible"
    termination = "gap reached" if status == "optimal" else "Time limit reached"
    bound = min(bound, point.objective)
    return Outcome(status, termination, point.objective, bound, point.x, relaxed.duals, (), relaxed.objective)


def _whole(solved: Solved, relaxed: Solved, points: tuple[Point, ...], best: Point | None, floor: float) -> Outcome:
    bound = max(solved.bound, relaxed.objective) if np.isfinite(relaxed.objective) else solved.bound
    bound = max(bound, floor)
    x, objective, status = solved.x, solved.objective, solved.status
    if best is not None and (x is None or best.objective < objective):
        x, objective, status = best.x, best.objective, "optimal" if solved.status == "optimal" else "feasible"
    if x is not None:
        bound = min(bound, objective)
    return Outcome(status, solved.termination, objective, bound, x, relaxed.duals, points, relaxed.objective)


def _apart(parts: Parts) -> float:
    """The relative gap of all parts together; inf where one has no plan."""
    value = sum(one.objective for one in parts.values())
    return (value - sum(one.bound for one in parts.values())) / max(abs(value), 1e-9) if np.isfinite(value) else np.inf


def _relax_parts(state: Search, cut: Layout, prices: Prices, parts: Parts) -> None:
    """The parts' own relaxations: together they are worth the whole's, and each whole solution improves on its own."""
    for name in _names(cut):
        matrix, _ = part(cut, prices, *name)
        relaxed = run(matrix, relax=True, seed=state.seed)
        parts[name] = Proof(relaxed.objective if relaxed.status == "optimal" else -np.inf, relaxed.x)
    together = prices.rest + sum(one.bound for one in parts.values())
    if together > state.bound + 1e-6 * abs(state.bound):
        state.raise_bound(together, "relaxed parts")


def _names(cut: Layout) -> list[tuple[int, int]]:
    return [(m, g) for m in range(cut.months) for g in range(cut.scenarios)]


def _solve_parts(
    state: Search, cut: Layout, prices: Prices, parts: Parts, pool: ThreadPoolExecutor, threads: int, seconds: float,
    gap: float, what: str,
) -> None:  # fmt: skip
    """Parts that are not known to this gap, for so many seconds in all; their sum is a bound.

    A part cannot be taken up again where it was left, so that each gets the time to end rather than all a little.
    """
    if state.done and state.x is not None:
        return
    names = [name for name in _names(cut) if not parts[name].within(gap)]
    waiting = len(names)
    stop = time.perf_counter() + min(seconds, state.left())

    def solved(name: tuple[int, int]) -> tuple[tuple[int, int], Solved | None]:
        nonlocal waiting
        left = stop - time.perf_counter()
        share = MORE_THAN_FAIR * left * threads / max(waiting, 1)
        waiting -= 1
        if left <= 0.0 or state.stop():
            return name, None
        matrix, columns = part(cut, prices, *name)
        known = state.x if state.x is not None else None
        start = None if known is None else np.where(matrix.integer, np.round(known[columns]), known[columns])
        limit = min(share, left)
        return name, run(matrix, gap=gap, time_limit_s=limit, seed=state.seed, start=start, for_bound=True)

    for name, answer in pool.map(solved, names):
        if answer is None or not np.isfinite(answer.bound):
            continue
        before = parts[name]
        bound = max(before.bound, answer.bound)
        if answer.x is None or answer.objective > before.objective:
            parts[name] = replace(before, bound=bound)
        else:
            parts[name] = Proof(bound, answer.x, answer.objective)
    state.raise_bound(prices.rest + sum(one.bound for one in parts.values()), what)


def _lift(state: Search) -> None:
    """A month's part is worth at least what its areas and its supply are together, with the rows between them priced:
    they are that part with more of it relaxed."""
    matrix, y = state.whole.matrix, state.prices.duals
    side = np.where(y > 0, matrix.row_lower, matrix.row_upper)
    priced = np.where((state.fine.row_part < 0) & (y != 0.0), y * np.where(np.isfinite(side), side, 0.0), 0.0)
    areas = state.fine.months // state.whole.months
    for (month, group), one in state.parts.items():
        mine = [state.fine_parts[month * areas + area, group].bound for area in range(areas)]
        together = sum(mine) + float(priced[state.whole.rows_of(month, group)].sum())
        state.parts[month, group] = replace(one, bound=max(one.bound, together))
    state.raise_bound(state.prices.rest + sum(one.bound for one in state.parts.values()), "areas at prices")
