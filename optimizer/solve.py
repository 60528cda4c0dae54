"""The fleet plan: sets, model, search, explanation, in that order."""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib import metadata

from data.plan_records import Baseline, FleetPlan, FleetProblem, SolveStats
from data.records import FloatArray
from optimizer import extract, short
from optimizer.blocks import expanded, layers, priced_by_name, served, thinned
from optimizer.cost import USD_SCALE
from optimizer.explain import conflict, marginal_costs
from optimizer.exposed import exposures, without_failover
from optimizer.frame import Frame
from optimizer.matrix import Declared, Solved, compiled, run
from optimizer.merge import apart, exposed_apart, merge
from optimizer.model import build_model
from optimizer.placed import placed_costs
from optimizer.pools import Small
from optimizer.prices import PRICED_BY_GROUPS, by_groups
from optimizer.procurement import procurement
from optimizer.routes import routes
from optimizer.rules import RULES_COLUMNS, rule_prices
from optimizer.sets import build_sets
from optimizer.stochastic import stochastic_value
from optimizer.strategy import Outcome, enough, search

NO_API = ", without the API"
"""Ends the name of a rule that buys nothing from an API where the plan does."""


def solve(problem: FleetProblem, progress: Callable[[str], None] | None = None) -> FleetPlan:
    """A plan with proof: objective, bound, gap. Never raises for demand that cannot be served: that is a shortfall.

    Status `optimal` means within problem.mip_gap of a proven bound; `feasible` that the time limit came first.
    """
    say = progress or (lambda _: None)
    start = time.perf_counter()
    merged, members = merge(problem)
    answer = _answer(merged, start, say)
    frame, declared, outcome = answer.frame, answer.declared, answer.outcome
    model = declared.model
    alike, built = frame.problem, start + answer.build_s
    matrix, integers = declared.matrix, int(declared.matrix.integer.sum())
    solved = time.perf_counter()
    gap = abs(outcome.objective - outcome.bound) / max(abs(outcome.objective), 1e-9)
    stats = SolveStats(
        status=outcome.status,
        termination=outcome.termination,
        objective_usd=outcome.objective / USD_SCALE,
        bound_usd=outcome.bound / USD_SCALE,
        gap=gap,
        columns=matrix.columns,
        rows=matrix.rows,
        integers=integers,
        build_s=built - start,
        solve_s=solved - built,
        solver=f"HiGHS {metadata.version('highspy')} through Pyomo {metadata.version('pyomo')}",
    )
    if outcome.x is None:
        return FleetPlan(stats=stats, rejected=frame.sets.rejected)
    declared.load(outcome.x)
    found = extract.pools(frame, model)
    spare = max(problem.time_limit_s - (solved - start), 0.2 * problem.time_limit_s)
    prices = rule_prices(problem, spare, frame, declared, outcome.x) if matrix.columns <= RULES_COLUMNS else ()
    duals = named_duals(declared, outcome.duals)
    lacking = apart(short.shortfalls(frame, model), members, problem)
    bare = exposed_apart(exposures(frame, model), members, problem)
    broken = bool(bare) or any(problem.protected[one.series.request_class] for one in lacking)
    relaxed_usd = outcome.relaxed / USD_SCALE
    value = stochastic_value(alike, declared, relaxed_usd, spare) if matrix.columns <= RULES_COLUMNS else None
    return FleetPlan(
        stats=stats,
        pools=found,
        routes=routes(frame, model, merged, members),
        purchases=extract.purchases(frame, model),
        costs=extract.costs(frame, model),
        placed=placed_costs(frame, model, merged.demand, members),
        shortfalls=lacking,
        exposures=bare,
        binding=short.binding(problem, duals),
        marginal=marginal_costs(frame, merged.demand, duals, members),
        conflict=conflict(problem, spare) if broken else (),
        rejected=(*frame.sets.rejected, *extract.not_chosen(frame, model)),
        reserve_usd=extract.reserve_usd(problem, found),
        scenario_usd=extract.scenario_usd(frame, model),
        design_scenario=frame.sets.design,
        baselines=tuple(
            replace(one, saving=1.0 - stats.objective_usd / one.objective_usd if one.objective_usd > 0 else 0.0)
            for one in answer.baselines
        ),
        rule_prices=prices,
        notes=(
            f"commitments count in full within the horizon and at {problem.residual_value:.0%} residual value after it",
            "on-demand GPUs are held at a level for the whole month; steady replicas carry every block",
            "shadow prices are those of the linear relaxation",
            *(["the search started from the pools of the last plan"] if any(frame.last) else []),
            *without_failover(frame, members),
        ),
        procurement=procurement(frame, declared, model, outcome.x),
        stochastic=value,
    )


