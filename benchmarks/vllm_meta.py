"""What meta.json beside a vLLM log says of the engine: GPU, weights, KV cache, limits, scheduling."""

from __future__ import annotations

import difflib
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from benchmarks.measured_runs import NAMED_PRECISION, PRECISIONS, overlaps
from benchmarks.operator_tables import Shards
from configs.errors import InputError
from data.catalog import find_engine, find_gpu, gpu_aliases, load_coefficients, load_gpus, load_llms
from data.engine_limits import batch_limits as limits_on
from data.records import Configuration, Gpu, Llm
from models.size import size


def find_device(folder: Path, meta: dict[str, Any]) -> Gpu:
    """The GPU that the log names, else the one that the folder's name begins with.

    A name that several GPUs begin with is the usual one of them: SXM, then the largest memory. Raises InputError for
    none.
    """
    logged = part(meta, "hardware").get("device_name")
    if logged:
        return find_gpu(logged)
    parts = folder.absolute().name.split("_")
    # A100_40GB_LLM is no A100_LLM.
    for count in range(len(parts), 0, -1):
        try:
            return find_gpu("_".join(parts[:count]))
        except InputError:
            continue
    name = re.sub(r"[\s-]", "", parts[0]).lower()
    keys = {also.replace("-", ""): gpu for also, gpu in gpu_aliases().items()}
    # H10 is not the beginning of H100, nor is A alone that of any one GPU.
    whole = re.compile(re.escape(name) + r"(?!\d)") if re.search(r"\d", name) else None
    near = {gpu for key, gpu in keys.items() if whole and whole.match(key)}
    # Another number is another GPU, however close: RTX3080 is no RTX3090.
    alike = [key for key in keys if re.findall(r"\d+", key) == re.findall(r"\d+", name)]
    near = near or {keys[key] for key in difflib.get_close_matches(name, alike, n=1, cutoff=0.8)}
    if not near:
        raise InputError(
            str(folder), f"a folder named GPU_LLM with a GPU of {', '.join(sorted(load_gpus()))}", parts[0],
            "Rename it, state hardware.device_name in meta.json, or add the GPU to the catalog.",
        )  # fmt: skip
    return find_gpu(max(near, key=lambda gpu: ("SXM" in gpu, load_gpus()[gpu].memory_bytes, gpu)))


def part(found: dict[str, Any], *path: str) -> dict[str, Any]:
    """An object within an object; empty where it is missing, null or something else."""
    for key in path:
        inner = found.get(key)
        found = inner if isinstance(inner, dict) else {}
    return found


def _first(*sources: tuple[dict[str, Any], str]) -> float | None:
    """The first positive number among keys of objects; nulls are skipped."""
    for found, key in sources:
        value = found.get(key)
        if isinstance(value, int | float) and math.isfinite(value) and value > 0:
            return float(value)
    return None


def weight_precision(meta: dict[str, Any], llm: Llm) -> str:
    """The weights' precision: the engine's quantization, else a dtype below 16 bits (16-bit ones are what it computes
    in, whatever the checkpoint holds), else what the LLM's name ends in, else the published one."""
    engine = part(meta, "engine_kwargs")
    endings = "_".join(NAMED_PRECISION.findall(str(meta["model"]).lower()))
    method = str(engine.get("quantization") or "")
    # GPTQ is of 4 bits or of 8, as the checkpoint's name says.
    method += f"_{endings}" if "gptq" in method.lower() else ""
    for said in (method, engine.get("dtype"), endings):
        text = str(said or "").lower().replace("-", "_")
        named = next((precision for precision, parts in PRECISIONS if any(part in text for part in parts)), None)
        if named and (named != "bf16" or said is not engine.get("dtype")):
            return named
    return llm.native_precision.replace("mxfp4", "fp4")


def kv_tokens(meta: dict[str, Any], llm: Llm, shards: Shards, largest: float = 0.0) -> tuple[float, str]:
    """KV capacity in tokens: as the engine logged it, else by the memory kernel; infinite where that cannot be so,
    because less than the largest request (tokens) would fit."""
    found, source = _kv_tokens(meta, llm, shards)
    if found >= largest:
        return found, source
    return (
        math.inf,
        f"not known, taken as unlimited: {found:,.0f} ({source}) would not hold {largest:,.0f} of a request",
    )


def block_tokens(meta: dict[str, Any]) -> int:
    """Tokens a KV block, as logged, else vLLM's 16."""
    caches = (part(meta, "kv_cache"), part(meta, "resolved_config", "cache_config"), part(meta, "engine_kwargs"))
    return int(_first(*((cache, "block_size") for cache in caches)) or 16)


def _kv_tokens(meta: dict[str, Any], llm: Llm, shards: Shards) -> tuple[float, str]:
    logged, resolved = part(meta, "kv_cache"), part(meta, "resolved_config", "cache_config")
    tokens = _first(*((logged, key) for key in ("num_kv_tokens", "num_tokens", "total_tokens")))
    if tokens:
        return tokens, "as logged"
    blocks = _first((logged, "num_gpu_blocks"), (logged, "num_blocks"), (resolved, "num_gpu_blocks"))
    if blocks:
        return blocks * block_tokens(meta), "as logged"
    engine = part(meta, "engine_kwargs")
    kv = "fp8" if "fp8" in str(engine.get("kv_cache_dtype")) else "bf16"
    precision = weight_precision(meta, llm)
    share = _first(*((one, "gpu_memory_utilization") for one in (engine, logged, resolved)))
    one = Configuration(llm.name, shards.gpu.name, precision, kv, shards.tensor_parallel, "vllm")
    llms = load_llms() if llm.name in load_llms() else {llm.name: llm}
    vllm = find_engine("vllm")
    found = size(one, llms, load_gpus(), vllm, load_coefficients(), 1000.0, gpu_memory_utilization=share)
    share = share or vllm.gpu_memory_utilization
    return found.kv_capacity_tokens, f"memory kernel, {shards.gpu.name}, {precision} weights, {share:.0%} of memory"


def batch_limits(meta: dict[str, Any], gpu: Gpu) -> dict[str, tuple[int, str]]:
    """max_num_seqs and max_num_batched_tokens, each with where it comes from: the engine's arguments, else its resolved
    configuration, else vLLM's default on that GPU."""
    memory = _first((part(meta, "hardware"), "device_total_memory_bytes")) or gpu.memory_bytes
    known = replace(gpu, memory_bytes=memory)
    found: dict[str, tuple[int, str]] = {}
    for key in ("max_num_batched_tokens", "max_num_seqs"):
        tokens = found["max_num_batched_tokens"][0] if found else None
        default: int = getattr(limits_on(find_engine("vllm"), known, None, tokens), key)
        if value := _first((part(meta, "engine_kwargs"), key)):
            found[key] = int(value), "engine_kwargs"
        elif value := _first((part(meta, "resolved_config", "scheduler_config"), key)):
            found[key] = int(value), "resolved_config"
        else:
            found[key] = default, f"vLLM's default of its API server on {gpu.name}"
    return found


def overlapped(meta: dict[str, Any]) -> bool:
    """Whether the engine scheduled an iteration while the one before ran: as logged, else its version's default."""
    logged = part(meta, "resolved_config", "scheduler_config").get("async_scheduling")
    if logged is not None:
        return bool(logged)
    return overlaps(find_engine("vllm"), str(meta.get("vllm_version") or ""))
