"""Configurations as arrays: one row each, everything the kernels need gathered in front.

Built in numpy once; kernels never look anything up. All leaves have shape [rows] or [rows, GEMM_SLOTS], float32.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.engine_limits import batch_limits
from data.records import Configuration, Engine, Gpu, Llm, Provenance
from models.coefficients import Coefficients, coefficients
from models.corrections import correct, nearest
from models.shapes import shapes

WEIGHT_ONLY_EFF_COMPUTE = 0.9
WARPGROUP_EFF_COMPUTE = 0.6
WARPGROUP = frozenset({"H100-SXM", "H200-SXM", "B200-SXM", "B300-SXM", "GB200"})
WEIGHT_ONLY_EFF_MEMORY = 0.85
"""Assumptions (2026-11), relative to the bf16 GEMM's efficiencies: kernels that dequantise in registers (Marlin,
Triton) issue mma.sync, which is what plain GEMMs use on Ampere, Ada and consumer Blackwell (MARLIN keeps close to them
at large batches: Frantar et al., 2024), but about 0.6 of the rate of wgmma and tcgen05 on the GPUs of WARPGROUP and
their like; and they stream narrower loads."""
WEIGHT_BYTES: Mapping[str, float] = {
    # Scales included: one bf16 scale per 128 weights (int4), one fp8 scale per 16 (nvfp4), one exponent per 32 (mxfp4),
    # per channel or block (fp8).
    "bf16": 2.0,
    "fp8": 1.0,
    "fp8_block": 1.0 + 4 / 128**2,
    "int8": 1.0,
    "int4": 0.53,
    "fp4": 0.5625,
    "mxfp4": 0.53125,
}
NETWORK_BYTES_PER_S = 50e9
NETWORK_EFF = 0.65
NETWORK_T0_S = 30e-6
"""Assumptions (2026-11): one 400 Gbit/s network port a GPU between nodes, as in HGX and DGX reference designs, used as
well as NVLink is in fitted all-reduces, and the start of an exchange over it. Bridged cards of one host exchange at
about that rate over PCIe 5."""
KV_BYTES: Mapping[str, float] = {"bf16": 2.0, "fp8": 1.0}


class Rows(NamedTuple):
    """One array per quantity, one entry per configuration; units in the names, shares of one rank."""

    gemm_count: jax.Array
    gemm_k: jax.Array
    gemm_n: jax.Array
    weight_bytes: jax.Array
    expert_weight_bytes: jax.Array
    layers: jax.Array
    hidden: jax.Array
    head_n: jax.Array
    vocabulary: jax.Array
    moe_layers: jax.Array
    experts: jax.Array
    experts_per_token: jax.Array
    expert_width: jax.Array
    full_layers: jax.Array
    sliding_layers: jax.Array
    window: jax.Array
    state_layers: jax.Array
    state_bytes: jax.Array
    kv_width: jax.Array
    kv_element_bytes: jax.Array
    attention_width: jax.Array
    tensor_parallel: jax.Array
    pipeline_parallel: jax.Array
    hop_bytes_per_s: jax.Array
    """From one pipeline stage to the next, one rank."""
    linear_parameters: jax.Array
    expert_parameters: jax.Array
    embedding_parameters: jax.Array
    widest_activation: jax.Array
    flops: jax.Array
    bf16_flops: jax.Array
    bandwidth: jax.Array
    memory_bytes: jax.Array
    gemm_t0_s: jax.Array
    gemm_eff_compute: jax.Array
    gemm_eff_memory: jax.Array
    gemm_p: jax.Array
    expert_flops: jax.Array
    expert_t0_s: jax.Array
    expert_eff_compute: jax.Array
    expert_eff_memory: jax.Array
    expert_p: jax.Array
    decode_t0_s: jax.Array
    decode_eff_memory: jax.Array
    prefill_t0_s: jax.Array
    prefill_eff_max: jax.Array
    prefill_s_half: jax.Array
    all_reduce_t0_s: jax.Array
    all_reduce_bytes_per_s: jax.Array
    host_overhead_s: jax.Array
    max_num_seqs: jax.Array
    """Of the configuration, else the engine's default on its GPU."""
    max_num_batched_tokens: jax.Array
    per_sequence_s: jax.Array
    """Host time that calibration adds for every sequence of an iteration; 0 without."""


def compute_precision(precision: str, gpu: Gpu) -> str | None:
    """The precision GEMMs run in: weight-only formats multiply in bf16; None where the GPU cannot run it.

    fp8 and int8 weights need tensor cores of their own; int4, and fp4 without fp4 tensor cores, are dequantised
    (Marlin-style) and multiplied in bf16.
    """
    if precision in ("bf16", "int4"):
        return "bf16"
    if precision in ("fp8", "fp8_block"):
        return precision if "fp8" in gpu.dense_flops else None
    if precision in ("fp4", "mxfp4"):
        return "fp4" if "fp4" in gpu.dense_flops else "bf16"
    if precision == "int8":
        return "int8" if "int8" in gpu.dense_flops else None
    return None


