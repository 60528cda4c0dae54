"""Where a lost region's load goes, against closed forms and against the transport problem of optimizer/replay.py."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
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
    after = after_region_loss(three_regions("eu", "us"), (eu, us, big), "2027-01", "eu")
    found = after.carried
    assert after.unserved == {}
    # 18 req/s of chat on replicas good for 3 x 2 and 4 x 5: all at the same share of their rate.
    assert found == {us: {"chat": pytest.approx(18.0 * 6 / 26)}, big: {"chat": pytest.approx(18.0 * 20 / 26)}}


def test_residency_and_full_pools_leave_the_rest_unserved() -> None:
    eu, us, asia = pool(0, "eu", 20), pool(0, "us", 3), pool(0, "asia", 50)
    tied = after_region_loss(three_regions("eu", "us"), (eu, us, asia), "2027-01", "eu")
    # Europe's 9 req/s may go to the US alone, which holds 6; the US' own 9 may go to Asia.
    assert tied.carried[us]["chat"] == pytest.approx(6.0)
    assert tied.carried[asia]["chat"] == pytest.approx(9.0)
    assert tied.unserved == {KEYS[0]: pytest.approx(3.0)}
    # The US' own may go to Asia, where nothing runs now; Europe's may go nowhere and is promised nothing.
    none = after_region_loss(three_regions("eu"), (eu,), "2027-01", "eu")
    assert (none.carried, none.unserved) == ({}, {KEYS[2]: pytest.approx(9.0)})


def test_a_quota_that_stops_failover_is_a_broken_promise_of_every_series_it_leaves_short() -> None:
    keys = [SeriesKey("m", "chat", "eu"), SeriesKey("m", "chat", "us")]
    wanted = replace(demand([[25.0]], [1.0], keys), rps=np.array([30.0, 20.0]).reshape(2, 1, 1, 1))
    offers = [offer("A", 1.0, region="eu"), offer("A", 1.0, region="us")]
    given = problem(wanted, [capacity("A", 5.0)], offers, failures_per_pool=1, reserves=Reserves(region_loss=True))
    given = replace(given, quotas={("eu", "A"): 8, ("us", "A"): 6})
    plan = solve(given)
    assert plan.shortfalls == ()
    # 8 replicas hold 40 of 50 requests/s, 6 hold 30; both series go everywhere, so that they share what is short.
    short = {(one.series, one.lost_region): one for one in plan.exposures}
    assert {place: round(one.worst_rps, 4) for place, one in short.items()} == {
        (keys[0], "eu"): 12.0, (keys[1], "eu"): 8.0, (keys[0], "us"): 6.0, (keys[1], "us"): 4.0,
    }  # fmt: skip
    assert short[keys[0], "eu"].cause == "the quota of A in us is used up"
    assert short[keys[0], "us"].cause == "the quota of A in eu is used up"
    assert plan.conflict == ("region loss", "quotas")
    for lost, left in (("eu", 20.0), ("us", 10.0)):
        after = after_region_loss(given, plan.pools, "2027-01", lost)
        assert sum(after.unserved.values()) == pytest.approx(left)
        assert sum(sum(one.values()) for one in after.carried.values()) == pytest.approx(50.0 - left)
    free = solve(replace(given, quotas={}))
    assert free.exposures == free.conflict == ()


def test_series_without_failover_are_named_one_by_one_with_the_reason() -> None:
    keys = [SeriesKey("m", "chat", "eu"), SeriesKey("m", "chat", "us")]
    offers = [offer("A", 1.0, region="eu"), offer("A", 1.0, region="us")]
    base = problem(demand([[4.0]], [1.0], keys), [capacity("A", 2.0)], offers, reserves=Reserves(region_loss=True))
    tied = solve(replace(base, may_serve={"eu": ("eu",), "us": ("eu",)}))
    for key in keys:
        assert f"{key} may be served in eu only: residency leaves it no failover" in tied.notes
    unsold = solve(replace(base, offers=tuple(offers[:1])))
    for key in keys:
        assert f"{key} can be served in eu only, where its GPUs are sold: it has no failover" in unsold.notes
    assert tied.exposures == unsold.exposures == ()


def test_a_plan_with_the_reserve_carries_every_loss_within_what_its_pools_hold() -> None:
    given = replace(three_regions("eu", "us", "asia"), reserves=Reserves(region_loss=True))
    plan = solve(given)
    rate = {(row.configuration, row.request_class): row.operating_rps for row in given.capacities}
    for lost in given.regions:
        after = after_region_loss(given, plan.pools, "2027-01", lost)
        found = after.carried
        assert after.unserved == {}
        left = {one: 0 if one.region == lost else one.replicas for one in plan.pools}
        assert unserved_rps(given, "2027-01", left, protected_only=True) == pytest.approx(0.0, abs=1e-5)
        assert sum(sum(carried.values()) for carried in found.values()) == pytest.approx(18.0, rel=1e-6)
        for one, carried in found.items():
            assert one.region != lost
            need = sum(rps / rate[one.configuration, name] for name, rps in carried.items())
            assert need <= one.replicas * (1.0 + 1e-6)
