"""Every reserve by replaying the loss it is for: with it nothing is violated, without it the same loss is."""

from __future__ import annotations

from dataclasses import replace
from math import ceil

import pytest

from benchmarks.fleet_instances import Size, instance
from data.plan_records import FleetProblem, Reserves
from data.records import SeriesKey
from optimizer.replay import replay
from optimizer.solve import solve
from tests.optimizer.factory import capacity, demand, offer, problem


def two_regions(**changes: object) -> FleetProblem:
    keys = [SeriesKey("m", "chat", "eu"), SeriesKey("m", "batch", "us"), SeriesKey("m", "chat", "us")]
    rows = [capacity("A", 2.0), capacity("A", 3.0, name="batch"), capacity("B", 5.0, tp=2)]
    offers = [offer("A", 1.0, region="eu"), offer("B", 1.2, region="us"), offer("A", 1.1, region="us")]
    base = problem(demand([[9.3, 13.1], [11.2, 17.9]], [0.6, 0.4], keys), rows, offers)
    base = replace(base, protected={"chat": True, "batch": False}, failures_per_pool=1)
    return replace(base, **changes)  # type: ignore[arg-type]


def violated(given: FleetProblem, policy: FleetProblem, zones: int = 1, regions: bool = False) -> list[str]:
    losses = replay(policy, solve(given), policy.failures_per_pool, zones, regions)
    assert losses
    return [f"{loss.what} in {loss.where}" for loss in losses if loss.unserved_rps > 1e-5]


def test_every_single_loss_of_replicas_is_carried_and_not_without_the_reserve() -> None:
    kept = two_regions()
    assert violated(kept, kept) == []
    assert violated(replace(kept, failures_per_pool=0), kept)


def test_every_zone_can_be_lost_and_not_without_the_reserve() -> None:
    kept = two_regions(reserves=Reserves(zones=3, zone_loss=True))
    assert violated(kept, kept, zones=3) == []
    assert violated(two_regions(failures_per_pool=0), kept, zones=3)
    assert sum(pool.zone_replicas for pool in solve(kept).pools) > 0


def test_every_region_can_be_lost_and_not_without_the_reserve() -> None:
    kept = two_regions(reserves=Reserves(region_loss=True))
    plan = solve(kept)
    assert violated(kept, kept, regions=True) == []
    assert violated(two_regions(), kept, regions=True)
    assert sum(pool.failover_replicas for pool in plan.pools) > 0
    assert plan.reserve_usd["region"] > 0.0


def test_residency_that_leaves_no_failover_is_said() -> None:
    tied = two_regions(reserves=Reserves(region_loss=True), may_serve={"eu": ("eu",), "us": ("us", "eu")})
    assert any("residency leaves it no failover" in note for note in solve(tied).notes)


@pytest.mark.parametrize("name", ["canary_share", "maintenance_share"])
def test_shares_set_whole_replicas_aside(name: str) -> None:
    share = 0.15
    plan = solve(two_regions(reserves=Reserves(**{name: share})))  # type: ignore[arg-type]
    for pool in plan.pools:
        aside = pool.canary_replicas if name == "canary_share" else pool.maintenance_replicas
        assert aside == ceil(share * pool.replicas - 1e-9)
        # Without what is set aside and one more, the pool still carries its load.
        assert (pool.replicas - aside - 1) * pool.operating_rps_per_replica >= pool.peak_rps - 1e-5


def test_reserves_called_on_one_at_a_time_cost_no_more_than_all_at_once() -> None:
    held = Reserves(canary_share=0.2, warm_share=0.3)
    together = solve(two_regions(reserves=held)).stats.objective_usd
    apart = solve(two_regions(reserves=replace(held, together="max"))).stats.objective_usd
    none = solve(two_regions(failures_per_pool=0)).stats.objective_usd
    assert none < apart <= together


def test_purposes_add_up_to_the_pool() -> None:
    held = Reserves(canary_share=0.1, maintenance_share=0.1, warm_share=0.2, zones=2, zone_loss=True, region_loss=True)
    for pool in solve(two_regions(reserves=held, rollout_surge=0.1)).pools:
        assert min(pool.steady_replicas, *pool.reserve.values()) >= 0
        assert pool.steady_replicas * pool.operating_rps_per_replica >= pool.peak_rps - 1e-5


@pytest.mark.parametrize("share", [{"rollout_surge": 0.4}, {"reserves": Reserves(warm_share=0.4)}])
def test_growth_is_carried_on_top_of_the_load(share: dict[str, object]) -> None:
    plan = solve(two_regions(failures_per_pool=0, **share))
    for pool in plan.pools:
        assert pool.replicas * pool.operating_rps_per_replica >= 1.4 * pool.peak_rps - 1e-5


@pytest.mark.slow
@pytest.mark.parametrize(
    ("held", "zones", "regions"),
    [(Reserves(), 1, False), (Reserves(zones=3, zone_loss=True), 3, False), (Reserves(region_loss=True), 1, True)],
)
def test_every_single_loss_on_a_plan_of_catalog_prices_and_rates(held: Reserves, zones: int, regions: bool) -> None:
    """Three regions, three LLMs, two classes each, all protected; real prices and kernels."""
    kept = replace(instance(Size(1, 1), mip_gap=0.02, time_limit_s=20.0), reserves=held)
    kept = replace(kept, protected=dict.fromkeys(kept.protected, True))
    if regions:
        kept = replace(kept, may_serve=dict.fromkeys(kept.may_serve, tuple(kept.regions)), quotas={})
    plan = solve(kept)
    assert plan.shortfalls == ()
    losses = replay(kept, plan, kept.failures_per_pool, zones, regions)
    assert len(losses) > 3
    assert [loss for loss in losses if loss.unserved_rps > 1e-4] == []
    bare = solve(replace(kept, reserves=Reserves(), failures_per_pool=0))
    assert any(loss.unserved_rps > 1e-4 for loss in replay(kept, bare, 1, zones, regions))
