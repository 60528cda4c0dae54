"""The catalogs of GPUs, LLMs, engines and coefficients as records, and look-up by name with useful errors."""

from __future__ import annotations

import difflib
import logging
import re
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import TypeVar

from configs.catalog_schema import (
    CoefficientCatalog,
    Correction,
    CorrectionFile,
    EngineCatalog,
    EngineEntry,
    GpuCatalog,
    LlmCatalog,
    LlmEntry,
)
from configs.engine_serving import EngineServing
from configs.errors import InputError
from configs.validation import validated
from configs.yaml_files import load_yaml
from data.catalog_config import llm_from_config
from data.records import BatchDefaults, Engine, Gpu, Llm, Source
from data.units import GB, GIB, MIB, TFLOPS

FOLDER = Path(__file__).parent / "catalog"
VARIANT = re.compile(
    r"-(instruct|chat|it|hf|base|thinking|original|exp|preview|pt|\d{4}|\dbit|bnb|bf16|fp16|fp8|(nv)?fp4(-v\d)?|mxfp4|int4|int8"
    r"|awq|gptq|gguf|q\d_k_[sml]|dynamic|static|pertensor|block|kv|w\da\d+|quantized\.\w+|tput)$"
)
"""Endings of published names that do not change the architecture: training stage, date, quantisation."""
GPU_MEMORY = re.compile(r"(?P<gb>\d+)\s*-?gi?b\b")
GPU_NOISE = re.compile(r"nvidia|amd|intel|instinct|geforce|tesla|hgx|dgx|mega|tensor|core|gpu|hbm\d?e?|[\s_-]+")
T = TypeVar("T")
LOG = logging.getLogger(__name__)


def _source(sources: Mapping[str, object], key: str, where: str) -> Source:
    found = sources.get(key)
    if found is None:
        raise InputError(where, f"a source among {', '.join(sources)}", repr(key), "Name a source of this file.")
    return Source(getattr(found, "citation", ""), getattr(found, "as_of", ""))


def _relative(catalog: GpuCatalog, like: str | None, where: str) -> str:
    if like is not None and like not in catalog.gpus:
        raise InputError(where, "a GPU of this file", repr(like), "Name a GPU with measured tables.")
    return like or ""


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
            fp8_kv_cache=entry.fp8_kv_cache,
            host_gpus=entry.host_gpus,
            joined_gpus=entry.joined_gpus,
            like=_relative(catalog, entry.like, f"{path}, gpus.{name}.like"),
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
def _engines(path: Path) -> EngineCatalog:
    return validated(EngineCatalog, load_yaml(path), str(path))


@cache
def load_engines(path: Path = FOLDER / "engines.yaml") -> Mapping[str, Engine]:
    """Engines by name."""
    catalog = _engines(path)

    def engine(name: str, entry: EngineEntry) -> Engine:
        since = entry.overlapped_since
        return Engine(
            name=name,
            version=entry.version,
            gpu_memory_utilization=entry.gpu_memory_utilization,
            memory_rule=entry.memory_rule,
            max_num_seqs=entry.max_num_seqs,
            max_num_batched_tokens=entry.max_num_batched_tokens,
            by_gpu_memory=tuple(
                BatchDefaults(one.max_num_seqs, one.max_num_batched_tokens, one.from_gib * GIB, one.but_not)
                for one in sorted(entry.by_gpu_memory, key=lambda each: -each.from_gib)
            ),
            kv_block_tokens=entry.kv_block_tokens,
            graph_bytes=entry.graph_gib * GIB,
            communication_bytes=entry.communication_gib * GIB,
            fragmentation_bytes=entry.fragmentation_gib * GIB,
            host_overhead_s=entry.host_overhead_ms * 1e-3,
            overlapped_scheduling=entry.overlapped_scheduling,
            overlapped_since=(since.version, since.day) if since else None,
            graph_hides_quantize=entry.graph_hides_quantize,
            sampler_bytes_per_logit=entry.sampler_bytes_per_logit,
            source=_source(catalog.sources, entry.source, f"{path}, engines.{name}.source"),
        )

    return {name: engine(name, entry) for name, entry in catalog.engines.items()}


@cache
def _fitted_tables(path: Path) -> CoefficientCatalog:
    return validated(CoefficientCatalog, load_yaml(path), str(path))


@cache
def _warn(text: str) -> None:
    """Says it once, however often a command reads its catalogs."""
    LOG.warning(text)


def load_coefficients(
    path: Path = FOLDER / "coefficients.yaml", calibration: tuple[Path, ...] = ()
) -> CoefficientCatalog:
    """Roofline coefficients fitted to operator tables, with the corrections of the calibration files.

    A correction whose fit was judged poor is used as it was asked for, with a warning. Raises InputError for files that
    are wrong, and for two corrections of the same configuration.
    """
    found: dict[tuple[str | int | None, ...], Correction] = {}
    for file in calibration:
        for one in validated(CorrectionFile, load_yaml(file), str(file)).corrections:
            said = " / ".join(str(part) for part in one.measured if part is not None)
            if one.measured in found:
                raise InputError(str(file), "one correction for each configuration", said, "Keep one of them.")
            found[one.measured] = one
            if one.verdict.startswith("poor"):
                _warn(f"{file}: the correction of {said} is used although its fit was {one.verdict}")
    tables = _fitted_tables(path)
    return tables.model_copy(update={"corrections": tuple(found.values())}) if found else tables


