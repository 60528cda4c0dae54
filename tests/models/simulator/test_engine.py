"""The vectorized engine against the plain one, and the laws of queues."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import StepCost
from models.simulator.engine import Limits, Outcome, Requests, simulate
from tests.models.simulator.oracle import Cost, Request, run

GRID = np.arange(0.0, 1025.0, 8.0)


def step_cost(lanes: int, rng: np.random.Generator) -> StepCost:
    def one(low: float, high: float) -> np.ndarray:
        return rng.uniform(low, high, lanes)

    rise = np.cumsum(rng.uniform(1e-5, 2e-4, (lanes, len(GRID))), axis=1)
    return StepCost(
        GRID,
        2e-3 + rise,
        one(0, 1e-3),
        one(0, 1e-4),
        one(0, 1e-6),
        one(0, 1e-3),
        one(0, 1e-5),
        one(0, 1e-8),
        one(1, 3),
        # Neither, the host alone, or both: three forms are compiled.
        one(0, 2e-3) if (form := rng.random()) < 0.6 else None,
        rng.integers(1, 5, lanes).astype(float) if form < 0.3 else None,
    )


def stages(cost: StepCost, lane: int) -> int:
    return 1 if cost.pipeline_stages is None else int(cost.pipeline_stages[lane])


def draw(seed: int, lanes: int = 4, count: int = 25, rate: float = 20.0) -> tuple[StepCost, Requests, Limits]:
    rng = np.random.default_rng(seed)
    shape = (lanes, count)
    prompt = rng.integers(1, 400, shape)
    requests = Requests(
        np.cumsum(rng.exponential(1 / rate, shape), axis=1),
        prompt,
        np.minimum(rng.integers(0, 100, shape), prompt - 1),
        rng.integers(1, 40, shape),
    )
    limits = Limits(
        rng.integers(1, 12, lanes), rng.integers(16, 600, lanes), rng.uniform(800, 6000, lanes), np.full(lanes, 16)
    )
    return step_cost(lanes, rng), requests, limits


def oracle(cost: StepCost, requests: Requests, limits: Limits, lane: int, pad: bool = False) -> list[Request]:
    found = [
        Request(float(a), int(p), int(c), int(o))
        for a, p, c, o in zip(*(table[lane] for table in requests), strict=True)
    ]
    plain = Cost(
        list(map(float, cost.tokens)), list(map(float, cost.linear_s[lane])), cost.decode_base_s[lane],
        cost.decode_per_seq_s[lane], cost.decode_per_kv_token_s[lane], cost.prefill_base_s[lane],
        cost.prefill_per_token_s[lane], cost.prefill_per_attention_s[lane], cost.mixed_decode_factor[lane],
        0.0 if cost.host_per_sequence_s is None else cost.host_per_sequence_s[lane], stages(cost, lane),
    )  # fmt: skip
    most, budget = int(limits.max_num_seqs[lane]), int(limits.token_budget[lane])
    run(found, plain, most, budget, float(limits.kv_tokens[lane]), 16, pad, bool(limits.overlaps[lane]))
    return found


@settings(max_examples=20)
@given(st.integers(0, 10**6), st.sampled_from([2.0, 20.0, 200.0]), st.booleans())
def test_every_time_equals_the_plain_simulator(seed: int, rate: float, pad: bool) -> None:
    cost, requests, limits = draw(seed, rate=rate)
    if pad:
        cost = replace(cost, pipeline_stages=None)
    # A grant needs at least one token of room beyond the decoding requests.
    limits = limits._replace(
        token_budget=np.maximum(limits.token_budget, limits.max_num_seqs + 1), overlap=np.arange(4) % 2 == seed % 2
    )
    got = simulate(cost, requests, limits, most_iterations=2048, pad=pad)
    assert got.finished.all()
    for lane in range(4):
        want = oracle(cost, requests, limits, lane, pad)
        assert got.first_token_s[lane] == pytest.approx([r.first_s for r in want], rel=1e-4)
        assert got.end_s[lane] == pytest.approx([r.end_s for r in want], rel=1e-4)


@pytest.fixture(scope="module")
def busy() -> tuple[Requests, Outcome]:
    cost, requests, limits = draw(5, lanes=8, count=400, rate=15.0)
    limits = limits._replace(max_num_seqs=np.full(8, 64), token_budget=np.full(8, 512), kv_tokens=np.full(8, 1e6))
    return requests, simulate(cost, requests, limits, most_iterations=20_000)


def test_no_request_is_answered_before_it_came_or_out_of_order(busy: tuple[Requests, Outcome]) -> None:
    requests, got = busy
    assert (got.first_token_s > requests.arrival_s).all()
    assert (got.end_s >= got.first_token_s).all()
    assert (np.diff(got.first_token_s, axis=1) >= 0).all(), "first come, first served"


def test_littles_law_holds_in_every_lane(busy: tuple[Requests, Outcome]) -> None:
    """Mean running requests equals the rate times the time from first token to end (plus its own iteration)."""
    _, got = busy
    served = (got.end_s - got.first_token_s).sum(axis=1)
    rate_times_wait = served / got.makespan_s
    assert (got.mean_running >= rate_times_wait * 0.999).all()
    # A joining request also counts in the iteration of its first token: at most one step more each.
    assert (got.mean_running <= rate_times_wait * 1.001 + 400 * 0.08 / got.makespan_s).all()


def test_busy_time_never_exceeds_the_span(busy: tuple[Requests, Outcome]) -> None:
    _, got = busy
    assert (got.busy_s <= got.makespan_s * 1.001).all()


def test_more_load_never_answers_sooner() -> None:
    cost, requests, limits = draw(11, lanes=1, count=300, rate=1.0)
    roomy = limits._replace(max_num_seqs=np.array([256]), token_budget=np.array([512]), kv_tokens=np.array([1e6]))
    means = []
    for rate in (0.5, 5.0, 50.0):
        got = simulate(cost, requests._replace(arrival_s=requests.arrival_s / rate), roomy, most_iterations=20_000)
        means.append(float((got.first_token_s - requests.arrival_s / rate).mean()))
    assert means == sorted(means)


def test_an_overfull_cache_is_flagged() -> None:
    cost, requests, limits = draw(3, lanes=1, count=100, rate=500.0)
    tight = limits._replace(max_num_seqs=np.array([64]), token_budget=np.array([512]), kv_tokens=np.array([3000.0]))
    roomy = tight._replace(kv_tokens=np.array([1e6]))
    assert simulate(cost, requests, tight, most_iterations=5000).kv_pressure[0] > 0
    assert simulate(cost, requests, roomy, most_iterations=5000).kv_pressure[0] == 0


def test_a_lane_that_is_cut_off_says_so() -> None:
    cost, requests, limits = draw(3, lanes=1, count=100)
    got = simulate(cost, requests, limits, most_iterations=20)
    assert not got.finished[0]
    assert np.isnan(got.end_s).any()
