"""The sweep kernel in numpy, float32, with the same factoring over axes: what the JAX kernel is measured against."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from models.rows import Rows
from models.step_time import (
    EXPERT_LAUNCHES,
    EXPERT_POPULARITY_CV,
    EXPERT_SKEW,
    GROUPED_EFF_COMPUTE,
    HOP_T0_S,
    HOST_PER_SEQUENCE_S,
    SAMPLER_PER_SEQUENCE_S,
    SAMPLER_S,
    SMALL_KERNELS_EFF_MEMORY,
    SMALL_KERNELS_S,
)
from models.sweep import Budget, LoadGrid, SweepPolicy

F = NDArray[np.float32]


def _smooth_max(work: F, memory: F, p: F) -> F:
    top = np.maximum(np.maximum(work, memory), np.float32(1e-12))
    ratio = np.maximum(np.minimum(work, memory) / top, np.float32(1e-30))
    result: F = top * np.exp(np.log(1 + np.exp(p * np.log(ratio))) / p)
    return result


def _linear(r: dict[str, F], tokens: F, sequences: F) -> F:
    """Token-dependent seconds; rows carry unit axes so that they broadcast against tokens."""
    stages = r["pipeline_parallel"]
    batches = np.clip(tokens, 1, stages)
    tokens, sequences = tokens / batches, sequences / batches
    t = tokens[..., None]
    k, n = r["gemm_k"], r["gemm_n"]
    work = 2 * t * k * n / (r["gemm_eff_compute"] * r["flops"])[..., None]
    moved = r["weight_bytes"][..., None] * k * n + 2 * t * (k + n)
    memory = moved / (r["gemm_eff_memory"] * r["bandwidth"])[..., None]
    gemm = r["gemm_t0_s"][..., None] + _smooth_max(work, memory, r["gemm_p"][..., None])
    total = (r["gemm_count"] * np.where(r["gemm_count"] > 0, gemm, 0)).sum(-1)
    share = np.where(r["experts"] > 0, r["experts_per_token"] / np.maximum(r["experts"], 1), 0)
    v = np.float32(EXPERT_POPULARITY_CV**2)
    touched = -r["experts"] * np.expm1(-np.log1p(v * tokens * share) / v)
    touched = np.maximum(touched, np.minimum(r["experts_per_token"], r["experts"]) * np.minimum(tokens, 1))
    routed = tokens * r["experts_per_token"] * EXPERT_SKEW
    rate = np.float32(GROUPED_EFF_COMPUTE) * r["expert_eff_compute"] * r["expert_flops"]
    expert_work = 2 * routed * r["hidden"] * r["expert_width"] / rate
    expert_moved = r["expert_weight_bytes"] * touched * r["hidden"] * r["expert_width"] + 4 * routed * r["hidden"]
    expert_memory = expert_moved / (r["expert_eff_memory"] * r["bandwidth"])
    expert = EXPERT_LAUNCHES * r["expert_t0_s"] + _smooth_max(expert_work, expert_memory, r["expert_p"])
    rows_moved = 2 * routed * (3 * r["hidden"] + 4 * r["expert_width"] / 3)
    total = total + r["moe_layers"] * (expert + rows_moved / (np.float32(SMALL_KERNELS_EFF_MEMORY) * r["bandwidth"]))
    small = 2 * tokens * (12 * r["hidden"] + 1.5 * r["widest_activation"])
    total = total + r["layers"] * (SMALL_KERNELS_S + small / (SMALL_KERNELS_EFF_MEMORY * r["bandwidth"]))
    ranks = r["tensor_parallel"]
    ring = r["all_reduce_t0_s"] + 4 * (ranks - 1) / ranks * tokens * r["hidden"] / r["all_reduce_bytes_per_s"]
    total = total + np.where(ranks > 1, 2 * r["layers"] * ring, 0)
    hop = np.float32(HOP_T0_S) + 2 * tokens * r["hidden"] / r["hop_bytes_per_s"]
    total = total + np.where(stages > 1, stages * hop, 0)
    head_work = 2 * sequences * r["hidden"] * r["head_n"] / (r["gemm_eff_compute"] * r["bf16_flops"])
    head_memory = 2 * r["hidden"] * r["head_n"] / (r["gemm_eff_memory"] * r["bandwidth"])
    total = total + r["gemm_t0_s"] + _smooth_max(head_work, head_memory + 0 * head_work, r["gemm_p"])
    result: F = total + SAMPLER_S + (SAMPLER_PER_SEQUENCE_S + r["per_sequence_s"]) * sequences + r["host_overhead_s"]
    return result


def evaluate_grid_numpy(
    rows: Rows, cost: Budget, loads: LoadGrid, policy: SweepPolicy
) -> tuple[NDArray[np.generic], ...]:
    """The same outputs as models.sweep.evaluate_grid, in the order of SweepPoints."""
    leaves = {name: np.asarray(leaf) for name, leaf in rows._asdict().items()}

    def axes(count: int) -> dict[str, F]:
        return {name: leaf.reshape(leaf.shape[0], *(1,) * count, *leaf.shape[1:]) for name, leaf in leaves.items()}

    batches, prompts, outputs = (np.asarray(axis) for axis in loads)
    batch, prompt, output = batches[None, :, None, None], prompts[None, None, :, None], outputs[None, None, None, :]
    two, three, four = axes(1), axes(2), axes(3)
    decode = _linear(two, batches[None, :], batches[None, :])[:, :, None, None]
    count = np.ceil(prompts / two["max_num_batched_tokens"])
    chunk, chunks = prompts / count, count[:, None, :, None]
    mixed = _linear(three, batches[None, :, None] + chunk[:, None, :], batches[None, :, None])[..., None]
    efficiency = two["prefill_eff_max"] * prompts / (prompts + two["prefill_s_half"])
    window = np.where(two["window"] > 0, np.minimum(1, 2 * two["window"] / prompts), np.float32(1))
    work = (
        2
        * two["attention_width"]
        * prompts**2
        / two["pipeline_parallel"]
        * (two["full_layers"] + two["sliding_layers"] * window)
    )
    layers = two["full_layers"] + two["sliding_layers"]
    attention = (layers * two["prefill_t0_s"] + work / (efficiency * two["bf16_flops"]))[:, None, :, None]
    prefill = chunks * (mixed - decode) + attention
    # The last chunk passes the pipeline's stages whole.
    stages, even = two["pipeline_parallel"], chunk
    worked = work / (efficiency * two["bf16_flops"]) * (2 * count - 1) / (count * count)
    one = np.float32(1)
    wait = _linear(two, stages * even, one) - _linear(two, even, one) + (stages - 1) * worked
    wait = wait[:, None, :, None]
    element = four["kv_width"] * four["kv_element_bytes"]
    context = prompt + output / 2
    kept = four["full_layers"] * context + four["sliding_layers"] * np.minimum(context, four["window"])
    read = (
        (element * kept + 2 * four["state_bytes"])
        / four["pipeline_parallel"]
        / (four["decode_eff_memory"] * four["bandwidth"])
    )
    depth = four["full_layers"] + four["sliding_layers"] + four["state_layers"]
    gpu = (decode + depth * four["decode_t0_s"]) + batch * read
    gpu, host = gpu * gpu, (np.float32(HOST_PER_SEQUENCE_S) * batch) ** 2
    step = np.sqrt(np.sqrt(gpu * gpu + host * host))
    tpot = step + (batch - 1) / output * prefill
    ttft = chunks * step + prefill + wait

    stages = four["pipeline_parallel"]
    weights = (
        four["weight_bytes"] * four["linear_parameters"]
        + four["expert_weight_bytes"] * four["expert_parameters"]
        + 2 * four["moe_layers"] * four["hidden"] * four["experts"]
    ) / stages
    weights = weights + 2 * np.where(stages > 1, four["hidden"] * four["head_n"], four["embedding_parameters"])
    forward = 2 * four["max_num_batched_tokens"] * (4 * four["hidden"] + 2 * four["widest_activation"])
    logits = four["max_num_seqs"] * four["head_n"]
    forward = forward + 4 * logits
    sampler = np.float32(policy.engine.sampler_bytes_per_logit) * logits * four["tensor_parallel"]
    taken = weights + np.maximum(forward, sampler) + policy.engine.graph_bytes
    taken = taken + np.where(four["tensor_parallel"] * stages > 1, np.float32(policy.engine.communication_bytes), 0)
    total, margin = four["memory_bytes"], policy.headroom * four["memory_bytes"]
    if policy.engine.memory_rule == "share_of_free":
        spare = (1 - policy.utilization) * (total - taken)
    else:
        spare = (1 - policy.utilization) * total
    pool = total - taken - margin - np.maximum(spare, np.float32(policy.engine.fragmentation_bytes))
    blocks = np.ceil((prompt + output) / policy.engine.kv_block_tokens) * policy.engine.kv_block_tokens
    one_kv = element * (four["full_layers"] * blocks + four["sliding_layers"] * np.minimum(blocks, four["window"]))
    one_kv = (one_kv + four["state_bytes"]) / stages
    share, crowd = (total - pool) / total, batch / four["max_num_seqs"]
    crowded = (share <= 1) & (crowd > share)
    used = (
        np.where(crowded, crowd, share),
        batch * (one_kv / np.maximum(pool, 1)),
        tpot * np.float32(1 / policy.tpot_s),
        ttft * np.float32(1 / policy.ttft_s),
    )
    largest = np.maximum(np.maximum(used[0], used[1]), np.maximum(used[2], used[3]))
    limit, overrun = np.zeros(tpot.shape, np.int8), largest
    for index in (4, 3, 2, 1):
        broken = used[index - 1] > 1
        limit = np.where(broken, np.where(crowded, np.int8(5), np.int8(1)) if index == 1 else np.int8(index), limit)
        overrun = np.where(broken, used[index - 1], overrun)
    usd = _column(cost.usd_per_h) * np.float32(1e6 / 3600) / batch * tpot
    joules = _column(cost.tdp_w) / batch * tpot
    return tpot, ttft, batch / tpot, usd, joules, limit, overrun


def _column(leaf: object) -> F:
    """[rows] -> [rows, 1, 1, 1]."""
    return np.asarray(leaf, dtype=np.float32)[:, None, None, None]
