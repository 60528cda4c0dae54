"""Where a lost region's load goes, against closed forms and against the transport problem of optimizer/replay.py."""

from __future__ import annotations

from dataclasses import replace

import pytest

from data.plan_records import FleetProblem, Pool, Reserves
from data.records import SeriesKey
from optimizer.failover import after_region_loss
from optimizer.replay import unserved_rps
from optimizer.solve import solve
from tests.optimizer.factory import capacity, demand, offer, problem

KEYS = [SeriesKey("m", "chat", "eu"), SeriesKey("m", "batch", "us"), SeriesKey("m", "chat", "us")]
ROWS = [capacity("A", 2.0), capacity("A", 3.0, name="batch"), capacity("B", 5.0, tp=2)]


def three_regions(*eu_serves: str) -> FleetProblem:
    offers = [offer("A", 1.0, region="eu"), offer("A", 1.1, region="us"), offer("B", 1.2, region="us")]
    offers.append(offer("A", 1.0, region="asia"))
    base = problem(demand([[9.0]], [1.0], KEYS), ROWS, offers)
    base = replace(base, protected={"chat": True, "batch": False})
    return replace(base, may_serve={"eu": eu_serves, "us": ("us", "eu", "asia")})


def pool(row: int, region: str, replicas: int) -> Pool:
    return Pool(ROWS[row].configuration, region, "2027-01", replicas, 0, 0, 1.0, 1.0)


def test_what_is_lost_goes_evenly_where_it_may_and_unprotected_classes_stay_out() -> None:
    eu, us, big = pool(0, "eu", 20), pool(0, "us", 3), pool(2, "us", 4)
    found = after_region_loss(three_regions("eu", "us"), (eu, us, big), "2027-01", "eu")
    # 18 req/s of chat on replicas good for 3 x 2 and 4 x 5: all at the same share of their rate.
    assert found == {us: {"chat": pytest.approx(18.0 * 6 / 26)}, big: {"chat": pytest.approx(18.0 * 20 / 26)}}


def test_residency_and_full_pools_leave_the_rest_unserved() -> None:
    eu, us, asia = pool(0, "eu", 20), pool(0, "us", 3), pool(0, "asia", 50)
    tied = after_region_loss(three_regions("eu", "us"), (eu, us, asia), "2027-01", "eu")
    # Europe's 9 req/s may go to the US alone, which holds 6; the US' own 9 may go to Asia.
    assert tied[us]["chat"] == pytest.approx(6.0)
    assert tied[asia]["chat"] == pytest.approx(9.0)
    assert after_region_loss(three_regions("eu"), (eu,), "2027-01", "eu") == {}


def test_a_plan_with_the_reserve_carries_every_loss_within_what_its_pools_hold() -> None:
    given = replace(three_regions("eu", "us", "asia"), reserves=Reserves(region_loss=True))
    plan = solve(given)
    rate = {(row.configuration, row.request_class): row.operating_rps for row in given.capacities}
    for lost in given.regions:
        found = after_region_loss(given, plan.pools, "2027-01", lost)
        left = {one: 0 if one.region == lost else one.replicas for one in plan.pools}
        assert unserved_rps(given, "2027-01", left, protected_only=True) == pytest.approx(0.0, abs=1e-5)
        assert sum(sum(carried.values()) for carried in found.values()) == pytest.approx(18.0, rel=1e-6)
        for one, carried in found.items():
            assert one.region != lost
            need = sum(rps / rate[one.configuration, name] for name, rps in carried.items())
            assert need <= one.replicas * (1.0 + 1e-6)
