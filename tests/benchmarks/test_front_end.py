"""What closed-loop tests add to a first token: a typical time, told by other LLMs, and clients without a place."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.front_end import clients_without_place, of_others_s, typical_s
from benchmarks.measured_runs import Run
from data.records import Configuration

TIMES = st.lists(st.tuples(st.floats(0.01, 2.0), st.floats(0.0, 2.0)), min_size=1, max_size=12)


@given(TIMES)
def test_no_other_time_leaves_a_smaller_error(pairs: list[tuple[float, float]]) -> None:
    measured, simulated = (np.array(side) for side in zip(*pairs, strict=True))

    def error(time_s: float) -> float:
        return float(np.abs((simulated + time_s) / measured - 1.0).mean())

    best = error(typical_s(measured, simulated))
    assert all(best <= error(max(float(one), 0.0)) + 1e-9 for one in [*(measured - simulated), 0.0, 0.5])


def test_an_llm_is_told_by_the_others_on_its_engine() -> None:
    one = Configuration("A", "H100-SXM", "fp8", "bf16", 1, "vllm")
    made = {("A", "vllm"): 0.1, ("B", "vllm"): 0.2, ("C", "sglang"): 0.5}
    runs = [
        Run(replace(one, llm=llm, engine=engine), False, 4.0, 100.0, 10.0, 0.01, extra + 0.05, "1")
        for (llm, engine), extra in made.items()
        for _ in range(3)
    ]
    found = of_others_s(runs, np.full(9, 0.05), range(9))
    assert found[:6] == pytest.approx([0.2] * 3 + [0.1] * 3)
    assert np.isnan(found[6:]).all(), "no other LLM on that engine"
    assert typical_s(np.array([]), np.array([])) == 0.0


def waiting_test(llm: str, waiting: int, loads: int = 4) -> list[Run]:
    """Runs of one test in which `waiting` clients more than n, one to eight, wait by Little's law."""
    one = Configuration(llm, "H100-SXM", "fp8", "bf16", 1, "vllm", max_num_seqs=256)
    return [
        Run(one, False, float(n), 1000.0, outputs, 0.01, 0.05 + waiting * outputs * 0.01 / n, "1")
        for n in range(8, 8 + loads)
        for outputs in (100.0, 200.0, 400.0)
    ]


@pytest.mark.parametrize("waiting", [0, 1, 3])
def test_clients_without_a_place_are_told_by_the_tests_other_loads(waiting: int) -> None:
    runs = [*waiting_test("A", waiting), *waiting_test("B", 0)]
    assert clients_without_place(runs).tolist() == [waiting] * 12 + [0] * 12
    # A run does not tell of itself: its own load may say anything.
    odd = [replace(run, ttft_s=run.ttft_s + run.output_tokens) if i < 3 else run for i, run in enumerate(runs)]
    assert clients_without_place(odd)[:3].tolist() == [waiting] * 3


def test_what_does_not_tell_of_places_says_nothing() -> None:
    assert clients_without_place([]).tolist() == []
    assert not clients_without_place(waiting_test("A", 1, loads=3)).any(), "two other loads are too few"
    alike = [replace(run, output_tokens=100.0) for run in waiting_test("A", 1)]
    assert not clients_without_place(alike).any(), "no two runs that differ by their output alone"
    full = [replace(run, configuration=replace(run.configuration, max_num_seqs=4)) for run in waiting_test("A", 1)]
    assert not clients_without_place(full).any(), "beyond the engine's own limit they wait for it"
    unmeasured = [replace(run, ttft_s=float("nan")) for run in waiting_test("A", 1)]
    assert not clients_without_place(unmeasured).any()
