"""The same model with other numbers: a declared matrix made that of another world without declaring it again.

Worlds differ in demand (by a factor a series and month), in requests/s of a replica, in prices of hours and API calls,
in spot's availability and in lead times. None of these changes which rows and columns there are, so a declared matrix
is read once and its entries are scaled:

- flows in rows of load by 1/rate of their series and pool; the rounding rows (capacity.py) by rates of both sides;
- right sides by demand; bounds and big-M by the most replicas a pool could use (Frame.most);
- costs, and rows that hold costs, by prices; starts before the lead time are closed.

What a rule added later may need beyond that is not guessed: `same_as_declared` says whether the numbers are those of a
new declaration, and callers declare anew where they are not.
"""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np

from data.plan_records import FleetProblem
from data.records import FloatArray
from optimizer.frame import Frame
from optimizer.lots import steps
from optimizer.matrix import Declared, Matrix, compiled
from optimizer.model import build_model
from optimizer.sets import build_sets
from optimizer.template import Template, rates_of

HOURLY = ("on_demand", "spot", "api")
"""Variables whose cost moves with prices."""
WITH_COST = ("tail", "budget")
"""Rows that hold costs."""
BY_REPLICAS = ("replicas", "canary", "maintenance", "started_replicas", "stopped_replicas")
"""Variables bounded by the most replicas a pool could use."""


def _worth(rates: FloatArray) -> FloatArray:
    """a_qp of the rounding rows: the most that a replica of p carries over what one of q carries, [q, p]."""
    with np.errstate(invalid="ignore"):
        over = rates[:, None, :] / rates[:, :, None]
    return np.asarray(np.max(np.where(np.isnan(over), -np.inf, over), axis=0))


def renumbered(known: Template, problem: FleetProblem) -> tuple[Frame, Matrix]:
    """The matrix of a problem that differs from the template's in numbers alone, with its frame: same columns and rows;
    columns of starts before the lead time are closed."""
    was, matrix = known.frame, known.declared.matrix
    by_row = {(row.configuration, row.request_class): row.operating_rps for row in problem.capacities}
    rate = {(pool, name): by_row[pool.configuration, name] for pool, name in was.sets.rate}
    # The template's commitments know no lead time of their own; the problem's are the same offers in the same order.
    commitments = tuple(offer for offer in problem.offers if offer.term_months > 0)
    frame = Frame(problem, replace(was.sets, rate=rate, commitments=commitments))
    rates = rates_of(frame)
    slower = known.rates / rates
    A = matrix.A.copy()
    _scale_load(known, A.data, slower)
    _scale_rounding(known, A, rates, slower)
    _scale_limits(known, A.data, frame)
    upper = _roofs(known, frame)
    _set_steps(known, A.data, upper)
    there, was_there = (1.0 - one.spot_interrupted_share for one in (problem, was.problem))
    price = _prices(known, problem)
    rows, columns = known.entries
    held = np.isin(rows, WITH_COST) & np.isin(columns, HOURLY)
    A.data[held] *= price[known.entry_columns[held]]
    if was_there > 0.0:
        spot = columns == "spot"
        A.data[spot & ((rows == "supply") | np.isin(rows, WITH_COST))] *= there / was_there
    row_lower, row_upper = _sides(known, frame, slower)
    cost = matrix.cost * price
    spot_columns = known.columns("spot")
    if was_there > 0.0:
        cost[spot_columns] *= there / was_there
    return frame, replace(matrix, A=A, row_lower=row_lower, row_upper=row_upper, cost=cost, upper=upper)


def _scale_load(known: Template, data: FloatArray, slower: FloatArray) -> None:
    """Flows in rows of load: everywhere but where requests are balanced."""
    rows, columns = known.entries
    for name, ends_at, (k_at, p_at) in (("flow", "flow_balance", (1, 2)), ("back", "failover", (2, 3))):
        mine = np.flatnonzero((columns == name) & (rows != ends_at))
        own = known.columns(name)
        if not len(mine):
            continue
        factor = np.ones(len(known.column_names))
        factor[own] = slower[known.of(own, k_at), known.of(own, p_at)]
        data[mine] *= factor[known.entry_columns[mine]]


