"""A model's matrix cut into parts, one a month and group of scenarios, and the lower bound the parts prove.

There are two ways to cut. The coarse one keeps a month whole; the fine one also cuts the month's supply of GPUs from
its areas, sets of series and pools that share nothing else: parts of a few pools, solved to the end in tenths of a
second, for a bound that is nearly as good.

Columns belong to a scenario of a month, to a month (its open pools, its commitments) or to no month. Rows that stay
inside one part are kept; the others are priced into the objective at the duals y of the linear relaxation. A column
that a month's scenarios share is copied into each of them, its cost split so that the copies add up: each copy gets
what its own part's rows are worth at y, and an equal share of what is left. Then

    sum over parts of min (c - Aᵀ y) x  +  y . right sides  +  cheapest values of columns of no month

is at most the optimum (Lagrange), and at least the relaxation's value; it is above it because every part is solved in
whole replicas and nodes. Parts are small, alike and independent: time grows linearly with months and scenarios.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from data.records import BoolArray, FloatArray, IntArray
from optimizer.frame import Frame
from optimizer.matrix import Matrix

SHARED = ("open", "committed")
"""Variables of a month that its scenarios share."""
TAIL = ("eta", "excess")
OPERATION = ("replicas", "open", "flow", "shed", "api", "canary", "maintenance", "zone", "back", "exposed")
"""Variables of what runs; the rest buys the GPUs for it."""
ORDERS = ("buy", "on_step", "step_lots")
LINKING = (*ORDERS, "start", *TAIL)
"""Variables of no month: commitments, starts (which look at two months), the tail of the cost."""


@dataclass(frozen=True)
class Layout:
    """A matrix with its columns' names, months and scenarios (-1: shared, or of no month)."""

    matrix: Matrix
    name: Any
    month: IntArray
    scenario: IntArray
    start_month: IntArray
    """The month of a pool's start, -1 for every other column."""
    area: IntArray
    """The area a column is about (Frame.areas); -1 for supply."""
    pool: IntArray
    """The pool of a column that counts or opens its replicas, -1 for every other column."""

    @cached_property
    def months(self) -> int:
        return int(self.month.max()) + 1

    @cached_property
    def scenarios(self) -> int:
        return int(self.scenario.max()) + 1

    @cached_property
    def row_part(self) -> IntArray:
        """Row -> month x scenarios + scenario of the part it stays inside, or -1."""
        coo = self.matrix.A.tocoo()
        month, scenario = self.month[coo.col], self.scenario[coo.col]
        part = month * self.scenarios + scenario
        big = np.iinfo(np.int64).max
        low, high = (np.full(self.matrix.rows, big), np.full(self.matrix.rows, -1))
        first, last = (np.full(self.matrix.rows, big), np.full(self.matrix.rows, -1))
        own = scenario >= 0
        np.minimum.at(low, coo.row[own], part[own])
        np.maximum.at(high, coo.row[own], part[own])
        np.minimum.at(first, coo.row, month)
        np.maximum.at(last, coo.row, month)
        inside = (low == high) & (first == last) & (first >= 0)
        found: IntArray = np.where(inside, low, -1)
        return found

    @cached_property
    def linking_rows(self) -> BoolArray:
        """Rows that no part holds."""
        found: BoolArray = self.row_part < 0
        return found

    def columns_of(self, month: int, scenario: int) -> IntArray:
        """Columns of a part, the month's shared ones included."""
        return np.flatnonzero((self.month == month) & ((self.scenario == scenario) | (self.scenario < 0)))

    def rows_of(self, month: int, scenario: int) -> IntArray:
        return np.flatnonzero(self.row_part == month * self.scenarios + scenario)


def layout(frame: Frame, matrix: Matrix, variables: tuple[Any, ...], together: int) -> tuple[Layout, Layout]:
    """The layout of a declared model: the month is the first index, the scenario the last; a part holds so many
    scenarios `together`. And a finer one, whose "months" are the areas of every month (Frame.areas) and its supply."""
    of_series, of_pool = frame.areas
    supply = max(of_series, default=0) + 1
    about = dict.fromkeys(("flow", "shed", "api"), (1, of_series))
    of_pools = ("replicas", "open", "start", "canary", "maintenance", "zone", "started_replicas", "stopped_replicas")
    about |= dict.fromkeys(of_pools, (1, of_pool))
    about |= dict.fromkeys(("back", "exposed"), (2, of_series))
    names = [variable.parent_component().local_name for variable in variables]
    index = [variable.index() for variable in variables]
    month = [-1 if n in LINKING else int(i[0]) for n, i in zip(names, index, strict=True)]
    scenario = [
        -1 if n in LINKING or n in SHARED else int(i[-1]) // together for n, i in zip(names, index, strict=True)
    ]
    start = [int(i[0]) if n == "start" else -1 for n, i in zip(names, index, strict=True)]
    area = [about[n][1][i[about[n][0]]] if n in about else -1 for n, i in zip(names, index, strict=True)]
    pool = [int(i[1]) if n in ("replicas", "open") else -1 for n, i in zip(names, index, strict=True)]
    cell = [m if m < 0 else m * (supply + 1) + (supply if a < 0 else a) for m, a in zip(month, area, strict=True)]
    name = np.array(names)
    rest = [np.array(values, dtype=np.int64) for values in (scenario, start, area, pool)]
    return Layout(matrix, name, np.array(month), *rest), Layout(matrix, name, np.array(cell), *rest)


