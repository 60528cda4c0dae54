"""A declared model as arrays, and HiGHS on arrays.

The model is declared in Pyomo once; every solve after that (relaxations, restrictions to a month, repairs) works on
slices of its matrix, which costs milliseconds instead of a new declaration.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np
from pyomo.repn.plugins.standard_form import LinearStandardFormCompiler

from data.plan_records import PlanStatus
from data.records import BoolArray, FloatArray

NEGLIGIBLE = 1e-9
"""HiGHS drops matrix coefficients below this with a warning; so do we, silently."""


NOT_FOR_BOUNDS = (
    "mip_heuristic_run_rins",
    "mip_heuristic_run_rens",
    "mip_heuristic_run_root_reduced_cost",
    "mip_allow_restart",
)


@dataclass(frozen=True, slots=True)
class Matrix:
    """min cost.x + offset over row_lower <= A x <= row_upper, lower <= x <= upper, x integer where `integer`.

    A is sparse by column, [rows, columns]. Arrays are not written to after construction.
    """

    A: Any
    row_lower: FloatArray
    row_upper: FloatArray
    cost: FloatArray
    offset: float
    lower: FloatArray
    upper: FloatArray
    integer: BoolArray

    @property
    def columns(self) -> int:
        return len(self.cost)

    @property
    def rows(self) -> int:
        return len(self.row_lower)


@dataclass(frozen=True, slots=True)
class Declared:
    """A Pyomo model's matrix with the variables of its columns and the constraints of its rows."""

    matrix: Matrix
    variables: tuple[Any, ...]
    constraints: tuple[Any, ...]
    model: Any
    """The model they are of. They know it only weakly: without it they would lose their names."""

    def load(self, x: FloatArray) -> None:
        """Gives the model's variables the values of a point."""
        for variable, value in zip(self.variables, x.tolist(), strict=True):
            variable.set_value(value, skip_validation=True)


def compiled(model: Any) -> Declared:
    """The matrix of a linear Pyomo model that minimises."""
    form = LinearStandardFormCompiler().write(model, mixed_form=True, set_sense=None)
    rhs = np.asarray(form.rhs, dtype=np.float64)
    kind = np.array([row.bound_type for row in form.rows])
    variables = tuple(form.columns)
    bounds = [variable.bounds for variable in variables]
    A = form.A.tocsc()
    A.data[np.abs(A.data) < NEGLIGIBLE] = 0.0
    A.eliminate_zeros()
    matrix = Matrix(
        A=A,
        row_lower=np.where(kind <= 0, rhs, -np.inf),
        row_upper=np.where(kind >= 0, rhs, np.inf),
        cost=np.asarray(form.c.toarray(), dtype=np.float64).ravel(),
        offset=float(np.sum(form.c_offset)),
        lower=np.array([-np.inf if low is None else low for low, _ in bounds], dtype=np.float64),
        upper=np.array([np.inf if up is None else up for _, up in bounds], dtype=np.float64),
        integer=np.array([not variable.is_continuous() for variable in variables], dtype=bool),
    )
    return Declared(matrix, variables, tuple(row.constraint for row in form.rows), model)


@dataclass(frozen=True, slots=True)
class Solved:
    """What HiGHS found: x is None without a feasible point, duals None unless a relaxation was solved."""

    status: PlanStatus
    termination: str
    objective: float
    bound: float
    x: FloatArray | None
    duals: FloatArray | None


def _lp(matrix: Matrix, relax: bool) -> Any:
    lp = highspy.HighsLp()
    lp.num_col_, lp.num_row_ = matrix.columns, matrix.rows
    lp.col_cost_, lp.col_lower_, lp.col_upper_ = matrix.cost, matrix.lower, matrix.upper
    lp.row_lower_, lp.row_upper_ = matrix.row_lower, matrix.row_upper
    lp.offset_ = matrix.offset
    lp.a_matrix_.format_ = highspy.MatrixFormat.kColwise
    lp.a_matrix_.num_col_, lp.a_matrix_.num_row_ = matrix.columns, matrix.rows
    lp.a_matrix_.start_, lp.a_matrix_.index_ = matrix.A.indptr, matrix.A.indices
    lp.a_matrix_.value_ = matrix.A.data
    if not relax and matrix.integer.any():
        kinds = (highspy.HighsVarType.kContinuous, highspy.HighsVarType.kInteger)
        lp.integrality_ = [kinds[int(flag)] for flag in matrix.integer]
    return lp


def _cancel_when(h: Any, cancel: threading.Event) -> None:
    cancel.wait()
    h.cancelSolve()


def open_solver(matrix: Matrix, relax: bool, gap: float = 1e-6, time_limit_s: float = 60.0, seed: int = 0) -> Any:
    """A HiGHS instance that holds a matrix, on one thread, silent."""
    solver: Any = highspy.Highs
    h = solver()
    settings: dict[str, Any] = {
        "output_flag": False,
        "threads": 1,
        "random_seed": seed % 2**31,
        "mip_rel_gap": gap,
        "time_limit": max(time_limit_s, 0.0),
    }
    for name, value in settings.items():
        h.setOptionValue(name, value)
    h.passModel(_lp(matrix, relax))
    return h


def run(
    matrix: Matrix,
    *,
    gap: float = 1e-6,
    time_limit_s: float = 60.0,
    seed: int = 0,
    relax: bool = False,
    start: FloatArray | None = None,
    cancel: threading.Event | None = None,
    for_bound: bool = False,
) -> Solved:
    """Solves a matrix on one thread; deterministic as long as the time limit is not hit. The interpreter is free
    meanwhile, so that two may run at once. Setting `cancel` ends the search early; it is set on return. `for_bound`
    leaves out restarts and the searches for points that are models of their own: a third of the time, where the bound
    is what counts.
    """
    h = open_solver(matrix, relax, gap, time_limit_s, seed)
    for name in NOT_FOR_BOUNDS if for_bound else ():
        h.setOptionValue(name, False)
    if start is not None and not relax:
        guess = highspy.HighsSolution()
        guess.col_value = start.tolist()
        h.setSolution(guess)
    if cancel is not None:
        h.HandleUserInterrupt = True
        watch = threading.Thread(target=_cancel_when, args=(h, cancel), daemon=True)
        watch.start()
    h.run()
    if cancel is not None:
        cancel.set()
        watch.join()
    status, info = h.getModelStatus(), h.getInfo()
    found = info.primal_solution_status == highspy.SolutionStatus.kSolutionStatusFeasible
    x = np.asarray(h.getSolution().col_value) if found else None
    mip = not relax and bool(matrix.integer.any())
    optimal = status == highspy.HighsModelStatus.kOptimal
    duals = np.asarray(h.getSolution().row_dual) if optimal and not mip else None
    outcome: PlanStatus = "no_solution"
    if optimal:
        outcome = "optimal"
    elif found and mip:
        outcome = "feasible"
    elif status in (
        highspy.HighsModelStatus.kInfeasible,
        highspy.HighsModelStatus.kUnboundedOrInfeasible,
    ):
        outcome = "infeasible"
    elif status in (highspy.HighsModelStatus.kModelError, highspy.HighsModelStatus.kSolveError):
        outcome = "error"
    objective = float(info.objective_function_value) if found else float("nan")
    bound = float(info.mip_dual_bound) if mip else (objective if optimal else float("nan"))
    return Solved(outcome, h.modelStatusToString(status), objective, bound, x, duals)
