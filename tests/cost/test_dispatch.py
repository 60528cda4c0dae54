"""The merit order is the linear programme's optimum."""

from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from cost.dispatch import Curves, dispatch, pieces


def by_programme(curves: Curves, s: int, free: float, reserve: float, room: float, usd: float) -> float:
    """min usd * bought + sum w * overflow, reserves first, solved as a linear programme."""
    need, worth = curves.need[s], curves.worth
    series, hinges = need.shape
    owed = min(max(reserve - free, 0.0), room)
    # Columns: x by series, bought beyond what reserves need, overflow by series and hinge.
    cost = np.concatenate([np.zeros(series), [usd], worth.ravel()])
    rows, limits = [], []
    for k in range(series):
        for j in range(hinges):
            row = np.zeros(len(cost))
            row[k] = row[series + 1 + k * hinges + j] = -1.0
            rows.append(row)
            limits.append(-need[k, j])
    inventory = np.zeros(len(cost))
    inventory[:series], inventory[series] = 1.0, -1.0
    bounds = [(0, None)] * series + [(0, room - owed)] + [(0, None)] * (series * hinges)
    answer = linprog(
        cost,
        np.vstack([*rows, inventory]),
        np.array([*limits, max(free - reserve, 0.0)]),
        bounds=bounds,
        method="highs",
    )
    assert answer.status == 0
    return float(answer.fun + usd * owed)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_equal_to_the_linear_programme(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scenarios, series, hinges = 4, int(rng.integers(1, 5)), int(rng.integers(1, 7))
    need = rng.uniform(0, 50, (scenarios, series, hinges)) * (rng.random((scenarios, series, hinges)) < 0.9)
    worth = rng.choice([0.0, 10.0, 500.0, 3000.0, 1e6], (series, hinges)) * rng.uniform(0.5, 1.5, (series, hinges))
    curves = Curves(need, worth)
    free, reserve, room = (rng.uniform(0, top, scenarios) * (rng.random(scenarios) < 0.8) for top in (80, 20, 60))
    usd = rng.uniform(100, 5000, scenarios)
    found = dispatch(pieces(curves), free, reserve, room, usd)
    spill = np.maximum(need - found.given[:, :, None], 0.0)
    mine = usd * found.bought + (worth * spill).sum(axis=(1, 2))
    for s in range(scenarios):
        assert abs(mine[s] - by_programme(curves, s, free[s], reserve[s], room[s], usd[s])) <= 1e-7 * max(mine[s], 1.0)
    load = found.given.sum(axis=1) + reserve - found.unmet
    assert (load <= free + found.bought + 1e-9).all()
    assert (found.bought <= room + 1e-9).all()


def test_reserves_come_first_and_what_cannot_be_had_is_told() -> None:
    curves = Curves(np.array([[[10.0]]]), np.array([[1e9]]))
    one = np.ones(1)
    found = dispatch(pieces(curves), 3 * one, 8 * one, 2 * one, one)
    assert found.bought[0] == 2.0
    assert found.unmet[0] == 3.0
    assert found.given[0, 0] == 0.0
