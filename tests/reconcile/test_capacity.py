"""Capacity errors by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from data.plan_records import Pool
from data.records import Configuration, SeriesKey
from reconcile.attribution import CAUSES
from reconcile.capacity import PoolSupply, by_api, capacity_score, more_short_than_stated, short_hours, supply

ONE = Configuration("llm", "H100", "fp8", "bf16", 2, "vllm")


def test_supply_counts_steady_and_reserve_apart() -> None:
    pools = [
        Pool(ONE, "us", "2026-06", 4, 1, 0, 8.0, 2.0),
        Pool(ONE, "eu", "2026-06", 2, 1, 1, 4.0, 2.5),
        Pool(ONE, "eu", "2026-07", 9, 1, 1, 4.0, 2.5),
    ]
    assert supply(pools, "llm", "2026-06") == PoolSupply(13.0, 7.0, 12, 6)
    assert supply(pools, "other", "2026-06") == PoolSupply(0.0, 0.0, 0, 0)


def test_every_replica_beyond_the_steady_ones_is_in_reserve() -> None:
    """Zone, region, warm, canary and maintenance replicas run and are paid as N+k is."""
    whole = Pool(
        ONE, "us", "2026-06", 10, 1, 0, 40.0, 4.0, canary_replicas=1, maintenance_replicas=1, warm_replicas=2,
        zone_replicas=3, failover_replicas=2,
    )  # fmt: skip
    there = supply([whole], "llm", "2026-06")
    assert whole.replicas == 20
    assert there == PoolSupply(40.0, 40.0, 20, 20)
    found = capacity_score("llm", "2026-06", np.full(24, 50 * 3600.0), there, 1.0, 0.95)
    assert (found.short_hours, found.reserve_hours, found.carried_rps) == (0, 24, 80.0)
    assert found.gpu_hours == 24 * whole.gpus


def test_what_an_api_can_take_is_not_short() -> None:
    chat, batch, other = SeriesKey("llm", "chat", "us"), SeriesKey("llm", "batch", "us"), SeriesKey("o", "chat", "us")
    hourly = {
        chat: np.array([1.0, 4.0, np.nan]) * 3600,
        replace(chat, region="eu"): np.array([1.0, 4.0, 1.0]) * 3600,
        batch: np.array([9.0, 9.0, 9.0]) * 3600,
        other: np.array([7.0, 7.0, 7.0]) * 3600,
    }
    took = by_api(hourly, "llm", {("llm", "chat"): 6.0}, 1.25)
    # 6 requests/s of bursts are 4.8 of an hour's mean; the batch class has no API.
    assert took[:2] == pytest.approx([2.0 * 3600, 4.8 * 3600])
    assert np.isnan(took[2])
    assert by_api(hourly, "llm", {("llm", "batch"): math.inf}, 2.0)[0] == pytest.approx(9.0 * 3600)
    requests = np.array([11.0, 17.0, np.nan]) * 3600
    there = PoolSupply(10.0, 2.0, 20, 4)
    plain = capacity_score("llm", "2026-06", requests, there, 1.0, 0.95)
    helped = capacity_score("llm", "2026-06", requests, there, 1.0, 0.95, np.array([2.0, 4.8, np.nan]) * 3600)
    assert (plain.short_hours, plain.reserve_hours) == (1, 1)
    assert (helped.short_hours, helped.reserve_hours) == (1, 0)
    assert helped.worst_short_rps == pytest.approx(17.0 - 4.8 - 12.0)
    assert helped.over_gpu_hours == plain.over_gpu_hours == 0.0, "what APIs take makes no replica idle"


def test_hours_short_reserve_used_and_gpus_idle() -> None:
    there = PoolSupply(10.0, 2.0, 20, 4)
    requests = np.array([5.0, 10.0, 11.0, 13.0, np.nan, 0.0]) * 3600
    found = capacity_score("llm", "2026-06", requests, there, 1.0, 0.95)
    assert (found.hours, found.short_hours, found.reserve_hours) == (5, 1, 1)
    assert found.worst_short_rps == pytest.approx(1.0)
    assert found.carried_rps == 12.0
    assert found.gpu_hours == 5 * 24
    assert found.over_gpu_hours == 10 + 0 + 0 + 0 + 20
    assert capacity_score("llm", "2026-06", requests, there, 2.0, 0.95).short_hours == 3
    assert short_hours(requests, there, 1.0, dict.fromkeys(CAUSES, 1.0)) == 1
    assert short_hours(requests, there, 1.0, dict.fromkeys(CAUSES, 1.0) | {"availability": 0.8}) == 3


def test_months_that_are_short_more_often_than_stated() -> None:
    there = PoolSupply(1.0, 0.0, 1, 0)
    short = capacity_score("llm", "m", np.array([7200.0]), there, 1.0, 0.95)
    fine = capacity_score("llm", "m", np.array([1800.0]), there, 1.0, 0.95)
    assert more_short_than_stated([fine] * 12) == pytest.approx(1.0)
    assert more_short_than_stated([short] + [fine] * 11) == pytest.approx(1 - 0.95**12)
    assert more_short_than_stated([short] * 2) == pytest.approx(0.05**2)
