"""`fleetcast size`: loading and serving are different questions with different answers."""

from __future__ import annotations

import json

import pytest

from configs.errors import InputError
from data.records import SloTarget
from flows.show import size_json
from flows.size import Answer, Question, examine

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
