"""A finished plan in demand that it has not seen: what it costs then, and how often it is too small.

One linear program a month, declared once; every fresh scenario only moves its right sides, so that a thousand scenarios
take seconds. Commitments and open pools are the plan's; what changes with demand (replicas, on-demand and spot hours,
API calls) may follow it.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import highspy
import numpy as np

from data.plan_records import FleetPlan, FleetProblem, Reserves
from data.records import Demand, FloatArray, IntArray
from data.scenario_records import SampleCheck
from data.units import SECONDS_PER_HOUR
from optimizer.cost import USD_SCALE
from optimizer.frame import Frame, held_usd
from optimizer.matrix import Matrix, compiled, open_solver
from optimizer.merge import merge
from optimizer.model import build_model
from optimizer.parts import ORDERS, TAIL
from optimizer.sets import PoolKey, build_sets

DECIDED = ("open", "start", *ORDERS, "committed", "started_replicas", "stopped_replicas")
ALWAYS_DROPPED = (
    "budget", "rounding", "started", "grows", "running", "order_lots", "step_least", "step_most", "one_step", "churn",
    "churn_limit",
)  # fmt: skip
"""Rows that look at several scenarios or months, or only help the solver."""
FIXED_DROPPED = (
    "opened", "worth_opening", "supply", "quota", "flexible", "spot_loss", "spot_share", "power", "floor",
)  # fmt: skip
"""Rows that decide how many replicas there are."""
SHORT_RPS = 1e-4


@dataclass(frozen=True)
class Month:
    """The program of one month: its solver, its columns in the whole, and (row, series, block) of every right side that
    is a demand."""

    solver: Any
    columns: IntArray
    demand_rows: list[tuple[int, int, int]]

    def solve(self, rps: FloatArray) -> FloatArray | None:
        """Column values for a month's demand, [series, block]; None where no point is feasible."""
        for row, k, b in self.demand_rows:
            self.solver.changeRowBounds(row, float(rps[k, b]), float(rps[k, b]))
        self.solver.run()
        if self.solver.getModelStatus() != highspy.HighsModelStatus.kOptimal:
            return None
        return np.asarray(self.solver.getSolution().col_value)


@dataclass(frozen=True)
class Programs:
    """All months of a problem as linear programs with the plan's decisions in them."""

    frame: Frame
    names: Any
    index: tuple[Any, ...]
    cost: FloatArray
    months: tuple[Month, ...]

    def sum_of(self, month: int, values: FloatArray, weights: FloatArray) -> float:
        return float(values @ weights[self.months[month].columns])


def _programs(problem: FleetProblem, plan: FleetPlan, rps: FloatArray, fixed: bool) -> Programs:
    """Programs that can take any demand up to rps [series, month, block]; with `fixed` the plan's replicas run and
    unserved load is what is minimised, otherwise cost is."""
    largest = replace(problem.demand, probabilities=np.ones(1), rps=rps[..., None])
    # The promise is asked about afterwards: here every scenario is one.
    alike = replace(problem, demand=largest, planning_quantile=1.0)
    frame = Frame(alike, build_sets(alike, prune=False))
    declared = compiled(build_model(frame))
    matrix, names = declared.matrix, np.array([v.parent_component().local_name for v in declared.variables])
    index = tuple(v.index() for v in declared.variables)
    rows = np.array([c.parent_component().local_name for c in declared.constraints])
    runs = {(pool.month, PoolKey(pool.region, pool.configuration)): pool.replicas for pool in plan.pools}
    firm = {(row.region, row.gpu, row.month): row.committed_gpus for row in plan.procurement.coverage}
    labels, pools = largest.months, frame.sets.pools
    x, cost = np.zeros(matrix.columns), matrix.cost.copy()
    lower, upper = matrix.lower.copy(), matrix.upper.copy()
    for c, (name, i) in enumerate(zip(names.tolist(), index, strict=True)):
        if name == "open":
            x[c] = float((labels[i[0]], pools[i[1]]) in runs)
        elif name == "committed":
            x[c] = float(firm.get((i[1], i[2], labels[i[0]]), 0))
        elif name == "replicas" and fixed:
            lower[c] = upper[c] = float(runs.get((labels[i[0]], pools[i[1]]), 0))
        if fixed:
            cost[c] = (1.0 if frame.protected[i[1]] else 1e-3) if name == "shed" else 0.0
    dropped = np.isin(rows, (*ALWAYS_DROPPED, *FIXED_DROPPED) if fixed else ALWAYS_DROPPED)
    taken = matrix.A @ x
    at = np.array([-1 if name in (*ORDERS, *TAIL) else i[0] for name, i in zip(names, index, strict=True)])
    months = []
    for m in frame.M:
        columns = np.flatnonzero((at == m) & ~np.isin(names, DECIDED))
        touched = np.zeros(matrix.rows, dtype=bool)
        touched[np.unique(matrix.A[:, columns].indices)] = True
        kept = np.flatnonzero(touched & ~dropped)
        cut = Matrix(
            matrix.A[:, columns].tocsr()[kept].tocsc(), matrix.row_lower[kept] - taken[kept],
            matrix.row_upper[kept] - taken[kept], cost[columns], 0.0, lower[columns], upper[columns],
            np.zeros(len(columns), dtype=bool),
        )  # fmt: skip
        found = []
        for row, whole in enumerate(kept):
            if rows[whole] == "flow_balance":
                _, k, b, _ = declared.constraints[whole].index()
                found.append((row, k, b))
        months.append(Month(open_solver(cut, relax=True), columns, found))
    return Programs(frame, names, index, cost, tuple(months))


