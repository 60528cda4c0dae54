"""The linear form against the kernel it stands for."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest

from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration, StepCost
from models.rows import build_rows
from models.step_cost import step_cost
from models.step_time import behind_host, step_time_s

ENGINE = find_engine("vllm")
LANES = tuple(
    Configuration(llm, gpu, precision, "bf16", tp, "vllm")
    for llm, gpu, precision, tp in (
        ("Llama-3.1-8B", "A100-80GB-SXM", "bf16", 1),
        ("Llama-3.1-70B", "H100-SXM", "fp8", 4),
        ("Qwen3-235B-A22B", "H200-SXM", "fp8", 8),
        ("DeepSeek-R1", "B200-SXM", "fp8", 8),
        ("gpt-oss-120b", "H100-SXM", "fp4", 1),
        ("Llama-3.1-8B", "H100-SXM", "fp8", 4),
    )
)
CONTEXT = 1200.0


def evaluate(cost: StepCost, lane: int, n: float, kv: float, prefill: float, work: float) -> float:
    linear = float(np.interp(n + prefill, cost.tokens, cost.linear_s[lane]))
    decode = cost.decode_base_s + cost.decode_per_seq_s * n + cost.decode_per_kv_token_s * kv
    mixed = cost.prefill_base_s + cost.prefill_per_token_s * prefill + cost.prefill_per_attention_s * work
    gpu = linear + (float(decode[lane]) if n else 0.0) + (float(mixed[lane]) if prefill else 0.0)
    assert cost.host_per_sequence_s is not None
    return float((gpu**4 + (cost.host_per_sequence_s[lane] * n) ** 4) ** 0.25)


@pytest.mark.parametrize(
    ("n", "prefill"), [(1, 0), (3, 0), (17, 0), (100, 0), (250, 0), (0, 900), (40, 1200), (200, 2000)]
)
def test_the_linear_form_matches_the_kernel(n: int, prefill: int) -> None:
    rows, _ = build_rows(LANES, load_llms(), load_gpus(), ENGINE, load_coefficients())
    cost = step_cost(LANES, load_llms(), load_gpus(), ENGINE, load_coefficients(), [CONTEXT] * len(LANES))
    work = prefill * CONTEXT / 2
    values = (n, n * CONTEXT, prefill, work, CONTEXT)
    gpu = step_time_s(rows, *(jnp.full((len(LANES),), value, dtype=jnp.float32) for value in values))
    want = behind_host(gpu, jnp.float32(n))
    if n == 250:
        assert float((want / gpu).max()) > 1.3, "a small LLM on four GPUs waits for its host"
    got = [evaluate(cost, lane, n, n * CONTEXT, prefill, work) for lane in range(len(LANES))]
    assert got == pytest.approx(np.asarray(want), rel=0.015)