def _find(known: Mapping[str, T], name: str, what: str, also: Mapping[str, str]) -> T:
    if name in known:
        return known[name]
    if name in also:
        return known[also[name]]
    near = difflib.get_close_matches(name, [*known, *also], n=3, cutoff=0.4)
    hint = f"Did you mean {' or '.join(near)}?" if near else f"Known: {', '.join(sorted(known))}."
    raise InputError(f"{what} {name!r}", f"a name in the {what} catalog", "an unknown one", hint)


def find_gpu(name: str) -> Gpu:
    """The GPU of that name, however a driver or a benchmark spells it, or InputError with the closest names."""
    also = gpu_aliases()
    known = also.get(_spelt(name)) or {_key(each): gpu for each, gpu in also.items()}.get(_key(_spelt(name)))
    known = known or _by_parts(name)
    return _find(load_gpus(), name, "GPU", {**also, name: known} if known else also)


def find_llm(name: str) -> Llm:
    """The LLM of that catalog name or Hugging Face id, or of a local `config.json` or its folder; else InputError.

    Ids of quantised or fine-tuned checkpoints are known by the architecture they name: `x/Llama-3.1-70B-Instruct-AWQ`.
    """
    if name.endswith(".json"):
        return llm_from_config(Path(name))
    if name not in load_llms() and (Path(name) / "config.json").is_file():
        return llm_from_config(Path(name) / "config.json")
    aliases = dict(llm_aliases())
    if name not in aliases and (known := _plain_llms().get(_key(plain_name(name)))):
        aliases[name] = known
    return _find(load_llms(), name, "LLM", aliases)


def plain_name(name: str) -> str:
    """A published name without its organisation, training stage, date and quantisation, in lower case."""
    plain = name.rsplit("/", 1)[-1].lower().removeprefix("meta-").replace("_", "-")
    while (shorter := VARIANT.sub("", plain)) != plain:
        plain = shorter
    return plain


def _key(plain: str) -> str:
    """A plain name without separators: `llama3.1-70b` and `llama-3.1-70b` are one, as are `h100sxm` and `h100-sxm`."""
    return re.sub(r"[\s_-]", "", plain)


@cache
def _plain_llms() -> Mapping[str, str]:
    named = [*((n, n) for n in load_llms()), *llm_aliases().items()]
    return {_key(plain_name(known)): name for known, name in named}


def _spelt(name: str) -> str:
    return re.sub(r"[\s_-]+", "-", name.strip().lower())


def _parts(name: str) -> tuple[frozenset[str], float]:
    """What tells one GPU from another in a long name, and the memory it states in GB (0 for none).

    `NVIDIA H100 SXM5 80GB HBM3` is h, 100 and sxm with 80 GB; the vendor and the kind of memory say nothing more.
    """
    text = name.lower()
    stated = GPU_MEMORY.search(text)
    text = GPU_NOISE.sub(" ", GPU_MEMORY.sub(" ", text))
    text = re.sub(r"(sxm|oam)\d?", r" \1 ", text)
    return frozenset(re.findall(r"[a-z]+|\d+", text)), float(stated["gb"]) if stated else 0.0


def _by_parts(name: str) -> str | None:
    """The one GPU whose name or alias has the same parts, its memory within a tenth of what the name states."""
    parts, gb = _parts(name)
    found = {
        gpu
        for known, gpu in gpu_aliases().items()
        if _parts(known)[0] == parts and (not gb or abs(load_gpus()[gpu].memory_bytes / GIB / gb - 1.0) < 0.1)
    }
    return found.pop() if len(found) == 1 else None


@cache
def gpu_aliases(path: Path = FOLDER / "gpus.yaml") -> Mapping[str, str]:
    """Lower-case spelling, as drivers and benchmarks have it -> catalog name."""
    catalog = validated(GpuCatalog, load_yaml(path), str(path))
    return {_spelt(also): name for name, entry in catalog.gpus.items() for also in (name, *entry.also)}


@cache
def driver_name(gpu: str, path: Path = FOLDER / "gpus.yaml") -> str | None:
    """What nvidia-smi calls a GPU of the catalog; None where the catalog does not say."""
    names = validated(GpuCatalog, load_yaml(path), str(path)).gpus[gpu].also
    return next((name for name in names if name.startswith(("NVIDIA ", "Tesla "))), None)


def find_engine(name: str) -> Engine:
    """The engine of that name, however it is spelt (`TensorRT-LLM`, `vLLM`), or InputError with the closest names."""
    known = engine_aliases().get(name.lower()) or engine_aliases().get(_plain_engine(name))
    return _find(load_engines(), name, "engine", {name: known} if known else {})


def _plain_engine(name: str) -> str:
    """A name without separators, version and what is around the engine (Dynamo, the PyTorch backend)."""
    return re.sub(r"[\s_-]|v?\d[\d.]*$|dynamo|pytorch", "", name.lower())


@cache
def engine_aliases(path: Path = FOLDER / "engines.yaml") -> Mapping[str, str]:
    """Spellings in lower case, and without version and separators as people and benchmarks have them -> catalog name.
    Of entries that differ in their version alone the first is meant where none is said."""
    spelt = [(also, name) for name, one in _engines(path).engines.items() for also in (name, *one.also)]
    plain = {_plain_engine(also): name for also, name in reversed(spelt)}
    return plain | {also.lower(): name for also, name in reversed(spelt)}


@cache
def engine_serving(name: str, path: Path = FOLDER / "engines.yaml") -> EngineServing | None:
    """How the engine of that catalog name is started and read; None where its entry does not say."""
    return _engines(path).engines[name].serving