def sample_check(problem: FleetProblem, plan: FleetPlan, fresh: Demand) -> SampleCheck | None:
    """The plan in fresh scenarios, which have the problem's series, months and blocks; None without a plan.

    Failover routes of a region's loss are left out: they cost nothing beyond the replicas they need.
    """
    if not plan.pools or fresh.months != problem.demand.months or not fresh.months:
        return None
    held = replace(problem.reserves, region_loss=False)
    given, _ = merge(replace(problem, reserves=held))
    new, _ = merge(replace(problem, reserves=held, demand=replace(fresh, blocks=problem.demand.blocks)))
    largest = np.maximum(new.demand.rps.max(axis=3), given.demand.rps.max(axis=3))
    spending = _programs(given, plan, largest, fixed=False)
    before = float(given.demand.probabilities @ _cash(spending, plan, given.demand.rps))
    cash, pi = _cash(spending, plan, new.demand.rps), fresh.probabilities
    kept = _programs(given, plan, largest, fixed=True)
    none = replace(given, failures_per_pool=0, rollout_surge=0.0, reserves=Reserves())
    bare = _programs(none, plan, largest, fixed=True)
    # What the plan carries needs no second look.
    design = given.demand.rps[..., plan.design_scenario] * (0.0 if plan.shortfalls else 1.0)
    over, _ = _missing(kept, new.demand.rps, design)
    short, lost = _missing(bare, new.demand.rps, design)
    hours = np.array([block.hours for block in problem.demand.blocks])
    guarded = new.demand.rps[[k for k in kept.frame.K if kept.frame.protected[k]]]
    wanted = float(np.einsum("kmbs,b,s->", guarded, hours, pi)) * SECONDS_PER_HOUR
    order = np.argsort(cash)
    upto = np.cumsum(pi[order])

    def quantile(level: float) -> float:
        return float(cash[order][min(int(np.searchsorted(upto, level - 1e-12)), len(order) - 1)])

    return SampleCheck(
        scenarios=len(pi),
        planned_usd=before,
        mean_usd=float(pi @ cash),
        p05_usd=quantile(0.05),
        p50_usd=quantile(0.5),
        p95_usd=quantile(0.95),
        worst_usd=float(cash.max()),
        stated_risk=1.0 - problem.planning_quantile,
        months_over=float((over.any(axis=1) @ pi).mean()),
        months_short=float((short.any(axis=1) @ pi).mean()),
        hours_over_per_month=float(((over * hours[:, None]).sum(axis=1) @ pi).mean()),
        hours_short_per_month=float(((short * hours[:, None]).sum(axis=1) @ pi).mean()),
        unserved_share=float((lost * hours[None, :, None]).sum(axis=(0, 1)) @ pi) * SECONDS_PER_HOUR / wanted
        if wanted > 0.0
        else 0.0,
        note=f"{len(pi):,} paths of the forecast drawn anew; pools and commitments as planned",
    )


def _cash(programs: Programs, plan: FleetPlan, rps: FloatArray) -> FloatArray:
    """Cash of the horizon by scenario, US dollars; rps [series, month, block, scenario]."""
    bought = np.isin(programs.names, ("on_demand", "spot", "api"))
    price = np.where(bought, programs.cost, 0.0) / USD_SCALE
    fixed = sum(one.committed_usd + one.start_usd for one in plan.costs)
    fixed += sum(held_usd(programs.frame.problem, m) for m in programs.frame.M)
    found = np.full(rps.shape[3], float(fixed))
    for m, month in enumerate(programs.months):
        for s in range(rps.shape[3]):
            values = month.solve(rps[:, m, :, s])
            found[s] += float("nan") if values is None else programs.sum_of(m, values, price)
    return found


def _missing(programs: Programs, rps: FloatArray, carried: FloatArray) -> tuple[Any, FloatArray]:
    """Whether protected load is beyond what runs, and by how much [month, block, scenario]; demand nowhere above
    `carried` [series, month, block] is known to fit."""
    frame = programs.frame
    shape = (len(frame.M), len(frame.B), rps.shape[3])
    lost = np.zeros(shape)
    for m, month in enumerate(programs.months):
        shed = [
            (c, programs.index[whole][2])
            for c, whole in enumerate(month.columns)
            if programs.names[whole] == "shed" and frame.protected[programs.index[whole][1]]
        ]
        above = (rps[:, m] > carried[:, m, :, None] + 1e-9).any(axis=(0, 1))
        for s in np.flatnonzero(above):
            values = month.solve(rps[:, m, :, s])
            for c, b in shed:
                lost[m, b, s] += np.inf if values is None else max(values[c], 0.0)
    return lost > SHORT_RPS, np.where(lost > SHORT_RPS, lost, 0.0)