@dataclass(frozen=True, slots=True)
class Answer:
    """A declared model and the end of its search."""

    frame: Frame
    declared: Declared
    outcome: Outcome
    build_s: float
    baselines: tuple[Baseline, ...]


def _answer(merged: FleetProblem, start: float, say: Callable[[str], None]) -> Answer:
    """The search over the blocks that can matter; where its plan sheds something outside the peak, that plan and its
    bound are taken to the model with every block, which has what is left of the time (blocks.py)."""
    stop = start + merged.time_limit_s
    kept, second = layers(merged.demand)
    places = [kept.index(b) for b in second]
    slim = len(kept) < len(merged.demand.blocks)
    build_s, floor = 0.0, -math.inf
    known: tuple[Declared, Solved, FloatArray] | None = None
    told: tuple[Baseline, ...] = ()
    for alike in (thinned(merged, kept), merged) if slim else (merged,):
        begun = time.perf_counter()
        frame, declared = declare(alike)
        build_s += time.perf_counter() - begun
        matrix = declared.matrix
        say(f"  {matrix.columns:,} columns, {matrix.rows:,} rows, {int(matrix.integer.sum()):,} integers")
        left = max(stop - time.perf_counter(), 0.0)
        limit = max(left, 0.1 * alike.time_limit_s)
        point = None if known is None else expanded(known[0], known[2], declared)
        if known is not None and point is not None and kept == list(range(len(kept))):
            # A plan within the gap needs no relaxation of its own, where blocks kept keep their numbers as well.
            priced = replace(known[1], duals=priced_by_name(known[0], known[1].duals, declared))
            outcome = enough(point, priced, floor, alike.mip_gap, left)
            if outcome is not None:
                break
        small: Small | None = None
        if matrix.columns > PRICED_BY_GROUPS:
            relaxed, small = by_groups(frame, declared, limit)
        else:
            relaxed = run(matrix, relax=True, time_limit_s=limit, seed=alike.seed)
        outcome = None if point is None else enough(point, relaxed, floor, alike.mip_gap, left)
        if outcome is not None:
            break
        if alike is not merged and relaxed.x is not None and not served(declared, relaxed.x, places):
            continue
        # What is left to do in the whole model, if anything, takes a few times as long as it did so far.
        aside = 0.0 if alike is merged else min(3.0 * (time.perf_counter() - begun), 0.1 * alike.time_limit_s)
        left = max(stop - time.perf_counter() - aside, 0.0)
        outcome = search(frame, declared, relaxed, alike.mip_gap, left, alike.seed, say, point, floor, small)
        told = compared(frame, declared, outcome)
        if alike is merged or outcome.x is None or served(declared, outcome.x, places):
            break
        known, floor = (declared, relaxed, outcome.x), outcome.bound
    assert outcome is not None
    return Answer(frame, declared, outcome, build_s, told)


def declare(problem: FleetProblem) -> tuple[Frame, Declared]:
    """The model of a merged problem: its frame, and the Pyomo model as a matrix."""
    frame = Frame(problem, build_sets(problem))
    return frame, compiled(build_model(frame))


def compared(frame: Frame, declared: Declared, outcome: Outcome) -> tuple[Baseline, ...]:
    """The simpler rules beside the plan, cheapest first, those that keep its promises (to serve, and to go on serving
    when a region is lost) before those that do not. A rule that buys nothing from an API where the plan does says so in
    its name, unless it was planned with the API in view."""
    broken, bought = [], []
    for i, variable in enumerate(declared.variables):
        name, index = variable.parent_component().local_name, variable.index()
        if name == "exposed" or (name == "shed" and frame.protected[index[1]] and index[3] in frame.promised):
            broken.append(i)
        elif name == "api":
            bought.append(i)

    def buys(x: FloatArray | None) -> bool:
        return x is not None and bool((x[bought] > extract.TOLERANCE_RPS).any())

    found = [
        Baseline(
            point.name if point.weighs_api or buys(point.x) or not buys(outcome.x) else f"{point.name}{NO_API}",
            point.objective / USD_SCALE,
            0.0,
            bool((point.x[broken] <= extract.TOLERANCE_RPS).all()),
        )
        for point in outcome.points
    ]
    return tuple(sorted(found, key=lambda one: (not one.serves_promise, one.objective_usd, one.name)))


def named_duals(declared: Declared, duals: FloatArray | None) -> dict[str, float]:
    """Duals of the linear relaxation by constraint name; those of integers fixed would be 0 almost everywhere, since
    one more GPU cannot change a fixed replica count."""
    if duals is None:
        return {}
    pairs = zip(declared.constraints, duals.tolist(), strict=True)
    return {constraint.name: dual for constraint, dual in pairs if dual != 0.0}
