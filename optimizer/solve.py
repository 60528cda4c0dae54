"""The fleet plan: sets, model, search, explanation, in that order."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import metadata

from data.plan_records import Baseline, FleetPlan, FleetProblem, SolveStats
from data.records import FloatArray
from optimizer import extract
from optimizer.cost import USD_SCALE
from optimizer.frame import Frame
from optimizer.matrix import Declared, compiled
from optimizer.merge import apart, merge
from optimizer.model import build_model
from optimizer.procurement import procurement
from optimizer.rules import RULES_COLUMNS, rule_prices
from optimizer.sets import build_sets
from optimizer.strategy import Outcome, search


def solve(problem: FleetProblem, progress: Callable[[str], None] | None = None) -> FleetPlan:
    """A plan with proof: objective, bound, gap. Never raises for demand that cannot be served: that is a shortfall.

    Status `optimal` means within problem.mip_gap of a proven bound; `feasible` that the time limit came first.
    """
    say = progress or (lambda _: None)
    start = time.perf_counter()
    alike, members = merge(problem)
    frame = Frame(alike, build_sets(alike))
    model = build_model(frame)
    declared = compiled(model)
    matrix = declared.matrix
    built = time.perf_counter()
    integers = int(matrix.integer.sum())
    say(f"  {matrix.columns:,} columns, {matrix.rows:,} rows, {integers:,} integers")
    left = max(problem.time_limit_s - (built - start), 0.0)
    outcome = search(frame, declared, problem.mip_gap, left, problem.seed, say)
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
    spare = max(problem.time_limit_s - (solved - start), 0.05 * problem.time_limit_s)
    prices = rule_prices(problem, spare) if matrix.columns <= RULES_COLUMNS else ()
    return FleetPlan(
        stats=stats,
        pools=found,
        purchases=extract.purchases(frame, model),
        costs=extract.costs(frame, model),
        shortfalls=apart(extract.shortfalls(frame, model), members, problem),
        binding=extract.binding(problem, named_duals(declared, outcome.duals)),
        rejected=(*frame.sets.rejected, *extract.not_chosen(frame, model)),
        reserve_usd=extract.reserve_usd(problem, found),
        scenario_usd=extract.scenario_usd(frame, model),
        design_scenario=frame.sets.design,
        baselines=compared(frame, declared, outcome),
        rule_prices=prices,
        notes=(
            f"commitments count in full within the horizon and at {problem.residual_value:.0%} residual value after it",
            "on-demand GPUs are held at a level for the whole month; steady replicas carry every block",
            "shadow prices are those of the linear relaxation",
            *extract.exposures(frame, model),
        ),
        procurement=procurement(frame, declared, model, outcome.x),
    )


def compared(frame: Frame, declared: Declared, outcome: Outcome) -> tuple[Baseline, ...]:
    """The simpler rules beside the plan, cheapest first, those that keep the promise before those that do not."""
    shed = [
        i
        for i, variable in enumerate(declared.variables)
        if variable.parent_component().local_name == "shed"
        and frame.protected[variable.index()[1]]
        and variable.index()[3] in frame.promised
    ]
    found = [
        Baseline(
            point.name,
            point.objective / USD_SCALE,
            1.0 - outcome.objective / point.objective if point.objective > 0 else 0.0,
            bool((point.x[shed] <= extract.TOLERANCE_RPS).all()),
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
