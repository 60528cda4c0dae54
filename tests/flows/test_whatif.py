"""What-ifs: what they change, what they leave, and what they refuse."""

from __future__ import annotations

import io
import json
from datetime import date
from pathlib import Path

import pytest
from rich.console import Console

from configs.errors import InputError
from data import archive
from flows import steps
from flows.progress import Pace, words
from flows.recall import recall, run_folder
from flows.whatif import as_json, difference, show, what_if
from reports.bundle import PlanBundle
from reports.write import ARCHIVE
from tests.flows.small import small_made

HERE = Path("runs/small-1")


@pytest.fixture(scope="module")
def bundle() -> PlanBundle:
    return steps.bundle(small_made())


def on_demand(bundle: PlanBundle) -> float:
    return sum(one.on_demand_usd for one in bundle.plan.costs)


def test_cheaper_gpus_by_a_share_are_a_bill_cheaper_by_that_share(bundle: PlanBundle) -> None:
    found = what_if(HERE, bundle, ["prices.h100=-15%", "prices.a100=-15%"], 10.0)
    assert on_demand(found.after) == pytest.approx(0.85 * on_demand(bundle), rel=bundle.problem.mip_gap)
    assert found.again == ("fleet",)
    for old, new in zip(bundle.problem.offers, found.after.problem.offers, strict=True):
        assert new.usd_per_gpu_h == pytest.approx(0.85 * old.usd_per_gpu_h)


def test_growth_of_a_class_is_carried(bundle: PlanBundle) -> None:
    found = what_if(HERE, bundle, ["classes.batch-summary.growth=+40%"], 10.0)
    before, after = found.before.problem.demand, found.after.problem.demand
    assert after.rps == pytest.approx(1.4 * before.rps)
    peak = float(after.rps[:, 0, 0, found.after.plan.design_scenario].sum())
    carried = sum(pool.steady_replicas * pool.operating_rps_per_replica for pool in found.after.plan.pools)
    assert carried >= peak * (1 - 1e-6)
    assert any("median demand" in line and "+40.0%" in line for line in difference(found))
    told = json.loads(as_json(found, date(2026, 11, 21)))
    assert told["after"]["cash_usd"] > told["before"]["cash_usd"]
    assert "of the plan's demand scenarios" in told["short_of_capacity"]
    assert {one["kind"] for one in told["assumption_ages"]} >= {"GPU prices", "request mixes"}
    console = Console(width=180, record=True, file=io.StringIO())
    show(console, found, date(2026, 11, 21))
    text = console.export_text()
    assert "Short of capacity: " in text
    assert "Rests on: " in text


def test_a_plan_key_is_set_and_checked_by_the_schema(bundle: PlanBundle) -> None:
    found = what_if(HERE, bundle, ["plan.failures_per_pool=3"], 10.0)
    assert all(pool.failure_replicas == 3 for pool in found.after.plan.pools)
    assert found.after.scenario.plan.failures_per_pool == 3


@pytest.mark.parametrize(
    ("setting", "fragment"),
    [
        ("plan.failures_per_pol=2", "Did you mean `failures_per_pool`?"),
        ("classes.batch.growt=+4%", "Did you mean"),
        ("prices.h10=-15%x", "a number above 0, or a change"),
        ("prices.h100=-2", "a number above 0"),
        ("prices.h100=nan", "a number above 0"),
        ("prices.h100=+2", "a number above 0"),
        ("classes.batch-summary.growth=0.4", "a signed percentage such as +40%"),
        ("classes.batch-summary.growth=nan", "a signed percentage such as +40%"),
        ("classes.batch-summary.growth=+inf%", "a change such as +40%"),
        ("plan.failures_per_pool=+1", "Give the new value itself"),
        ("prices.b300=-15%", "A100-80GB-SXM"),
        ("plan.failures_per_pool=-1", "greater than or equal to 0"),
        ("plan.regions=+4%", "Give a value instead"),
        ("nonsense", "path=value"),
        ("traffic.series=[]", "traffic.series"),
        ("seed.x=1", "no parts"),
        ("classes.batch-summary.growth=-100%", "more than nothing"),
    ],
)
def test_what_the_schema_does_not_have_is_refused(bundle: PlanBundle, setting: str, fragment: str) -> None:
    with pytest.raises(InputError) as told:
        what_if(HERE, bundle, [setting], 10.0)
    assert fragment in str(told.value)


def test_a_run_is_found_by_its_beginning_and_the_newest_without_a_name(bundle: PlanBundle, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Run `fleetcast plan` first"):
        run_folder(None, tmp_path)
    for name in ("small-1", "small-2", "other-1"):
        (tmp_path / name).mkdir()
        archive.save(bundle, tmp_path / name / ARCHIVE)
    assert run_folder("oth", tmp_path).name == "other-1"
    assert run_folder(str(tmp_path / "small-1"), tmp_path).name == "small-1"
    assert run_folder(None, tmp_path).name == "other-1"
    with pytest.raises(InputError, match="2 of them"):
        run_folder("small", tmp_path)
    _, back = recall("small-2", tmp_path)
    assert back.plan.purchases == bundle.plan.purchases


def test_time_left_is_that_of_the_last_run() -> None:
    pace = Pace({"a": 10.0, "b": 20.0, "c": 5.0})
    assert pace.left_s(0.0) is None
    pace.begin("a", 0.0)
    assert pace.left_s(4.0) == pytest.approx(31.0)
    pace.begin("b", 12.0)
    assert pace.left_s(112.0) == pytest.approx(5.0), "a slow step is nearly done, not overdue"
    assert pace.taken(113.0) == {"a": 12.0, "b": 101.0}
    assert (words(None), words(0.2), words(31.4), words(200.0)) == (
        "", "nearly done", "about 31 s left", "about 3 min left",
    )  # fmt: skip
