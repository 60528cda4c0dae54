"""A finished plan in demand that it has not seen: what it costs then, and how often it is too small.

One linear program a month, declared once; every fresh scenario only moves its right sides, so that a thousand scenarios
take seconds. Commitments and open pools are the plan's; what changes with demand (replicas, on-demand and spot hours,
API calls) may follow it. What is paid is paid for whole replicas and nodes: a few scenarios of every month, spread over
what they cost, are worked out in whole numbers, and what that adds is read off between for the others.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import partial
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
from optimizer.reserves import worst_blocks
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
GAP = 0.005
"""How near to the least cost a month in whole numbers is taken."""
NODES = 200
"""Nodes of its search at most: a limit in seconds would say otherwise on another machine."""
WHOLE_SCENARIOS = 24
"""Scenarios of a month that are worked out in whole numbers; what these add to the linear program is read off between
for the others."""


@dataclass(frozen=True)
class Month:
    """The program of one month: its columns in the whole, (row, series, block) of every right side that is a demand,
    (row, series, blocks) of every one that is demand to be carried when a region is lost, and its solvers: of the
    linear program, and of the one in whole numbers where that is asked for."""

    columns: IntArray
    demand_rows: list[tuple[int, int, int]]
    failover_rows: list[tuple[int, int, list[int]]]
    linear: Any
    whole: Any = None

    def solve(self, rps: FloatArray, promised: FloatArray, whole: bool = False) -> FloatArray | None:
        """Column values for a month's demand, [series, block], of which no more than what is promised is carried when a
        region is lost; None where no point is found."""
        solver = self.whole if whole else self.linear
        for row, k, b in self.demand_rows:
            solver.changeRowBounds(row, float(rps[k, b]), float(rps[k, b]))
        for row, k, blocks in self.failover_rows:
            solver.changeRowBounds(row, float(np.minimum(rps[k, blocks], promised[k, blocks]).max()), np.inf)
        solver.run()
        if solver.getInfo().primal_solution_status != highspy.SolutionStatus.kSolutionStatusFeasible:
            return None
        return np.asarray(solver.getSolution().col_value)


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
        demanded, failover = [], []
        for row, place in enumerate(kept):
            if rows[place] == "flow_balance":
                _, k, b, _ = declared.constraints[place].index()
                demanded.append((row, k, b))
            elif rows[place] == "failover":
                _, _, k, b, _ = declared.constraints[place].index()
                failover.append((row, k, _stands_for(frame, m, b)))
        whole = None
        if not fixed:
            whole = open_solver(replace(cut, integer=matrix.integer[columns]), relax=False, gap=GAP)
            whole.setOptionValue("mip_max_nodes", NODES)
        months.append(Month(columns, demanded, failover, open_solver(cut, relax=True), whole))
    return Programs(frame, names, index, cost, tuple(months))


def _stands_for(frame: Frame, m: int, b: int) -> list[int]:
    """Blocks whose demand a block of the failover rows stands for: itself, and of those that have no rows the ones
    that it is the least loaded to be nowhere below."""
    rps = frame.problem.demand.rps[:, m, :, 0]
    worst = worst_blocks(frame, m, 0)

    def above(o: int) -> int:
        return min(
            (w for w in worst if (rps[:, w] >= rps[:, o]).all()), key=lambda w: float(rps[:, w].sum()), default=b
        )

    return [b, *(o for o in frame.B if o not in worst and above(o) == b)]


def sample_check(problem: FleetProblem, plan: FleetPlan, fresh: Demand) -> SampleCheck | None:
    """The plan in fresh scenarios, which have the problem's series, months and blocks; None without a plan.

    What a fresh scenario pays for the loss of a region is failover of no more than the design scenario's demand: the
    plan promises none beyond.
    """
    if not plan.pools or fresh.months != problem.demand.months or not fresh.months:
        return None
    held = replace(problem.reserves, region_loss=False)
    given, _ = merge(replace(problem, reserves=held))
    new, _ = merge(replace(problem, reserves=held, demand=replace(fresh, blocks=problem.demand.blocks)))
    largest = np.maximum(new.demand.rps.max(axis=3), given.demand.rps.max(axis=3))
    spending = _programs(replace(given, reserves=problem.reserves), plan, largest, fixed=False)
    promised = given.demand.rps[..., plan.design_scenario]
    before = float(given.demand.probabilities @ _cash(spending, plan, given.demand.rps, promised))
    cash, pi = _cash(spending, plan, new.demand.rps, promised), fresh.probabilities
    kept = _programs(given, plan, largest, fixed=True)
    none = replace(given, failures_per_pool=0, rollout_surge=0.0, reserves=Reserves())
    bare = _programs(none, plan, largest, fixed=True)
    # What the plan carries needs no second look.
    design = promised * (0.0 if plan.shortfalls else 1.0)
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


def _cash(programs: Programs, plan: FleetPlan, rps: FloatArray, promised: FloatArray) -> FloatArray:
    """Cash of the horizon by scenario, US dollars; rps [series, month, block, scenario], promised without the last."""
    bought = np.isin(programs.names, ("on_demand", "spot", "api"))
    price = np.where(bought, programs.cost, 0.0) / USD_SCALE
    fixed = sum(one.committed_usd + one.start_usd for one in plan.costs)
    fixed += sum(held_usd(programs.frame.problem, m) for m in programs.frame.M)
    found = np.full(rps.shape[3], float(fixed))
    for m in programs.frame.M:
        cash = partial(_month_cash, programs, price, m, rps[:, m], promised[:, m])
        linear = np.array([cash(s, False) for s in range(rps.shape[3])])
        order = np.argsort(linear)
        places = np.unique(np.linspace(0, len(order) - 1, min(WHOLE_SCENARIOS, len(order))).round().astype(int))
        known = linear[order[places]]
        whole = np.array([cash(s, True) for s in order[places]])
        found += linear + np.interp(linear, known, whole - known)
    return found


def _month_cash(
    programs: Programs, price: FloatArray, m: int, rps: FloatArray, promised: FloatArray, s: int, whole: bool
) -> float:
    values = programs.months[m].solve(rps[..., s], promised, whole)
    return float("nan") if values is None else programs.sum_of(m, values, price)


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
            values = month.solve(rps[:, m, :, s], carried[:, m])
            for c, b in shed:
                lost[m, b, s] += np.inf if values is None else max(values[c], 0.0)
    return lost > SHORT_RPS, np.where(lost > SHORT_RPS, lost, 0.0)
