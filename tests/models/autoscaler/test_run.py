"""The scaler's kernel against a plain-Python twin, and against what can be worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.scaling_records import SIGNALS, LoadTrace, Rate, ReplicaFacts, ScalerPolicy, ScalingOutcome, StartUp
from models.autoscaler.run import simulate, watch
from tests.models.autoscaler.cases import START, replica, trace
from tests.models.autoscaler.oracle import play

rates = st.builds(
    Rate,
    pods=st.none() | st.integers(1, 5),
    pods_period_s=st.sampled_from([15.0, 40.0, 60.0]),
    percent=st.none() | st.sampled_from([10.0, 50.0, 100.0]),
    percent_period_s=st.sampled_from([15.0, 30.0, 60.0]),
    select=st.sampled_from(["max", "min"]),
)
policies = st.builds(
    ScalerPolicy,
    signal=st.sampled_from(SIGNALS),
    target=st.sampled_from([0.3, 0.7, 5.0, 8.5, 30.0, 20_000.0]),
    min_replicas=st.integers(0, 4),
    max_replicas=st.integers(5, 25),
    interval_s=st.sampled_from([10.0, 15.0, 30.0]),
    tolerance=st.sampled_from([0.0, 0.1]),
    up_window_s=st.sampled_from([0.0, 30.0, 60.0]),
    down_window_s=st.sampled_from([0.0, 60.0, 120.0]),
    up=rates,
    down=rates,
    headroom=st.integers(0, 3),
    standby_nodes=st.integers(0, 3),
    forecast_rps=st.sampled_from([0.0, 8.5]),
    lead_s=st.sampled_from([0.0, 60.0, 125.0]),
    smoothing_s=st.sampled_from([0.0, 20.0]),
)
WIDEST = ScalerPolicy("none", 1.0, 0, 5, down_window_s=120.0, up=Rate(pods=1, pods_period_s=60.0))


@pytest.mark.slow
@settings(max_examples=25)
@given(
    st.lists(policies, min_size=6, max_size=6),
    st.integers(0, 10**6),
    st.sampled_from([float("inf"), 2.0, 0.7]),
)
def test_it_agrees_with_a_plain_simulator(found: list[ScalerPolicy], seed: int, nodes_per_min: float) -> None:
    rng = np.random.default_rng(seed)
    steps, tick_s = 183, 10.0  # a last partial tick, which is left out
    level = np.repeat(rng.uniform(0.0, 120.0, 12), 20)[:steps]
    traces = [
        LoadTrace(str(i), 5.0, rng.poisson(level * 5.0).astype(float), np.roll(level, i), int(rng.integers(0, 9)))
        for i in range(2)
    ]
    facts, start_up = replica(max_queue=float(rng.integers(0, 60))), StartUp(40.0, 25.0, 10.0, 15.0, 30.0)
    # The widest windows that are drawn are always there, so that one compiled loop serves all examples.
    seen = simulate([*found, WIDEST], traces, facts, start_up, tick_s, nodes_per_min)
    for i, policy in enumerate(found):
        for j, one in enumerate(traces):
            told = play(policy, one, facts, start_up, tick_s, nodes_per_min)
            pairs = {
                "attainment": told.good / told.arrived if told.arrived else 1.0,
                "rejected": told.lost / told.arrived if told.arrived else 0.0,
                "short_s": told.short_s,
                "longest_short_s": told.longest_short_s,
                "queue_max": told.queue_max,
                "queue_mean": told.queue_s / (5.0 * (steps // 2) * 2),
                "wait_max_s": told.wait_max_s,
                "over_replica_h": told.over_s / 3600.0,
                "under_replica_h": told.under_s / 3600.0,
                "under_max": told.under_max,
                "starts": told.starts,
                "stops": told.stops,
                "reversals": told.reversals,
                "replica_h": told.paid_s / 3600.0,
                "replicas_max": told.replicas_max,
            }
            for name, value in pairs.items():
                assert getattr(seen, name)[i, j] == pytest.approx(value, rel=1e-7, abs=1e-7), (name, policy)


RATE = ScalerPolicy("rate", 8.5, 1, 200, tolerance=0.0, down_window_s=0.0)


def hour(policies: list[ScalerPolicy], one: LoadTrace, facts: ReplicaFacts | None = None) -> ScalingOutcome:
    """Two policies on an hour: one shape, so that one compiled loop serves all tests."""
    assert (len(one.arrivals), len(policies)) == (3600, 2)
    return simulate(policies, [one], facts or replica(), START, 15.0)


def test_a_steady_load_is_held_by_its_ceiling_and_paid_by_the_hour() -> None:
    seen = hour([RATE, RATE], trace(np.full(3600, 40.0), start=5))
    assert seen.replica_h[0, 0] == pytest.approx(5.0)
    assert (seen.short_s[0, 0], seen.starts[0, 0], seen.reversals[0, 0]) == (0.0, 0.0, 0.0)
    assert seen.attainment[0, 0] == pytest.approx(np.interp(0.8, replica().load, replica().within_slo))


def test_a_step_is_short_for_the_time_to_ready_and_the_queue_grows_by_what_is_over_saturation() -> None:
    """5 replicas of knee 10 and saturation 13 at 40/s, then 100/s: short from when the minute's mean passes 50 until
    the new ones serve and the queue is worked off; meanwhile 35/s are left over."""
    before, after = np.full(600, 40.0), np.full(3000, 100.0)
    facts = replica(max_queue=1e9)
    seen = hour([RATE, RATE], trace(np.concatenate([before, after])), facts)
    # Seen at 615 s at the latest (a decision every 15 s), doubled by the rate policy, then cold start of 330 s.
    queue = 35.0 * (15.0 + START.cold_s)
    assert seen.queue_max[0, 0] == pytest.approx(queue, rel=0.02)
    capped = hour([RATE, RATE], trace(np.concatenate([before, after])), replica(max_queue=10.0))
    assert capped.queue_max[0, 0] == pytest.approx(50.0)
    assert capped.rejected[0, 0] * (600 * 40 + 3000 * 100) == pytest.approx(queue - 50.0, rel=0.02)


@pytest.mark.parametrize("growth_per_min", [0.01, 0.02, 0.05])
def test_a_ramp_is_followed_where_the_threshold_leaves_room_for_the_time_to_ready(growth_per_min: float) -> None:
    """Load that grows by g a minute from 200/s is carried when the target is so far below the knee that the replicas
    ordered at time t carry the load of t + interval + start-up; otherwise it is not."""
    minutes = np.arange(3600) / 60.0
    load = 200.0 * (1.0 + growth_per_min * np.maximum(minutes - 5.0, 0.0))
    reach_min = (START.cold_s + 15.0) / 60.0
    facts = replica()
    enough = facts.knee_rps / (1.0 + growth_per_min * reach_min)
    expected = trace(load, start=int(np.ceil(200.0 / enough)) + 1)
    two = [replace(RATE, target=0.97 * enough), replace(RATE, target=facts.knee_rps)]
    seen = hour(two, expected)
    assert seen.short_s[0, 0] == 0.0
    assert seen.short_s[1, 0] > 600.0


def test_a_forecast_ahead_by_the_time_to_ready_is_never_short_and_never_late() -> None:
    load = np.interp(np.arange(3600), [0, 900, 1800, 3600], [40.0, 40.0, 160.0, 160.0])
    ahead = replace(RATE, signal="none", forecast_rps=8.5, lead_s=345.0)
    late = replace(ahead, lead_s=0.0)
    seen = hour([ahead, late], trace(load))
    assert seen.short_s[0, 0] == 0.0
    assert seen.short_s[1, 0] > 300.0


def test_standby_nodes_save_the_node_and_the_image() -> None:
    load = np.concatenate([np.full(300, 40.0), np.full(3300, 80.0)])
    found = [RATE, replace(RATE, standby_nodes=5)]
    seen = hour(found, trace(load))
    assert seen.longest_short_s[0, 0] - seen.longest_short_s[1, 0] >= START.node_s + START.image_s
    # Five nodes stand ready; while those taken are replaced, both are paid.
    assert seen.replica_h[1, 0] > seen.replica_h[0, 0] + 5 - 0.5


@pytest.mark.slow
def test_a_scarce_supply_delays_each_replica_after_the_last() -> None:
    load = np.concatenate([np.full(300, 40.0), np.full(3300, 80.0)])
    one = watch(RATE, trace(load), replica(), START, 15.0, nodes_per_min=1.0)
    ready = one.ready[:-1]
    grows = np.flatnonzero(np.diff(one.ready) > 0) * 15.0
    assert (np.diff(one.ready)[np.diff(one.ready) > 0] == 1.0).all()
    np.testing.assert_allclose(np.diff(grows), 60.0)
    assert ready.max() == 10.0


@pytest.mark.slow
def test_the_timeline_is_the_same_run() -> None:
    load = 60.0 + 40.0 * np.sin(np.arange(3600) / 600.0)
    seen = hour([RATE, RATE], trace(load))
    one = watch(RATE, trace(load), replica(), START, 15.0)
    assert one.wanted.max() == seen.replicas_max[0, 0]
    assert one.load_rps.mean() == pytest.approx(load.mean())
    assert len(one.seconds) == 240


def test_traces_must_match() -> None:
    two = [trace(np.ones(60)), trace(np.ones(61))]
    with pytest.raises(ValueError, match="one step and length"):
        simulate([RATE], two, replica(), START, 15.0)