@dataclass(frozen=True, slots=True)
class Prices:
    """Duals of the relaxation and what they make of the objective: cost of every column after the linking rows are
    priced, and the bound's part that no part of the matrix holds."""

    duals: FloatArray
    cost: FloatArray
    reduced: FloatArray
    rest: float


def price(whole: Layout, duals: FloatArray) -> Prices:
    """Prices at duals, with the sign their rows allow: a price on a side that does not exist is dropped.

    rest is -inf where an unbounded column of no month is left with a negative reduced cost.
    """
    matrix = whole.matrix
    y = duals.copy()
    y[(y > 0) & ~np.isfinite(matrix.row_lower)] = 0.0
    y[(y < 0) & ~np.isfinite(matrix.row_upper)] = 0.0
    linking = np.where(whole.linking_rows, y, 0.0)
    cost = matrix.cost - matrix.A.T @ linking
    reduced = matrix.cost - matrix.A.T @ y
    used = linking != 0
    side = np.where(linking > 0, matrix.row_lower, matrix.row_upper)
    rest = float((linking[used] * side[used]).sum()) + matrix.offset
    free = whole.month < 0
    slope = np.where(np.abs(cost) < 1e-9, 0.0, cost)
    moved = free & (slope != 0.0)
    at = np.where(slope > 0, matrix.lower, matrix.upper)
    return Prices(y, cost, reduced, rest + float((slope[moved] * at[moved]).sum()))


def part(whole: Layout, prices: Prices, month: int, scenario: int) -> tuple[Matrix, IntArray]:
    """The priced part of a month and scenario, and its columns in the whole."""
    columns, rows = whole.columns_of(month, scenario), whole.rows_of(month, scenario)
    A = whole.matrix.A[:, columns].tocsr()[rows].tocsc()
    cost = prices.cost[columns].copy()
    shared = whole.scenario[columns] < 0
    worth = A.T @ prices.duals[rows]
    cost[shared] = worth[shared] + prices.reduced[columns][shared] / whole.scenarios
    return _sliced(whole.matrix, A, rows, columns, cost, np.zeros(len(rows))), columns


def month_after(
    whole: Layout, prices: Prices, month: int, x: FloatArray, ceiling: FloatArray
) -> tuple[Matrix, IntArray]:
    """A month at its real cost, all scenarios, given commitments and the months before it in x; later months are
    undecided, and the rows they share with this one are priced. `ceiling` lowers the upper bounds of columns."""
    starts = whole.start_month
    free = ((whole.month == month) & (whole.name != "committed")) | (starts == month)
    undecided = (whole.month > month) | (starts > month) | np.isin(whole.name, TAIL)
    columns = np.flatnonzero(free)
    mine = whole.matrix.A[:, columns]
    touched, loose = np.zeros(whole.matrix.rows, dtype=bool), np.zeros(whole.matrix.rows, dtype=bool)
    touched[np.unique(mine.indices)] = True
    loose[np.unique(whole.matrix.A[:, np.flatnonzero(undecided)].indices)] = True
    rows = np.flatnonzero(touched & ~loose)
    cost = whole.matrix.cost[columns] - mine.T @ np.where(loose, prices.duals, 0.0)
    taken = (whole.matrix.A @ np.where(free | undecided, 0.0, x))[rows]
    found = _sliced(whole.matrix, mine.tocsr()[rows].tocsc(), rows, columns, cost, taken)
    np.minimum(found.upper, ceiling[columns], out=found.upper)
    return found, columns


def fixed_but(whole: Matrix, free: BoolArray, x: FloatArray) -> tuple[Matrix, IntArray]:
    """The whole with all columns fixed at x but the free ones; offset holds the fixed columns' cost."""
    columns = np.flatnonzero(free)
    mine = whole.A[:, columns]
    rows = np.unique(mine.indices)
    settled = np.where(free, 0.0, x)
    taken = (whole.A @ settled)[rows]
    cut = _sliced(whole, mine.tocsr()[rows].tocsc(), rows, columns, whole.cost[columns], taken)
    return Matrix(cut.A, cut.row_lower, cut.row_upper, cut.cost, whole.offset + float(whole.cost @ settled),
                  cut.lower, cut.upper, cut.integer), columns  # fmt: skip


def _sliced(whole: Matrix, A: Any, rows: IntArray, columns: IntArray, cost: FloatArray, taken: FloatArray) -> Matrix:
    return Matrix(
        A=A,
        row_lower=whole.row_lower[rows] - taken,
        row_upper=whole.row_upper[rows] - taken,
        cost=cost,
        offset=0.0,
        lower=whole.lower[columns].copy(),
        upper=whole.upper[columns].copy(),
        integer=whole.integer[columns],
    )
