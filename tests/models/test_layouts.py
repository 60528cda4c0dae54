"""Replicas whose GPUs share a mixture in other ways than tensor parallelism: spread experts, ranks of attention."""

from __future__ import annotations

import numpy as np
import pytest

from configs.evaluation import EvaluationPolicy
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.records import CapacityTable, Configuration, LengthSample, Llm, SloTarget
from models.evaluate import evaluate
from models.grid import configurations, layouts
from models.phases import phases
from models.replay import PoolLoad, replay
from models.resources import resource_uses
from models.rows import build_rows
from models.service import simulated
from models.simulator.load import ClassLoad
from models.size import size

MIXTURE, DENSE = find_llm("DeepSeek-V3"), find_llm("Llama-3.1-8B")
GPU, ENGINE = find_gpu("H200-SXM"), find_engine("vllm")
SLO = SloTarget(2.0, 0.06, 95.0)
LENGTHS = LengthSample(np.array([1000]), np.array([200]), np.array([0]), np.ones(1), "test")


def policy(**changes: object) -> EvaluationPolicy:
    asked = {"llms": (MIXTURE.name,), "gpus": (GPU.name,), "precisions": ("fp8",), "tensor_parallel": (1, 8)}
    return EvaluationPolicy(**(asked | changes))  # type: ignore[arg-type]


def sized(llm: Llm = MIXTURE, **changes: object) -> CapacityTable:
    key = (llm.name, "chat")
    known = ({llm.name: llm}, {GPU.name: GPU}, ENGINE, load_coefficients())
    table = evaluate([llm], [GPU], ENGINE, known[3], policy(llms=(llm.name,), **changes), {key: LENGTHS}, {"chat": SLO})
    return simulated(table, {key}, *known, {key: LENGTHS}, 0.85, seeds=2, pool_rps={key: 1.0}, routing="round_robin")


def test_each_layout_comes_once_and_a_dense_llm_has_no_experts_to_share() -> None:
    asked = policy(expert_parallel=(False, True), attention_data_parallel=(1, 8))
    assert layouts(DENSE, asked) == ((1, 1, 1, 1), (8, 1, 1, 1))
    assert layouts(MIXTURE, asked) == (
        (1, 1, 1, 1), (1, 1, 1, 8), (1, 1, 8, 8), (8, 1, 1, 1), (8, 1, 8, 1), (8, 1, 1, 8), (8, 1, 64, 8),
    )  # fmt: skip
    found = configurations([MIXTURE], [GPU], ENGINE, asked)
    assert len({one.label for one in found}) == len(found) == 7
    assert [one.gpus for one in found] == [1, 8, 8, 8, 8, 64, 64]
    assert found[2].label.endswith("TP1 DP8 EP8")


def test_a_rank_keeps_its_own_cache_and_a_replica_holds_all_of_them() -> None:
    one, eight = (
        Configuration(MIXTURE.name, GPU.name, "fp8", "bf16", tp, "vllm", 1, 8, 256, 8192, ranks)
        for tp, ranks in ((8, 1), (1, 8))
    )
    known = ({MIXTURE.name: MIXTURE}, {GPU.name: GPU}, ENGINE, load_coefficients())
    whole, ranked = (size(each, *known, 1200.0) for each in (one, eight))
    assert whole.kv_bytes_per_token == ranked.kv_bytes_per_token, "a latent is not cut by tensor parallelism"
    assert ranked.kv_capacity_tokens * ranked.kv_bytes_per_token == pytest.approx(8 * ranked.kv_pool_bytes, rel=1e-6)
    rows, _ = build_rows([one, eight], *known)
    # Experts are shared by as many GPUs either way; attention is whole on every rank.
    assert rows.expert_parameters[0] == rows.expert_parameters[1]
    assert rows.linear_parameters[1] > 3.0 * rows.linear_parameters[0]
    assert ranked.weight_bytes > whole.weight_bytes


def test_a_replica_of_ranks_is_sized_and_replayed_as_many_schedulers() -> None:
    found = {
        row.configuration.layout: row for row in sized(attention_data_parallel=(1, 8), expert_parallel=(True,)).rows
    }
    tensor, ranks = found["TP8 EP8"], found["TP1 DP8 EP8"]
    assert ranks.knee_rps > 1.1 * tensor.knee_rps, "what DeepSeek-V3 is served so for"
    assert ranks.kv_capacity_tokens > 4.0 * tensor.kv_capacity_tokens

    def verdict(share: float) -> bool:
        rps = share * ranks.knee_rps
        mix = (ClassLoad("chat", 1.0, LENGTHS, SLO),)
        load = PoolLoad(
            ranks.configuration, "here", "2026-12", "all", 1, rps, mix, ranks.kv_capacity_tokens, ranks.knee_rps
        )
        known = ({MIXTURE.name: MIXTURE}, {GPU.name: GPU}, ENGINE, load_coefficients())
        (one,) = replay([load], *known, routing="round_robin", requests=1000)
        if not one.holds:
            assert one.knee_rps == pytest.approx(ranks.knee_rps, rel=0.1), "of the replica, not of a rank"
        return one.holds

    assert verdict(0.93)
    assert not verdict(1.2)


