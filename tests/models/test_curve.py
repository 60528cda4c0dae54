"""The service curve of a replica and what pools gain, against queueing facts and whole pools simulated apart."""

from __future__ import annotations

from dataclasses import fields
from functools import cache

import numpy as np
import pytest

from data.curve_records import ServiceCurve
from data.records import Configuration, LengthSample, SloTarget, StepCost
from models.curve import CROWDED, LOADS, Asked, service_curve
from models.pool_gain import dealt_gains, routed_goodput
from models.simulator.engine import Limits
from models.simulator.knee import Knees, find_knees
from models.simulator.load import ClassLoad, draw

pytestmark = pytest.mark.slow

GRID = np.arange(0.0, 1025.0, 8.0)
COST = StepCost(
    GRID, (8e-3 + 2e-5 * GRID)[None, :], np.array([5e-4]), np.array([5e-5]), np.array([1e-8]), np.array([1e-4]),
    np.array([0.0]), np.array([1e-9]),
)  # fmt: skip
LIMITS = Limits(np.array([64]), np.array([512]), np.array([40_000.0]), np.array([16]))
RNG = np.random.default_rng(2)
LENGTHS = LengthSample(
    RNG.integers(50, 900, 400), RNG.integers(5, 90, 400), np.zeros(400, dtype=np.int64), np.ones(400), "given"
)
SLO = SloTarget(1.0, 0.05, 95.0)
MIX = (ClassLoad("all", 1.0, LENGTHS, SLO),)


@cache
def curve() -> ServiceCurve:
    one = Configuration("llm", "gpu", "bf16", "bf16", 1, "vllm")
    asked = Asked(one, COST, LIMITS, MIX, 15.0, "measured", requests=600, seeds=3, growth_per_min=0.02)
    found = service_curve(asked)
    assert found is not None
    return found


def test_below_the_knee_everything_offered_is_good() -> None:
    found = curve()
    for point in found.points:
        if point.offered_rps <= 0.8 * found.knee_rps:
            assert point.goodput_rps >= 0.94 * point.offered_rps
            assert point.holds == 1.0
            assert point.rejected == 0.0


def test_the_operating_point_is_simulated_for_itself() -> None:
    found = curve()
    at = found.at_operating
    assert at is not None
    assert at.offered_rps == found.operating_rps == pytest.approx(0.85 * found.knee_rps)
    below, above = (found.points[LOADS.index(load)] for load in (0.8, 0.9))
    for name in ("utilisation", "running", "kv_share", "waiting"):
        assert getattr(below, name) < getattr(at, name) < getattr(above, name), name
    assert at.rejected + at.timed_out == 0.0, "nobody is turned away at the load to run it at"
    assert at.goodput_rps >= 0.94 * at.offered_rps
    # It is beside the curve, not on it: the loads of the points stay those of LOADS.
    assert len(found.points) == len(LOADS)


def test_past_the_knee_the_slo_breaks_and_limits_keep_goodput() -> None:
    found = curve()
    over = found.points[LOADS.index(1.5)]
    assert over.holds == 0.0
    assert over.rejected + over.timed_out > 0.1
    assert over.goodput_rps > 0.7 * found.knee_rps, "whom the limits let in is served in time"
    best = max(point.goodput_rps for point in found.points)
    assert found.points[-1].goodput_rps > 0.6 * best, "goodput does not collapse under twice the load"


def test_what_rises_with_load_rises() -> None:
    found = curve()
    rows = [point for point, load in zip(found.points, LOADS, strict=True) if load <= 1.0]
    for name in ("utilisation", "running", "kv_share"):
        values = [getattr(point, name) for point in rows]
        assert values == sorted(values), name
    assert all(0.0 <= point.utilisation <= 1.001 for point in found.points)
    assert CROWDED < 1.0


def test_scaling_begins_before_the_knee_by_the_growth_in_the_time_to_ready() -> None:
    found = curve()
    assert found.scale_load_rps == pytest.approx(found.knee_rps * np.exp(-0.02 * 300 / 60))
    assert [signal.distance for signal in found.signals] == sorted((s.distance for s in found.signals), reverse=True)
    assert all(signal.threshold <= signal.at_knee for signal in found.signals)


def test_limits_are_within_the_engines() -> None:
    limits = curve().limits
    assert 0 < limits.max_num_seqs <= 64
    assert limits.concurrency == limits.max_num_seqs + limits.max_queue
    assert limits.tokens_in_flight <= 40_000


def test_a_dealt_pool_gains_what_a_whole_pool_simulated_apart_gains() -> None:
    """Round robin by thinning one arrival stream, against four replicas side by side; a queue-aware router gains more
    than one that deals in turn, which gains more than chance."""
    alone = find_knees(COST, [MIX], LIMITS, np.array([15.0]), 0.85, 1000, 4, resolution=0.01)
    knee = float(alone.knee_rps[0])
    gains = dealt_gains(
        lambda cv: find_knees(COST, [MIX], LIMITS, np.array([15.0]), 0.85, 1000, 4, cv=cv, resolution=0.01), alone, 1.0
    )
    dealt = next(one.gain for one in gains if one.replicas == 4)
    drawn = draw([MIX], 2400, 3, 5)
    rates = knee * np.arange(0.8, 1.35, 0.03)
    held = {
        routing: routed_goodput(COST, LIMITS, drawn, SLO, 4, routing, rates)
        for routing in ("random", "round_robin", "shortest_queue")
    }
    assert held["round_robin"] == pytest.approx(dealt * knee, rel=0.08)
    assert held["random"] == pytest.approx(knee, rel=0.12)
    assert held["random"] <= held["round_robin"] <= held["shortest_queue"] * 1.04
    assert all(one.gain > 0.95 for one in gains), "no pool loses more than a seed's noise"


def test_random_routing_thins_bursts_and_leaves_poisson_alone() -> None:
    """Every fourth arrival by chance, of gaps that vary by 3: what is simulated varies as thinning leaves it."""
    asked: list[float] = []

    def knees_at(cv: float) -> Knees:
        asked.append(cv)
        figures = dict.fromkeys((one.name for one in fields(Knees)), np.array([1.0]))
        return Knees(**figures | {"by_seed_rps": np.full((1, 3), 10.0 / (1.0 + cv)), "binding": ("ttft",)})  # type: ignore[arg-type]

    assert {one.routing for one in dealt_gains(knees_at, knees_at(1.0), 1.0)} == {"any", "round robin"}
    asked.clear()
    gains = {(one.routing, one.replicas): one.gain for one in dealt_gains(knees_at, knees_at(3.0), 3.0)}
    rng = np.random.default_rng(8)
    times = np.cumsum(rng.gamma(1 / 9, 9.0, 400_000))
    gaps = np.diff(times[rng.random(len(times)) < 0.25])
    thinned = float(gaps.std() / gaps.mean())
    assert min(abs(cv - thinned) for cv in asked) < 0.03 * thinned
    assert gains["random", 4] == pytest.approx((1.0 + 3.0) / (1.0 + np.sqrt(3.0)))
    assert gains["round robin", 4] == pytest.approx((1.0 + 3.0) / (1.0 + 1.5))
