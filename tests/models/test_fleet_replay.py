"""A pool followed request by request: against plain engines, and the laws that no loss may break."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import LengthSample, SloTarget, StepCost
from data.replay_records import Situation
from models.fleet_replay import BEGINS, RETRY_S, Answered, Stream, answer, followed, judge, merged
from models.simulator.engine import Limits
from models.simulator.load import ClassLoad
from tests.models.simulator.oracle import Cost, Request, run

GRID = np.arange(0.0, 1025.0, 8.0)
LINEAR = 4e-3 + 2e-5 * GRID
COST = StepCost(
    GRID, LINEAR[None, :], np.array([5e-4]), np.array([1e-5]), np.array([1e-7]), np.array([1e-4]), np.array([0.0]),
    np.array([1e-9]),
)  # fmt: skip
LIMITS = Limits(np.array([8]), np.array([256]), np.array([6000.0]), np.array([16]))
PLAIN = Cost(list(GRID), list(LINEAR), 5e-4, 1e-5, 1e-7, 1e-4, 0.0, 1e-9)


def stream(seed: int, count: int = 60, rps: float = 25.0, classes: int = 1) -> Stream:
    rng = np.random.default_rng(seed)
    return Stream(
        np.cumsum(rng.exponential(1 / rps, count)), rng.integers(1, 300, count), np.zeros(count, dtype=np.int64),
        rng.integers(1, 40, count), rng.integers(0, classes, count),
    )  # fmt: skip


def plainly(asked: Stream, at: np.ndarray, mine: np.ndarray) -> list[Request]:
    order = mine[np.argsort(at[mine], kind="stable")]
    found = [Request(float(at[i]), int(asked.input_tokens[i]), 0, int(asked.output_tokens[i])) for i in order]
    run(found, PLAIN, 8, 256, 6000.0, 16)
    return [found[int(np.flatnonzero(order == i)[0])] for i in mine]


@settings(max_examples=12)
@given(st.integers(0, 10**6), st.integers(2, 4), st.integers(0, 1))
def test_every_request_is_answered_as_by_plain_engines(seed: int, replicas: int, lost: int) -> None:
    asked, dies = stream(seed), 1.0
    got = answer(COST, LIMITS, asked, replicas, lost, dies)
    at, turn = asked.arrival_s.copy(), np.arange(len(asked.arrival_s))
    owner = np.where((at < dies) | (lost == 0), turn % replicas, lost + turn % (replicas - lost))
    first, end = np.full(len(at), np.nan), np.full(len(at), np.nan)
    if lost:
        dying = np.flatnonzero(owner == 0)
        for i, one in zip(dying, plainly(asked, at, dying), strict=True):
            first[i], end[i] = one.first_s, one.end_s
        held = dying[end[dying] > dies]
        at[held], owner[held] = dies + RETRY_S, lost + np.arange(len(held)) % (replicas - lost)
        assert got.retried == len(held)
    for replica in range(lost, replicas):
        mine = np.flatnonzero(owner == replica)
        for i, one in zip(mine, plainly(asked, at, mine), strict=True):
            first[i], end[i] = one.first_s, one.end_s
    assert got.first_token_s == pytest.approx(first, rel=1e-4)
    assert got.end_s == pytest.approx(end, rel=1e-4)


def test_nobody_is_lost_with_a_replica_and_its_clients_wait_from_their_first_try() -> None:
    asked = stream(3, count=200, rps=60.0)
    got = answer(COST, LIMITS, asked, 3, 1, 1.0)
    assert np.isfinite(got.end_s).all()
    assert (got.first_token_s > asked.arrival_s).all()
    late = (asked.arrival_s < 1.0) & (got.first_token_s > 1.0 + RETRY_S)
    assert got.retried > 0
    assert late.sum() >= got.retried


def test_no_replica_left_is_said() -> None:
    with pytest.raises(ValueError, match="answer nobody"):
        answer(COST, LIMITS, stream(0), 1, 1, 0.5)


def test_one_stream_follows_another_at_its_own_rate() -> None:
    before, after = stream(5, count=4000, rps=50.0), stream(6, count=4000, rps=100.0)
    begins = 20.0
    whole = followed(before, after, begins)
    early = whole.arrival_s < begins
    assert (whole.arrival_s[early] == before.arrival_s[before.arrival_s < begins]).all()
    late = after.arrival_s >= BEGINS * after.arrival_s[-1]
    assert (whole.output_tokens[~early] == after.output_tokens[late]).all()
    assert np.diff(whole.arrival_s[~early]) == pytest.approx(np.diff(after.arrival_s[late]))
    assert whole.arrival_s[-1] == pytest.approx(begins + (1 - BEGINS) * after.arrival_s[-1])


def test_streams_merge_in_order_and_keep_their_requests() -> None:
    one, two = stream(1, classes=1), stream(2, classes=1)
    whole = merged([one, two])
    assert (np.diff(whole.arrival_s) >= 0).all()
    assert whole.input_tokens.sum() == one.input_tokens.sum() + two.input_tokens.sum()


def test_the_verdict_names_class_limit_and_figure_and_the_worst_minute() -> None:
    sample = LengthSample(np.array([10]), np.array([10]), np.array([0]), np.ones(1), "given")
    mix = (
        ClassLoad("quick", 1.0, sample, SloTarget(1.0, 1.0, 95.0)),
        ClassLoad("patient", 1.0, sample, SloTarget(9.0, 1.0, 95.0)),
    )
    count = 600
    at = np.arange(count, dtype=np.float64)
    asked = Stream(at, np.full(count, 10), np.zeros(count, int), np.full(count, 10), np.arange(count) % 2)
    slow = np.where((at >= 240) & (at < 300), 5.0, 0.1)
    got = Answered(at + slow, at + slow + 0.9, 0)
    classes, worst, breaks = judge(asked, got, mix, Situation("all replicas"), 200.0)
    assert worst == 0.5, "half of a minute's requests are quick and late"
    assert breaks == "quick: TTFT p95 5 s, limit 1 s"
    assert classes[1].within_slo == 1.0
    _, _, calm = judge(asked, got, mix, Situation("all replicas"), 500.0)
    assert calm == breaks, "a situation that changes nothing is scored from the warm-up on, whenever it begins"
    _, _, after = judge(asked, got, mix, Situation("1 lost", lost=1), 300.0)
    assert after == "", "a loss is scored from its time on"
