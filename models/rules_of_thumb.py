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
PROMPT_TOKENS, ANSWER_TOKENS, LATENCY_S = 800.0, 200.0, 10.0


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
    text += [
        "4-bit formats carry scales: one for 128 weights (int4) or for 16 (nvfp4). A checkpoint's mean is higher "
        "still: embedding, head, norms and routers stay in 16 bits (next table).",
        "",
    ]
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


def _rate(one: Configuration) -> float | None:
    """Output tokens a second of a single request, 500 tokens in and 200 out; None where it does not load."""
    catalogs = load_llms(), load_gpus(), ENGINE, load_coefficients()
    return phases(one, *catalogs, 500.0, 200.0, 1.0).output_tokens_per_s if size(one, *catalogs, 700.0).loads else None


def _ceilings() -> list[str]:
    rows = []
    for gpu in ("RTX4090", "A100-80GB-SXM", "H100-SXM"):
        for llm, billions, precision in ((SEVEN, 7, "bf16"), (SEVEN, 7, "int4"), (SEVENTY, 70, "int4")):
            bandwidth = load_gpus()[gpu].memory_bandwidth_bytes_per_s
            rule = bandwidth / (billions * 1e9 * RULE_BYTES[precision])
            rate = _rate(_one(llm, gpu, precision))
            cells = (f"{rate:.0f}", f"{rate / rule:.0%}") if rate else ("does not load", "")
            rows.append((f"{gpu}, {llm} {precision}", f"{rule:.0f}", *cells))
    four = _rate(_one(SEVENTY, "RTX4090", "int4", 4))
    assert four is not None
    head = ("GPU, LLM", "bandwidth / size, tokens/s", "kernel at batch 1, tokens/s", "share of the ceiling")
    return [
        "## Batch-1 ceilings",
        "",
        *_table(head, rows),
        "",
        "Bandwidth over size is a ceiling for one request. Kernels reach 75 to 90 % of the bandwidth, 4-bit ones less "
        "(they unpack in registers); every layer adds launches and the step some host time, which weighs most where "
        "the weights are small and the GPU is fast; the head is read in 16 bits. A 70B at 4 bits does not fit a 24 GB "
        f"card at all, whatever the quotient says: on four of them, over PCIe, it makes {four:.0f} tokens/s.",
        "",
    ]


def _users() -> list[str]:
    catalogs = load_llms(), load_gpus(), ENGINE, load_coefficients()
    rows = []
    for gpu in ("A100-80GB-SXM", "H100-SXM"):
        one = _one(SEVENTY, gpu, "int4")
        most = size(one, *catalogs, PROMPT_TOKENS + ANSWER_TOKENS).concurrent_requests
        ceiling = load_gpus()[gpu].memory_bandwidth_bytes_per_s / (70e9 * RULE_BYTES["int4"])

        def answer_s(users: int, one: Configuration = one) -> float:
            """Seconds of an answer when so many users share a GPU."""
            found = phases(one, *catalogs, PROMPT_TOKENS, ANSWER_TOKENS, float(users))
            return found.ttft_s + (ANSWER_TOKENS - 1.0) * found.tpot_s

        for users in (10, 50, 100, 200):
            rate = users * ANSWER_TOKENS / LATENCY_S
            shares = [(n, math.ceil(users / n)) for n in range(1, users + 1)]
            gpus, each = next((n, k) for n, k in shares if k <= most and answer_s(k) <= LATENCY_S)
            alone = f"{answer_s(users):.0f}" if users <= most else f"{most} fit"
            cells = (f"{rate:,.0f}", f"{math.ceil(rate / ceiling)}", alone, f"{gpus}", f"{answer_s(each):.1f}")
            rows.append((f"{gpu}, {users} users", *cells))
    head = (
        "GPU, users", "users x 200 / 10 s, tokens/s", "GPUs by batch-1 ceiling", "one GPU for all: answer, s",
        "GPUs by kernel", "answer, s",
    )  # fmt: skip
    return [
        "## Users x output / latency: 70B at 4 bits, 800 tokens in, 200 out in 10 s",
        "",
        *_table(head, rows),
        "",
        "The demand formula (users x output tokens / latency) is sound. Dividing it by a batch-1 rate is not: requests "
        "that decode together share the reading of the weights, so fewer GPUs do, most of all where compute is "
        "plentiful. But prefills of the others and the KV cache slow every token, so a GPU takes no more users than it "
        "can still answer in time. These are averages of users that ask all the time; `fleetcast size` finds the rate "
        "at which percentiles of the SLO hold.",
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
