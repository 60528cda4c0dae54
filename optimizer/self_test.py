"""Whether the solver works here: a problem with a known answer."""

from __future__ import annotations

from importlib import metadata

import pyomo.environ as pyo

CAPACITY, NEED = 3.0, 10.0


def solve_known() -> tuple[float, float, str]:
    """Replicas of 3 requests/s for 10 requests/s: the answer found, the right one (4), and the solver's version."""
    model = pyo.ConcreteModel()
    model.replicas = pyo.Var(domain=pyo.NonNegativeIntegers)
    model.serve = pyo.Constraint(expr=CAPACITY * model.replicas >= NEED)
    model.cost = pyo.Objective(expr=model.replicas)
    pyo.SolverFactory("appsi_highs").solve(model)
    return float(pyo.value(model.replicas)), 4.0, f"HiGHS {metadata.version('highspy')}"