def _scale_rounding(known: Template, A: Any, rates: FloatArray, slower: FloatArray) -> None:
    rows, columns = known.entries
    mine = np.flatnonzero(rows == "rounding")
    if not len(mine):
        return
    pool = np.array([known.row_index[r][1] for r in A.indices[mine].tolist()], dtype=np.int64)
    other = known.entry_columns[mine]
    before, after = _worth(known.rates), _worth(rates)
    for name in ("replicas", "open"):
        these = columns[mine] == name
        p = known.of(other[these], 1)
        q = pool[these]
        A.data[mine[these]] *= after[q, p] / before[q, p]
    for name in ("shed", "api"):
        these = columns[mine] == name
        k = known.of(other[these], 1)
        A.data[mine[these]] *= slower[k, pool[these]]


def _scale_limits(known: Template, data: FloatArray, frame: Frame) -> None:
    """The big-M of open pools."""
    rows, columns = known.entries
    mine = np.flatnonzero((rows == "opened") & (columns == "open"))
    at = known.entry_columns[mine]
    m, p = known.of(at, 0), known.of(at, 1)
    before, after = np.array(known.frame.most, dtype=float), np.array(frame.most, dtype=float)
    data[mine] *= after[p, m] / before[p, m]


def _prices(known: Template, problem: FleetProblem) -> FloatArray:
    """Factor on the cost of every column."""
    was, found = known.frame.problem, np.ones(len(known.column_names))
    now = build_sets(problem)
    for name in ("on_demand", "spot"):
        mine, theirs = getattr(now, name), getattr(known.frame.sets, name)
        for c in known.columns(name).tolist():
            g = known.column_index[c][1:3]
            found[c] = mine[g].usd_per_gpu_h / theirs[g].usd_per_gpu_h
    for c in known.columns("api").tolist():
        key = was.demand.series[known.column_index[c][1]]
        pair = (key.llm, key.request_class)
        found[c] = problem.api[pair].usd_per_request / was.api[pair].usd_per_request
    return found


