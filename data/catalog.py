"""The catalogs of GPUs, LLMs, engines and coefficients as records, and look-up by name with useful errors."""

from __future__ import annotations

import difflib
import logging
from collections.abc import Collection, Mapping
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
    GpuEntry,
    LlmCatalog,
    LlmEntry,
)
from configs.engine_serving import EngineServing
from configs.errors import InputError
from configs.validation import validated
from configs.yaml_files import load_yaml
from data.catalog_config import llm_from_config
from data.catalog_names import gpu_parts, joined, plain_engine, plain_name, spelt
from data.own_catalog import FOLDER, catalog_files
from data.records import BatchDefaults, Engine, Gpu, Llm, Source
from data.units import GB, GIB, MIB, TFLOPS

T = TypeVar("T")
LOG = logging.getLogger(__name__)


def _source(sources: Mapping[str, object], key: str, where: str) -> Source:
    found = sources.get(key)
    if found is None:
        raise InputError(where, f"a source among {', '.join(sources)}", repr(key), "Name a source of this file.")
    return Source(getattr(found, "citation", ""), getattr(found, "as_of", ""))


def _paths(path: Path | None, name: str) -> tuple[Path, ...]:
    return catalog_files(name) if path is None else (path,)


def load_gpus(path: Path | None = None) -> Mapping[str, Gpu]:
    """GPUs by name: of the file, else of the product's catalog and one's own."""
    return _gpus(_paths(path, "gpus.yaml"))


@cache
def _gpu_file(path: Path) -> GpuCatalog:
    return validated(GpuCatalog, load_yaml(path), str(path))


@cache
def _gpus(paths: tuple[Path, ...]) -> Mapping[str, Gpu]:
    known = {name for path in paths for name in _gpu_file(path).gpus}
    return {name: gpu for path in paths for name, gpu in _gpus_of(path, known).items()}


def _gpus_of(path: Path, known: Collection[str]) -> dict[str, Gpu]:
    """The GPUs of one file; known: all that one may be like."""
    catalog = _gpu_file(path)
    for name, entry in catalog.gpus.items():
        if entry.like is not None and entry.like not in known:
            where = f"{path}, gpus.{name}.like"
            raise InputError(where, "a GPU of the catalog", repr(entry.like), "Name a GPU with measured tables.")
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
            like=entry.like or "",
        )
        for name, entry in catalog.gpus.items()
    }


def _llm(name: str, entry: LlmEntry, source: Source) -> Llm:
    fields = entry.model_dump(exclude={"hugging_face", "source"})
    return Llm(name=name, source=source, **fields)


def load_llms(path: Path | None = None) -> Mapping[str, Llm]:
    """LLMs by catalog name: of the file, else of the product's catalog and one's own."""
    return _llms(_paths(path, "llms.yaml"))


@cache
def _llm_file(path: Path) -> LlmCatalog:
    return validated(LlmCatalog, load_yaml(path), str(path))


@cache
def _llms(paths: tuple[Path, ...]) -> Mapping[str, Llm]:
    return {
        name: _llm(name, entry, _source(_llm_file(path).sources, entry.source, f"{path}, llms.{name}.source"))
        for path in paths
        for name, entry in _llm_file(path).llms.items()
    }


def llm_aliases(path: Path | None = None) -> Mapping[str, str]:
    """Hugging Face id -> catalog name."""
    return _llm_aliases(_paths(path, "llms.yaml"))


@cache
def _llm_aliases(paths: tuple[Path, ...]) -> Mapping[str, str]:
    found = {name: entry for path in paths for name, entry in _llm_file(path).llms.items()}
    return {alias: name for name, entry in found.items() for alias in entry.hugging_face}


@cache
def _engine_file(path: Path) -> EngineCatalog:
    return validated(EngineCatalog, load_yaml(path), str(path))