def layer_precisions(precision: str, llm: Llm) -> tuple[str, str]:
    """Storage precision of dense layers and of experts.

    4-bit float checkpoints of mixtures leave attention in bf16 where it is latent (the NVFP4 recipes of DeepSeek and
    Kimi) or the LLM is published so (gpt-oss in mxfp4); those of others quantise it too (hf_quant_config.json of
    nvidia/Qwen3-30B-A3B-NVFP4). `fp4` of an LLM published in mxfp4 is mxfp4.
    """
    fine = "mxfp4" if precision == "fp4" and llm.native_precision == "mxfp4" else precision
    kept = precision == "fp4" and llm.experts and (llm.kv_lora_rank or fine == "mxfp4")
    return ("bf16" if kept else fine), fine


def _padding(llm: Llm, tensor_parallel: int, expert_parallel: int) -> float:
    """Growth of mxfp4 experts that kernels store in whole tiles: the hidden size in multiples of 256, a rank's share of
    the intermediate size in multiples of 128 (vLLM's mxfp4 layer; gpt-oss-120b loads at 66.0 GiB, not 60.7)."""

    def up(size: float, tile: int) -> float:
        return -(-size // tile) * tile / size

    ranks = max(tensor_parallel // max(expert_parallel, 1), 1)
    return up(llm.hidden, 256) * up(llm.moe_intermediate / ranks, 128) if llm.experts else 1.0


def build_rows(
    configurations: Sequence[Configuration],
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    engine: Engine,
    catalog: CoefficientCatalog,
) -> tuple[Rows, tuple[Provenance, ...]]:
    """Arrays of all configurations, and each one's provenance; a precision the GPU cannot run is computed as bf16.

    The caller excuses such rows (see models/evaluate.py); computing them keeps the arrays rectangular. A row is what
    one scheduler of a replica sees: under attention data parallelism one rank, its experts shared with the others'.
    """
    if any(one.attention_data_parallel > 1 for one in configurations):
        # Experts over the GPUs of all ranks; attention at its own tensor parallelism.
        whole = [
            replace(one, tensor_parallel=one.tensor_parallel * one.attention_data_parallel, attention_data_parallel=1)
            for one in configurations
        ]
        alone = [replace(one, expert_parallel=1, attention_data_parallel=1) for one in configurations]
        experts, known_by = build_rows(whole, llms, gpus, engine, catalog)
        attention, _ = build_rows(alone, llms, gpus, engine, catalog)
        ranks = np.array([one.attention_data_parallel for one in configurations], dtype=np.float32)
        return spread_experts(attention, experts, jnp.asarray(ranks)), known_by
    columns: dict[str, list[object]] = {name: [] for name in Rows._fields}
    provenance: list[Provenance] = []
    known: dict[tuple[str, str, str, int], Coefficients] = {}

    def fitted(gpu: Gpu, compute: str, kv_precision: str, tensor_parallel: int) -> Coefficients:
        key = (gpu.name, compute, kv_precision, tensor_parallel)
        if key not in known:
            known[key] = coefficients(catalog, gpu, engine, compute, kv_precision, tensor_parallel)
        return known[key]

    for one in configurations:
        llm, gpu = llms[one.llm], gpus[one.gpu]
        shape = shapes(llm, one.tensor_parallel, one.expert_parallel)
        dense, expert = layer_precisions(one.precision, llm)
        compute, expert_compute = (compute_precision(kind, gpu) or "bf16" for kind in (dense, expert))
        padded = _padding(llm, one.tensor_parallel, one.expert_parallel) if expert == "mxfp4" else 1.0
        unpacked = WARPGROUP_EFF_COMPUTE if (gpu.like or gpu.name) in WARPGROUP else WEIGHT_ONLY_EFF_COMPUTE
        weight_only = compute == "bf16" and dense != "bf16"
        expert_only = expert_compute == "bf16" and expert != "bf16"
        rate = {"fp8_block": "fp8"}
        fit, expert_fit = (
            fitted(gpu, kind, one.kv_precision, one.tensor_parallel) for kind in (compute, expert_compute)
        )
        provenance.append(expert_fit.provenance if shape.moe_layers and fit.provenance == "fitted" else fit.provenance)
        values: dict[str, object] = {
            "gemm_count": shape.gemm_count,
            "gemm_k": shape.gemm_k,
            "gemm_n": shape.gemm_n,
            "weight_bytes": WEIGHT_BYTES[dense],
            "expert_weight_bytes": WEIGHT_BYTES[expert],
            "layers": llm.layers,
            "hidden": llm.hidden,
            "head_n": shape.head_n,
            "vocabulary": llm.vocab,
            "moe_layers": shape.moe_layers,
            "experts": shape.experts,
            "experts_per_token": shape.experts_per_token,
            "expert_width": padded * shape.expert_width,
            "full_layers": shape.full_layers,
            "sliding_layers": llm.sliding_layers,
            "window": llm.sliding_window,
            "state_layers": llm.state_layers,
            "state_bytes": shape.state_bytes,
            "kv_width": shape.kv_width,
            "kv_element_bytes": KV_BYTES[one.kv_precision],
            "attention_width": shape.attention_width,
            "tensor_parallel": one.tensor_parallel,
            "pipeline_parallel": one.pipeline_parallel,
            "hop_bytes_per_s": gpu.link_bytes_per_s if one.gpus <= gpu.joined_gpus else NETWORK_BYTES_PER_S,
            "linear_parameters": shape.linear_parameters,
            "expert_parameters": padded * shape.expert_parameters,
            "embedding_parameters": shape.embedding_parameters,
            "widest_activation": float(max(shape.gemm_n.max(), shape.expert_width * max(shape.experts_per_token, 1))),
            "flops": gpu.dense_flops[rate.get(compute, compute)],
            "bf16_flops": gpu.dense_flops["bf16"],
            "bandwidth": gpu.memory_bandwidth_bytes_per_s,
            "memory_bytes": gpu.memory_bytes,
            "gemm_t0_s": fit.gemm_t0_s,
            "gemm_eff_compute": fit.gemm_eff_compute * (unpacked if weight_only else 1.0),
            "gemm_eff_memory": fit.gemm_eff_memory * (WEIGHT_ONLY_EFF_MEMORY if weight_only else 1.0),
            "gemm_p": fit.gemm_p,
            "expert_flops": gpu.dense_flops[rate.get(expert_compute, expert_compute)],
            "expert_t0_s": expert_fit.gemm_t0_s,
            "expert_eff_compute": expert_fit.gemm_eff_compute * (unpacked if expert_only else 1.0),
            "expert_eff_memory": expert_fit.gemm_eff_memory * (WEIGHT_ONLY_EFF_MEMORY if expert_only else 1.0),
            "expert_p": expert_fit.gemm_p,
            "decode_t0_s": fit.decode_t0_s,
            "decode_eff_memory": fit.decode_eff_memory,
            "prefill_t0_s": fit.prefill_t0_s,
            "prefill_eff_max": fit.prefill_eff_max,
            "prefill_s_half": fit.prefill_s_half,
            "all_reduce_t0_s": fit.all_reduce_t0_s,
            "all_reduce_bytes_per_s": fit.all_reduce_bytes_per_s,
            "host_overhead_s": engine.host_overhead_s,
            "per_sequence_s": 0.0,
            **batch_limits(engine, gpu, one.max_num_seqs, one.max_num_batched_tokens)._asdict(),
        }
        if one.tensor_parallel > gpu.joined_gpus:
            values["all_reduce_t0_s"] = max(fit.all_reduce_t0_s, NETWORK_T0_S)
            values["all_reduce_bytes_per_s"] = min(fit.all_reduce_bytes_per_s, NETWORK_EFF * NETWORK_BYTES_PER_S)
            provenance[-1] = "roofline"
        mine = nearest(catalog.corrections, one)
        if mine is not None:
            correct(values, mine)
            provenance[-1] = "calibrated"
        for name, value in values.items():
            columns[name].append(value)
    arrays = {name: jnp.asarray(np.asarray(values, dtype=np.float32)) for name, values in columns.items()}
    return Rows(**arrays), tuple(provenance)


def spread_experts(attention: Rows, experts: Rows, ranks: jax.Array) -> Rows:
    """Rows whose load is one attention rank's share: every rank keeps whole attention for its own requests, experts are
    spread over all of them.

    attention: rows of one rank at its own tensor parallelism; experts: the same configurations with `ranks` (shape
    [rows]) times as many GPUs. Each rank's experts see the tokens of all; tokens travel out and back once a layer,
    where tensor parallelism reduces twice: to every rank where experts are cut, to those of its experts where not.
    Latent-attention LLMs are served so, because their KV would be replicated under tensor parallelism (DeepSeek-AI,
    2024, DeepSeek-V3 technical report, section 3.4).
    """
    whole = experts.experts < attention.experts
    copies = jnp.where(whole, jnp.minimum(attention.experts_per_token, ranks), ranks)
    joined = attention._replace(
        moe_layers=experts.moe_layers,
        experts=experts.experts,
        experts_per_token=experts.experts_per_token * ranks,
        expert_width=experts.expert_width,
        expert_parameters=experts.expert_parameters,
        tensor_parallel=experts.tensor_parallel,
        hop_bytes_per_s=experts.hop_bytes_per_s,
        all_reduce_t0_s=experts.all_reduce_t0_s,
        all_reduce_bytes_per_s=experts.all_reduce_bytes_per_s / jnp.maximum(copies / 2.0, 1.0),
    )
    use = ranks > 1

    def pick(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(use.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)

    return Rows(*(pick(new, old) for new, old in zip(joined, experts, strict=True)))