def test_a_replica_of_ranks_adds_up_their_rates() -> None:
    ranks = Configuration(MIXTURE.name, GPU.name, "fp8", "bf16", 1, "vllm", 1, 8, 256, 8192, 8)
    known = ({MIXTURE.name: MIXTURE}, {GPU.name: GPU}, ENGINE, load_coefficients())
    eight, sixteen = (phases(ranks, *known, 1000.0, 200.0, batch) for batch in (64.0, 128.0))
    assert eight.output_tokens_per_s == pytest.approx(64.0 / eight.tpot_s)
    assert sixteen.step_s > eight.step_s
    power_w = 8 * GPU.tdp_w
    assert eight.joules_per_output_token_at_most == pytest.approx(power_w / eight.output_tokens_per_s)


def test_ranks_beyond_a_node_exchange_over_the_network_and_are_not_called_fitted() -> None:
    known = ({MIXTURE.name: MIXTURE}, {GPU.name: GPU}, ENGINE, load_coefficients())
    near, far = (Configuration(MIXTURE.name, GPU.name, "fp8", "bf16", 1, "vllm", 1, n, 256, 8192, n) for n in (8, 32))
    rows, provenance = build_rows([near, far], *known)
    # Tokens go to the ranks of eight experts either way; between nodes at the rate of a port, not of NVLink.
    assert rows.all_reduce_bytes_per_s[1] < 0.65 * 50e9
    assert rows.all_reduce_bytes_per_s[0] > 2.0 * rows.all_reduce_bytes_per_s[1]
    assert provenance == ("fitted", "roofline")
    rack = find_gpu("GB200")
    far_on_a_rack = Configuration(MIXTURE.name, rack.name, "fp8", "bf16", 1, "vllm", 1, 32, 256, 8192, 32)
    racked, _ = build_rows([far_on_a_rack], known[0], {rack.name: rack}, *known[2:])
    assert racked.all_reduce_bytes_per_s[0] > 0.65 * 50e9


@pytest.mark.parametrize(("gpu", "bridged", "whole"), [("H100-NVL", 2, 8), ("H200-NVL", 4, 8)])
def test_bridged_cards_are_joined_by_their_bridge_alone(gpu: str, bridged: int, whole: int) -> None:
    dense = find_llm("Llama-3.1-70B")
    ranks = [Configuration(dense.name, gpu, "fp8", "bf16", n, "vllm") for n in (bridged, whole)]
    rows, provenance = build_rows(ranks, {dense.name: dense}, {gpu: find_gpu(gpu)}, ENGINE, load_coefficients())
    assert rows.all_reduce_bytes_per_s[0] > 2.0 * rows.all_reduce_bytes_per_s[1]
    assert provenance[1] == "roofline"


def test_more_ranks_of_experts_than_experts_are_excused() -> None:
    few = find_llm("Mixtral-8x7B")
    found = sized(few, precisions=("bf16",), attention_data_parallel=(1, 8), expert_parallel=(True,)).rows
    excused = {row.configuration.layout: row.excuse for row in found if row.excuse is not None}
    assert excused["TP8 DP8 EP64"].limit == "expert parallelism"
    assert (excused["TP8 DP8 EP64"].needed, excused["TP8 DP8 EP64"].available) == (64, 8)
    assert "TP8 EP8" not in excused or excused["TP8 EP8"].limit == "outclassed"


def test_a_replica_of_ranks_is_no_busier_than_it_can_be() -> None:
    key = (MIXTURE.name, "chat")
    for row in sized(attention_data_parallel=(1, 8), expert_parallel=(True,)).feasible():
        (use,) = resource_uses(
            [row], {MIXTURE.name: MIXTURE}, {GPU.name: GPU}, ENGINE, load_coefficients(), {key: LENGTHS}
        )
        busy = row.operating_rps * (use.prefill_s + use.decode_s)
        assert 0.5 < busy <= 1.05, row.configuration.layout
