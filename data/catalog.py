"""The catalogs of GPUs, LLMs, engines and coefficients as records, and look-up by name with useful errors."""

from __future__ import annotations

import difflib
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from configs.catalog_schema import CoefficientCatalog, EngineCatalog, EngineEntry, GpuCatalog, LlmCatalog, LlmEntry
from configs.errors import InputError
from configs.validation import validated
from configs.yaml_files import load_yaml
from data.records import Engine, Gpu, Llm, Source
from data.units import GB, GIB, MIB, TFLOPS

FOLDER = Path(__file__).parent / "catalog"
T = TypeVar("T")


def _source(sources: Mapping[str, object], key: str, where: str) -> Source:
    found = sources.get(key)
    if found is None:
        raise InputError(where, f"a source among {', '.join(sources)}", repr(key), "Name a source of this file.")
    return Source(getattr(found, "citation", ""), getattr(found, "as_of", ""))


@cache
def load_gpus(path: Path = FOLDER / "gpus.yaml") -> Mapping[str, Gpu]:
    """GPUs by name."""
    catalog = validated(GpuCatalog, load_yaml(path), str(path))
    return {
        name: Gpu(
            name=name,
            vendor=entry.vendor,
            memory_bytes=entry.memory_mib * MIB,
            memory_bandwidth_bytes_per_s=entry.bandwidth_gb_per_s * GB,
            dense_flops={key: value * TFLOPS for key, value in entry.dense_tflops.items()},
            link_bytes_per_s=entry.link_gb_per_s * GB,
            link_kind=entry.link,
            tdp_w=entry.tdp_w,
            source=_source(catalog.sources, entry.source, f"{path}, gpus.{name}.source"),
            note=entry.note,
        )
        for name, entry in catalog.gpus.items()
    }


def _llm(name: str, entry: LlmEntry, source: Source) -> Llm:
    fields = entry.model_dump(exclude={"hugging_face", "source"})
    return Llm(name=name, source=source, **fields)


@cache
def load_llms(path: Path = FOLDER / "llms.yaml") -> Mapping[str, Llm]:
    """LLMs by catalog name."""
    catalog = validated(LlmCatalog, load_yaml(path), str(path))
    return {
        name: _llm(name, entry, _source(catalog.sources, entry.source, f"{path}, llms.{name}.source"))
        for name, entry in catalog.llms.items()
    }


@cache
def llm_aliases(path: Path = FOLDER / "llms.yaml") -> Mapping[str, str]:
    """Hugging Face id -> catalog name."""
    catalog = validated(LlmCatalog, load_yaml(path), str(path))
    return {alias: name for name, entry in catalog.llms.items() for alias in entry.hugging_face}


@cache
def load_engines(path: Path = FOLDER / "engines.yaml") -> Mapping[str, Engine]:
    """Engines by name."""
    catalog = validated(EngineCatalog, load_yaml(path), str(path))

    def engine(name: str, entry: EngineEntry) -> Engine:
        return Engine(
            name=name,
            version=entry.version,
            gpu_memory_utilization=entry.gpu_memory_utilization,
            memory_rule=entry.memory_rule,
            max_num_seqs=entry.max_num_seqs,
            max_num_batched_tokens=entry.max_num_batched_tokens,
            kv_block_tokens=entry.kv_block_tokens,
            graph_bytes=entry.graph_gib * GIB,
            communication_bytes=entry.communication_gib * GIB,
            host_overhead_s=entry.host_overhead_ms * 1e-3,
            source=_source(catalog.sources, entry.source, f"{path}, engines.{name}.source"),
        )

    return {name: engine(name, entry) for name, entry in catalog.engines.items()}


@cache
def load_coefficients(path: Path = FOLDER / "coefficients.yaml") -> CoefficientCatalog:
    """Roofline coefficients fitted to operator tables."""
    return validated(CoefficientCatalog, load_yaml(path), str(path))


