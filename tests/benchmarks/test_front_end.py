"""The typical front-end time of closed-loop runs: the least mean percentage error, told by other LLMs."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.front_end import of_others_s, typical_s
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
