"""A model declared once for many worlds (optimizer/renumber.py): its columns and rows by name and index."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np

from data.plan_records import FleetProblem, without_lead
from data.records import FloatArray, IntArray
from optimizer.frame import Frame
from optimizer.matrix import Declared, compiled
from optimizer.model import build_model
from optimizer.parts import Layout, layout
from optimizer.sets import PoolKey, Sets, build_sets
from optimizer.strategy import TOGETHER


@dataclass(frozen=True)
class Template:
    """A declared model at no lead time, so that a start in any month has a column. frame and declared: its own."""

    frame: Frame
    declared: Declared

    @cached_property
    def column_names(self) -> Any:
        return np.array([variable.parent_component().local_name for variable in self.declared.variables])

    @cached_property
    def column_index(self) -> list[tuple[Any, ...]]:
        found = (variable.index() for variable in self.declared.variables)
        return [one if isinstance(one, tuple) else (one,) for one in found]

    @cached_property
    def row_names(self) -> Any:
        return np.array([row.parent_component().local_name for row in self.declared.constraints])

    @cached_property
    def row_index(self) -> list[tuple[Any, ...]]:
        found = (row.index() for row in self.declared.constraints)
        return [one if isinstance(one, tuple) else (one,) for one in found]

    @cached_property
    def layouts(self) -> tuple[Layout, Layout]:
        """Parts of the template's own matrix (optimizer/parts.py)."""
        return layout(self.frame, self.declared.matrix, self.declared.variables, TOGETHER)

    def columns(self, name: str) -> IntArray:
        return np.flatnonzero(self.column_names == name)

    def of(self, columns: IntArray, place: int) -> IntArray:
        """One place of the index of some columns."""
        return np.array([self.column_index[c][place] for c in columns.tolist()], dtype=np.int64)

    @cached_property
    def entries(self) -> tuple[Any, Any]:
        """Row name and column name of every entry of the matrix, in its order."""
        A = self.declared.matrix.A
        columns = np.repeat(np.arange(self.declared.matrix.columns), np.diff(A.indptr))
        return self.row_names[A.indices], self.column_names[columns]

    @cached_property
    def entry_columns(self) -> IntArray:
        A = self.declared.matrix.A
        return np.repeat(np.arange(self.declared.matrix.columns), np.diff(A.indptr))

    @cached_property
    def rates(self) -> FloatArray:
        """[series, pool], nan where a pool does not carry a series."""
        return rates_of(self.frame)


def template(problem: FleetProblem, also: frozenset[PoolKey] = frozenset()) -> Template:
    """Declares a merged problem once, with the pools of its own sets and some more."""
    frame = Frame(without_lead(problem), widened(problem, also))
    return Template(frame, compiled(build_model(frame)))


def widened(problem: FleetProblem, also: frozenset[PoolKey]) -> Sets:
    """The problem's sets, with pools beside its own that could run."""
    pruned = build_sets(problem)
    if not also - set(pruned.pools):
        return pruned
    every = build_sets(problem, prune=False)
    kept = {*pruned.pools, *(also & set(every.pools))}
    return replace(
        every,
        pools=tuple(pool for pool in every.pools if pool in kept),
        serves={key: tuple(pool for pool in pools if pool in kept) for key, pools in every.serves.items()},
        rejected=pruned.rejected,
    )


def rates_of(frame: Frame) -> FloatArray:
    """Requests/s of a replica, [series, pool], nan where a pool does not carry a series."""
    found = np.full((len(frame.K), len(frame.P)), np.nan)
    for p, carried in enumerate(frame.into):
        for k, rate in carried:
            found[k, p] = rate
    return found
