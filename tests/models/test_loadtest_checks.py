"""A server's own measurements raise no doubt; each way to get a load test wrong raises its own."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.loadtests.records import LoadPoint, Spread
from data.records import Configuration
from models.loadtest_checks import Bounds, bounds, checked, corrected, derived_tpot_s, in_flight, sequence_limit, usable
from models.loadtest_coefficients import Factors
from models.loadtest_simulate import load_of
from models.rows import build_rows
from models.shapes import active_parameters, total_parameters
from tests.models.loadtest_factory import GPU, LLM, ONE, load_test, served


def limits_of(llm: str = LLM.name, gpu: str = GPU.name, precision: str = "bf16", tp: int = 1) -> Bounds:
    one = Configuration(llm, gpu, precision, "bf16", tp, "vllm")
    found = find_llm(llm), find_gpu(gpu)
    rows, _ = build_rows([one], {llm: found[0]}, {gpu: found[1]}, find_engine("vllm"), load_coefficients())
    return bounds(rows)


@cache
def good(rate: float = 8.0, clients: int = 0) -> LoadPoint:
    return served(Factors(request_s=0.01), rate, clients, n=150, seed=3)


def times(spread: Spread, k: float) -> Spread:
    return Spread(*(getattr(spread, name) * k for name in ("mean", "p50", "p90", "p95", "p99", "low", "high")))


def test_bounds_are_parameters_over_the_hardware() -> None:
    found = limits_of()
    embedding = LLM.vocab * LLM.hidden
    weights = total_parameters(LLM) - embedding
    assert found.step_s == pytest.approx(2.0 * weights / GPU.memory_bandwidth_bytes_per_s, rel=1e-3)
    assert found.prefill_s_per_token == pytest.approx(2.0 * (weights - embedding) / GPU.dense_flops["bf16"], rel=1e-3)
    assert limits_of(tp=2).step_s == pytest.approx(found.step_s / 2, rel=1e-3)
    assert limits_of(precision="fp8").step_s < 0.6 * found.step_s
    sparse = find_llm("Qwen3-30B-A3B")
    active = active_parameters(sparse) - sparse.vocab * sparse.hidden
    expected = 2.0 * active / GPU.memory_bandwidth_bytes_per_s
    assert limits_of(sparse.name).step_s == pytest.approx(expected, rel=0.1)


@pytest.mark.parametrize(("rate", "clients"), [(2.0, 0), (8.0, 0), (25.0, 0), (0.0, 4), (0.0, 32)])
def test_a_real_server_raises_no_doubt(rate: float, clients: int) -> None:
    found = checked(load_test(good(2.0), good(rate, clients)), limits_of())
    assert [f for f in found if f.severity != "note"] == []


CASES: dict[str, Callable[[LoadPoint], LoadPoint]] = {
    "tpot_below_bandwidth": lambda p: replace(
        p, tpot_s=times(p.tpot_s, 0.4), e2e_s=Spread(mean=p.ttft_s.mean + 0.4 * (p.e2e_s.mean - p.ttft_s.mean))
    ),
    "ttft_below_compute": lambda p: replace(p, input_tokens=times(p.input_tokens, 40.0)),
    "tpot_inconsistent": lambda p: replace(p, tpot_s=times(p.tpot_s, 0.5)),
    "tokens_inconsistent": lambda p: replace(p, output_tokens_per_s=0.7 * p.output_tokens_per_s),
    "ttft_after_end": lambda p: replace(p, ttft_s=times(p.e2e_s, 1.1)),
    "little": lambda p: replace(p, in_flight=2.0 * in_flight(p)),
    "failures": lambda p: replace(p, requests_failed=10),
    "missing": lambda p: replace(p, requests_planned=400.0),
    "short_answers": lambda p: replace(p, asked_output_tokens=100.0),
    "few_requests": lambda p: replace(p, requests_ok=30),
    "rate_exceeded": lambda p: replace(p, offered_rps=0.5 * p.offered_rps),
    "cancelled": lambda p: replace(p, complete=False),
    "aggregate": lambda p: replace(p, aggregate=True),
    "not_streamed": lambda p: replace(p, ttft_s=Spread(), tpot_s=Spread()),
    "client_slow": lambda p: replace(p, offered_rps=2.0 * p.offered_rps),
}


@pytest.mark.parametrize("kind", CASES)
def test_each_mistake_is_found_and_measured(kind: str) -> None:
    wrong = CASES[kind](replace(good(), rows=None))
    found = {f.kind: f for f in checked(load_test(good(2.0), wrong), limits_of())}
    assert kind in found
    finding = found[kind]
    assert finding.point == wrong.label
    assert finding.meaning
    if not math.isnan(finding.measured):
        assert finding.measured != finding.bound
    assert kind not in {f.kind for f in checked(load_test(good(2.0), good()), limits_of())}


def test_empty_answers_that_count_as_successes_are_counted() -> None:
    p = good()
    assert p.rows is not None
    tokens = p.rows.output_tokens.copy()
    tokens[:7] = 0
    (found,) = [
        f
        for f in checked(load_test(replace(p, rows=replace(p.rows, output_tokens=tokens))))
        if f.kind == "empty_successes"
    ]
    assert found.measured == 7


def test_a_closed_loop_keeps_its_clients_busy_or_is_doubted() -> None:
    p = good(0.0, 32)
    idle = checked(load_test(replace(p, clients=64.0)))
    assert "client_slow" in {f.kind for f in idle}
    crowded = {f.kind: f for f in checked(load_test(replace(p, clients=16.0)))}
    assert crowded["little"].severity == "impossible"


def test_a_stated_limit_of_clients_explains_a_shortfall() -> None:
    p = replace(good(0.0, 32), arrivals="poisson", offered_rps=400.0, clients=32.0, rows=None)
    assert {f.kind for f in checked(load_test(good(2.0), p))} <= {"short_run"}
    slow = replace(p, clients=math.nan, send_delay_s=Spread(p95=20.0 * p.e2e_s.mean))
    assert {f.kind for f in checked(load_test(good(2.0), slow))} & {"client_slow", "clients_capped"}


def test_a_burst_cannot_beat_its_arithmetic() -> None:
    p = replace(good(), arrivals="at_once", offered_rps=math.inf, input_tokens=Spread(mean=2000.0), rows=None)
    least = 0.5 * p.requests_ok * 2000.0 * limits_of().prefill_s_per_token
    fast = replace(p, ttft_s=Spread(mean=0.9 * least), e2e_s=Spread(mean=10.0 * least))
    slow = replace(p, ttft_s=Spread(mean=1.1 * least), e2e_s=Spread(mean=10.0 * least))
    assert "burst_below_compute" in {f.kind for f in checked(load_test(fast), limits_of())}
    assert "burst_below_compute" not in {f.kind for f in checked(load_test(slow), limits_of())}
    for told in ({"cached_tokens": 1000.0}, {"replicas": 2}):
        assert "burst_below_compute" not in {f.kind for f in checked(load_test(fast), limits_of(), **told)}  # type: ignore[arg-type]


def capped(offered: float) -> LoadPoint:
    """A client of 32 workers that cannot send what it was asked to."""
    p = replace(good(0.0, 32), label=f"{offered:g} req/s", arrivals="constant", offered_rps=offered, clients=math.nan)
    return replace(p, rows=None, send_delay_s=Spread(p95=20.0 * p.e2e_s.mean))


def test_a_capped_client_is_simulated_as_the_closed_loop_it_is() -> None:
    test = load_test(good(2.0), capped(200.0), capped(400.0))
    found = checked(test)
    assert [f.point for f in found if f.kind == "clients_capped"] == ["200 req/s", "400 req/s"]
    points = usable(test, found)
    assert [p.label for p in points] == [p.label for p in test.points]
    assert points[1].clients == pytest.approx(32, abs=2)
    assert math.isnan(points[0].clients)


def test_a_slow_client_is_simulated_with_what_it_sent() -> None:
    wrong = CASES["client_slow"](replace(good(), rows=None))
    test = load_test(good(2.0), wrong)
    assert usable(test, checked(test))[1].offered_rps == wrong.achieved_rps


def test_impossible_points_and_sums_are_not_fitted() -> None:
    test = load_test(good(2.0), *(CASES[kind](good()) for kind in ("ttft_below_compute", "aggregate")))
    points = usable(test, checked(test, limits_of()))
    assert [p.label for p in points] == [good(2.0).label]


def test_one_token_faster_than_the_memory_rules_the_configuration_out() -> None:
    test = load_test(good(2.0), CASES["tpot_below_bandwidth"](replace(good(), rows=None)))
    assert usable(test, checked(test, limits_of())) == ()
    assert len(usable(test, checked(test))) == 2


@given(st.floats(0.3, 3.0))
def test_a_tpot_that_contradicts_the_latency_is_put_right(factor: float) -> None:
    p = replace(good(), tpot_s=times(good().tpot_s, factor))
    found = corrected(p)
    if abs(1.0 / factor * derived_tpot_s(p) / good().tpot_s.mean - 1.0) > 0.1:
        assert found.tpot_s.mean == pytest.approx(derived_tpot_s(p))
        assert found.tpot_s.p99 / found.tpot_s.p50 == pytest.approx(p.tpot_s.p99 / p.tpot_s.p50)
    else:
        assert found == p


VALUES = st.sampled_from([math.nan, 0.0, 1e-9, 0.01, 1.0, 250.0, 1e6])
SPREADS = st.builds(Spread, VALUES, VALUES, VALUES, VALUES, VALUES, VALUES, VALUES)
POINTS = st.builds(
    LoadPoint,
    label=st.sampled_from(["a", "b", "c"]),
    source=st.just("x"),
    arrivals=st.sampled_from(["poisson", "gamma", "constant", "at_once", "closed", "unstated"]),
    offered_rps=VALUES | st.just(math.inf),
    clients=VALUES,
    achieved_rps=VALUES,
    duration_s=VALUES,
    requests_ok=st.integers(0, 3000),
    requests_failed=st.integers(0, 3),
    input_tokens=SPREADS,
    output_tokens=SPREADS,
    ttft_s=SPREADS,
    tpot_s=SPREADS,
    e2e_s=SPREADS,
    requests_planned=VALUES,
    output_tokens_per_s=VALUES,
    send_delay_s=SPREADS,
    in_flight=VALUES,
)


@settings(max_examples=80)
@given(st.lists(POINTS, min_size=1, max_size=4), st.integers(1, 3))
def test_no_figures_break_the_checks_and_what_is_left_can_be_simulated(points: list[LoadPoint], replicas: int) -> None:
    test = load_test(*points)
    found = checked(test, Bounds(4e-3, 1e-5), 10.0, replicas)
    for finding in found:
        assert finding.severity in ("impossible", "suspect", "note")
    left = usable(test, found)
    assert sequence_limit(left, 2048) > 0
    if left:
        load = load_of(left, replicas, 16)
        assert np.isfinite(load.arrival_s).all()
        assert (np.diff(load.arrival_s, axis=1) >= 0).all()
        assert (load.input_tokens > load.cached_tokens).all()
        assert (load.output_tokens >= 1).all()


def test_the_engines_limit_shows_where_requests_wait_for_a_slot() -> None:
    # 64 slots (tests/models/loadtest_factory.py), 200 clients.
    p = served(Factors(), 0.0, clients=200, n=1200, seed=5)
    assert sequence_limit([p], 2048) == pytest.approx(64, rel=0.15)
    assert sequence_limit([good(), good(0.0, 32)], 2048) == math.inf
    assert np.isfinite(sequence_limit([good(), p], 2048))
    assert ONE.max_num_seqs == 64
