"""Blocks that are left out of the model never change the answer."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.plan_records import ApiOffer, FleetProblem
from data.records import Block, Demand, SeriesKey
from optimizer.blocks import layers, priced_by_name, thinned
from optimizer.matrix import run
from optimizer.merge import merge
from optimizer.solve import declare, solve
from tests.optimizer.factory import capacity, demand, offer, problem

HOURS = (7.0, 103.0, 320.0, 300.0)


def drawn(seed: int) -> FleetProblem:
    """Two classes, two GPUs, 4 blocks; in half of the cases a quota or a price makes it worth shedding something."""
    rng = np.random.default_rng(seed)
    keys = [SeriesKey("m", "chat", "r"), SeriesKey("m", "batch", "r")]
    rows = [capacity(g, float(rng.uniform(1, 6)), name=name) for g in "AB" for name in ("chat", "batch")]
    offers = [offer(g, float(rng.uniform(1.0, 6.0))) for g in "AB"]
    base = problem(demand([[1.0, 1.0]], [0.7, 0.3], keys), rows, offers, failures_per_pool=int(rng.integers(0, 2)))
    peak = rng.uniform(2.0, 14.0, (2, 1, 1, 1)) * np.array([1.0, 1.3])
    shape = np.minimum.accumulate(rng.uniform(0.1, 1.0, (2, 1, 4, 1)), axis=2)
    shape[:, :, 0] = 1.0
    blocks = tuple(Block(name, hours) for name, hours in zip("abcd", HOURS, strict=True))
    whole = Demand(tuple(keys), base.demand.months, blocks, base.demand.probabilities, peak * shape)
    found = replace(
        base, demand=whole, protected={"chat": True, "batch": False},
        shed_usd_per_request={"chat": 0.1, "batch": float(10 ** rng.uniform(-5, -1))},
    )  # fmt: skip
    if rng.random() < 0.4:
        found = replace(found, quotas={("r", g): int(rng.integers(1, 5)) for g in "AB"})
    if rng.random() < 0.3:
        found = replace(found, api={("m", "batch"): ApiOffer(float(10 ** rng.uniform(-5, -1)))})
    return found


@settings(max_examples=12)
@given(st.integers(0, 10**6))
def test_the_answer_is_that_of_the_whole(seed: int) -> None:
    given = drawn(seed)
    alike, _ = merge(given)
    _, declared = declare(alike)
    plan = solve(given)
    assert plan.stats.objective_usd == pytest.approx(run(declared.matrix, gap=1e-9).objective * 1e3, rel=1e-5)


def test_only_the_peak_and_the_next_block_are_kept() -> None:
    given = drawn(1)
    assert layers(given.demand) == ([0, 1], [1])
    assert [block.name for block in thinned(given, [0, 1]).demand.blocks] == ["a", "b"]
    rps = given.demand.rps.copy()
    rps[0, 0, 3] = 2.0 * rps[0, 0, 0]
    # A block that exceeds the peak in one series is as good as a peak.
    assert layers(replace(given.demand, rps=rps)) == ([0, 1, 3], [1])
    assert layers(replace(given.demand, blocks=given.demand.blocks[:2], rps=rps[:, :, :2])) == ([0, 1], [])


def test_a_plan_that_sheds_in_many_blocks_is_made_on_all_of_them() -> None:
    given = replace(drawn(1), quotas={("r", "A"): 1, ("r", "B"): 1}, api={})
    given = replace(given, demand=replace(given.demand, rps=8.0 * given.demand.rps))
    said: list[str] = []
    plan = solve(given, said.append)
    assert {short.block for short in plan.shortfalls} > {"a"}
    assert sum("columns" in line for line in said) == 2


def test_rows_of_the_whole_have_the_prices_of_the_rows_they_share() -> None:
    alike, _ = merge(drawn(1))
    (_, slim), (_, whole) = declare(thinned(alike, [0, 1])), declare(alike)
    duals = run(slim.matrix, relax=True).duals
    assert duals is not None
    assert duals.any()
    found = priced_by_name(slim, duals, whole)
    assert found is not None
    assert len(found) == len(whole.constraints) > len(duals)
    known = {row.name: dual for row, dual in zip(slim.constraints, duals.tolist(), strict=True)}
    assert {row.name: dual for row, dual in zip(whole.constraints, found.tolist(), strict=True) if dual} == {
        name: dual for name, dual in known.items() if dual
    }
    assert priced_by_name(slim, None, whole) is None
