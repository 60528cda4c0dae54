"""One configuration's prefill and decode under options that planners ask about: prefix cache, speculation, energy.

Everything is a steady state of requests of one length; queues and bursts are the simulator's business.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import jax
import jax.numpy as jnp

from configs.catalog_schema import CoefficientCatalog
from data.records import Configuration, Engine, Gpu, Llm, Provenance
from models.rows import Rows, build_rows
from models.step_time import (
    behind_host,
    decode_attention_s,
    linear_time_s,
    pipeline_wait_s,
    prefill_attention_s,
)

IDLE_POWER_SHARE = 0.3
"""Assumption (2026-11): boards under load that waits for memory or hosts still draw this share of their TDP."""


@dataclass(frozen=True, slots=True)
class Speculation:
    """Draft tokens proposed each iteration, the chance that each is accepted, and a draft's cost in decode steps."""

    draft_tokens: int
    acceptance: float
    draft_cost: float = 0.05

    def __post_init__(self) -> None:
        if self.draft_tokens < 1 or not 0.0 <= self.acceptance < 1.0 or self.draft_cost < 0.0:
            raise ValueError("speculation needs a draft token or more, an acceptance in [0, 1) and a cost of 0 or more")

    @property
    def tokens_per_step(self) -> float:
        """Expected tokens an iteration emits: accepted ones and the one the target adds (Leviathan et al., 2023)."""
        return (1.0 - self.acceptance ** (self.draft_tokens + 1)) / (1.0 - self.acceptance)


@dataclass(frozen=True, slots=True)
class Phases:
    """Times in seconds and rates of one replica whose batch decodes steadily."""

    batch: float
    prefill_s: float
    """Of one prompt on an idle replica, less what the prefix cache holds."""
    step_s: float
    """An iteration that only decodes."""
    tpot_s: float
    """Between output tokens, with the prefills of the other requests in between."""
    ttft_s: float
    """Of a prompt that finds no queue: the step under way and its own prefill."""
    output_tokens_per_s: float
    requests_per_s: float
    joules_per_output_token: float
    joules_per_output_token_at_most: float
    """All boards at their thermal design power the whole time."""
    provenance: Provenance
    energy_provenance: str = f"assumed: {IDLE_POWER_SHARE:.0%} of TDP idle, the rest by use of compute and memory"


def phases(
    configuration: Configuration,
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    engine: Engine,
    catalog: CoefficientCatalog,
    input_tokens: float,
    output_tokens: float,
    batch: float,
    prefix_share: float = 0.0,
    speculation: Speculation | None = None,
) -> Phases:
    """Phases of a configuration at `batch` requests that decode together, evenly over the schedulers of the replica.

    prefix_share: share of the prompt that the prefix cache holds; its keys and values are still attended to.
    """
    rows, (provenance,) = build_rows([configuration], llms, gpus, engine, catalog)
    mine = batch / configuration.schedulers
    budget = float(rows.max_num_batched_tokens[0])
    prefill_s, added_s = prefill_times_s(rows, input_tokens, prefix_share, mine, budget)
    context = input_tokens + output_tokens / 2.0
    step_s = float(decode_s(rows, mine, context, 1.0)[0])
    per_step, verify_s = 1.0, step_s
    if speculation is not None:
        per_step = min(speculation.tokens_per_step, max(output_tokens, 1.0))
        verify_s = float(decode_s(rows, mine, context, speculation.draft_tokens + 1.0)[0])
        verify_s += speculation.draft_tokens * speculation.draft_cost * step_s
    tpot_s = verify_s / per_step + (mine - 1.0) / max(output_tokens, 1.0) * added_s
    rate = batch / tpot_s
    power_w = configuration.gpus * gpus[configuration.gpu].tdp_w
    busy = _busy(rows, mine, context, step_s)
    return Phases(
        batch=batch,
        prefill_s=prefill_s,
        step_s=step_s,
        tpot_s=tpot_s,
        ttft_s=verify_s + prefill_s,
        output_tokens_per_s=rate,
        requests_per_s=rate / max(output_tokens, 1.0),
        joules_per_output_token=power_w * (IDLE_POWER_SHARE + (1.0 - IDLE_POWER_SHARE) * busy) / rate,
        joules_per_output_token_at_most=power_w / rate,
        provenance=provenance,
    )


def _full(rows: Rows, value: float | jax.Array) -> jax.Array:
    return jnp.full(rows.hidden.shape, value, dtype=jnp.float32)


@jax.jit
def decode_s(rows: Rows, batch: float, context: float, tokens_each: float) -> jax.Array:
    """Seconds, shape [rows], of an iteration that decodes or verifies tokens_each tokens of every request."""
    n, tokens = _full(rows, batch), _full(rows, batch * tokens_each)
    # KV is read once for all tokens of a request that are verified together.
    attention = decode_attention_s(rows, n, _full(rows, batch * context))
    return behind_host(linear_time_s(rows, tokens, tokens) + attention, n)


def prefill_times_s(rows: Rows, inputs: float, prefix_share: float, batch: float, budget: float) -> tuple[float, float]:
    """Seconds of one prompt alone on the first row, and what it adds to the iterations of a busy replica."""
    computed = max((1.0 - prefix_share) * inputs, 1.0)
    chunks = max(1.0, -(-computed // budget))
    # What the cache holds is not computed but attended to.
    work = computed * (inputs - computed + computed / 2.0)
    alone, added = _prefill(rows, computed / chunks, chunks, work, inputs, batch)
    return float(alone[0]), float(added[0])


@jax.jit
def _prefill(
    rows: Rows, chunk: float, chunks: float, work: float, context: float, batch: float
) -> tuple[jax.Array, jax.Array]:
    n = _full(rows, batch)
    attention = prefill_attention_s(rows, _full(rows, work), _full(rows, context))
    alone = chunks * linear_time_s(rows, _full(rows, chunk), _full(rows, 1.0)) + attention
    added = chunks * (linear_time_s(rows, n + chunk, n) - linear_time_s(rows, n, n)) + attention
    return alone + pipeline_wait_s(rows, _full(rows, chunk), _full(rows, chunks), attention), added


def _busy(rows: Rows, batch: float, context: float, step_s: float) -> float:
    """Largest share of a decode step for which memory or compute would be needed at its peak rate, 0 to 1."""
    stages = float(rows.pipeline_parallel[0])
    r = {name: float(leaf[0]) for name, leaf in rows._asdict().items() if leaf.ndim == 1}
    tokens = batch / stages
    touched = min(r["experts"], r["experts_per_token"] * tokens)
    expert = r["hidden"] * r["expert_width"] * r["moe_layers"]
    read = r["weight_bytes"] * r["linear_parameters"] + r["expert_weight_bytes"] * touched * expert
    kv = (
        r["kv_width"]
        * r["kv_element_bytes"]
        * (r["full_layers"] * context + r["sliding_layers"] * min(context, r["window"] or context))
    )
    memory_s = (read + tokens * kv) / r["bandwidth"]
    compute_s = 2.0 * tokens * (r["linear_parameters"] + r["experts_per_token"] * expert) / r["flops"]
    return min(max(memory_s, compute_s) / step_s, 1.0)
