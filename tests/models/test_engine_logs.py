"""Memory against what engines logged at start-up, as quoted in public issues: within 5 %."""

from __future__ import annotations

import jax.numpy as jnp
import pytest

from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from data.units import GIB
from models.memory import Memory, kv_bytes, memory
from models.rows import Rows, build_rows

VLLM = find_engine("vllm")


def rows_of(llm: str, gpu: str, precision: str, tp: int) -> Rows:
    one = Configuration(llm, gpu, precision, "bf16", tp, "vllm")
    return build_rows([one], load_llms(), load_gpus(), VLLM, load_coefficients())[0]


def loaded(
    llm: str, gpu: str, precision: str, tp: int, tokens: int = 8192, seqs: int = 256, share: float = 0.9
) -> Memory:
    return memory(rows_of(llm, gpu, precision, tp), VLLM, share, 0.0, tokens, seqs)


@pytest.mark.parametrize(
    ("llm", "gpu", "precision", "tp", "gib", "source"),
    [
        ("Llama-3.1-8B", "H100-SXM", "bf16", 1, 14.96, "vllm-project/vllm#10511 (Meta-Llama-3-8B)"),
        ("Llama-3.1-8B", "H100-SXM", "bf16", 2, 7.48, "vllm-project/vllm#10511 (Meta-Llama-3-8B)"),
        ("Llama-3.1-70B", "H100-SXM", "int8", 1, 67.7229, "vllm-project/vllm#12569 (w8a8; its GB are GiB)"),
        ("Qwen2.5-72B", "A100-80GB-SXM", "bf16", 4, 34.4340, "vllm-project/vllm#16570 (VL-72B: 0.7 B more of vision)"),
        ("gpt-oss-120b", "H100-SXM", "fp4", 1, 65.9651, "vllm-project/vllm#23278 (Marlin kernels)"),
        ("gpt-oss-120b", "H100-SXM", "fp4", 1, 64.38, "vllm-project/vllm#33155 (Triton kernels)"),
        ("DeepSeek-R1", "H100-SXM", "fp8", 8, 79.41, "HabanaAI/vllm-fork#809 (8 ranks)"),
    ],
)
def test_weights_of_a_rank(llm: str, gpu: str, precision: str, tp: int, gib: float, source: str) -> None:
    assert float(loaded(llm, gpu, precision, tp).weights[0]) / GIB == pytest.approx(gib, rel=0.05), source


def test_a_whole_start_up() -> None:
    # vllm-project/vllm#10511: 71.29 GiB usable of an H100, weights 14.96, activations 1.26, KV cache 53.29.
    found = loaded("Llama-3.1-8B", "H100-SXM", "bf16", 1)
    assert float(found.activations[0]) / GIB == pytest.approx(1.26, rel=0.05)
    assert float(found.pool[0]) / GIB == pytest.approx(53.29, rel=0.05)


@pytest.mark.parametrize(
    ("llm", "gpu", "precision", "tp", "gib", "tokens", "source"),
    [
        ("Qwen3-235B-A22B", "H100-SXM", "fp8", 4, 8.11, 178_880, "vllm-project/vllm#21348"),
        ("gpt-oss-120b", "H100-SXM", "fp4", 1, 9216 / 1024 / 2, 131_072, "ollama/ollama#16480 (its full layers, fp16)"),
    ],
)
def test_tokens_of_a_kv_pool(llm: str, gpu: str, precision: str, tp: int, gib: float, tokens: int, source: str) -> None:
    rows = rows_of(llm, gpu, precision, tp)
    got = kv_bytes(rows, jnp.full((1, 1), float(tokens)), 16)
    assert float(got[0, 0]) / GIB == pytest.approx(gib, rel=0.05), source


def test_blocks_of_a_long_known_case() -> None:
    # vllm-project/vllm#2031: Llama-2-7B on one A100-80GB, 7,351 blocks of 16 tokens of 512 KiB.
    pool = float(loaded("Llama-2-7B", "A100-80GB-SXM", "bf16", 1, tokens=4096).pool[0])
    assert pool / (16 * 524_288) == pytest.approx(7351, rel=0.05)
