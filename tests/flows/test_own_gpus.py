"""Hardware of one's own in the fleet problem: its lead time, and sites that rent nothing."""

from __future__ import annotations

import io
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
from rich.console import Console

from configs.errors import InputError
from configs.schema import Scenario
from configs.validation import validated
from data.plan_records import FleetProblem, lead_months
from data.records import Block, CapacityTable, Demand, SeriesKey
from flows import steps
from flows.problem import fleet_problem
from flows.show import show_plan
from optimizer.solve import solve
from tests.flows.small import small_made, small_scenario
from tests.optimizer.factory import capacity

NAME, LLM = "batch-summary", "Llama-3.1-8B"


def owned(gpu: str, region: str = "us-east", **more: Any) -> dict[str, Any]:
    return {"region": region, "gpu": gpu, "usd_per_gpu_h": 0.3, "source": "an offer", "as_of": "2026-11"} | more


def asked(plan: dict[str, Any]) -> FleetProblem:
    """The small scenario with changes of its plan: 60 requests/s in two months, on two GPU types."""
    raw = small_scenario()
    raw["plan"] |= plan
    scenario = validated(Scenario, raw, "test")
    key = SeriesKey(LLM, NAME, "us-east")
    months = ("2026-12", "2027-01")
    demand = Demand((key,), months, (Block("peak", 730.0),), np.array([1.0]), np.full((1, 2, 1, 1), 60.0))
    rows = (capacity("H100-SXM", 20.0, llm=LLM, name=NAME), capacity("A100-80GB-SXM", 8.0, llm=LLM, name=NAME))
    return fleet_problem(scenario, cast(Any, SimpleNamespace(demand=demand)), CapacityTable(rows, (), 0))


def test_every_row_of_owned_hardware_has_its_own_lead_time() -> None:
    rows = [
        owned("H100-SXM", lead_time_months=0),
        owned("A100-80GB-SXM", lead_time_months=6),
        owned("H100-SXM", usd_per_gpu_h=0.2, lead_time_months=1),
        owned("A100-80GB-SXM", usd_per_gpu_h=0.9),
    ]
    for stated, last in (({}, 4), ({"owned": 2}, 2)):
        problem = asked({"owned": rows, "lead_time_months": stated})
        mine = [one for one in problem.offers if one.option == "owned"]
        assert [lead_months(problem, one) for one in mine] == [0, 6, 1, last]
    plan = solve(asked({"owned": rows[:2], "residual_value": 1.0}))
    bought = [one for one in plan.purchases if one.option == "owned"]
    assert {(one.gpu, one.month) for one in bought} == {("H100-SXM", "2026-12")}


def test_a_site_with_its_own_gpus_alone_rents_none() -> None:
    site = {"regions": {"us-east": {"markets": []}}}
    held = {"region": "us-east", "gpu": "H100-SXM", "gpus": 6, "usd_per_gpu_h": 1.1, "expires": "2029-01"}
    problem = asked({**site, "commitments": [held], "owned": []})
    assert problem.offers == ()
    plan = solve(problem)
    assert plan.purchases == ()
    assert {(pool.region, pool.configuration.gpu) for pool in plan.pools} == {("us-east", "H100-SXM")}
    assert not plan.shortfalls
    assert [one.cash_usd for one in plan.costs] == pytest.approx([6 * 1.1 * 730.0 + 1000.0, 6 * 1.1 * 730.0])
    few = solve(asked({**site, "commitments": [held | {"gpus": 2}], "owned": []}))
    assert few.shortfalls
    bought = solve(asked({**site, "owned": [owned("H100-SXM", lead_time_months=0)]}))
    assert {one.option for one in bought.purchases} == {"owned"}
    assert not bought.shortfalls


def test_a_region_without_any_gpus_is_refused() -> None:
    with pytest.raises(InputError, match=r"regions\.us-east\.markets is empty, and neither owned nor commitments"):
        asked({"regions": {"us-east": {"markets": []}}})


def test_a_plan_without_offers_says_so_in_place_of_their_dates() -> None:
    bundle = steps.bundle(small_made())
    held = replace(bundle, problem=replace(bundle.problem, offers=()))
    console = Console(width=400, file=io.StringIO(), record=True)
    show_plan(console, cast(Any, SimpleNamespace(bundle=held, folder=Path("run"))))
    assert "no offers: what is held serves alone" in console.export_text()