@cache
def _engine_entries(paths: tuple[Path, ...]) -> Mapping[str, EngineEntry]:
    return {name: entry for path in paths for name, entry in _engine_file(path).engines.items()}


def load_engines(path: Path | None = None) -> Mapping[str, Engine]:
    """Engines by name: of the file, else of the product's catalog and one's own."""
    return _engines(_paths(path, "engines.yaml"))


@cache
def _engines(paths: tuple[Path, ...]) -> Mapping[str, Engine]:
    return {name: engine for path in paths for name, engine in _engines_of(path).items()}


def _engines_of(path: Path) -> dict[str, Engine]:
    catalog = _engine_file(path)

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
    known = also.get(spelt(name)) or {joined(each): gpu for each, gpu in also.items()}.get(joined(spelt(name)))
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
    if name not in aliases and (known := _plain_llms().get(joined(plain_name(name)))):
        aliases[name] = known
    return _find(load_llms(), name, "LLM", aliases)


def _plain_llms() -> Mapping[str, str]:
    return _plain(_paths(None, "llms.yaml"))


@cache
def _plain(paths: tuple[Path, ...]) -> Mapping[str, str]:
    named = [*((n, n) for n in _llms(paths)), *_llm_aliases(paths).items()]
    return {joined(plain_name(known)): name for known, name in named}


def _by_parts(name: str) -> str | None:
    """The one GPU whose name or alias has the same parts, its memory within a tenth of what the name states."""
    parts, gb = gpu_parts(name)
    found = {
        gpu
        for known, gpu in gpu_aliases().items()
        if gpu_parts(known)[0] == parts and (not gb or abs(load_gpus()[gpu].memory_bytes / GIB / gb - 1.0) < 0.1)
    }
    return found.pop() if len(found) == 1 else None


def gpu_aliases(path: Path | None = None) -> Mapping[str, str]:
    """Lower-case spelling, as drivers and benchmarks have it -> catalog name."""
    return _gpu_aliases(_paths(path, "gpus.yaml"))


@cache
def _gpu_entries(paths: tuple[Path, ...]) -> Mapping[str, GpuEntry]:
    return {name: entry for path in paths for name, entry in _gpu_file(path).gpus.items()}


@cache
def _gpu_aliases(paths: tuple[Path, ...]) -> Mapping[str, str]:
    return {spelt(also): name for name, entry in _gpu_entries(paths).items() for also in (name, *entry.also)}


def driver_name(gpu: str, path: Path | None = None) -> str | None:
    """What nvidia-smi calls a GPU of the catalog; None where the catalog does not say."""
    names = _gpu_entries(_paths(path, "gpus.yaml"))[gpu].also
    return next((name for name in names if name.startswith(("NVIDIA ", "Tesla "))), None)


def find_engine(name: str) -> Engine:
    """The engine of that name, however it is spelt (`TensorRT-LLM`, `vLLM`), or InputError with the closest names."""
    known = engine_aliases().get(name.lower()) or engine_aliases().get(plain_engine(name))
    return _find(load_engines(), name, "engine", {name: known} if known else {})


def engine_aliases(path: Path | None = None) -> Mapping[str, str]:
    """Spellings in lower case, and without version and separators as people and benchmarks have them -> catalog name.
    Of entries that differ in their version alone the first is meant where none is said."""
    return _engine_aliases(_paths(path, "engines.yaml"))


@cache
def _engine_aliases(paths: tuple[Path, ...]) -> Mapping[str, str]:
    names = [(also, name) for name, one in _engine_entries(paths).items() for also in (name, *one.also)]
    plain = {plain_engine(also): name for also, name in reversed(names)}
    return plain | {also.lower(): name for also, name in reversed(names)}


def engine_serving(name: str, path: Path | None = None) -> EngineServing | None:
    """How the engine of that catalog name is started and read; None where its entry does not say."""
    return _engine_entries(_paths(path, "engines.yaml"))[name].serving
