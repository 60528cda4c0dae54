"""Per-GPU shapes of an LLM under tensor and expert parallelism: GEMMs, experts, KV, parameters. Pure numpy.

A GEMM multiplies T tokens of width K into width N; `count` layers have it. Under tensor parallelism the columns of the
first GEMM and the rows of the second of a pair are split, so one all-reduce follows each pair; key and value heads are
replicated once there are more ranks than heads (Shoeybi et al., 2019, Megatron-LM).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from data.records import FloatArray, Llm

GEMM_SLOTS = 8
"""qkv (or its latent parts), output projection, the same of state layers, MLP up and down, shared-expert up and down;
unused slots are 0."""


@dataclass(frozen=True, slots=True)
class Shapes:
    """Shapes of one rank. gemm_* have GEMM_SLOTS entries; *_parameters count one rank's share."""

    gemm_count: FloatArray
    gemm_k: FloatArray
    gemm_n: FloatArray
    linear_parameters: float
    expert_parameters: float
    embedding_parameters: float
    head_n: float
    moe_layers: float
    experts: float
    experts_per_token: float
    expert_width: float
    """Parameters of one expert / hidden, on one rank's tensor-parallel share."""
    full_layers: float
    state_bytes: float
    """Recurrent state of one sequence on this rank, all its layers."""
    kv_width: float
    """Key and value elements a token a layer on this rank."""
    attention_width: float
    """heads x head_dim on this rank: what attention multiplies with the context."""


def attention_parameters(llm: Llm) -> float:
    """Parameters of one layer's attention projections; state layers have their own."""
    if llm.kv_lora_rank:
        query = (
            llm.hidden * llm.q_lora_rank + llm.q_lora_rank * llm.heads * llm.head_dim
            if llm.q_lora_rank
            else llm.hidden * llm.heads * llm.head_dim
        )
        latent = llm.hidden * (llm.kv_lora_rank + llm.qk_rope_head_dim)
        expand = llm.kv_lora_rank * llm.heads * (llm.qk_nope_head_dim + llm.v_head_dim)
        return float(query + latent + expand + llm.heads * llm.v_head_dim * llm.hidden)
    return float(llm.hidden * llm.head_dim * ((3 if llm.attention_gate else 2) * llm.heads + 2 * llm.kv_heads))


def moe_layers(llm: Llm) -> int:
    """Layers whose MLP is a mixture of experts."""
    return llm.layers - llm.dense_layers if llm.experts else 0


def total_parameters(llm: Llm) -> float:
    """Parameters of the whole LLM: what the weights weigh. Norms and biases, below 0.1 %, are left out."""
    routed = moe_layers(llm)
    expert = 3.0 * llm.hidden * llm.moe_intermediate
    mlp = (llm.layers - routed) * 3.0 * llm.hidden * llm.intermediate
    moe = routed * ((llm.experts + llm.shared_experts) * expert + llm.hidden * llm.experts)
    embeddings = llm.vocab * llm.hidden * (1.0 if llm.tie_embeddings else 2.0)
    attention = (llm.layers - llm.state_layers) * attention_parameters(llm)
    state = llm.state_layers * llm.hidden * float(llm.state_in + llm.state_out)
    return attention + state + mlp + moe + embeddings


def active_parameters(llm: Llm) -> float:
    """Parameters one token multiplies with, embedding look-up included as published counts do."""
    routed = moe_layers(llm)
    idle = routed * (llm.experts - llm.experts_per_token) * 3.0 * llm.hidden * llm.moe_intermediate
    return total_parameters(llm) - idle


@lru_cache(maxsize=4096)
def shapes(llm: Llm, tensor_parallel: int, expert_parallel: int = 1) -> Shapes:
    """Shapes of one rank.

    expert_parallel spreads experts over that many of the tensor-parallel ranks; either way a rank holds
    1 / tensor_parallel of the routed parameters, so only the granularity of its expert GEMMs changes.
    """
    tp = float(tensor_parallel)
    routed = moe_layers(llm)
    dense = llm.layers - routed
    slots: list[tuple[float, float, float]] = []
    if llm.kv_lora_rank:
        query_in = llm.q_lora_rank or llm.hidden
        # The low-rank inputs of query and latent run fused and replicated; absorbed key and value projections are
        # per-head products with the latent, so their weights are read once a step like any GEMM's.
        slots.append((llm.layers, llm.hidden, llm.q_lora_rank + llm.kv_lora_rank + llm.qk_rope_head_dim))
        slots.append((llm.layers, query_in, llm.heads * llm.head_dim / tp))
        slots.append((llm.layers, llm.kv_lora_rank, llm.heads * (llm.qk_nope_head_dim + llm.v_head_dim) / tp))
        slots.append((llm.layers, llm.heads * llm.v_head_dim / tp, llm.hidden))
        kv_width = float(llm.kv_lora_rank + llm.qk_rope_head_dim)
        attention_width = llm.heads * (llm.kv_lora_rank + llm.qk_rope_head_dim / 2) / tp
    else:
        kv_heads = max(llm.kv_heads / tp, 1.0)
        attending = llm.layers - llm.state_layers
        query_heads = llm.heads * (2 if llm.attention_gate else 1)
        slots.append((attending, llm.hidden, llm.head_dim * (query_heads / tp + 2 * kv_heads)))
        slots.append((attending, llm.heads * llm.head_dim / tp, llm.hidden))
        kv_width = 2.0 * kv_heads * llm.head_dim
        attention_width = llm.heads * llm.head_dim / tp
    if llm.state_layers:
        slots.append((llm.state_layers, llm.hidden, llm.state_in / tp))
        slots.append((llm.state_layers, llm.state_out / tp, llm.hidden))
    if dense:
        slots.append((dense, llm.hidden, 2 * llm.intermediate / tp))
        slots.append((dense, llm.intermediate / tp, llm.hidden))
    if routed and llm.shared_experts:
        width = llm.shared_experts * llm.moe_intermediate / tp
        slots.append((routed, llm.hidden, 2 * width))
        slots.append((routed, width, llm.hidden))
    table = np.zeros((GEMM_SLOTS, 3))
    table[: len(slots)] = slots
    linear = float((table[:, 0] * table[:, 1] * table[:, 2]).sum())
    ep = min(max(expert_parallel, 1), max(tensor_parallel, 1))
    return Shapes(
        gemm_count=table[:, 0],
        gemm_k=table[:, 1],
        gemm_n=table[:, 2],
        linear_parameters=linear,
        expert_parameters=routed * llm.experts * 3.0 * llm.hidden * llm.moe_intermediate / tp,
        embedding_parameters=llm.vocab * llm.hidden / tp * (1.0 if llm.tie_embeddings else 2.0),
        head_n=llm.vocab / tp,
        moe_layers=float(routed),
        experts=llm.experts / ep if routed else 0.0,
        experts_per_token=llm.experts_per_token / ep if routed else 0.0,
        expert_width=3.0 * llm.moe_intermediate * ep / tp if routed else 0.0,
        full_layers=float(llm.layers - llm.sliding_layers - llm.state_layers),
        state_bytes=llm.state_bytes_per_sequence / tp,
        kv_width=kv_width,
        attention_width=attention_width,
    )
