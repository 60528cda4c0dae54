"""What is tried, what is chosen, and what is said of it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.scaling_records import BurstBudget, LoadTrace
from models.autoscaler.choose import Question, choose, coarse_step_s, coarser, judge, supply_factor, warm_reserve
from models.autoscaler.facts import followed_growth_per_min, signal_at
from models.autoscaler.grid import KINDS, Tried, policies
from tests.models.autoscaler.cases import START, replica, trace

BURST = BurstBudget(factor=1.5, ramp_s=60.0, hold_s=900.0, short_s=30.0)


def question(load: LoadTrace, most: int = 30) -> Question:
    return Question(
        facts=replica(),
        start_up=START,
        burst=BURST,
        promise=0.95,
        signals=("concurrency", "rate"),
        traces=(load,),
        weights=(1.0,),
        trough_rps=40.0,
        peak_rps=100.0,
        max_replicas=most,
        usd_per_replica_h=10.0,
    )


def test_every_kind_is_tried_on_every_signal_within_its_limits() -> None:
    signals = ("queue", "concurrency", "tokens", "kv_cache", "rate")
    found = policies(replica(), START, BURST, signals, 40.0, 100.0, 12, 15.0, True)
    assert {one.kind for one in found} == set(KINDS)
    assert {one.policy.signal for one in found} == set(signals)
    assert all(2 <= one.policy.min_replicas <= one.policy.max_replicas == 12 for one in found)
    assert [one.policy.min_replicas for one in found if one.kind == "fixed"] == [12]
    assert all(one.policy.reactive == (one.kind != "forecast") for one in found)
    assert all(one.policy.headroom == 0 == one.policy.standby_nodes for one in found if one.kind == "reaction")
    none = policies(replica(), START, BURST, signals, 40.0, 100.0, 12, 15.0, False)
    assert {one.kind for one in none} == set(KINDS) - {"forecast"}


def test_a_brief_search_tries_few_of_the_same_policies_of_every_kind() -> None:
    signals = ("queue", "kv_cache", "concurrency")
    every = policies(replica(), START, BURST, signals, 40.0, 100.0, 20, 15.0, True)
    brief = policies(replica(), START, BURST, signals, 40.0, 100.0, 20, 15.0, True, brief=True)
    assert set(brief) < set(every)
    assert len(brief) <= 32
    assert {one.kind for one in brief} == set(KINDS)
    assert {one.policy.signal for one in brief if one.kind != "fixed"} == {"concurrency"}
    only = policies(replica(), START, BURST, ("queue",), 40.0, 100.0, 20, 15.0, True, brief=True)
    assert {one.policy.signal for one in only if one.kind != "fixed"} == {"queue"}


def test_a_signal_at_a_load_is_read_off_the_lines() -> None:
    facts = replica()
    assert signal_at(facts, "rate", 0.7) == pytest.approx(7.0)
    assert signal_at(facts, "concurrency", 1.0) == pytest.approx(43.0, rel=0.01)
    assert signal_at(facts, "kv_cache", 1.3) == pytest.approx(0.9)


def test_growth_that_can_be_followed_is_the_room_over_the_reach() -> None:
    assert followed_growth_per_min(0.5, START, 30.0) == pytest.approx(1.0 / 6.0)
    assert followed_growth_per_min(1.0, START, 30.0) == 0.0


def test_longer_steps_hold_the_same_requests() -> None:
    one = trace(np.arange(3601.0))
    five = coarser(one, 5.0)
    assert five.arrivals.sum() == one.arrivals[:3600].sum()
    assert len(five.expected_rps) == len(five.arrivals) == 720
    for interval_s in range(5, 301):
        assert interval_s % coarse_step_s(interval_s) == 0
    assert (coarse_step_s(15.0), coarse_step_s(7.0), coarse_step_s(12.0)) == (5.0, 1.0, 4.0)


@pytest.mark.slow
def test_the_cheapest_that_holds_is_chosen_and_reaction_alone_is_too_late() -> None:
    load = np.interp(np.arange(7200), [0, 3600, 3660, 4560, 4620, 7200], [100.0, 100.0, 150.0, 150.0, 100.0, 100.0])
    asked = question(trace(load, start=12, expected=np.full(7200, 100.0)))
    found = choose(asked)
    plain = next(kind.best for kind in found.kinds if kind.name == "reaction")
    assert found.best.holds
    assert not plain.holds
    # Short from the moment the minute's mean passes the knees until the ordered replicas serve: close to a cold start.
    assert plain.worst_short_s == pytest.approx(START.cold_s, abs=60.0)
    assert found.best.usd_per_day == min(kind.best.usd_per_day for kind in found.kinds if kind.best.holds)
    # The brief search finds one that holds second by second too, and no cheaper one than the whole search.
    brief = choose(replace(asked, brief=True))
    (again,) = judge(asked, [Tried("any", 1.0, brief.best.policy)], asked.traces)
    assert again.holds
    assert found.best.usd_per_day <= again.usd_per_day
    assert not next(kind.best for kind in brief.kinds if kind.name == "reaction").holds
    # What it holds at the peak carries the burst at the knee.
    held = warm_reserve(found.best, asked.facts, found.load, 100.0) + int(np.ceil(100.0 / asked.facts.operating_rps))
    assert held * asked.facts.knee_rps >= 0.97 * 150.0
    # Without room above the peak nothing holds, and the least short is named.
    tight = choose(replace(asked, max_replicas=12))
    assert not tight.best.holds
    assert tight.best.worst_short_s == min(kind.best.worst_short_s for kind in tight.kinds) > 900.0
    assert supply_factor(asked.facts, 12, 100.0) == pytest.approx(1.02)
