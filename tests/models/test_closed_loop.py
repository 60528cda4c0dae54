"""Closed loops and attention data parallelism: limits they must reach, laws they must obey."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from models.closed_loop import ClosedLoop, ClosedLoopTime, closed_loop
from models.rows import Rows, build_rows, spread_experts
from models.step_time import step_time_s


def rows_of(llm: str, tp: int, ep: int = 1, count: int = 1) -> Rows:
    one = Configuration(llm, "H200-SXM", "fp8", "bf16", tp, "trtllm", expert_parallel=ep)
    rows, _ = build_rows([one] * count, load_llms(), load_gpus(), find_engine("trtllm"), load_coefficients())
    return rows


def run(rows: Rows, clients: list[float], prompt: float, output: float, fit: float = 1e9) -> ClosedLoopTime:
    def full(value: float) -> jax.Array:
        return jnp.full((len(clients),), value, dtype=jnp.float32)

    load = ClosedLoop(jnp.asarray(clients, dtype=jnp.float32), full(prompt), full(output), full(fit), full(8192.0))
    return closed_loop(rows, load)


def test_one_client_waits_for_nobody() -> None:
    rows = rows_of("Llama-3.1-70B", 4)
    found = run(rows, [1.0], 1000.0, 200.0)
    one = jnp.ones((1,), dtype=jnp.float32)
    assert float(found.interference_s[0]) == 0.0
    assert float(found.tpot_s[0]) == pytest.approx(float(step_time_s(rows, one, 1100 * one, 0 * one, 0 * one, one)[0]))


def test_more_clients_and_longer_prompts_are_slower() -> None:
    rows = rows_of("Llama-3.1-70B", 4, count=5)
    clients = [1.0, 4.0, 16.0, 64.0, 256.0]
    assert np.all(np.diff(np.asarray(run(rows, clients, 1000.0, 200.0).tpot_s)) > 0)
    longer = np.asarray(run(rows, clients, 4000.0, 200.0).tpot_s)
    assert np.all(longer > np.asarray(run(rows, clients, 1000.0, 200.0).tpot_s))


def test_what_does_not_fit_does_not_decode() -> None:
    rows = rows_of("Llama-3.1-70B", 4)
    held = run(rows, [256.0], 1000.0, 200.0, fit=32.0)
    assert float(held.batch[0]) == 32.0
    assert float(held.tpot_s[0]) == pytest.approx(float(run(rows, [32.0], 1000.0, 200.0).tpot_s[0]))


def test_one_rank_of_attention_changes_nothing() -> None:
    experts, attention = rows_of("DeepSeek-R1", 8, 8), rows_of("DeepSeek-R1", 1)
    for mine, theirs in zip(spread_experts(attention, experts, jnp.ones((1,))), experts, strict=True):
        np.testing.assert_array_equal(mine, theirs)


def test_spread_experts_keep_whole_attention_and_a_share_of_the_experts() -> None:
    experts, attention = rows_of("DeepSeek-R1", 8, 8), rows_of("DeepSeek-R1", 1)
    joined = spread_experts(attention, experts, jnp.full((1,), 8.0))
    assert float(joined.experts[0]) == 256 / 8
    assert float(joined.attention_width[0]) == 8 * float(experts.attention_width[0])
    # Each rank's experts see every rank's tokens: 8 of 256 experts a token, over 8 ranks of tokens.
    assert float(joined.experts_per_token[0]) == pytest.approx(8.0)
    # At large batch latent KV is the bottleneck that tensor parallelism replicates and this does not.
    spread = run(joined, [256.0 / 8], 8192.0, 1024.0)
    tensor = run(experts, [256.0], 8192.0, 1024.0)
    assert float(spread.decode_s[0]) < float(tensor.decode_s[0])
