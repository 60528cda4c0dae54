"""A planned run replayed: drawn and recorded traffic, losses, verdicts, and what the plan flow does when it misses."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import cache
from math import ceil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from configs.errors import InputError
from data.catalog import load_coefficients
from data.plan_records import Pool
from data.replay_records import PoolReplay
from flows import check_plan, steps
from flows.check_plan import pool_mix
from flows.replay import Replayed, pool_stream, read_trace, replay_json, replay_run
from models.fleet_replay import Stream
from optimizer.solve import solve
from reports.bundle import PlanBundle
from tests.flows.small import small_made


@cache
def bundle() -> PlanBundle:
    return steps.bundle(small_made())


def trace(folder: Path, gap_s: float = 0.25) -> Path:
    rows = [
        f"2026-11-02T00:{int(i * gap_s) // 60:02d}:{i * gap_s % 60:09.6f}Z,{900 + i % 7},{120 + i % 5}"
        for i in range(400)
    ]
    path = folder / "trace.csv"
    path.write_text("timestamp,input_tokens,output_tokens\n" + "\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_a_plan_holds_under_drawn_traffic_and_a_loss_it_keeps_a_reserve_for() -> None:
    found = replay_run(bundle(), None, 1.0, 1.0)
    names = [run.situation.name for run in found.runs]
    assert "all replicas" in names
    assert "1 lost" in names
    assert found.holds
    assert all(run.requests > 0 for run in found.runs)


def test_drawn_arrivals_vary_as_the_scenario_states(monkeypatch: pytest.MonkeyPatch) -> None:
    one = bundle()
    pool = one.plan.pools[0]
    mix = pool_mix(one.scenario, one.history, one.capacity, one.problem, one.plan.routes, pool)
    for cv in (0.5, 1.0, 3.0):
        gaps = np.diff(pool_stream(mix, 10.0, None, 1.0, 1000.0, 0, cv).arrival_s)
        assert gaps.std() / gaps.mean() == pytest.approx(cv, rel=0.1)
    varied = one.scenario.model_copy(update={"evaluate": one.scenario.evaluate.model_copy(update={"arrival_cv": 3.0})})
    seen = []

    def watched(*given: Any) -> Stream:
        seen.append(given[-1])
        return pool_stream(*given)

    monkeypatch.setattr("flows.replay.pool_stream", watched)
    plain, bursty = (replay_run(replace(one, scenario=each), None, 1.0, 0.1) for each in (one.scenario, varied))
    assert "variation" not in plain.traffic
    assert "coefficient of variation of the gaps 3)" in bursty.traffic
    assert seen == [1.0, 3.0]


def test_a_lost_zone_is_shown_without_a_reserve_and_breaks_no_verdict() -> None:
    one = bundle()
    pool = max(one.plan.pools, key=lambda each: each.replicas)
    lone = replace(pool, steady_replicas=1, failure_replicas=0, rollout_replicas=0, peak_rps=pool.peak_rps / 100)
    found = replay_run(replace(one, plan=replace(one.plan, pools=(lone,))), None, 1.0, 1.0)
    zone = next(run for run in found.runs if run.situation.name.startswith("zone lost"))
    assert zone.situation.name == "zone lost, if its replicas are spread over 3"
    assert (zone.situation.lost, zone.verdict) == (1, "misses, no reserve kept")
    assert found.holds
    reserves = one.scenario.plan.reserves.model_copy(update={"zones": 2, "zone_loss": True})
    policy = one.scenario.plan.model_copy(update={"reserves": reserves})
    kept = replace(one, scenario=one.scenario.model_copy(update={"plan": policy}))
    found = replay_run(replace(kept, plan=replace(one.plan, pools=(lone,))), None, 1.0, 1.0)
    zone = next(run for run in found.runs if run.situation.name == "zone lost")
    assert zone.verdict == "misses"
    assert not found.holds


def test_a_lost_zone_carries_the_protected_classes_alone() -> None:
    """As the reserve is planned: nothing is promised of the others, and a pool that has no others is not played."""
    one = bundle()
    names = [run.situation.name for run in replay_run(one, None, 1.0, 0.5).runs]
    assert any(name.startswith("zone lost") for name in names)
    open_to_loss = replace(one, problem=replace(one.problem, protected={"batch-summary": False}))
    names = [run.situation.name for run in replay_run(open_to_loss, None, 1.0, 0.5).runs]
    assert not any(name.startswith("zone lost") for name in names)
    assert "1 lost" in names, "a replica's loss is carried for all classes"


def test_a_lost_region_comes_to_the_pool_that_stands_by_for_it() -> None:
    one = bundle()
    pool = max(one.plan.pools, key=lambda each: each.replicas)
    west = replace(
        pool, region="us-west", peak_rps=0.0, steady_replicas=0, failure_replicas=1, rollout_replicas=0,
        failover_replicas=pool.replicas,
    )  # fmt: skip
    reserves = one.scenario.plan.reserves.model_copy(update={"region_loss": True})
    policy = one.scenario.plan.model_copy(update={"reserves": reserves})
    problem = replace(
        one.problem, regions=(pool.region, "us-west"), may_serve={pool.region: (pool.region, "us-west")},
        reserves=replace(one.problem.reserves, region_loss=True),
    )  # fmt: skip
    scenario = one.scenario.model_copy(update={"plan": policy})

    def played(standby: Pool) -> Replayed:
        plan = replace(one.plan, pools=(pool, standby))
        return replay_run(replace(one, scenario=scenario, problem=problem, plan=plan), None, 1.0, 1.0)

    found = played(west)
    (lost,) = [run for run in found.runs if run.region == "us-west"]
    assert (lost.situation.name, lost.situation.kept) == (f"{pool.region} lost", True)
    assert lost.situation.coming == pytest.approx({"batch-summary": pool.peak_rps}, rel=1e-6)
    assert lost.rps == pytest.approx(pool.peak_rps, rel=0.2)
    assert (lost.verdict, found.holds) == ("holds", True)
    # Replicas that carry less than was promised of them: too few for what comes.
    few = replace(west, failure_replicas=0, failover_replicas=pool.replicas // 2 or 1)
    rows = tuple(replace(row, operating_rps=4.0 * row.operating_rps) for row in one.capacity.rows)
    rosy = tuple(replace(row, operating_rps=4.0 * row.operating_rps) for row in problem.capacities)
    problem = replace(problem, capacities=rosy)
    one = replace(one, capacity=replace(one.capacity, rows=rows))
    found = played(few)
    assert [run.verdict for run in found.runs if run.region == "us-west"] == ["misses"]
    assert not found.holds


def test_what_comes_takes_the_place_of_a_pools_own_classes() -> None:
    """East and west each carry their own; when one goes the other has both, at the rate that the rule says."""
    one = bundle()
    pool = max(one.plan.pools, key=lambda each: each.replicas)
    west = replace(pool, region="us-west", peak_rps=0.5 * pool.peak_rps)
    east = replace(pool, peak_rps=0.5 * pool.peak_rps)
    routes = tuple(
        replace(route, region=region, rps={block: 0.5 * rps for block, rps in route.rps.items()})
        for route in one.plan.routes
        for region in (pool.region, "us-west")
    )
    problem = replace(one.problem, regions=(pool.region, "us-west"), may_serve={pool.region: (pool.region, "us-west")})
    plan = replace(one.plan, pools=(east, west), routes=routes)
    found = replay_run(replace(one, problem=problem, plan=plan), None, 1.0, 1.0)
    lost = {run.region: run for run in found.runs if run.situation.coming}
    assert set(lost) == {pool.region, "us-west"}
    for run in lost.values():
        assert run.rps == pytest.approx(pool.peak_rps, rel=0.2)
        assert run.situation.kept is False
        whole = next(each for each in found.runs if each.region == run.region and each.situation.name == "all replicas")
        assert run.rps == pytest.approx(2.0 * whole.rps, rel=0.2)


def test_twice_the_load_breaks_it_and_says_where() -> None:
    found = replay_run(bundle(), None, 3.0, 1.0)
    assert not found.holds
    broken = next(run for run in found.runs if run.breaks)
    assert "batch-summary" in broken.breaks
    assert "limit" in broken.breaks
    assert json.loads(replay_json(found))["holds"] is False


@pytest.mark.slow
def test_a_trace_keeps_its_lengths_and_takes_the_planned_rate(tmp_path: Path) -> None:
    recorded = read_trace(trace(tmp_path), None, "batch-summary", 60.0)
    assert len(recorded.arrival_s) == 400
    one = bundle()
    pool = one.plan.pools[0]
    mix = pool_mix(one.scenario, one.history, one.capacity, one.problem, one.plan.routes, pool)
    stream = pool_stream(mix, 10.0, recorded, 1.25, 1e9, 0)
    assert len(stream.arrival_s) / stream.arrival_s[-1] == pytest.approx(10.0 / 1.25, rel=1e-6)
    assert sorted(set(stream.input_tokens.tolist())) == list(range(900, 907))
    assert replay_run(one, recorded, 1.0, 60.0).runs


def test_the_mix_on_a_pool_is_the_one_that_the_plan_routes_there() -> None:
    one = bundle()
    pool = max(one.plan.pools, key=lambda each: each.gpus)
    given = (one.scenario, one.history, one.capacity, one.problem)
    mix = pool_mix(*given, one.plan.routes, pool)
    here = [r for r in one.plan.routes if (r.configuration, r.region, r.month) == (
        pool.configuration, pool.region, pool.month)]  # fmt: skip
    assert here
    total = sum(part.share for part in mix)
    assert total == pytest.approx(pool.peak_rps, rel=1e-6)
    # What goes elsewhere is not replayed here: one class doubled by hand changes the shares by as much.
    name = mix[0].name
    more = [replace(r, rps={b: 2.0 * x for b, x in r.rps.items()}) if r.series.request_class == name else r
            for r in one.plan.routes]  # fmt: skip
    doubled = pool_mix(*given, more, pool)
    assert doubled[0].share == pytest.approx(2.0 * mix[0].share)
    assert {part.name: part.share for part in doubled[1:]} == {part.name: part.share for part in mix[1:]}
    # A pool that carries nothing in the design scenario is replayed with all that could come.
    assert {part.name for part in pool_mix(*given, (), pool)} >= {part.name for part in mix}


def test_a_class_without_a_plan_is_refused(tmp_path: Path) -> None:
    recorded = replace(read_trace(trace(tmp_path), None, "batch-summary", 60.0), request_class="nothing")
    with pytest.raises(InputError, match="batch-summary"):
        replay_run(bundle(), recorded, 1.0, 1.0)


def test_a_trace_that_is_none_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "notes.txt"
    path.write_text("hello\n", encoding="utf-8")
    with pytest.raises(InputError):
        read_trace(path, None, "batch-summary", 60.0)


@pytest.mark.slow
def test_capacity_that_promises_too_much_is_derated_and_planned_again() -> None:
    made = small_made()
    rosy = replace(
        made.capacity,
        rows=tuple(replace(row, operating_rps=row.operating_rps * 6.0) for row in made.capacity.rows),
    )
    problem = check_plan.fleet_problem(made.loaded.scenario, made.forecast, rosy)
    before = solve(problem, lambda _: None)
    capacity, _, plan, found = check_plan.check(
        made.loaded.scenario, made.history, made.forecast, rosy, problem, before, load_coefficients()
    )
    assert found.rounds >= 1
    assert found.deratings
    assert all(one.factor < 1.0 for one in found.deratings)
    assert found.holds
    assert sum(pool.replicas for pool in plan.pools) > sum(pool.replicas for pool in before.pools)
    derated = {one.configuration for one in found.deratings}
    lowered = [row for row in capacity.rows if row.configuration in derated and row.excuse is None]
    assert all("derated" in row.method for row in lowered)


@pytest.mark.slow
def test_a_plan_that_holds_but_for_a_lost_zone_is_derated_until_the_zone_is_carried() -> None:
    made = small_made()
    given = made.loaded.scenario
    reserves = given.plan.reserves.model_copy(update={"zones": 3, "zone_loss": True})
    policy = given.plan.model_copy(update={"failures_per_pool": 0, "rollout_surge": 0.0, "reserves": reserves})
    scenario = given.model_copy(update={"plan": policy})
    rosy = replace(
        made.capacity,
        rows=tuple(replace(row, operating_rps=row.operating_rps * 1.8) for row in made.capacity.rows),
    )
    problem = check_plan.fleet_problem(scenario, made.forecast, rosy)
    before = solve(problem, lambda _: None)
    rows = check_plan.replay_plan(scenario, made.history, rosy, problem, before, load_coefficients())
    assert {row.situation: row.holds for row in rows} == {"all replicas": True, "zone lost": False}
    lost = next(row for row in rows if row.situation == "zone lost")
    assert lost.replicas == before.pools[0].replicas - ceil(before.pools[0].replicas / 3)
    _, _, plan, found = check_plan.check(
        scenario, made.history, made.forecast, rosy, problem, before, load_coefficients()
    )
    assert found.holds
    assert found.deratings[0].because.startswith("zone lost in ")
    assert sum(pool.replicas for pool in plan.pools) > sum(pool.replicas for pool in before.pools)


def test_a_lost_regions_protected_demand_is_replayed_where_it_goes() -> None:
    made = small_made()
    pool = made.plan.pools[0]
    west = replace(pool, region="us-west", peak_rps=0.0)
    problem = replace(
        made.problem, regions=(pool.region, "us-west"), may_serve={pool.region: (pool.region, "us-west")},
        reserves=replace(made.problem.reserves, region_loss=True),
    )  # fmt: skip

    def lost(replicas: int, kept: bool = True) -> dict[str, PoolReplay]:
        spare = replicas - west.replicas + west.steady_replicas
        plan = replace(made.plan, pools=(pool, replace(west, steady_replicas=spare)))
        given = problem if kept else replace(problem, reserves=made.problem.reserves)
        rows = check_plan.replay_plan(
            made.loaded.scenario, made.history, made.capacity, given, plan, load_coefficients()
        )
        return {row.situation: row for row in rows if row.region == "us-west" and row.rps > 0.0}

    assert lost(pool.replicas, kept=False) == {}
    found = lost(pool.replicas)[f"{pool.region} lost"]
    # The class is protected and may go west: all that the east carries comes, on every replica there.
    assert found.rps == pytest.approx(pool.peak_rps, rel=1e-6)
    assert found.replicas == pool.replicas
    assert found.holds
    # What a pool too small for it cannot be promised is not asked of it, but is missed: nobody has room for it.
    small = lost(1)[f"{pool.region} lost"]
    assert small.rps == pytest.approx(small.promised_rps, rel=1e-6)
    assert not small.holds
    assert "find no room in" in small.breaks
    assert check_plan._deratings([small], made.capacity) == []


def test_a_loss_that_leaves_an_llm_nothing_is_missed_where_the_region_was() -> None:
    made = small_made()
    pool = made.plan.pools[0]
    west = tuple(replace(one, region="us-west") for one in made.problem.offers if one.region == pool.region)
    problem = replace(
        made.problem, regions=(pool.region, "us-west"), may_serve={pool.region: (pool.region, "us-west")},
        offers=(*made.problem.offers, *west), reserves=replace(made.problem.reserves, region_loss=True),
    )  # fmt: skip
    plan = replace(made.plan, pools=(pool,))
    rows = check_plan.replay_plan(made.loaded.scenario, made.history, made.capacity, problem, plan, load_coefficients())
    (gone,) = (row for row in rows if row.situation == f"{pool.region} lost")
    assert (gone.replicas, gone.holds) == (0, False)
    assert gone.rps == pytest.approx(pool.peak_rps, rel=1e-6)
