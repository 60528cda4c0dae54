"""Nothing is lost and nothing is left over: KV tokens, bookings, tokens and requests, whatever is asked."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from types import ModuleType
from typing import Any

import jax
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.records import StepCost
from models.simulator import engine, pool, pool_state
from models.simulator.engine import Limits, Requests, simulate
from models.simulator.pool import FATES, Patience, Pool, PoolOutcome, simulate_pool
from tests.models.simulator.test_engine import draw

LANES, COUNT, REPLICAS = 4, 25, 3
NONE = np.zeros(LANES)
BASE_S = 1e-4
PLAIN = StepCost(
    np.arange(0.0, 1025.0, 8.0), np.full((LANES, 129), BASE_S), NONE, NONE, NONE, NONE, NONE, NONE, NONE + 1.0
)
"""Every iteration takes as long, whatever is in it: a coefficient added to this prices its own units alone."""


def watch(module: ModuleType, name: str, run: Callable[[], Any]) -> tuple[Any, Any]:
    """What `run` gives, and what the module's function of this name gave last meanwhile."""
    known, seen = getattr(module, name), []

    def watched(*arguments: Any, **named: Any) -> Any:
        seen.append(jax.device_get(known(*arguments, **named)))
        return seen[-1]

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, name, watched)
        return run(), seen[-1]


def asked(seed: int, rate: float) -> tuple[StepCost, Requests, Limits]:
    cost, requests, limits = draw(seed, LANES, COUNT, rate)
    overlap = np.random.default_rng(seed).random(LANES) < 0.5
    budget = np.maximum(limits.token_budget, limits.max_num_seqs + 1)
    return cost, requests, limits._replace(token_budget=budget, overlap=overlap)


def work(requests: Requests, served: np.ndarray) -> dict[str, np.ndarray]:
    """Units of what each coefficient prices that the served requests need, [lanes]: prompt tokens; output tokens but
    the first, which the prefill gives; and the tokens that each of these reads."""
    p, c, o = requests.input_tokens, requests.cached_tokens, requests.output_tokens
    need = {
        "prefill_per_token_s": p - c,
        "decode_per_seq_s": o - 1,
        "decode_per_kv_token_s": (o - 1) * p + (o - 1) * o // 2,
    }
    return {name: (units * served).sum(axis=1) for name, units in need.items()}


@settings(max_examples=10, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([2.0, 20.0, 200.0]))
def test_the_plain_engine_gives_back_all_that_it_holds(seed: int, rate: float) -> None:
    given_ = asked(seed, rate)
    got, (state, _, living) = watch(engine, "advance", lambda: simulate(*given_))
    assert got.finished.all()
    assert not living.any()
    assert (state.head == COUNT).all(), "every request was admitted"
    for name in ("kv", "running", "joining", "joining_kv", "granted", "prefilled"):
        assert (getattr(state, name) == 0).all(), name
    assert (state.ring == 0).all(), "every end that was booked has come"


@settings(max_examples=8, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([2.0, 200.0]))
def test_every_token_is_computed_once(seed: int, rate: float) -> None:
    _, requests, limits = asked(seed, rate)
    for name, units in work(requests, np.ones((LANES, COUNT))).items():
        got = simulate(replace(PLAIN, **{name: NONE + 1e-3}), requests, limits)
        assert got.busy_s == pytest.approx(BASE_S * got.iterations + 1e-3 * units, rel=1e-4), name


def pools(seed: int, rate: float) -> tuple[Pool, Patience]:
    """Full queues, clients that leave and retry, replicas that die and come back, preemption."""
    rng = np.random.default_rng(seed)
    down = np.where(rng.random((LANES, REPLICAS)) < 0.5, np.inf, rng.uniform(0, 25 / rate, (LANES, REPLICAS)))
    short = np.where(rng.random((LANES, COUNT)) < 0.3, rng.uniform(0.01, 1.0, (LANES, COUNT)), np.inf)
    here = Pool(
        rng.integers(1, REPLICAS + 1, LANES), rng.integers(1, 6, LANES), rng.integers(0, 3, LANES),
        rng.integers(0, 3, LANES), rng.uniform(0.01, 0.5, LANES), rng.random(LANES) < 0.7, down, down + 0.5,
        rng.random(LANES) < 0.5,
    )  # fmt: skip
    return here, Patience(rng.integers(0, 2, (LANES, COUNT)), short, 3.0 * short)


@settings(max_examples=10, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([5.0, 40.0, 400.0]))
def test_every_request_of_a_pool_has_one_fate_and_none_is_left_in_it(seed: int, rate: float) -> None:
    cost, requests, limits = asked(seed, rate)
    here, patience = pools(seed, rate)
    got: PoolOutcome
    got, state = watch(pool, "run", lambda: simulate_pool(cost, requests, limits, here, patience, seed=seed))
    of_each = [(got.fate == number).sum(axis=1) for number in range(len(FATES))]
    assert (sum(of_each) == COUNT).all()
    assert (np.isfinite(got.end_s) == (got.fate == FATES.index("served"))).all()
    assert ((got.attempts >= 0) & (got.attempts <= here.retries[:, None])).all()
    gave_up = got.fate != FATES.index("served")
    assert (got.attempts[gave_up] == np.broadcast_to(here.retries[:, None], gave_up.shape)[gave_up]).all()
    assert (state.head == COUNT).all()
    assert (state.outstanding == 0).all()
    assert (state.fifo_head == state.fifo_tail).all(), "whoever was to come again has"
    assert (state.table[:, :, pool_state.FIELDS.index("state")] == pool_state.EMPTY).all()
    assert not state.live.any()


@settings(max_examples=8, derandomize=True)
@given(st.integers(0, 10**6), st.sampled_from([2.0, 200.0]))
def test_a_pool_computes_every_token_of_whom_it_serves_once_and_none_of_whom_it_rejects(seed: int, rate: float) -> None:
    _, requests, limits = asked(seed, rate)
    here, _ = pools(seed, rate)
    calm = here._replace(preempts=np.zeros(LANES, dtype=bool), abrupt=np.zeros(LANES, dtype=bool))
    for name in work(requests, np.ones((LANES, COUNT))):
        got = simulate_pool(replace(PLAIN, **{name: NONE + 1e-3}), requests, limits, calm, seed=seed)
        assert set(np.unique(got.fate)) <= {FATES.index("served"), FATES.index("rejected")}
        units = work(requests, got.fate == FATES.index("served"))[name]
        assert got.busy_s == pytest.approx(BASE_S * got.iterations + 1e-3 * units, rel=1e-4), name
