"""What one request takes of a replica: compute-seconds of its prefill and decode, and KV-token-seconds.

From the same step costs that the simulator runs on, at each configuration's own operating point.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.cost_records import ResourceUse
from data.records import Capacity, Engine, FloatArray, Gpu, LengthSample, Llm
from models.step_cost import step_cost


def resource_uses(
    rows: Sequence[Capacity],
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    engine: Engine,
    coefficients: CoefficientCatalog,
    lengths: Mapping[tuple[str, str], LengthSample],
) -> tuple[ResourceUse, ...]:
    """One record a row (feasible configuration x class).

    The batch n of the operating point is rate x output x TPOT (Little). A decoding request pays its own head and KV
    reads, and an n-th of what the step costs anyway; a prompt pays what its tokens add to steps in chunks of the token
    budget. It holds its input and half its output on average while it decodes, half its input while it is prefilled.
    """
    if not rows:
        return ()
    samples = [lengths[row.configuration.llm, row.request_class] for row in rows]
    context = [sample.mean_context_tokens for sample in samples]
    cost = step_cost([row.configuration for row in rows], llms, gpus, engine, coefficients, context)
    found = []
    for lane, (row, one) in enumerate(zip(rows, samples, strict=True)):
        inputs, outputs, cached = (
            np.asarray(part, dtype=float) for part in (one.input_tokens, one.output_tokens, one.cached_tokens)
        )
        computed = np.maximum(inputs - cached, 0.0)
        mean_output = float(np.average(outputs, weights=one.weight))
        decoding = np.clip(row.operating_rps * mean_output * row.tpot_s, 1.0, max(row.max_concurrency, 1.0))
        batch = max(float(decoding) / row.configuration.schedulers, 1.0)

        def linear(tokens: FloatArray | float, lane: int = lane) -> FloatArray:
            return np.asarray(np.interp(tokens, cost.tokens, cost.linear_s[lane]))

        budget = float(row.configuration.max_num_batched_tokens)
        chunk = np.clip(computed, 1.0, budget)
        per_token = (linear(batch + chunk) - linear(batch)) / chunk
        prefill = computed * per_token + cost.prefill_per_attention_s[lane] * computed * (cached + computed / 2)
        held = inputs + outputs / 2
        step_share = (linear(batch) + cost.decode_base_s[lane]) / batch + cost.decode_per_seq_s[lane]
        decode = outputs * (step_share + cost.decode_per_kv_token_s[lane] * held)
        kv = held * outputs * row.tpot_s + inputs / 2 * prefill
        # Seconds of the replica: its schedulers work side by side.
        side = row.configuration.schedulers
        prefill_s, decode_s, kv_token_s = (
            float(np.average(part, weights=one.weight)) for part in (prefill / side, decode / side, kv)
        )
        found.append(
            ResourceUse(row.configuration, row.request_class, prefill_s, decode_s, kv_token_s, row.kv_capacity_tokens)
        )
    return tuple(found)
