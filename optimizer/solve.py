"""The fleet plan: sets, model, solver, explanation, in that order."""

from __future__ import annotations

import time
from collections.abc import Callable
from importlib import metadata

from data.plan_records import FleetPlan, FleetProblem, SolveStats
from optimizer import extract
from optimizer.highs import relaxed_duals, size, solve_mip
from optimizer.model import USD_SCALE, build_model
from optimizer.sets import build_sets


def solve(problem: FleetProblem, progress: Callable[[str], None] | None = None) -> FleetPlan:
    """A plan with proof: objective, bound, gap. Never raises for demand that cannot be served: that is a shortfall.

    Status `optimal` means within problem.mip_gap of a proven bound; `feasible` that the time limit came first.
    """
    say = progress or (lambda _: None)
    start = time.perf_counter()
    sets = build_sets(problem)
    model = build_model(problem, sets)
    columns, rows, integers = size(model)
    built = time.perf_counter()
    say(f"  {columns:,} columns, {rows:,} rows, {integers:,} integers")
    outcome = solve_mip(model, problem.mip_gap, problem.time_limit_s, problem.seed)
    solved = time.perf_counter()
    gap = abs(outcome.objective - outcome.bound) / max(abs(outcome.objective), 1e-9)
    stats = SolveStats(
        status=outcome.status,
        termination=outcome.termination,
        objective_usd=outcome.objective / USD_SCALE,
        bound_usd=outcome.bound / USD_SCALE,
        gap=gap,
        columns=columns,
        rows=rows,
        integers=integers,
        build_s=built - start,
        solve_s=solved - built,
        solver=f"HiGHS {metadata.version('highspy')} through Pyomo {metadata.version('pyomo')}",
    )
    if outcome.status not in ("optimal", "feasible"):
        return FleetPlan(stats=stats, rejected=sets.rejected)
    say("  pricing limits")
    found = extract.pools(problem, sets, model)
    share = f"{problem.residual_value:.0%}"
    return FleetPlan(
        stats=stats,
        pools=found,
        purchases=extract.purchases(problem, sets, model),
        costs=extract.costs(problem, sets, model),
        shortfalls=extract.shortfalls(problem, sets, model),
        binding=extract.binding(problem, relaxed_duals(model, problem.time_limit_s)),
        rejected=(*sets.rejected, *extract.not_chosen(problem, sets, model)),
        reserve_usd=extract.reserve_usd(problem, found),
        scenario_usd=extract.scenario_usd(problem, sets, model),
        design_scenario=sets.design,
        notes=(
            f"commitments count in full within the horizon and at {share} residual value after it",
            "on-demand GPUs are held at a level for the whole month; steady replicas carry every block",
            "shadow prices are those of the linear relaxation",
        ),
    )