def _find(known: Mapping[str, T], name: str, what: str, also: Mapping[str, str]) -> T:
    if name in known:
        return known[name]
    if name in also:
        return known[also[name]]
    near = difflib.get_close_matches(name, [*known, *also], n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(known))}."
    raise InputError(f"{what} {name!r}", f"a name in the {what} catalog", "an unknown one", hint)


def find_gpu(name: str) -> Gpu:
    """The GPU of that name, or InputError with the closest names."""
    return _find(load_gpus(), name, "GPU", {})


def find_llm(name: str) -> Llm:
    """The LLM of that catalog name or Hugging Face id, or of a local `config.json`; else InputError."""
    if name.endswith(".json"):
        return llm_from_config(Path(name))
    return _find(load_llms(), name, "LLM", llm_aliases())


def find_engine(name: str) -> Engine:
    """The engine of that name, or InputError with the closest names."""
    return _find(load_engines(), name, "engine", {})


def llm_from_config(path: Path) -> Llm:
    """An LLM from a Hugging Face `config.json`.

    Understands dense and mixture-of-experts decoders with grouped-query or multi-head latent attention and
    sliding-window layers. Raises InputError naming the field that is missing or cannot be understood.
    """
    try:
        raw = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(str(path), "a Hugging Face config.json", "no such file", "Check the path.") from None
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise InputError(str(path), "JSON", str(error), "Download the file again.") from None
    if not isinstance(raw, dict):
        raise InputError(str(path), "a JSON object", type(raw).__name__, "Name the model's config.json.")
    raw = raw.get("text_config", raw)

    def number(*keys: str, default: int | None = None) -> int:
        for key in keys:
            if raw.get(key) is not None:
                return int(raw[key])
        if default is None:
            raise InputError(f"{path}, {keys[0]}", "a whole number", "nothing", "Is this a decoder-only LLM's config?")
        return default

    layers, hidden, heads = number("num_hidden_layers"), number("hidden_size"), number("num_attention_heads")
    experts = number("num_local_experts", "n_routed_experts", "num_experts", default=0)
    intermediate = number("intermediate_size", default=0)
    nope, rope = number("qk_nope_head_dim", default=0), number("qk_rope_head_dim", default=0)
    latent = number("kv_lora_rank", default=0)
    types = raw.get("layer_types") or []
    window = number("sliding_window", default=0) if raw.get("use_sliding_window", True) else 0
    sliding = sum("sliding" in str(kind) for kind in types) if types else (layers if window else 0)
    quantization = (raw.get("quantization_config") or {}).get("quant_method", "")
    return Llm(
        name=path.parent.name or path.stem,
        layers=layers,
        hidden=hidden,
        heads=heads,
        kv_heads=number("num_key_value_heads", default=heads),
        head_dim=nope + rope if latent else number("head_dim", default=hidden // heads),
        intermediate=intermediate,
        vocab=number("vocab_size"),
        tie_embeddings=bool(raw.get("tie_word_embeddings", False)),
        max_positions=number("max_position_embeddings", default=0),
        experts=experts,
        experts_per_token=number("num_experts_per_tok", "num_experts_per_token", default=0),
        shared_experts=number("n_shared_experts", "num_shared_experts", default=0),
        moe_intermediate=number("moe_intermediate_size", default=intermediate) if experts else 0,
        dense_layers=number("first_k_dense_replace", default=0),
        q_lora_rank=number("q_lora_rank", default=0),
        kv_lora_rank=latent,
        qk_nope_head_dim=nope,
        qk_rope_head_dim=rope,
        v_head_dim=number("v_head_dim", default=0),
        sliding_window=window if sliding else 0,
        sliding_layers=sliding if window else 0,
        native_precision={"fp8": "fp8_block", "mxfp4": "mxfp4"}.get(quantization, "bf16"),
        source=Source(str(path), "as read"),
    )
