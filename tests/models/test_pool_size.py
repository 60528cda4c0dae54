"""Rates of a replica in a pool of its size: sized, and replayed, with the arrivals that its share of the stream has."""

from __future__ import annotations

import numpy as np
import pytest

from configs.evaluation import EvaluationPolicy
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.records import CapacityTable, LengthSample, SloTarget
from models.evaluate import evaluate
from models.replay import PoolLoad, replay
from models.service import simulated
from models.simulator.load import ClassLoad, arrivals, draw, replica_cv

SLO = SloTarget(1.0, 0.06, 95.0)
LENGTHS = LengthSample(np.array([3000]), np.array([300]), np.array([0]), np.ones(1), "test")
LLM, GPU, ENGINE = find_llm("Llama-3.1-8B"), find_gpu("L40S"), find_engine("vllm")
POLICY = EvaluationPolicy(llms=(LLM.name,), gpus=(GPU.name,), precisions=("bf16",), tensor_parallel=(1,))


def sized(pool_rps: float, routing: str = "round_robin", cv: float = 1.0) -> CapacityTable:
    """An 8B on L40S, whose TPOT breaks first: one replica alone carries about 1.2 requests/s."""
    key = (LLM.name, "chat")
    table = evaluate([LLM], [GPU], ENGINE, load_coefficients(), POLICY, {key: LENGTHS}, {"chat": SLO})
    return simulated(
        table, {key}, {LLM.name: LLM}, {GPU.name: GPU}, ENGINE, load_coefficients(), {key: LENGTHS}, 1.0,
        cv=cv, pool_rps={key: pool_rps}, routing=routing,
    )  # fmt: skip


@pytest.mark.parametrize("cv", [0.5, 1.0, 3.0])
@pytest.mark.parametrize("routing", ["round_robin", "random"])
def test_a_replica_sees_its_share_of_a_pools_stream(cv: float, routing: str) -> None:
    rng = np.random.default_rng(4)
    stream = arrivals(rng, 800_000, cv)
    mine = np.arange(len(stream)) % 4 == 0 if routing == "round_robin" else rng.integers(0, 4, len(stream)) == 0
    gaps = np.diff(stream[mine])
    assert gaps.std() / gaps.mean() == pytest.approx(replica_cv(cv, 4, routing), rel=0.03)


def test_lanes_draw_with_variations_of_their_own() -> None:
    mixes = [(ClassLoad("chat", 1.0, LENGTHS, SLO),)] * 3
    cv = np.array([1.0, 0.25, 1.0])
    drawn = draw(mixes, 500, 2, 9, cv)
    for lane, one in enumerate(cv):
        alone = draw(mixes[:1], 500, 2, 9, float(one))
        assert (drawn.unit_s[2 * lane : 2 * lane + 2] == alone.unit_s).all()
        assert (drawn.output_tokens[2 * lane : 2 * lane + 2] == alone.output_tokens).all()


def test_many_replicas_are_promised_more_than_one_alone_and_hold_it() -> None:
    (alone,), (many,) = sized(1.0).rows, sized(25.0).rows
    assert (alone.pool_replicas, many.pool_replicas) == (1, 16)
    assert many.method.endswith("4 x 1,000 requests, dealt to a pool's replicas in turn")
    assert 1.1 * alone.knee_rps < many.knee_rps < 1.4 * alone.knee_rps

    def holds(replicas: int, routing: str) -> bool:
        rps = 0.97 * many.knee_rps * replicas
        mix = (ClassLoad("chat", 1.0, LENGTHS, SLO),)
        asked = PoolLoad(
            many.configuration, "here", "2026-12", "all", replicas, rps, mix, many.kv_capacity_tokens, many.knee_rps
        )
        (found,) = replay(
            [asked], {LLM.name: LLM}, {GPU.name: GPU}, ENGINE, load_coefficients(), routing=routing, seeds=8
        )
        return found.holds

    assert holds(16, "round_robin")
    assert not holds(1, "round_robin"), "one alone does not hold what each of sixteen does"
    assert not holds(16, "random")


def test_replicas_picked_at_random_are_promised_what_one_alone_is() -> None:
    (alone,), (many,) = sized(1.0).rows, sized(25.0, "random").rows
    assert many.knee_rps == alone.knee_rps


def test_a_pool_thins_bursts() -> None:
    (alone,), (few,), (many,) = (sized(rps, "random", cv=2.0).rows for rps in (0.0, 2.5, 50.0))
    assert (alone.pool_replicas, many.pool_replicas) == (1, 32)
    assert many.knee_rps > 2.0 * alone.knee_rps
    assert few.pool_replicas * few.knee_rps <= 2.5, (
        "no more company than the pool has at the rate that each then carries"
    )
