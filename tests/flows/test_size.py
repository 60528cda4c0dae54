"""`fleetcast size`: loading and serving are different questions with different answers."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console

from configs.errors import InputError
from data.catalog import load_gpus
from data.records import SloTarget
from flows.show_size import band_in_words, show_size, size_json
from flows.size import Answer, Question, examine, read_speculation
from models.excuses import hardware

SLO = SloTarget(2.0, 0.06, 95.0)


def ask(gpu: str = "H100-SXM", tp: int = 1, slo: SloTarget = SLO, precision: str = "bf16") -> Answer:
    return examine(Question("Llama-3.1-8B", gpu, precision, tp, "vllm", 500, 100, slo))


def test_what_loads_and_serves() -> None:
    answer = ask()
    assert answer.memory.loads
    assert answer.capacity.excuse is None
    assert answer.capacity.method.startswith("continuous-batching simulation")
    m = answer.memory
    parts = m.weight_bytes + m.activation_bytes + m.graph_bytes + m.communication_bytes + m.headroom_bytes
    parts += m.fragmentation_bytes
    assert parts + m.left_to_others_bytes + m.kv_pool_bytes == pytest.approx(m.total_bytes, rel=1e-6)
    assert json.loads(size_json(answer))["capacity"]["knee_rps"] == answer.capacity.knee_rps


def test_what_loads_may_serve_nothing() -> None:
    answer = ask("L4", slo=SloTarget(2.0, 0.01, 95.0))
    assert answer.memory.loads
    assert answer.capacity.excuse is not None
    assert answer.capacity.excuse.limit == "TPOT"


def test_what_does_not_load_says_what_it_needs() -> None:
    answer = examine(Question("Llama-3.1-70B", "A100-80GB-SXM", "bf16", 1, "vllm", 500, 100, SLO))
    assert not answer.memory.loads
    assert answer.capacity.excuse is not None
    assert answer.capacity.excuse.limit == "memory"


def adapted(adapters: int) -> Answer:
    return examine(Question("Llama-3.1-8B", "H100-SXM", "bf16", 1, "vllm", 500, 100, SLO, adapters=adapters))


def test_more_adapters_than_fit_serve_nothing() -> None:
    """900 of 71 MB (16 x 2 B of every projection's K + N) leave nothing of 80 GB."""
    answer = adapted(900)
    assert answer.memory.kv_pool_bytes < 0
    assert answer.capacity.excuse is not None
    assert (answer.capacity.excuse.limit, answer.capacity.knee_rps) == ("memory", 0.0)
    assert "nothing" in screen(answer)


@pytest.mark.slow
def test_adapters_take_memory_from_what_is_served() -> None:
    none, some = ask(), adapted(300)
    taken = none.memory.kv_pool_bytes - some.memory.kv_pool_bytes
    assert taken == pytest.approx(300 * 71.3e6, rel=0.01)
    lost = none.capacity.kv_capacity_tokens - some.capacity.kv_capacity_tokens
    assert lost * 131_072 == pytest.approx(taken, rel=0.02)
    assert "memory counts" in screen(some)


def test_a_rate_without_speculation_says_so() -> None:
    answer = examine(
        Question("Llama-3.1-8B", "H100-SXM", "bf16", 1, "vllm", 500, 100, SLO, speculation=read_speculation("3:0.7"))
    )
    assert answer.capacity.knee_rps == ask().capacity.knee_rps
    assert "without speculation" in screen(answer)
    assert "without speculation" in json.loads(size_json(answer))["notes"][0]
    assert "speculation" not in screen(ask())


def test_what_is_not_known_is_null() -> None:
    def refuse(constant: str) -> float:
        raise AssertionError(constant)

    answer = examine(Question("Llama-3.1-70B", "L4", "bf16", 1, "vllm", 500, 100, SLO))
    read = json.loads(size_json(answer), parse_constant=refuse)
    assert read["capacity"]["knee_band"] is None


def test_the_band_is_told_with_whether_it_is_as_narrow_as_asked() -> None:
    answer = ask()
    assert answer.capacity.knee_band <= answer.knee_band_target == 0.03
    assert f"{answer.capacity.knee_band * 100:.1f} % (at most 3 % asked: met)" in screen(answer)
    assert band_in_words(0.05, 0.03) == "± 5.0 % (at most 3 % asked: not met with 24 seeds)"


def screen(answer: Answer, width: int = 120) -> str:
    console = Console(width=width, record=True, file=io.StringIO())
    show_size(console, answer)
    return console.export_text()


@pytest.mark.parametrize("width", [80, 120])
def test_the_screen_answers_both_questions_and_draws_to_scale(width: int) -> None:
    answer = ask()
    text = screen(answer, width)
    assert "Loads              yes" in text
    assert f"{answer.capacity.knee_rps:.2f} requests/s" in text
    m = answer.memory
    bars = {line.split("  ")[0]: line.count("\u2588") for line in text.splitlines() if "\u2588" in line}
    drawn = bars["KV cache"] / bars["weights"]
    assert drawn == pytest.approx(m.kv_pool_bytes / m.weight_bytes, rel=0.2 if width >= 120 else 1.0)
    for n, tokens in m.largest_context_at_concurrency:
        assert f"{n:,}" in text
        assert f"{tokens:,.0f}" in text
    assert max(map(len, text.splitlines())) <= width


def test_the_screen_says_what_would_load() -> None:
    # 141 GB of weights: 71 GB on each of two A100s leave something, 35 GB on each of four L40S too, 71 GB do not.
    big, less = (
        examine(Question("Llama-3.1-70B", gpu, "bf16", 1, "vllm", 500, 100, SLO)) for gpu in ("A100-80GB-SXM", "L40S")
    )
    assert (big.loads_from, less.loads_from) == (2, 4)
    assert "with TP2 it does" in screen(big)
    assert "GB a GPU too little" in screen(big)
    huge = examine(Question("Llama-3.1-405B", "L4", "bf16", 8, "vllm", 500, 100, SLO))
    assert huge.loads_from is None
    assert "nor with more tensor parallelism" in screen(huge)
    cannot = ask("A100-80GB-SXM", precision="fp8")
    assert "cannot compute in fp8" in screen(cannot)
    assert "Memory of one GPU" not in screen(cannot)


def test_an_fp8_cache_needs_kernels_that_read_it() -> None:
    refused = examine(Question("Llama-3.2-1B", "T4", "bf16", 1, "vllm", 500, 100, SLO, kv_precision="fp8"))
    assert refused.capacity.excuse is not None
    assert refused.capacity.excuse.limit == "KV precision"
    assert not refused.memory.loads
    assert "cannot read an fp8 KV cache" in screen(refused)
    fp8 = replace(refused.memory.configuration, kv_precision="fp8")
    without = [name for name, gpu in load_gpus().items() if hardware(replace(fp8, gpu=name), gpu) is not None]
    assert sorted(without) == ["T4", "V100-SXM2-32GB"], "others dequantise while they read: no fp8 cores needed"
    assert hardware(replace(fp8, kv_precision="bf16"), load_gpus()["T4"]) is None


def test_two_gpus_serve_more_than_one() -> None:
    assert ask(tp=2).capacity.knee_rps > ask(tp=1).capacity.knee_rps


@pytest.mark.parametrize(
    ("question", "expected"),
    [
        (Question("Llama-9", "H100-SXM", "bf16", 1, "vllm", 1, 1, SLO), "LLM 'Llama-9'"),
        (Question("Llama-3.1-8B", "H100-SXM", "fp3", 1, "vllm", 1, 1, SLO), "precisions"),
        (Question("Llama-3.1-8B", "H100-SXM", "bf16", 3, "vllm", 1, 1, SLO), "tensor_parallel"),
    ],
)
def test_unknown_names_are_errors(question: Question, expected: str) -> None:
    with pytest.raises(InputError, match=expected):
        examine(question)


@pytest.mark.slow
def test_options_reach_the_kernels() -> None:
    def question(**options: object) -> Question:
        return Question("Llama-3.1-8B", "L40S", "bf16", 1, "vllm", 2000, 100, SLO, **options)  # type: ignore[arg-type]

    plain = examine(question())
    assert plain.times is not None
    assert plain.times.energy_provenance
    fp8, two, lora, cached = (
        examine(question(**change))
        for change in ({"kv_precision": "fp8"}, {"pipeline_parallel": 2}, {"adapters": 8}, {"prefix_share": 0.8})
    )
    assert fp8.memory.kv_bytes_per_token == plain.memory.kv_bytes_per_token / 2
    assert two.memory.weight_bytes < 0.6 * plain.memory.weight_bytes
    assert two.memory.configuration.gpus == 2
    assert lora.memory.adapter_bytes > 0
    assert lora.memory.kv_pool_bytes < plain.memory.kv_pool_bytes
    assert cached.times is not None
    assert cached.times.prefill_s < 0.5 * plain.times.prefill_s
    assert cached.capacity.knee_rps > plain.capacity.knee_rps


def test_a_hugging_face_config_will_do(tmp_path: Path) -> None:
    config = {
        "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256,
    }  # fmt: skip
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    local = examine(Question(str(path), "H100-SXM", "bf16", 1, "vllm", 500, 100, SLO))
    assert local.capacity.knee_rps == pytest.approx(ask().capacity.knee_rps)


def test_speculation_is_read_or_refused() -> None:
    assert read_speculation(None) is None
    found = read_speculation("3:0.7")
    assert found is not None
    assert (found.draft_tokens, found.acceptance) == (3, 0.7)
    for wrong in ("3", "a:b", "3:1.0", "0:0.5"):
        with pytest.raises(InputError, match="speculate"):
            read_speculation(wrong)


def apart(prefill_on: str, gpu: str = "H200-SXM", slo: SloTarget = SLO, precision: str = "fp8") -> Answer:
    return examine(Question("Llama-3.1-8B", gpu, precision, 1, "vllm", 500, 100, slo, prefill_on=prefill_on))


def test_prefill_and_decode_apart_are_told_beside_the_replica_that_does_both() -> None:
    answer = apart("H100-SXM:2")
    assert answer.split is not None
    assert answer.split.decode_rps > answer.capacity.knee_rps, "no prefill delays its tokens"
    assert answer.split.prefill_per_decode == pytest.approx(answer.split.decode_rps / answer.split.prefill_rps)
    screen = io.StringIO()
    show_size(Console(file=screen, width=120), answer)
    assert "Prefill and decode apart" in screen.getvalue()
    assert json.loads(size_json(answer))["split"]["prefill_rps"] == answer.split.prefill_rps
    slow = apart("H100-SXM", slo=SloTarget(2.0, 0.0005, 95.0))
    assert slow.split is None
    assert any("not one request decodes" in note for note in slow.notes)


@pytest.mark.parametrize(
    ("prefill_on", "expected", "came"),
    [
        ("H100-SXM:3", "TP one of 1, 2, 4, 8", "'3'"),
        ("A100-80GB-SXM", "a GPU that runs fp8", "A100-80GB-SXM"),
        ("H900", "", "H900"),
    ],
)
def test_prefill_replicas_that_cannot_be_are_refused(prefill_on: str, expected: str, came: str) -> None:
    with pytest.raises(InputError) as refused:
        apart(prefill_on)
    assert expected in str(refused.value)
    assert came in str(refused.value)


def test_prefill_replicas_must_hold_the_llm() -> None:
    asked = Question("Llama-3.1-70B", "H200-SXM", "fp8", 2, "vllm", 500, 100, SLO, prefill_on="L40S:1")
    with pytest.raises(InputError, match=r"GB a GPU too little; name more GPUs"):
        examine(asked)


def test_ranks_of_attention_are_sized_from_the_command_line() -> None:
    found = examine(
        Question("DeepSeek-V3", "H200-SXM", "fp8", 1, "vllm", 500, 100, SLO, 1, True, attention_data_parallel=8)
    )
    one = found.memory.configuration
    assert (one.gpus, one.layout) == (8, "TP1 DP8 EP8")
    assert found.memory.loads
    assert found.capacity.knee_rps > 0
    screen = io.StringIO()
    show_size(Console(file=screen, width=120), found)
    assert "TP1 DP8 EP8" in screen.getvalue()


@pytest.mark.parametrize("option", ["--expert-parallel", "--attention-data-parallel"])
def test_a_dense_llm_has_no_experts_to_share(option: str) -> None:
    plain = Question("Llama-3.1-8B", "H100-SXM", "bf16", 1, "vllm", 500, 100, SLO)
    spread = option == "--expert-parallel"
    asked = replace(plain, expert_parallel=spread, attention_data_parallel=1 if spread else 8)
    with pytest.raises(InputError, match=option):
        examine(asked)


def test_prefill_replicas_have_limits_and_a_prefix_cache_of_their_own() -> None:
    whole, half = (
        examine(
            Question(
                "Llama-3.1-8B", "H200-SXM", "fp8", 1, "vllm", 2000, 100, SLO, prefix_share=share, prefill_on="L40S"
            )
        ).split
        for share in (0.0, 0.5)
    )
    assert whole is not None
    assert half is not None
    assert half.prefill_rps > 1.7 * whole.prefill_rps
    assert half.transfer_s == whole.transfer_s
