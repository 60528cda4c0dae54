"""HiGHS through Pyomo: solve, and say plainly what came back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import pyomo.environ as pyo
from pyomo.contrib.solver.common.factory import SolverFactory
from pyomo.contrib.solver.common.results import SolutionStatus, TerminationCondition

from data.plan_records import PlanStatus


@dataclass(frozen=True, slots=True)
class Outcome:
    """Status, objective and proven bound in the model's units (nan where there is none), and HiGHS's own words."""

    status: PlanStatus
    termination: str
    objective: float
    bound: float


def solve_mip(model: Any, gap: float, time_limit_s: float, seed: int) -> Outcome:
    """Solves in place; variables hold the incumbent where there is one."""
    # One thread: HiGHS is deterministic then, whatever else the machine does, as long as the time limit is not hit.
    result = SolverFactory("highs").solve(
        model,
        rel_gap=gap,
        time_limit=time_limit_s,
        threads=1,
        solver_options={"random_seed": seed % 2**31},
        load_solutions=False,
        raise_exception_on_nonoptimal_result=False,
    )
    termination = result.termination_condition
    found = result.solution_status in (SolutionStatus.optimal, SolutionStatus.feasible)
    if found:
        result.solution_loader.load_vars()
    status: PlanStatus = "no_solution"
    if result.solution_status == SolutionStatus.optimal:
        status = "optimal"
    elif found:
        status = "feasible"
    elif termination in (TerminationCondition.provenInfeasible, TerminationCondition.infeasibleOrUnbounded):
        status = "infeasible"
    elif termination == TerminationCondition.error:
        status = "error"
    objective, bound = result.incumbent_objective, result.objective_bound
    return Outcome(
        status,
        termination.name,
        float("nan") if objective is None else float(objective),
        float("nan") if bound is None else float(bound),
    )


def relaxed_duals(model: Any, time_limit_s: float) -> dict[Any, float]:
    """Duals of the model's linear relaxation by constraint; empty where it was not solved to optimality.

    Relaxed on a copy: with integers fixed a quota's dual is almost always 0, since one more GPU cannot change a fixed
    replica count; the relaxation prices the GPU at the margin of the plan.
    """
    copy = model.clone()
    pyo.TransformationFactory("core.relax_integer_vars").apply_to(copy)
    result = SolverFactory("highs").solve(
        copy, time_limit=time_limit_s, threads=1, load_solutions=False, raise_exception_on_nonoptimal_result=False
    )
    if result.solution_status != SolutionStatus.optimal:
        return {}
    duals = result.solution_loader.get_duals()
    return {constraint.name: float(dual) for constraint, dual in duals.items()}


def size(model: Any) -> tuple[int, int, int]:
    """Columns, rows and integers of a model."""
    columns = list(model.component_data_objects(pyo.Var, active=True))
    rows = sum(1 for _ in model.component_data_objects(pyo.Constraint, active=True))
    return len(columns), rows, sum(not column.is_continuous() for column in columns)
