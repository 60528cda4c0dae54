"""Knees against a queue with a closed form, and what mixes and bursts do to them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from data.records import LengthSample, SloTarget, StepCost
from models.simulator.engine import Limits
from models.simulator.knee import MOST_SEEDS, Knees, find_knees
from models.simulator.load import ClassLoad, Mix, arrivals, draw

D_S = 0.1
BUDGET = 64


def sample(prompt: int, output: int) -> LengthSample:
    one = np.array([prompt]), np.array([output]), np.array([0])
    return LengthSample(*one, np.ones(1), "test")


def constant_cost(lanes: int = 1) -> StepCost:
    """Every iteration takes D_S, whatever is in it."""
    grid = np.array([0.0, 4096.0])
    zero = np.zeros(lanes)
    return StepCost(grid, np.full((lanes, 2), D_S), zero, zero, zero, zero, zero, zero)


def limits(lanes: int = 1, seqs: int = 4) -> Limits:
    return Limits(np.full(lanes, seqs), np.full(lanes, BUDGET), np.full(lanes, 1e6), np.full(lanes, 16))


def one_at_a_time(ttft_s: float, percentile: float = 95.0) -> Mix:
    """Prompts that fill an iteration and end with their first token: a queue with constant service, M/D/1."""
    return (ClassLoad("a", 1.0, sample(BUDGET, 1), SloTarget(ttft_s, 1.0, percentile)),)


def md1_wait_within(rate: float, t_s: float) -> float:
    """Share of M/D/1 customers that wait t_s at most (Erlang 1909)."""
    terms = (
        (-rate * (t_s - k * D_S)) ** k / math.factorial(k) * math.exp(rate * (t_s - k * D_S))
        for k in range(int(t_s / D_S) + 1)
    )
    return (1 - rate * D_S) * math.fsum(terms)


def test_the_knee_of_a_constant_service_queue_is_erlangs() -> None:
    limit = 4.5 * D_S
    want = brentq(lambda rate: md1_wait_within(rate, limit - D_S) - 0.95, 0.1 / D_S, 0.99 / D_S)
    found = find_knees(
        constant_cost(), [one_at_a_time(limit)], limits(), np.array([3.0]), 0.85, requests=8000, seeds=6, seed=2
    )
    assert found.binding == ("ttft",)
    assert found.band[0] < 0.04
    # The knee is the lower end of a bracket of 3.5 %.
    assert found.knee_rps[0] == pytest.approx(want, rel=0.05)


def test_more_seeds_and_requests_narrow_the_band() -> None:
    def band(requests: int, seeds: int) -> float:
        asked = [one_at_a_time(4.5 * D_S)]
        knees = find_knees(constant_cost(), asked, limits(), np.array([6.0]), 0.85, requests, seeds, seed=4)
        return float(knees.band[0])

    assert band(4000, 8) < band(300, 4)


@pytest.mark.slow
def test_seeds_are_added_until_the_band_is_narrow() -> None:
    def knees(target: float | None) -> Knees:
        asked = [one_at_a_time(4.5 * D_S)]
        return find_knees(
            constant_cost(), asked, limits(), np.array([6.0]), 0.85, 1000, 4, seed=4, resolution=0.01,
            target_band=target,
        )  # fmt: skip

    fixed, narrow, never = knees(None), knees(0.05), knees(1e-6)
    assert fixed.by_seed_rps.shape == (1, 4)
    assert fixed.band[0] > 0.05 >= narrow.band[0]
    assert 4 < narrow.by_seed_rps.shape[1] <= MOST_SEEDS
    np.testing.assert_allclose(narrow.by_seed_rps[:, :4], fixed.by_seed_rps)  # the first seeds stay what they were
    assert never.by_seed_rps.shape == (1, MOST_SEEDS)
    assert never.band[0] > 1e-6
    logs = np.log(narrow.by_seed_rps[0])
    half = stats.t.interval(0.9, len(logs) - 1, logs.mean(), stats.sem(logs))
    assert (narrow.knee_rps[0], narrow.band[0]) == pytest.approx(
        (np.exp(logs.mean()), np.exp(half[1] - logs.mean()) - 1)
    )


def test_a_lane_that_holds_at_no_rate_tells_the_limit_that_it_breaks() -> None:
    """A prompt alone takes D_S to its first token and 10 D_S to the end: a limit of 3 D_S on the end breaks at every
    rate, and the time told is that of a replica nearly idle."""
    ends = (ClassLoad("a", 1.0, sample(BUDGET, 10), SloTarget(1e3, 1e3, 95.0, e2e_s=3 * D_S)),)
    knees = find_knees(constant_cost(), [ends], limits(), np.array([0.5]), 0.85, requests=400, seeds=3)
    assert (knees.knee_rps[0], knees.binding) == (0.0, ("e2e",))
    assert 0.0 < knees.broken_rps[0] < 0.5 / 250
    assert knees.e2e_s[0] == pytest.approx(10 * D_S, rel=0.2)
    assert knees.ttft_s[0] < 3 * D_S


@pytest.mark.parametrize("guess", [0.2, 90.0])
def test_a_bad_guess_still_finds_the_knee(guess: float) -> None:
    def knee(at: float) -> Knees:
        return find_knees(constant_cost(), [one_at_a_time(0.45)], limits(), np.array([at]), 0.85, requests=2000)

    assert knee(guess).knee_rps[0] == pytest.approx(knee(6.0).knee_rps[0], rel=0.2)


def test_burstier_arrivals_lower_the_knee() -> None:
    knees = [
        find_knees(constant_cost(), [one_at_a_time(0.45)], limits(), np.array([5.0]), 0.85, 4000, 1, 3, cv).knee_rps[0]
        for cv in (0.25, 1.0, 3.0)
    ]
    assert knees[0] > 1.1 * knees[1] > 1.3 * knees[2]


def test_a_mix_breaks_where_its_tightest_class_does() -> None:
    """Short prompts wait behind long ones: together they carry less than a short-prompt replica, and the class with
    the tighter limit is named."""
    light = ClassLoad("light", 1.0, sample(16, 1), SloTarget(0.5, 1.0, 95))
    heavy = ClassLoad("heavy", 1.0, sample(256, 1), SloTarget(2.0, 1.0, 95))
    patient = ClassLoad("light", 1.0, sample(16, 1), SloTarget(2.0, 1.0, 95))
    mixes = [(light,), (heavy,), (light, heavy), (patient, heavy)]
    knees = find_knees(constant_cost(4), mixes, limits(4), np.full(4, 5.0), 0.85, requests=3000)
    assert knees.knee_rps[2] < knees.knee_rps[0]
    assert knees.binding[2] == "ttft (light)"
    assert knees.knee_rps[1] < knees.knee_rps[3] < knees.knee_rps[0]
    assert knees.binding[3] == "ttft (heavy)"


def test_a_class_that_breaks_alone_has_no_knee() -> None:
    found = find_knees(constant_cost(), [one_at_a_time(0.5 * D_S)], limits(), np.array([5.0]), 0.85, requests=400)
    assert found.knee_rps[0] == 0.0
    assert found.binding == ("ttft",)


def test_gamma_arrivals_have_their_rate_and_variation() -> None:
    for cv in (0.3, 1.0, 2.5):
        gaps = np.diff(arrivals(np.random.default_rng(1), 40_000, cv))
        assert gaps.mean() == pytest.approx(1.0, rel=0.05)
        assert gaps.std() == pytest.approx(cv, rel=0.05)


def test_draws_keep_shares_and_lengths() -> None:
    rng = np.random.default_rng(0)
    long = LengthSample(rng.integers(100, 900, 50), rng.integers(1, 90, 50), np.zeros(50, int), rng.random(50), "test")
    mix = (ClassLoad("a", 1.0, long, SloTarget(1, 1, 95)), ClassLoad("b", 3.0, sample(7, 3), SloTarget(1, 1, 95)))
    drawn = draw([mix], 8000, seeds=2)
    assert drawn.input_tokens.shape == (2, 8000)
    assert (drawn.which == 0).mean() == pytest.approx(0.25, abs=0.02)
    mine = drawn.which == 0
    mean = (long.input_tokens * long.weight).sum() / long.weight.sum()
    assert drawn.input_tokens[mine].mean() == pytest.approx(mean, rel=0.01)
    assert set(drawn.input_tokens[~mine]) == {7}
