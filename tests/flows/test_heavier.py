"""What longer answers and other cache hits take, against the kernels asked at other points than the table's."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.fleet_instances import CHAT
from configs.loading import load_scenario
from cost.draws import points
from cost.fixed_fleet import fixed_fleet
from cost.reprice import slowness
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.cost_records import TokenMix
from data.lengths import lognormal
from data.plan_records import FleetPlan, Pool
from data.records import Configuration, SloTarget
from data.spreads import spreads
from flows.heavier import moved, slower
from models.evaluate import evaluate
from tests.cost.factory import STATS
from tests.cost.test_reprice import plan, problem

SLO = SloTarget(2.0, 0.06, 95.0)


def test_lengths_move_as_they_are_told() -> None:
    sample = lognormal(CHAT, 0.3, 1)
    more = moved(sample, 1.5, 0.2)
    assert np.average(more.output_tokens, weights=more.weight) == pytest.approx(
        1.5 * np.average(sample.output_tokens, weights=sample.weight), rel=0.01
    )
    assert more.cached_tokens.sum() / more.input_tokens.sum() == pytest.approx(0.5, abs=0.02)
    assert (moved(sample, 1.0, 2.0).cached_tokens < sample.input_tokens).all()
    assert (moved(sample, 1.0, -2.0).cached_tokens == 0).all()


@pytest.mark.parametrize("gpu", ["L4", "H100-SXM"])
def test_the_table_gives_what_the_kernels_say_in_between(gpu: str) -> None:
    """An L4 has little room for KV beside 8B in bf16; an H100 is bound by TPOT."""
    scenario = load_scenario(None).scenario
    sample = lognormal(CHAT, 0.3, 1)
    key = ("Llama-3.1-8B", "chat")
    engine, coefficients = find_engine("vllm"), load_coefficients()
    policy = scenario.evaluate.model_copy(update={"llms": (key[0],), "gpus": (gpu,)})

    def knees(longer: float, hit: float) -> dict[Configuration, float]:
        there = {key: moved(sample, longer, hit)}
        table = evaluate(
            [find_llm(key[0])], [find_gpu(gpu)], engine, coefficients, policy, there, {"chat": SLO}
        )  # fmt: skip
        return {row.configuration: row.knee_rps for row in table.feasible()}

    base = knees(1.0, 0.0)
    one = min(base)
    made = FleetPlan(STATS, (Pool(one, "r", "2027-01", 4, 0, 0, 1.0, 1.0),))
    table = slower(scenario, made, {key: sample}, {"chat": SLO}, coefficients)[key]
    assert table.by_longer[table.longer.index(1.0)] == pytest.approx(1.0)
    assert table.by_hit[table.hit.index(0.0)] == pytest.approx(1.0)
    assert list(table.by_longer) == sorted(table.by_longer)
    assert list(table.by_hit) == sorted(table.by_hit, reverse=True)
    fleet = fixed_fleet(problem(), plan(6), {key: TokenMix(0.3, 0.3, table)})
    ranges = spreads(scenario.sensitivity)
    for longer, hit in ((1.0, 0.0), (1.3, 0.0), (0.85, 0.0), (2.0, 0.0), (1.0, 0.15), (1.0, -0.15), (1.3, 0.15)):
        drawn = points(ranges, np.ones(1), [{"output_length": longer, "cache_hit": hit}])
        said = float(slowness(fleet, drawn)[key][0])
        assert said == pytest.approx(base[one] / knees(longer, hit)[one], rel=0.07), (longer, hit)
    # Beyond the table the last line goes on.
    far = float(slowness(fleet, points(ranges, np.ones(1), [{"output_length": 4.0}]))[key][0])
    assert far > table.by_longer[-1]
