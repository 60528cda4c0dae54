"""The full cost of a real plan: its cash is the plan's, its resource use what the simulator measured."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from cost.services import cash_of
from data.catalog import load_coefficients
from flows import steps
from flows.costs import expected_work, uses_of
from tests.cost.test_focus import check
from tests.flows.small import small_made


def test_the_lines_hold_the_plans_cash_and_the_forecasts_requests() -> None:
    made = small_made()
    costs = steps.bundle(made).costs
    for month in made.plan.costs:
        assert cash_of(costs.lines, month.month) == pytest.approx(month.cash_usd)
    work = expected_work(made.problem.demand, made.history.lengths)
    median = sum(one.monthly_total[0, one.levels.index(0.5)] for one in made.forecast.series)
    assert sum(one.requests for one in work) == pytest.approx(median, rel=0.1)


def test_a_replica_at_its_operating_point_is_about_busy() -> None:
    # The simulator found the operating rate without these formulas: compute-seconds a request times the rate is the
    # share of time the replica works, which batching's waits keep under 1 but near it.
    made = small_made()
    rows = made.problem.capacities
    uses = uses_of(made.loaded.scenario, rows, made.history.lengths, load_coefficients())
    busy = np.array([row.operating_rps * use.compute_s for row, use in zip(rows, uses, strict=True)])
    cache = np.array([row.operating_rps * use.kv_s for row, use in zip(rows, uses, strict=True)])
    assert len(rows) > 3
    assert (busy > 0.5).all(), busy
    assert (busy < 1.15).all(), busy
    assert (cache < 1.1).all(), cache


def test_the_run_folder_has_the_budget(tmp_path: Path) -> None:
    made = small_made()
    bundle = steps.write(made, tmp_path)
    frame = pd.read_parquet(tmp_path / "budget.parquet")
    check(frame)
    assert frame["EffectiveCost"].sum() == pytest.approx(bundle.costs.usd)
    document = json.loads((tmp_path / "plan.json").read_text(encoding="utf-8"))
    owned = sum(one["usd"] for one in document["full_cost"]["attribution"])
    assert owned == pytest.approx(document["full_cost"]["usd"], rel=1e-9)
    assert (tmp_path / "budget.csv").stat().st_size > 0
    assert pd.read_parquet(tmp_path / "cost_lines.parquet")["usd"].sum() == pytest.approx(bundle.costs.usd)
