"""Layers that keep a recurrent state instead of keys and values: gated linear attention and Mamba, from a config."""

from __future__ import annotations

from typing import Any

from configs.errors import InputError
from data.config_fields import Fields

MAMBA = frozenset({"granitemoehybrid", "bamba", "jamba"})
"""Families whose Mamba layers stand where others have attention, each with its MLP or experts after it."""


def state_layers(fields: Fields, layers: int, hidden: int) -> dict[str, Any]:
    """Number, projections and recurrent state of the state layers, as fields of an Llm; empty without any."""
    if fields.text("model_type") in MAMBA:
        return _mamba(fields, layers, hidden)
    return _linear_attention(fields, layers)


def _linear_attention(fields: Fields, layers: int) -> dict[str, Any]:
    """Gated linear-attention layers (Qwen3-Next and its kin)."""
    kinds = [str(kind) for kind in fields.listed("layer_types")]
    every = fields.number("full_attention_interval", default=0)
    count = sum("linear" in kind for kind in kinds[:layers]) if kinds else (layers - layers // every if every else 0)
    if not count:
        return {}
    keys, values = fields.number("linear_num_key_heads"), fields.number("linear_num_value_heads")
    key_dim, value_dim = fields.number("linear_key_head_dim"), fields.number("linear_value_head_dim")
    wide, value_wide = keys * key_dim, values * value_dim
    mixed = 2 * wide + value_wide
    conv = mixed * fields.number("linear_conv_kernel_dim", default=4)
    return {
        "state_layers": count,
        # Query, key, value and output gate, and two gates a value head.
        "state_in": mixed + value_wide + 2 * values,
        "state_out": value_wide,
        # One float32 matrix a value head and the convolution's window in bf16.
        "state_bytes_per_sequence": float(count * (4 * values * key_dim * value_dim + 2 * conv)),
    }


def _mamba(fields: Fields, layers: int, hidden: int) -> dict[str, Any]:
    """Mamba layers (Dao and Gu, 2024, Mamba-2; Gu and Dao, 2023, where there are no heads), by the families' own code.

    The state is one float32 matrix a head (or column) and the convolution's window in bf16.
    """
    count = layers - _attending(fields, layers)
    states = fields.number("mamba_d_state", default=128)
    conv = fields.number("mamba_d_conv", default=4)
    inner = fields.number("mamba_expand", default=2) * hidden
    heads = fields.number("mamba_n_heads", default=0)
    if heads:
        groups = fields.number("mamba_n_groups", default=1)
        mixed = inner + 2 * groups * states
        # Gate, what is convolved (input, B, C), and a step size a head.
        columns = inner + mixed + heads
    else:
        mixed = inner
        rank = fields.number("mamba_dt_rank", default=-(-hidden // 16))
        # Input and gate; B, C and the step size come of the inner width: as many columns of the hidden one.
        columns = 2 * inner + round(inner * 2 * (rank + states) / hidden)
    return {
        "state_layers": count,
        "state_in": columns,
        "state_out": inner,
        "state_bytes_per_sequence": float(count * (4 * inner * states + 2 * (conv - 1) * mixed)),
    }


def _attending(fields: Fields, layers: int) -> int:
    """Attention layers, by list, by index, or every n-th."""
    kinds = [str(kind) for kind in fields.listed("layer_types") or fields.listed("layers_block_type")]
    if kinds:
        return sum(kind == "attention" for kind in kinds[:layers])
    if fields.listed("attn_layer_indices"):
        return len(fields.listed("attn_layer_indices"))
    period = fields.number("attn_layer_period", default=0)
    if not period:
        raise InputError(
            f"{fields.path}, layer_types", "which layers attend (layer_types, attn_layer_indices or attn_layer_period)",
            "nothing", "Add the field.",
        )  # fmt: skip
    offset = fields.number("attn_layer_offset", default=0)
    return sum(i % period == offset for i in range(layers))
