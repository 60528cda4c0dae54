"""Step costs from operator tables whose times follow known lines."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks.operator_tables import Reach, Shards, step_cost, unused
from configs.errors import InputError
from data.catalog import find_engine, find_gpu, find_llm

REACH = Reach(64, 100.0, 5000.0)
H100 = Shards(find_gpu("H100-SXM"))
DENSE, MIXTURE = find_llm("Llama-3.1-8B"), find_llm("Qwen3-30B-A3B")
OPERATORS = {"embedding": 3.0, "layernorm": 2.0, "qkv_proj": 40.0, "o_proj": 20.0, "final_layernorm": 1.0}


def tables(folder: Path, *, moe: bool = False, newer: bool = False) -> Path:
    at = folder / "op_tables"
    at.mkdir()
    names = OPERATORS if moe else OPERATORS | {"gate_up_proj": 100.0, "down_proj": 50.0}
    dense = [(name, n, base + 0.01 * n) for name, base in names.items() for n in (1, 8, 64, 512, 2048)]
    pd.DataFrame(dense, columns=["layer", "tokens", "time_us"]).to_csv(at / "dense.csv", index=False)
    sequences = [(name, n, base + 0.5 * n) for name, base in (("lm_head", 700.0), ("sampler", 20.0)) for n in (1, 64)]
    pd.DataFrame(sequences, columns=["layer", "sequences", "time_us"]).to_csv(at / "per_sequence.csv", index=False)
    rows = []
    for chunk, before, n, kv in itertools.product((0, 16, 512), (0, 1024), (0, 1, 16, 64), (128, 1024, 4096)):
        key = before + chunk / 2 if chunk else 0.0
        decode = 10.0 + 0.2 * n + 0.003 * n * kv if n else 0.0
        prefill = 5.0 + 0.01 * chunk + 1e-5 * chunk * key if chunk else 0.0
        if n or chunk:
            rows.append((chunk, key if newer else before, n, kv if n else 0, decode * (1.5 if chunk else 1) + prefill))
    columns = ["prefill_chunk", "prefill_key" if newer else "kv_prefill", "n_decode", "kv_decode", "time_us"]
    attention = pd.DataFrame(rows, columns=columns)
    if newer:
        longer = attention.assign(decode_q_len=4, time_us=1e6)
        attention = pd.concat([attention.assign(decode_q_len=1), longer])
    attention.to_csv(at / "attention.csv", index=False)
    if moe:
        experts = [(ep, n, e, (30.0 + 2.0 * e) / ep) for ep in (1, 2) for n in (1, 64, 2048) for e in (1, 8, 64, 128)]
        pd.DataFrame(experts, columns=["ep", "tokens", "activated_experts", "time_us"]).to_csv(
            at / "moe.csv", index=False
        )
    return folder


@pytest.mark.parametrize("newer", [False, True])
def test_a_dense_llms_cost_is_the_sum_of_its_operators(tmp_path: Path, newer: bool) -> None:
    cost = step_cost(tables(tmp_path, newer=newer), DENSE, REACH, H100)
    host = find_engine("vllm").host_overhead_s
    # Once a step: 4 us and 0.02 us a token; twice a layer: 2; once a layer: 210. The sampled token costs 1 us a head.
    want = 4.0 + 0.02 * 64 + 32 * (2 * (2.0 + 0.64) + 210.0 + 4 * 0.64) + 720.0
    assert np.interp(64.0, cost.tokens, cost.linear_s[0]) == pytest.approx(want * 1e-6 + host)
    assert cost.decode_base_s[0] == pytest.approx(32 * 10e-6)
    assert cost.decode_per_seq_s[0] == pytest.approx(32 * 0.2e-6 + 1e-6)
    assert cost.decode_per_kv_token_s[0] == pytest.approx(32 * 0.003e-6)
    assert cost.prefill_base_s[0] == pytest.approx(32 * 5e-6)
    assert cost.prefill_per_token_s[0] == pytest.approx(32 * 0.01e-6)
    assert cost.prefill_per_attention_s[0] == pytest.approx(32 * 1e-11)
    assert cost.mixed_decode_factor is not None
    assert cost.mixed_decode_factor[0] == pytest.approx(1.5)


@pytest.mark.parametrize(("expert_parallel", "ep"), [(False, 1), (True, 2)])
def test_a_mixtures_blocks_follow_the_experts_that_its_tokens_touch(
    tmp_path: Path, expert_parallel: bool, ep: int
) -> None:
    shards = H100._replace(tensor_parallel=2, expert_parallel=expert_parallel)
    found = step_cost(tables(tmp_path, moe=True), MIXTURE, REACH, shards)
    plain = step_cost(tmp_path, MIXTURE, REACH, H100._replace(expert_parallel=expert_parallel))
    host = find_engine("vllm").host_overhead_s

    def block(tokens: float, ranks: int) -> float:
        touched = 128 / ranks * (1 - (1 - 8 / 128) ** tokens)
        return (30.0 + 2.0 * touched) / ranks

    dense = 4.0 + 0.02 * 64 + 48 * (2 * (2.0 + 0.64) + 60.0 + 2 * 0.64) + 720.0
    at_64 = [float(np.interp(64.0, one.tokens, one.linear_s[0])) for one in (plain, found)]
    assert at_64[0] == pytest.approx((dense + 48 * block(64, 1)) * 1e-6 + host)
    ring = at_64[1] - (dense + 48 * block(64, ep)) * 1e-6 - host
    assert 0 < ring < 48 * 2 * 40e-6, "two all-reduces a layer of 256 kB over NVLink"


def test_what_is_missing_or_not_used_is_named(tmp_path: Path) -> None:
    folder = tables(tmp_path)
    (folder / "op_tables" / "skew.csv").write_text("layer\n", encoding="utf-8")
    assert unused(folder) == ["skew.csv"]
    with pytest.raises(InputError, match=r"moe\.csv"):
        step_cost(folder, MIXTURE, REACH, H100)
    (folder / "op_tables" / "dense.csv").write_text("layer,time_us\n", encoding="utf-8")
    with pytest.raises(InputError, match="no tokens"):
        step_cost(folder, DENSE, REACH, H100)