def _sides(known: Template, frame: Frame, slower: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Row bounds at another demand."""
    matrix, was = known.declared.matrix, known.frame.problem.demand.rps
    now = frame.problem.demand.rps
    more = np.divide(now, was, out=np.ones_like(now), where=was > 0)
    factor = np.ones(matrix.rows)
    for r, (name, index) in enumerate(zip(known.row_names.tolist(), known.row_index, strict=True)):
        if name == "flow_balance":
            m, k, b, s = index
            factor[r] = more[k, m, b, s]
        elif name == "failover":
            m, _, k, b, s = index
            factor[r] = more[k, m, b, s]
    need_was, need = (np.where(np.isnan(rates), 0.0, 1.0 / rates) for rates in (known.rates, known.rates / slower))
    # [series, pool] x [series, month, scenario] at the peak block.
    before, after = np.einsum("kp,kms->pms", need_was, was[:, :, 0]), np.einsum("kp,kms->pms", need, now[:, :, 0])
    for r in np.flatnonzero(known.row_names == "rounding").tolist():
        m, p, s = known.row_index[r]
        factor[r] = after[p, m, s] / before[p, m, s] if before[p, m, s] > 0 else 1.0

    def scaled(side: FloatArray) -> FloatArray:
        return np.where(np.isfinite(side), side * factor, side)

    return scaled(matrix.row_lower), scaled(matrix.row_upper)


def _set_steps(known: Template, data: FloatArray, upper: FloatArray) -> None:
    """Ends of the steps of orders' prices: rows `step_most` hold minus what bounds their step."""
    rows, columns = known.entries
    mine = np.flatnonzero((rows == "step_most") & (columns == "on_step"))
    if not len(mine):
        return
    bound = {known.column_index[c]: upper[c] for c in known.columns("step_lots").tolist()}
    data[mine] = [-bound[known.column_index[c]] for c in known.entry_columns[mine].tolist()]


def _roofs(known: Template, frame: Frame) -> FloatArray:
    """Upper bounds of columns at other needs and lead times."""
    found = known.declared.matrix.upper.copy()
    most = np.array(frame.most, dtype=float)
    for name in BY_REPLICAS:
        mine = known.columns(name)
        if len(mine):
            found[mine] = most[known.of(mine, 1), known.of(mine, 0)]
    offers, useful = frame.sets.commitments, frame.useful
    for c in known.columns("on_demand").tolist():
        g = known.column_index[c][1:3]
        found[c] = math.ceil(useful[g] / frame.unit(frame.sets.on_demand[g]))
    order = [steps(frame.problem, offer, frame.unit(offer)) for offer in offers]
    total, bought = dict.fromkeys(frame.G, 0.0), dict[tuple[int, int], float]()
    for c in known.columns("buy").tolist():
        o, start = known.column_index[c]
        g, unit = (offers[o].region, offers[o].gpu), frame.unit(offers[o])
        limit = frame.problem.quotas.get(g)
        lots = max(math.ceil(useful[g] / unit), *(step.least for step in order[o]), 0)
        found[c] = 0.0 if start not in frame.starts(o) else lots if limit is None else min(lots, limit // unit + 1)
        total[g] += unit * found[c]
        bought[o, start] = found[c]
    for c in known.columns("step_lots").tolist():
        o, start, j = known.column_index[c]
        found[c] = max(min(order[o][j].most, bought[o, start]), 0.0)
    for c in known.columns("on_step").tolist():
        o, start, _ = known.column_index[c]
        found[c] = float(start in frame.starts(o))
    for c in known.columns("committed").tolist():
        found[c] = total[known.column_index[c][1:3]]
    return found


def same_as_declared(known: Template, problem: FleetProblem, matrix: Matrix, tolerance: float = 1e-9) -> bool:
    """Whether a renumbered matrix is what a new declaration of the problem over the same sets gives, closed columns
    aside."""
    by_row = {(row.configuration, row.request_class): row.operating_rps for row in problem.capacities}
    rate = {(pool, name): by_row[pool.configuration, name] for pool, name in known.frame.sets.rate}
    now = build_sets(problem)
    sets = replace(known.frame.sets, rate=rate, on_demand=now.on_demand, spot=now.spot, commitments=now.commitments)
    anew = compiled(build_model(Frame(problem, sets)))

    def names(declared: Declared) -> tuple[list[str], list[str]]:
        return [v.name for v in declared.variables], [c.name for c in declared.constraints]

    columns, rows = names(known.declared)
    their_columns, their_rows = names(anew)
    at, row_at = ({name: i for i, name in enumerate(found)} for found in (columns, rows))
    if not (set(their_columns) <= set(columns) and set(their_rows) <= set(rows)):
        return False
    mine, order = [at[name] for name in their_columns], [row_at[name] for name in their_rows]
    missing = np.setdiff1d(np.arange(len(columns)), mine)
    only_ours = np.setdiff1d(np.arange(len(rows)), order)
    # Rows of starts that are closed say nothing: none of their columns is in the other.
    if matrix.upper[missing].any() or matrix.A[:, mine].tocsr()[only_ours].nnz:
        return False
    other = anew.matrix
    apart = matrix.A[:, mine].tocsr()[order].tocsc() - other.A

    def alike(one: FloatArray, two: FloatArray) -> bool:
        return bool(np.allclose(one, two, rtol=tolerance, atol=tolerance))

    return (
        (apart.nnz == 0 or float(np.abs(apart.data).max()) <= tolerance * max(1.0, float(np.abs(other.A.data).max())))
        and alike(matrix.row_lower[order], other.row_lower)
        and alike(matrix.row_upper[order], other.row_upper)
        and alike(matrix.cost[mine], other.cost)
        and alike(matrix.upper[mine], other.upper)
        and alike(matrix.lower[mine], other.lower)
    )
