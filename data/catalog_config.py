"""An LLM from a Hugging Face `config.json`: the fields that decide memory and time, whatever the family calls them."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from configs.errors import InputError
from data.config_fields import Fields, Raw
from data.config_state import MAMBA, state_layers
from data.records import Llm, Source

UNREADABLE = (
    "hybrid_override_pattern",
    "block_configs",
    "mamba_d_state",
    "mamba_n_heads",
    "ssm_cfg",
    "time_mix_extra_dim",
    "compress_ratios",
    "linear_attn_config",
    "hybrid_layer_pattern",
    "cross_attention_layers",
)
"""Fields of families whose layers this reader does not describe: Mamba hybrids but those of MAMBA, searched
architectures, RWKV,
compressed attention (DeepSeek-V4), Kimi-Linear, layers with heads of their own (MiMo-V2),
cross-attention (Llama 3.2 Vision)."""
LOWER_PRECISION = {"gptq": "int4", "awq": "int4", "mxfp4": "mxfp4", "fbgemm_fp8": "fp8"}
SLIDING_PATTERN = {"gemma2": 2, "gemma3_text": 6, "gpt_oss": 2}
"""Every n-th layer attends to everything in families whose older configs do not say so (their reference code does)."""
UNGATED = {
    "arcee", "bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "gpt_neox", "gptj", "nemotron", "opt", "phi",
    "starcoder2",
}  # fmt: skip
"""Families whose MLP has two matrices where others have a third that gates; unless stated it is 4 x hidden wide."""
TIED = {"bloom", "falcon", "gpt2", "gpt_bigcode", "gpt_neo", "opt"}
"""Families that tie their embeddings by default, besides Gemma, and whose configs do not say so."""


def llm_from_config(path: Path) -> Llm:
    """An LLM from a Hugging Face `config.json`.

    Understands dense and mixture-of-experts decoders (also interleaved) with grouped-query, multi-head latent,
    sliding-window, chunked and gated linear attention, and Mamba layers between attention. Raises InputError naming
    the field that is missing, wrong, or
    belongs to a family that is not understood.
    """
    whole = _load(path)
    inner = whole.get("text_config")
    raw: dict[str, object] = dict(inner) if isinstance(inner, Mapping) else dict(whole)
    raw.setdefault("quantization_config", whole.get("quantization_config"))
    fields = Fields(raw, path)
    for key in UNREADABLE:
        if raw.get(key) and not (key.startswith("mamba") and fields.text("model_type") in MAMBA):
            fix = "Describe the LLM as an entry of data/catalog/llms.yaml."
            raise InputError(f"{path}, {key}", "a decoder of attention layers", "a family that is not read", fix)
    if any(kind != 1 for kind in fields.listed("attn_type_list")):
        fix = "Describe the LLM as an entry of data/catalog/llms.yaml."
        raise InputError(f"{path}, attn_type_list", "softmax attention in every layer", "lightning attention", fix)
    layers, hidden = fields.number("num_hidden_layers", "n_layer"), fields.number("hidden_size", "n_embd")
    heads = fields.number("num_attention_heads", "n_head")
    if not layers * hidden * heads:
        raise InputError(str(path), "layers, hidden size and heads above 0", f"{layers}, {hidden}, {heads}", "Correct.")
    experts = fields.number("num_local_experts", "n_routed_experts", "num_experts", default=0)
    experts = experts if experts > 1 else 0
    nope, rope = fields.number("qk_nope_head_dim", default=0), fields.number("qk_rope_head_dim", default=0)
    latent = fields.number("kv_lora_rank", default=0)
    window, sliding = _windows(fields, layers)
    state = state_layers(fields, layers, hidden)
    tied = fields.text("model_type") in TIED or fields.text("model_type").startswith("gemma")
    llm = Llm(
        name=path.resolve().parent.name if path.stem == "config" else path.stem,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=_kv_heads(fields, heads),
        head_dim=nope + rope if latent else fields.number("head_dim", default=hidden // heads),
        vocab=fields.number("vocab_size"),
        tie_embeddings=bool(whole.get("tie_word_embeddings", raw.get("tie_word_embeddings", tied))),
        max_positions=fields.number("max_position_embeddings", default=0),
        q_lora_rank=fields.number("q_lora_rank", default=0),
        kv_lora_rank=latent,
        qk_nope_head_dim=nope,
        qk_rope_head_dim=rope,
        v_head_dim=fields.number("v_head_dim", default=0),
        sliding_window=window if sliding else 0,
        sliding_layers=sliding,
        native_precision=_native_precision(raw.get("quantization_config")),
        source=Source(str(path), "as read"),
        intermediate=_intermediate(fields, hidden),
        attention_gate=bool(raw.get("attn_output_gate", bool(state) and fields.text("model_type") not in MAMBA)),
    )
    return replace(llm, **state, **_experts(fields, layers, experts))


def _kv_heads(fields: Fields, heads: int) -> int:
    """Key and value heads; one where older Falcons and StarCoder say that all queries share it."""
    shared = bool(fields.raw.get("multi_query")) and not fields.raw.get("new_decoder_architecture")
    return 1 if shared else fields.number("num_key_value_heads", "num_kv_heads", default=heads)


def _intermediate(fields: Fields, hidden: int) -> int:
    """Width of a gated MLP; of an ungated one two thirds, with which three matrices are as large as its two."""
    ungated = fields.text("model_type") in UNGATED
    if fields.text("model_type") == "granitemoehybrid" and fields.number("shared_intermediate_size", default=0):
        return fields.number("shared_intermediate_size")  # its only MLP where there are no experts
    width = fields.number("intermediate_size", "n_inner", "ffn_dim", "ffn_hidden_size", default=4 * hidden * ungated)
    return round(width * 2 / 3) if ungated else width


def _load(path: Path) -> Raw:
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(str(path), "a Hugging Face config.json", "no such file", "Check the path.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(str(path), "JSON", str(error), "Download the file again.") from None
    if not isinstance(raw, dict):
        raise InputError(str(path), "a JSON object", type(raw).__name__, "Name the model's config.json.")
    return raw


def _windows(fields: Fields, layers: int) -> tuple[int, int]:
    """Tokens of the attention window and how many layers have it; chunked attention counts as its chunk."""
    chunk = fields.number("attention_chunk_size", default=0)
    window = fields.number("sliding_window", "attention_chunk_size", default=0)
    if not window or fields.raw.get("use_sliding_window") is False:
        return 0, 0
    kinds = [str(kind) for kind in fields.listed("layer_types")]
    if kinds:
        return window, sum("sliding" in kind or "chunked" in kind for kind in kinds[:layers])
    if chunk and not fields.raw.get("sliding_window"):
        # Llama 4 without layer_types: the layers without position encoding, every fourth, attend to everything.
        ropes = fields.listed("no_rope_layers")
        return window, sum(bool(r) for r in ropes[:layers]) if ropes else layers - layers // 4
    family = SLIDING_PATTERN.get(fields.text("model_type"), 0)
    pattern = fields.number("sliding_window_pattern", "_sliding_window_pattern", default=family)
    return window, layers - layers // pattern if pattern > 1 else layers


def _experts(fields: Fields, layers: int, experts: int) -> dict[str, Any]:
    """Routed and shared experts, and the width of the plain layers between them."""
    if not experts:
        return {}
    intermediate = fields.number("intermediate_size", "n_inner", default=0)
    width = fields.number("moe_intermediate_size", "expert_ffn_hidden_size", default=intermediate)
    shared = fields.number("n_shared_experts", "num_shared_experts", default=0)
    if not shared:
        shared_width = fields.number("shared_expert_intermediate_size", "shared_intermediate_size", default=0)
        # Llama 4 has one shared expert beside the routed ones and does not say so.
        shared = round(shared_width / width) if shared_width else int(fields.text("model_type").startswith("llama4"))
    return {
        "experts": experts,
        "experts_per_token": fields.number("num_experts_per_tok", "num_experts_per_token", "moe_topk"),
        "moe_intermediate": width,
        "shared_experts": shared,
        "dense_layers": _dense_layers(fields, layers),
        "intermediate": fields.number("intermediate_size_mlp", default=intermediate),
    }


def _dense_layers(fields: Fields, layers: int) -> int:
    """Layers with a plain MLP, by whichever of the families' conventions the config follows."""
    routed = fields.listed("moe_layers")
    if routed:
        return layers - len(routed)
    frequency = fields.listed("moe_layer_freq")
    if frequency:
        return layers - sum(bool(one) for one in frequency[:layers])
    period = fields.number("expert_layer_period", default=0)
    if period:
        offset = fields.number("expert_layer_offset", default=0)
        return layers - sum(i % period == offset for i in range(layers))
    step = fields.number("interleave_moe_layer_step", "decoder_sparse_step", default=1)
    plain = {int(str(one)) for one in fields.listed("mlp_only_layers")}
    skipped = sum(i in plain or (i + 1) % max(step, 1) != 0 for i in range(layers))
    return max(skipped, fields.number("first_k_dense_replace", default=0))


def _native_precision(quantization: object) -> str:
    """Precision of the checkpoint's weights, from its quantization_config."""
    if not isinstance(quantization, Mapping):
        return "bf16"
    method = str(quantization.get("quant_method", "")).lower()
    if method == "fp8":
        return "fp8_block" if quantization.get("weight_block_size") else "fp8"
    if method in LOWER_PRECISION:
        bits = quantization.get("bits", 4)
        return "int8" if method in ("gptq", "awq") and bits == 8 else LOWER_PRECISION[method]
    text = json.dumps(quantization, default=str).lower()
    if "nvfp4" in text:
        return "fp4"
    if method == "modelopt":
        return "fp8" if "fp8" in text else "bf16"
    if method == "compressed-tensors":
        four, eight = '"num_bits": 4' in text, '"num_bits": 8' in text
        if four:
            return "int4"
        return ("fp8" if '"type": "float"' in text else "int8") if eight else "bf16"
    return "bf16"
