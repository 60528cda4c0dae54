"""The pool simulator against a plain program and against the single-replica engine, with every option at once."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.simulator.engine import Limits, Requests, simulate
from models.simulator.pool import FATES, ROUTING, Patience, Pool, plain_pool, routing_draws, simulate_pool
from tests.models.simulator.oracle import Cost
from tests.models.simulator.pool_oracle import Job, PoolOracle, Replica
from tests.models.simulator.test_engine import draw, stages

LANES, COUNT, REPLICAS = 4, 25, 3


@settings(max_examples=60, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([5.0, 40.0, 400.0]))
def test_every_time_and_fate_equals_the_plain_program(seed: int, rate: float) -> None:
    rng = np.random.default_rng(seed)
    cost, requests, limits = draw(seed, LANES, COUNT, rate)
    limits = limits._replace(token_budget=np.maximum(limits.token_budget, limits.max_num_seqs + 1))
    limits = limits._replace(kv_tokens=np.floor(limits.kv_tokens), overlap=rng.random(LANES) < 0.5)
    shape = (LANES, REPLICAS)
    down = rng.uniform(0, 25 / rate, shape)
    never = rng.random(shape) < 0.5
    pool = Pool(
        rng.integers(1, REPLICAS + 1, LANES), rng.integers(1, 6, LANES), rng.integers(0, 3, LANES),
        rng.integers(0, 3, LANES), rng.uniform(0.01, 0.5, LANES), rng.random(LANES) < 0.7,
        np.where(never, np.inf, down), np.where(never, np.inf, down + rng.uniform(0.05, 1.0, shape)),
        rng.random(LANES) < 0.5,
    )  # fmt: skip
    wait = np.where(rng.random((LANES, COUNT)) < 0.3, rng.uniform(0.01, 1.0, (LANES, COUNT)), np.inf)
    whole = np.where(rng.random((LANES, COUNT)) < 0.3, rng.uniform(0.05, 3.0, (LANES, COUNT)), np.inf)
    patience = Patience(rng.integers(0, 2, (LANES, COUNT)), wait, whole)
    got = simulate_pool(cost, requests, limits, pool, patience, seed=seed)
    assert got.finished.all()
    draws = routing_draws(seed, LANES, COUNT, 2)
    for lane in range(LANES):
        jobs = [
            Job(i, float(requests.arrival_s[lane, i]), int(requests.input_tokens[lane, i]),
                int(requests.cached_tokens[lane, i]), int(requests.output_tokens[lane, i]),
                int(patience.priority[lane, i]), wait[lane, i], whole[lane, i])
            for i in range(COUNT)
        ]  # fmt: skip
        plain = Cost(
            list(map(float, cost.tokens)), list(map(float, cost.linear_s[lane])), cost.decode_base_s[lane],
            cost.decode_per_seq_s[lane], cost.decode_per_kv_token_s[lane], cost.prefill_base_s[lane],
            cost.prefill_per_token_s[lane], cost.prefill_per_attention_s[lane], cost.mixed_decode_factor[lane],
            0.0 if cost.host_per_sequence_s is None else cost.host_per_sequence_s[lane], stages(cost, lane),
        )  # fmt: skip
        routing, retries, backoff = ROUTING[pool.routing[lane]], int(pool.retries[lane]), float(pool.backoff_s[lane])
        want = PoolOracle(
            plain, int(limits.max_num_seqs[lane]), int(limits.token_budget[lane]), float(limits.kv_tokens[lane]), 16,
            int(pool.max_queue[lane]), routing, retries, backoff,
            bool(pool.preempts[lane]), bool(pool.abrupt[lane]),
            [Replica((pool.down_from_s[lane, i], pool.down_until_s[lane, i])) for i in range(pool.replicas[lane])],
            draws[lane].tolist(), jobs, bool(limits.overlaps[lane]),
        )  # fmt: skip
        want.run()
        assert [FATES[fate] for fate in got.fate[lane]] == [job.fate for job in jobs]
        assert list(got.attempts[lane]) == [job.attempts for job in jobs]
        assert got.preemptions[lane] == want.preemptions
        served = got.fate[lane] == 0
        first = np.array([job.first_s for job in jobs])
        end = np.array([job.end_s for job in jobs])
        assert got.first_token_s[lane][served] == pytest.approx(first[served], rel=1e-4)
        assert got.end_s[lane][served] == pytest.approx(end[served], rel=1e-4)
        assert list(got.replica[lane][served]) == [job.replica for job in jobs if job.fate == "served"]


def test_one_replica_where_nothing_fails_gives_the_plain_engines_times() -> None:
    cost, requests, limits = draw(7, lanes=6, count=200, rate=12.0)
    limits = limits._replace(token_budget=limits.token_budget + 16, kv_tokens=np.full(6, 1e6))
    plain = simulate(cost, requests, limits, most_iterations=20_000)
    got = simulate_pool(cost, requests, limits, plain_pool(6, 1))
    assert got.first_token_s == pytest.approx(plain.first_token_s, rel=1e-4)
    assert got.end_s == pytest.approx(plain.end_s, rel=1e-4)


def test_a_retry_is_routed_by_a_lot_of_its_own() -> None:
    """Two requests come at once to two replicas with one place to wait each. Where both drew the same one, the second
    comes again while the third request is the next to come: whether it goes to the third's replica is a coin's toss."""
    lanes, count = 400, 3
    cost, _, _ = draw(1, lanes, count)
    full = np.full((lanes, count), 300)
    at = np.tile(np.array([0.0, 0.0, 1e4]), (lanes, 1))
    requests = Requests(at, full, np.zeros_like(full), np.full((lanes, count), 4))
    limits = Limits(np.full(lanes, 8), np.full(lanes, 512), np.full(lanes, 1e6), np.full(lanes, 16))
    pool = plain_pool(lanes, 2, "random", max_queue=1)._replace(
        retries=np.full(lanes, 1), backoff_s=np.full(lanes, 1e3)
    )
    got = simulate_pool(cost, requests, limits, pool, seed=3)
    assert got.finished.all()
    again = got.attempts[:, 1] == 1
    assert 100 < again.sum() < 300
    same = (got.replica[again, 1] == got.replica[again, 2]).mean()
    assert 0.35 < same < 0.65
