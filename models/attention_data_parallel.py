"""Attention data parallelism: every rank keeps whole attention for its own requests; experts are spread over all ranks.

Expert parallelism at scale serves latent-attention LLMs so, because their KV would be replicated under tensor
parallelism (DeepSeek-AI, 2024, DeepSeek-V3 technical report, section 3.4).
"""

from __future__ import annotations

import jax
import jax.numpy as jnp

from models.rows import Rows


def spread_experts(attention: Rows, experts: Rows, replicas: jax.Array) -> Rows:
    """Rows whose load is one attention replica's share.

    attention: rows of one attention replica at its own tensor parallelism; experts: the same configurations with
    `replicas` (shape [rows]) times as many ranks. Each rank's experts see the tokens of every replica; tokens travel
    out and back once a layer, where tensor parallelism reduces twice.
    """
    joined = attention._replace(
        moe_layers=experts.moe_layers,
        experts=experts.experts,
        experts_per_token=experts.experts_per_token * replicas,
        expert_width=experts.expert_width,
        expert_parameters=experts.expert_parameters,
        tensor_parallel=experts.tensor_parallel,
        all_reduce_t0_s=experts.all_reduce_t0_s,
        all_reduce_bytes_per_s=experts.all_reduce_bytes_per_s / jnp.maximum(replicas / 2.0, 1.0),
    )
    use = replicas > 1

    def pick(new: jax.Array, old: jax.Array) -> jax.Array:
        return jnp.where(use.reshape((-1,) + (1,) * (new.ndim - 1)), new, old)

    return Rows(*(pick(new, old) for new, old in zip(joined, experts, strict=True)))
