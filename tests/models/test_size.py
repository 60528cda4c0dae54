"""The memory breakdown of known cases."""

from __future__ import annotations

import pytest

from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.memory_records import MemoryBreakdown
from data.records import Configuration
from models.size import size


def breakdown(llm: str, gpu: str, precision: str, tp: int, context: float = 8192.0) -> MemoryBreakdown:
    one = Configuration(llm, gpu, precision, "bf16", tp, "vllm")
    return size(one, load_llms(), load_gpus(), find_engine("vllm"), load_coefficients(), context)


@pytest.mark.parametrize("gpu", ["L4", "A100-80GB-SXM", "H200-SXM"])
@pytest.mark.parametrize("tp", [1, 4])
def test_everything_is_accounted_for(gpu: str, tp: int) -> None:
    found = breakdown("Llama-3.1-8B", gpu, "bf16", tp)
    parts = (
        found.weight_bytes + found.activation_bytes + found.graph_bytes + found.communication_bytes
        + found.adapter_bytes + found.headroom_bytes + found.left_to_others_bytes + found.kv_pool_bytes
        + found.fragmentation_bytes
    )  # fmt: skip
    assert parts == pytest.approx(found.total_bytes)
    assert found.fragmentation_bytes == pytest.approx(0.6 * 2**30)
    assert found.left_to_others_bytes == pytest.approx(0.1 * found.total_bytes - 0.6 * 2**30, rel=1e-4)


def test_llama_8b_on_an_a100() -> None:
    found = breakdown("Llama-3.1-8B", "A100-80GB-SXM", "bf16", 1)
    assert found.weight_bytes == pytest.approx(2 * 8.03e9, rel=0.001)
    assert found.kv_bytes_per_token == 131_072
    # 0.9 x 80 GiB - 16.06 GB - about 2 GB of activations and graphs, over 1 GiB a request.
    assert found.concurrent_requests == pytest.approx((77.3 - 16.06 - 2.0) / 1.0737, abs=2)
    assert found.loads
    assert found.hidden_size_rule_kv_bytes_per_token == 4 * found.kv_bytes_per_token


def test_what_does_not_load_says_so() -> None:
    assert not breakdown("Llama-3.1-70B", "H100-SXM", "bf16", 1).loads
    assert breakdown("Llama-3.1-70B", "H100-SXM", "bf16", 1).kv_pool_bytes < 0
    assert not breakdown("Llama-3.1-8B", "A100-80GB-SXM", "fp8", 1).loads
    assert breakdown("Llama-3.1-70B", "H100-SXM", "fp8", 2).loads


def test_one_request_goes_no_further_than_the_llm() -> None:
    assert breakdown("Llama-3.1-8B", "H200-SXM", "bf16", 1).largest_context_tokens == 131_072
    assert breakdown("Llama-3.1-8B", "L4", "bf16", 1).largest_context_tokens < 60_000


def test_approved_context_falls_with_concurrency_and_fits_exactly() -> None:
    found = breakdown("Llama-3.1-8B", "A100-80GB-SXM", "bf16", 1)
    contexts = [tokens for _, tokens in found.largest_context_at_concurrency]
    assert contexts == sorted(contexts, reverse=True)
    assert found.largest_context_at_concurrency[0] == (1, found.largest_context_tokens)
    for requests, tokens in found.largest_context_at_concurrency[2:]:
        assert requests * tokens * 131_072 <= found.kv_pool_bytes < requests * (tokens + 16) * 131_072


def test_windows_let_contexts_grow_further() -> None:
    # Of gpt-oss-120b's 36 layers half keep 128 tokens: twice the context of a cache that keeps everything.
    found = breakdown("gpt-oss-120b", "H100-SXM", "fp4", 2)
    requests, tokens = found.largest_context_at_concurrency[2]
    assert requests * 18 * 2 * 4 * 64 * 2 * (tokens + 128) == pytest.approx(found.kv_pool_bytes, rel=1e-3)
