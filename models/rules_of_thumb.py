"""The usual sizing tables, recomputed by the kernels beside the rule's own figure: docs/rules_of_thumb.md.

    python -m models.rules_of_thumb > docs/rules_of_thumb.md

A test runs the same and compares, so the page cannot fall behind the code.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp

from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from data.units import GB, GIB
from models.memory import kv_bytes
from models.phases import phases
from models.rows import WEIGHT_BYTES, build_rows
from models.size import size

ENGINE = find_engine("vllm")
SEVEN, EIGHT, SEVENTY = "Llama-2-7B", "Llama-3.1-8B", "Llama-3.1-70B"
RULE_BYTES = {"bf16": 2.0, "fp8": 1.0, "int8": 1.0, "int4": 0.5, "fp4": 0.5}
SHORTEST_ANSWER_TOKENS = 200.0


def _one(llm: str, gpu: str, precision: str, tp: int = 1) -> Configuration:
    return Configuration(llm, gpu, precision, "bf16", tp, ENGINE.name)


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    align = ["---"] + ["---:"] * (len(head) - 1)
    return [f"| {' | '.join(cells)} |" for cells in (head, align, *rows)]


def _weights() -> list[str]:
    rows: list[tuple[str, ...]] = [
        (precision, f"{rule:g}", f"{WEIGHT_BYTES[precision]:.4g}", f"{WEIGHT_BYTES[precision] / rule - 1:+.0%}")
        for precision, rule in RULE_BYTES.items()
    ]
    text = ["## Bytes a parameter", "", *_table(("precision", "rule", "kernel", "difference"), rows), ""]
    text += ["4-bit formats carry scales: one for 128 weights (int4) or for 16 (nvfp4).", ""]
    rows = []
    for llm, billions in ((SEVEN, 7), (SEVENTY, 70)):
        for precision in ("bf16", "fp8", "int4"):
            rule = billions * RULE_BYTES[precision]
            found = size(_one(llm, "MI300X", precision), load_llms(), load_gpus(), ENGINE, load_coefficients(), 1000.0)
            got = found.weight_bytes / GB
            rows.append(
                (f"{llm}, {precision}", f"{rule:.1f}", f"{1.2 * rule:.1f}", f"{got:.1f}", f"{got / rule - 1:+.0%}")
            )
    head = ("LLM", "size x bytes, GB", "x 1.2, GB", "kernel, GB", "over size x bytes")
    text += ["## Weights", "", *_table(head, rows), ""]
    return [
        *text,
        "Embedding and head stay in 16 bits whatever the rest is, which shows in small LLMs with large vocabularies at "
        "4 bits. The 1.2 stands for activations and cache, which do not grow with the weights: `fleetcast size` prints "
        "each on its own.",
        "",
    ]


def _kv() -> list[str]:
    rows = []
    for llm in (SEVEN, EIGHT, SEVENTY):
        made = build_rows([_one(llm, "H100-SXM", "bf16")], load_llms(), load_gpus(), ENGINE, load_coefficients())[0]
        one = load_llms()[llm]
        for context in (2048, 8192, 32_768):
            wide = 2.0 * 2.0 * one.layers * one.hidden * context
            got = float(kv_bytes(made, jnp.full((1, 1), float(context)), ENGINE.kv_block_tokens)[0, 0])
            cells = [f"{batch * wide / GIB:.1f} / {batch * got / GIB:.1f}" for batch in (1, 8, 32)]
            rows.append((f"{llm}, {context:,}", *cells, f"{wide / got:.0f}x"))
    head = ("LLM, tokens", "batch 1, GiB", "batch 8, GiB", "batch 32, GiB", "rule over kernel")
    return [
        "## KV cache, rule / kernel",
        "",
        *_table(head, rows),
        "",
        "The rule is 2 x layers x hidden size x 2 bytes a token. It is right for multi-head attention (Llama 2 7B) and "
        "blind to grouped-query attention: 8 key-value heads instead of 32 or 64 make the cache 4 or 8 times smaller.",
        "",
    ]


def _ceilings() -> list[str]:
    rows = []
    for gpu in ("RTX4090", "A100-80GB-SXM", "H100-SXM"):
        for llm, billions, precision in ((SEVEN, 7, "bf16"), (SEVENTY, 70, "int4")):
            bandwidth = load_gpus()[gpu].memory_bandwidth_bytes_per_s
            rule = bandwidth / (billions * 1e9 * RULE_BYTES[precision])
            one = _one(llm, gpu, precision)
            loads = size(one, load_llms(), load_gpus(), ENGINE, load_coefficients(), 1000.0).loads
            got = phases(one, load_llms(), load_gpus(), ENGINE, load_coefficients(), 500.0, 200.0, 1.0)
            rate = got.output_tokens_per_s
            kernel = (f"{rate:.0f}", f"{rate / rule:.0%}") if loads else ("does not load", "")
            rows.append((f"{gpu}, {llm} {precision}", f"{rule:.0f}", *kernel))
    head = ("GPU, LLM", "bandwidth / size, tokens/s", "kernel at batch 1, tokens/s", "share of the ceiling")
    return [
        "## Batch-1 ceilings",
        "",
        *_table(head, rows),
        "",
        "Bandwidth over size is a ceiling. Kernels reach 75 to 90 % of the bandwidth, every layer adds launches and "
        "the step some host time. A 70B at 4 bits does not fit a 24 GB card at all, whatever the quotient says.",
        "",
    ]


def _users() -> list[str]:
    rows = []
    one = _one(SEVENTY, "H100-SXM", "int4", 1)
    memory = size(one, load_llms(), load_gpus(), ENGINE, load_coefficients(), 1000.0)
    for users in (10, 50, 100, 200):
        rate = users * SHORTEST_ANSWER_TOKENS / 10.0
        ceiling = load_gpus()["H100-SXM"].memory_bandwidth_bytes_per_s / (70e9 * 0.5)
        rule_gpus = math.ceil(rate / ceiling)
        found = phases(one, load_llms(), load_gpus(), ENGINE, load_coefficients(), 800.0, 200.0, float(users))
        fits = users <= memory.concurrent_requests
        gpus = max(math.ceil(rate / found.output_tokens_per_s), math.ceil(users / memory.concurrent_requests))
        note = "yes" if fits else f"no, {memory.concurrent_requests} do"
        rows.append((f"{users}", f"{rate:,.0f}", f"{rule_gpus}", f"{found.output_tokens_per_s:,.0f}", note, f"{gpus}"))
    head = (
        "users", "users x 200 / 10 s, tokens/s", "GPUs by batch-1 ceiling", "one GPU batched, tokens/s",
        "KV cache fits them", "GPUs by kernel",
    )  # fmt: skip
    return [
        "## Users x output / latency: 70B at 4 bits on H100-SXM, 800 tokens in, 200 out in 10 s",
        "",
        *_table(head, rows),
        "",
        "The demand formula (users x output tokens / latency) is sound. Dividing it by a batch-1 rate is not: requests "
        "that decode together share the reading of the weights. These are averages of a steady state; `fleetcast size` "
        "finds the rate at which percentiles of the SLO hold, which is lower.",
        "",
    ]


def page() -> str:
    """The page as Markdown."""
    lines = [
        "# Rules of thumb, recomputed",
        "",
        "Made by `python -m models.rules_of_thumb`; every figure is either the rule's or the kernels'.",
        "",
        *_weights(),
        *_kv(),
        *_ceilings(),
        *_users(),
    ]
    return "\n".join(lines).rstrip() + "\n"


if __name__ == "__main__":
    print(page(), end="")
