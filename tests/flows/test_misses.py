"""Misses are attributed part by part: every LLM and class by its own ratios, weighted by what it costs."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import pytest

from data.actuals_billing import Billed
from flows.misses import UNEXPLAINED, Happened, Work, cost_miss, short_miss
from flows.recorded import RecordedPlan
from reconcile.capacity import PoolSupply

BIG, SMALL = ("big", "chat"), ("small", "chat")
MONTH = "2026-12"
PLANNED = 1000.0


def plan(*usd: tuple[tuple[str, str], float]) -> RecordedPlan:
    attribution = [
        {"month": MONTH, "llm": llm, "request_class": name, "direct_usd": value} for (llm, name), value in usd
    ]
    document = {
        "full_cost": {"attribution": attribution},
        "pools": [{"month": MONTH, "gpus": 10}],
        "costs": [{"month": MONTH, "cash_usd": PLANNED, "start_usd": 0.0}],
    }
    return RecordedPlan(cast(Any, None), document, cast(Any, None), (), ())


def amounts(happened: Happened, billed: Billed | None = None) -> dict[str, float]:
    found = cost_miss(plan((BIG, 900.0), (SMALL, 100.0)), MONTH, PLANNED, billed, happened)
    assert found.planned == PLANNED
    assert found.planned + sum(bar.amount for bar in found.bars) == pytest.approx(found.actual)
    return {bar.cause: bar.amount for bar in found.bars if bar.measured}


def test_a_class_counts_by_what_it_costs_not_by_its_requests() -> None:
    # The small LLM has a hundred times the requests and a tenth of the cost; its volume doubles.
    volumes = {BIG: np.array([10.0, 10.0]), SMALL: np.array([2000.0, 1000.0])}
    assert amounts(Happened(volumes)) == {"volume": pytest.approx(100.0)}


def test_causes_stay_with_the_part_they_were_measured_on() -> None:
    volumes = {BIG: np.array([12.0, 10.0]), SMALL: np.array([1000.0, 1000.0])}
    happened = Happened(volumes, {SMALL: Work(1.0, 1.5, 1.5, False)}, {SMALL: 0.5})
    found = amounts(happened)
    # Big: 900 x 0.2 of volume. Small: 100 x (1.5 / 0.5 - 1) over length and goodput, Shapley by hand.
    assert found["volume"] == pytest.approx(180.0)
    assert found["mix and length"] == pytest.approx((50.0 + 100.0) / 2)
    assert found["goodput"] == pytest.approx((100.0 + 150.0) / 2)
    assert "cache hit" not in found


def test_what_the_bill_leaves_over_is_named() -> None:
    volumes = {BIG: np.array([15.0, 10.0]), SMALL: np.array([1500.0, 1000.0])}
    bill = Billed({MONTH: 1100.0}, {MONTH: 7440.0}, "")
    found = amounts(Happened(volumes), bill)
    assert found["price"] > 0.0, "7,440 GPU-h were planned too: all of the miss but the volume is price"
    assert found[UNEXPLAINED] < 0.0, "half as much work again was done on the same GPU-hours"


def test_short_hours_of_an_llm_come_from_its_own_volume() -> None:
    # Its load doubled, the other's halved: together nothing changed.
    volumes = {BIG: np.array([200.0, 100.0]), SMALL: np.array([100.0, 200.0])}
    there = PoolSupply(1.5, 0.0, 10, 0)
    hours = np.full(24, 2.0 * 3600)
    found = short_miss("big", MONTH, hours, there, 1.0, Happened(volumes))
    assert (found.planned, found.actual) == (0.0, 24.0)
    assert {bar.cause: bar.amount for bar in found.bars if bar.measured} == {"volume": 24.0}
