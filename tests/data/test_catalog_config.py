"""Hugging Face configs of every family against the catalog's own entries, and configs that are wrong."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from configs.errors import InputError
from data.catalog import find_llm
from data.catalog_config import llm_from_config
from models.shapes import total_parameters

Json = dict[str, object]

LLAMA: Json = {
    "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
    "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "max_position_embeddings": 131072,
    "tie_word_embeddings": False,
}  # fmt: skip
FAMILIES: dict[str, Json] = {
    "Llama-3.1-8B": LLAMA,
    "Llama-3.2-3B": {
        **LLAMA, "num_hidden_layers": 28, "hidden_size": 3072, "num_attention_heads": 24, "head_dim": 128,
        "intermediate_size": 8192, "tie_word_embeddings": True,
    },
    "Qwen2.5-7B": {
        "model_type": "qwen2", "num_hidden_layers": 28, "hidden_size": 3584, "num_attention_heads": 28,
        "num_key_value_heads": 4, "intermediate_size": 18944, "vocab_size": 152064, "sliding_window": 131072,
        "use_sliding_window": False, "max_position_embeddings": 131072,
    },
    "Qwen3-30B-A3B": {
        "model_type": "qwen3_moe", "num_hidden_layers": 48, "hidden_size": 2048, "num_attention_heads": 32,
        "num_key_value_heads": 4, "head_dim": 128, "intermediate_size": 6144, "moe_intermediate_size": 768,
        "num_experts": 128, "num_experts_per_tok": 8, "decoder_sparse_step": 1, "mlp_only_layers": [],
        "vocab_size": 151936, "max_position_embeddings": 40960, "sliding_window": None,
    },
    "Mixtral-8x7B": {
        "model_type": "mixtral", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "num_local_experts": 8, "num_experts_per_tok": 2,
        "vocab_size": 32000, "max_position_embeddings": 32768, "sliding_window": None,
    },
    "DeepSeek-R1": {
        "model_type": "deepseek_v3", "num_hidden_layers": 61, "hidden_size": 7168, "num_attention_heads": 128,
        "num_key_value_heads": 128, "intermediate_size": 18432, "moe_intermediate_size": 2048, "n_routed_experts": 256,
        "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3, "moe_layer_freq": 1,
        "q_lora_rank": 1536, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
        "vocab_size": 129280, "max_position_embeddings": 163840,
        "quantization_config": {"quant_method": "fp8", "weight_block_size": [128, 128]},
    },
    "gpt-oss-20b": {
        "model_type": "gpt_oss", "num_hidden_layers": 24, "hidden_size": 2880, "num_attention_heads": 64,
        "num_key_value_heads": 8, "head_dim": 64, "intermediate_size": 2880, "num_local_experts": 32,
        "num_experts_per_tok": 4, "vocab_size": 201088, "max_position_embeddings": 131072, "sliding_window": 128,
        "layer_types": ["sliding_attention", "full_attention"] * 12, "quantization_config": {"quant_method": "mxfp4"},
    },
    "gemma-3-27b": {
        "text_config": {
            "model_type": "gemma3_text", "num_hidden_layers": 62, "hidden_size": 5376, "num_attention_heads": 32,
            "num_key_value_heads": 16, "head_dim": 128, "intermediate_size": 21504, "vocab_size": 262144,
            "max_position_embeddings": 131072, "sliding_window": 1024,
        },
    },
    "gemma-2-9b": {
        "model_type": "gemma2", "num_hidden_layers": 42, "hidden_size": 3584, "num_attention_heads": 16,
        "num_key_value_heads": 8, "head_dim": 256, "intermediate_size": 14336, "vocab_size": 256000,
        "max_position_embeddings": 8192, "sliding_window": 4096, "tie_word_embeddings": True,
    },
    "Llama-4-Maverick": {
        "model_type": "llama4",
        "text_config": {
            "model_type": "llama4_text", "num_hidden_layers": 48, "hidden_size": 5120, "num_attention_heads": 40,
            "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 8192, "intermediate_size_mlp": 16384,
            "num_local_experts": 128, "num_experts_per_tok": 1, "interleave_moe_layer_step": 2, "vocab_size": 202048,
            "max_position_embeddings": 1048576, "attention_chunk_size": 8192, "no_rope_layers": [1, 1, 1, 0] * 12,
        },
    },
    "Qwen3-Next-80B-A3B": {
        "model_type": "qwen3_next", "num_hidden_layers": 48, "hidden_size": 2048, "num_attention_heads": 16,
        "num_key_value_heads": 2, "head_dim": 256, "intermediate_size": 5120, "moe_intermediate_size": 512,
        "num_experts": 512, "num_experts_per_tok": 10, "shared_expert_intermediate_size": 512,
        "full_attention_interval": 4, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
        "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4, "vocab_size": 151936,
        "max_position_embeddings": 262144,
    },
    "GLM-4.5": {
        "model_type": "glm4_moe", "num_hidden_layers": 92, "hidden_size": 5120, "num_attention_heads": 96,
        "num_key_value_heads": 8, "head_dim": 128, "intermediate_size": 12288, "moe_intermediate_size": 1536,
        "n_routed_experts": 160, "n_shared_experts": 1, "num_experts_per_tok": 8, "first_k_dense_replace": 3,
        "vocab_size": 151552, "max_position_embeddings": 131072,
    },
}  # fmt: skip


def written(folder: Path, config: object) -> Path:
    path = folder / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(FAMILIES))
def test_a_config_says_what_the_catalog_says(name: str, tmp_path: Path) -> None:
    got, want = llm_from_config(written(tmp_path, FAMILIES[name])), find_llm(name)
    assert replace(got, name="", source=want.source) == replace(want, name="", note="")


def test_a_folder_will_do(tmp_path: Path) -> None:
    folder = tmp_path / "my-llm"
    folder.mkdir()
    written(folder, LLAMA)
    assert find_llm(str(folder)).name == "my-llm"
    assert find_llm(str(folder / "config.json")).layers == 32


@pytest.mark.parametrize(
    ("quantization", "precision"),
    [
        (None, "bf16"),
        ({"quant_method": "gptq", "bits": 4}, "int4"),
        ({"quant_method": "gptq", "bits": 8}, "int8"),
        ({"quant_method": "awq", "bits": 4}, "int4"),
        ({"quant_method": "fp8"}, "fp8"),
        ({"quant_method": "modelopt", "quant_algo": "NVFP4"}, "fp4"),
        ({"quant_method": "modelopt", "quant_algo": "FP8"}, "fp8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 8, "type": "float"}}}},
         "fp8"),
        ({"quant_method": "compressed-tensors", "config_groups": {"a": {"weights": {"num_bits": 4, "type": "int"}}}},
         "int4"),
    ],
)  # fmt: skip
def test_checkpoint_precision(quantization: object, precision: str, tmp_path: Path) -> None:
    llm = llm_from_config(written(tmp_path, {**LLAMA, "quantization_config": quantization}))
    assert llm.native_precision == precision


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"hidden_size": None}, "hidden_size.*nothing"),
        ({"num_hidden_layers": -1}, "num_hidden_layers.*-1"),
        ({"vocab_size": "many"}, "vocab_size.*'many'"),
        ({"num_attention_heads": 0}, "above 0"),
        ({"head_dim": 12.5}, "head_dim.*12.5"),
        ({"num_key_value_heads": True}, "num_key_value_heads.*True"),
        ({"hybrid_override_pattern": "M-M*"}, "hybrid_override_pattern.*not read"),
        ({"num_local_experts": 8}, "num_experts_per_tok.*nothing"),
    ],
)
def test_wrong_configs_name_the_field(change: Json, said: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=said):
        llm_from_config(written(tmp_path, {**LLAMA, **change}))


def test_what_is_no_config_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        llm_from_config(tmp_path / "config.json")
    with pytest.raises(InputError, match="JSON"):
        llm_from_config(written(tmp_path, []))
    (tmp_path / "config.json").write_bytes(b"\xff\xfe{")
    with pytest.raises(InputError, match="JSON"):
        llm_from_config(tmp_path / "config.json")


@pytest.mark.parametrize(
    ("config", "billions", "kv_heads"),
    [
        # Published sizes of families without a gate in their MLP and with defaults that their configs do not state.
        ({"model_type": "falcon", "num_hidden_layers": 32, "hidden_size": 4544, "num_attention_heads": 71,
          "multi_query": True, "new_decoder_architecture": False, "vocab_size": 65024}, 6.92, 1),
        ({"model_type": "opt", "num_hidden_layers": 64, "hidden_size": 9216, "num_attention_heads": 72,
          "ffn_dim": 36864, "vocab_size": 50272}, 65.7, 72),
        ({"model_type": "bloom", "n_layer": 70, "hidden_size": 14336, "n_head": 112, "vocab_size": 250880},
         176.25, 112),
        ({"model_type": "starcoder2", "num_hidden_layers": 40, "hidden_size": 6144, "num_attention_heads": 48,
          "num_key_value_heads": 4, "intermediate_size": 24576, "vocab_size": 49152, "tie_word_embeddings": False},
         15.96, 4),
        ({"model_type": "gpt2", "n_layer": 48, "n_embd": 1600, "n_head": 25, "n_inner": None, "vocab_size": 50257},
         1.557, 25),
    ],
)  # fmt: skip
def test_mlps_without_a_gate(tmp_path: Path, config: Json, billions: float, kv_heads: int) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps(config), encoding="utf-8")
    llm = llm_from_config(path)
    assert total_parameters(llm) / 1e9 == pytest.approx(billions, rel=0.005)
    assert llm.kv_heads == kv_heads


MAMBA_HYBRIDS: list[tuple[str, Json, float, int]] = [
    ("granite-4.0-h-small", {
        "model_type": "granitemoehybrid", "num_hidden_layers": 40, "hidden_size": 4096, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 768, "shared_intermediate_size": 1536, "num_local_experts": 72,
        "num_experts_per_tok": 10, "vocab_size": 100352, "tie_word_embeddings": True, "mamba_n_heads": 128,
        "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_d_conv": 4, "mamba_expand": 2,
        "layer_types": (["mamba"] * 9 + ["attention"]) * 4,
    }, 32.2, 36),
    ("granite-4.0-h-tiny", {
        "model_type": "granitemoehybrid", "num_hidden_layers": 40, "hidden_size": 1536, "num_attention_heads": 12,
        "num_key_value_heads": 4, "intermediate_size": 512, "shared_intermediate_size": 1024, "num_local_experts": 64,
        "num_experts_per_tok": 6, "vocab_size": 100352, "tie_word_embeddings": True, "mamba_n_heads": 48,
        "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_d_conv": 4, "mamba_expand": 2,
        "layer_types": (["mamba"] * 9 + ["attention"]) * 4,
    }, 6.94, 36),
    ("bamba-9b", {
        "model_type": "bamba", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "vocab_size": 128256, "tie_word_embeddings": False,
        "mamba_n_heads": 128, "mamba_d_head": 64, "mamba_d_state": 128, "mamba_n_groups": 1, "mamba_d_conv": 4,
        "mamba_expand": 2, "attn_layer_indices": [9, 18, 27],
    }, 9.78, 29),
    ("jamba-v0.1", {
        "model_type": "jamba", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
        "num_key_value_heads": 8, "intermediate_size": 14336, "num_experts": 16, "num_experts_per_tok": 2,
        "expert_layer_period": 2, "expert_layer_offset": 1, "attn_layer_period": 8, "attn_layer_offset": 4,
        "mamba_d_state": 16, "mamba_d_conv": 4, "mamba_expand": 2, "mamba_dt_rank": 256, "vocab_size": 65536,
        "tie_word_embeddings": False,
    }, 51.57, 28),
]  # fmt: skip


@pytest.mark.parametrize(("name", "config", "billions", "mamba"), MAMBA_HYBRIDS)
def test_mamba_hybrids_have_their_published_size(
    tmp_path: Path, name: str, config: Json, billions: float, mamba: int
) -> None:
    llm = llm_from_config(written(tmp_path, config))
    assert total_parameters(llm) / 1e9 == pytest.approx(billions, rel=0.003), name
    assert (llm.state_layers, llm.layers - llm.state_layers) == (mamba, int(config["num_hidden_layers"]) - mamba)  # type: ignore[call-overload]
    inner = 2 * llm.hidden
    state = 4 * inner * int(config["mamba_d_state"])  # type: ignore[call-overload]
    assert llm.state_bytes_per_sequence / mamba == pytest.approx(state, rel=0.15)


def test_a_mamba_hybrid_that_does_not_say_where_it_attends_is_refused(tmp_path: Path) -> None:
    config = {name: value for name, value in MAMBA_HYBRIDS[2][1].items() if name != "attn_layer_indices"}
    with pytest.raises(InputError, match="which layers attend"):
        llm_from_config(written(tmp_path, config))


@pytest.mark.parametrize(
    ("config", "billions"),
    [
        # Latent attention without a low-rank query.
        ({"model_type": "deepseek_v2", "num_hidden_layers": 27, "hidden_size": 2048, "num_attention_heads": 16,
          "num_key_value_heads": 16, "intermediate_size": 10944, "moe_intermediate_size": 1408, "n_routed_experts": 64,
          "n_shared_experts": 2, "num_experts_per_tok": 6, "first_k_dense_replace": 1, "moe_layer_freq": 1,
          "q_lora_rank": None, "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64,
          "v_head_dim": 128, "vocab_size": 102400}, 15.706),
        # A window in every layer.
        ({"model_type": "mistral", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32,
          "num_key_value_heads": 8, "intermediate_size": 14336, "sliding_window": 4096, "vocab_size": 32000}, 7.242),
    ],
)  # fmt: skip
def test_other_published_sizes(tmp_path: Path, config: Json, billions: float) -> None:
    assert total_parameters(llm_from_config(written(tmp_path, config))) / 1e9 == pytest.approx(billions, rel=0.001)


@pytest.mark.parametrize(
    "field",
    [
        {"compress_ratios": [0, 4, 128]}, {"hybrid_override_pattern": "M-M*"}, {"block_configs": [{}]},
        {"attn_type_list": [0, 0, 1]}, {"linear_attn_config": {"kda_layers": [1]}}, {"hybrid_layer_pattern": [0, 1]},
        {"mamba_d_state": 128}, {"cross_attention_layers": [3]},
    ],
)  # fmt: skip
def test_layers_that_are_not_described_are_refused_by_name(tmp_path: Path, field: Json) -> None:
    path = tmp_path / "config.json"
    path.write_text(json.dumps({**LLAMA, **field}), encoding="utf-8")
    with pytest.raises(InputError, match=next(iter(field))):
        llm_from_config(path)
