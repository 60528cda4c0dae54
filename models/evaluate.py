"""The capacity table: every LLM x GPU x precision x tensor parallelism x class in one jitted call.

Feasibility is data: a configuration that cannot serve a class carries the limit it broke and by how much.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from statistics import NormalDist
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from configs.catalog_schema import CoefficientCatalog
from configs.evaluation import EvaluationPolicy
from data.records import (
    Capacity,
    CapacityTable,
    Configuration,
    Engine,
    FloatArray,
    Gpu,
    LengthSample,
    Llm,
    Provenance,
    SloTarget,
)
from models.device import spread
from models.excuses import first_broken
from models.goodput import BATCHES, LIMITS, Estimate, Load, estimate
from models.grid import configurations
from models.memory import Memory, kv_bytes, memory
from models.rows import Rows, build_rows

METHOD = "steady-state estimate"
KV_TOKENS = ("kv_tokens_tail", "kv_tokens_mean")


class _Tails(NamedTuple):
    """Statistics of a class that the kernels need."""

    input_mean: float
    computed_mean: float
    output_mean: float
    prefill_work_mean: float
    ttft_computed_tail: float
    e2e_computed_tail: float
    e2e_output_tail: float
    kv_tokens_mean: float
    kv_tokens_tail: float


def weighted_quantile(values: FloatArray, weight: FloatArray, q: float) -> float:
    """The smallest value with at least share q of the weight at or below it."""
    order = np.argsort(values)
    cumulative = np.cumsum(weight[order])
    return float(values[order][min(np.searchsorted(cumulative, q * cumulative[-1]), len(values) - 1)])


def _tails(sample: LengthSample, slo: SloTarget) -> _Tails:
    ttft, _, e2e = (limit.percentile / 100.0 for limit in slo.limits)
    w = sample.weight / sample.weight.sum()
    inputs = sample.input_tokens.astype(np.float64)
    outputs = np.maximum(sample.output_tokens.astype(np.float64), 1.0)
    cached = sample.cached_tokens.astype(np.float64)
    computed = np.maximum(inputs - cached, 1.0)
    # Over its life a request holds its input plus half its output; long outputs hold longer, hence the O weight.
    held = w * outputs
    return _Tails(
        input_mean=float((w * inputs).sum()),
        computed_mean=float((w * computed).sum()),
        output_mean=float(held.sum()),
        prefill_work_mean=float((w * computed * (cached + computed / 2)).sum()),
        ttft_computed_tail=weighted_quantile(computed, w, ttft),
        e2e_computed_tail=weighted_quantile(computed, w, e2e),
        e2e_output_tail=weighted_quantile(outputs, w, e2e),
        kv_tokens_mean=float((held * (inputs + outputs / 2)).sum() / held.sum()),
        # What must fit is what the strictest limit counts on.
        kv_tokens_tail=weighted_quantile(inputs + outputs, held, max(slo.percentiles) / 100.0),
    )


@partial(jax.jit, static_argnames=("engine", "utilization", "headroom", "adapters", "adapter_rank"))
def _kernel(
    rows: Rows,
    load: Load,
    kv_tail: jax.Array,
    kv_mean: jax.Array,
    *,
    engine: Engine,
    utilization: float,
    headroom: float,
    adapters: int,
    adapter_rank: int,
) -> tuple[Memory, jax.Array, jax.Array, Estimate]:
    """Memory, KV bytes of a tail sequence, sequences that fit, and goodput of every row."""
    limit, budget = rows.max_num_seqs, rows.max_num_batched_tokens
    mem = memory(rows, engine, utilization, headroom, budget, limit, adapters, adapter_rank)
    pool = jnp.maximum(mem.pool, 0.0)
    tail = kv_bytes(rows, kv_tail, engine.kv_block_tokens)
    # Concurrent requests share the pool: at n of them the sum concentrates, so the tail enters once, the mean n times.
    mean = kv_bytes(rows, kv_mean, engine.kv_block_tokens)
    fit = jnp.where(pool >= tail, 1.0 + (pool - tail) / mean, 0.0)
    return mem, tail, fit, estimate(rows, load._replace(kv_capacity_seqs=fit), limit, budget)


def evaluate(
    llms: Sequence[Llm],
    gpus: Sequence[Gpu],
    engine: Engine,
    coefficient_catalog: CoefficientCatalog,
    policy: EvaluationPolicy,
    lengths: Mapping[tuple[str, str], LengthSample],
    slos: Mapping[str, SloTarget],
    adapters: int = 0,
    adapter_rank: int = 16,
) -> CapacityTable:
    """Capacity of every configuration of the policy's grid for every (LLM, class) in `lengths`.

    Returns rows in a stable order, infeasible ones with their Excuse. knee_rps is the estimate of models/goodput.py;
    operating_rps is policy.operating_point times that. adapters: LoRA adapters of adapter_rank resident at once, for
    the memory that they take.
    """
    grid = configurations(llms, gpus, engine, policy)
    pairs = [(one, name) for one in grid for (llm, name) in lengths if llm == one.llm]
    by_llm, by_gpu = {one.name: one for one in llms}, {one.name: one for one in gpus}
    rows, provenance = build_rows([one for one, _ in pairs], by_llm, by_gpu, engine, coefficient_catalog)
    tails = {key: _tails(sample, slos[key[1]]) for key, sample in lengths.items()}
    chosen = [tails[one.llm, name] for one, name in pairs]
    targets = [slos[name] for _, name in pairs]

    def column(values: Sequence[float]) -> jax.Array:
        return jnp.asarray(np.asarray(values, dtype=np.float32))

    seconds = [column([s.limits[place].seconds for s in targets]) for place in range(3)]
    z = [column([NormalDist().inv_cdf(s.limits[place].percentile / 100.0) for s in targets]) for place in range(3)]
    load = Load(
        input_mean=column([t.input_mean for t in chosen]),
        computed_mean=column([t.computed_mean for t in chosen]),
        output_mean=column([t.output_mean for t in chosen]),
        prefill_work_mean=column([t.prefill_work_mean for t in chosen]),
        ttft_computed_tail=column([t.ttft_computed_tail for t in chosen]),
        e2e_computed_tail=column([t.e2e_computed_tail for t in chosen]),
        e2e_output_tail=column([t.e2e_output_tail for t in chosen]),
        kv_tokens_mean=column([t.kv_tokens_mean for t in chosen]),
        kv_capacity_seqs=column([0.0 for _ in chosen]),
        ttft_s=seconds[0],
        tpot_s=seconds[1],
        e2e_s=seconds[2],
        ttft_z=z[0],
        tpot_z=z[1],
        e2e_z=z[2],
    )
    mem, tail, fit, found = jax.device_get(
        _kernel(
            *spread((rows, load, *(column([getattr(t, name) for t in chosen]) for name in KV_TOKENS)), len(pairs)),
            engine=engine,
            utilization=policy.gpu_memory_utilization or engine.gpu_memory_utilization,
            headroom=policy.headroom,
            adapters=adapters,
            adapter_rank=adapter_rank,
        )
    )
    table = tuple(
        _capacity(
            i, one, name, by_llm, by_gpu, slos[name], policy.operating_point, provenance[i], mem, tail, fit, found,
            tails[one.llm, name],
        )
        for i, (one, name) in enumerate(pairs)
    )  # fmt: skip
    device = jax.devices()[0]
    return CapacityTable(
        rows=table, device=f"{device.platform}:{device.device_kind}", evaluated_points=len(pairs) * BATCHES
    )


def _capacity(
    i: int,
    one: Configuration,
    name: str,
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    slo: SloTarget,
    operating_point: float,
    provenance: Provenance,
    mem: Memory,
    tail: FloatArray,
    fit: FloatArray,
    found: Estimate,
    lengths: _Tails,
) -> Capacity:
    """One row of the table from row i of the kernel's arrays."""
    excuse = first_broken(i, one, llms[one.llm], gpus[one.gpu], slo, mem, tail, found)
    # The kernel's row is what one scheduler sees.
    knee = 0.0 if excuse else float(found.knee_rps[i]) * one.schedulers
    kv_token_bytes = float(tail[i]) / max(lengths.kv_tokens_tail, 1.0)
    return Capacity(
        configuration=one,
        request_class=name,
        slo=slo,
        knee_rps=knee,
        operating_rps=operating_point * knee,
        ttft_s=float(found.ttft_s[i]),
        tpot_s=float(found.tpot_s[i]),
        output_tokens_per_s=operating_point * knee * lengths.output_mean,
        binding=LIMITS[int(found.binding[i])],
        weight_bytes_per_gpu=float(mem.weights[i]),
        kv_capacity_tokens=max(float(mem.pool[i]), 0.0) / kv_token_bytes * one.schedulers,
        max_concurrency=min(float(fit[i]), float(one.max_num_seqs)) * one.schedulers,
        method=METHOD,
        provenance=provenance,
        excuse=excuse,
    )
