"""A real vLLM run, request by request, against the simulator with that GPU's own operator times.

    python -m benchmarks.vllm_log --run FOLDER [--no-overlap] [--json]

FOLDER holds meta.json (model, engine_kwargs, optionally kv_cache), requests.jsonl (input_toks, output_toks,
arrival_time, queued_ts, scheduled_ts, first_token_ts, last_token_ts) and op_tables/ (benchmarks/operator_tables.py).
Step costs come from the tables, the catalog's link and its host time alone: dense operators and experts by token
count, attention by a relative least-squares fit of the simulator's linear form. No request time is used. Prints TTFT
(since queueing; for requests that were scheduled at once also since sending) and TPOT percentiles beside ours, the
engine's limits and where they come from, and how often the KV cache was over-full: where it was, the run is simulated
in the lane form that preempts and computes again as the engine does. Requests without a queueing or first-token stamp
or a count of tokens (failed ones) are left out and counted; those that lack only the last stamp are left out of TPOT.
"""

from __future__ import annotations

import argparse
import difflib
import json
import math
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.inputs import object_of, require, text_of
from benchmarks.measured_runs import NAMED_PRECISION, PRECISIONS
from benchmarks.operator_tables import Reach, Shards, step_cost, unused
from benchmarks.scores import off, strict
from configs.errors import InputError
from data.catalog import find_engine, find_gpu, find_llm, gpu_aliases, load_coefficients, load_gpus, load_llms
from data.records import Configuration, FloatArray, Gpu, Llm
from data.units import GIB
from models.simulator.engine import Limits, Outcome, Requests, simulate
from models.simulator.pool import PoolOutcome, plain_pool, simulate_pool
from models.size import size

ASYNC_BY_DEFAULT = [0, 14]
"""vLLM's first version with asynchronous scheduling by default (vllm-project/vllm#27614)."""
REQUEST = ("input_toks", "output_toks", "arrival_time", "queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts")
QUANTILES = (0.5, 0.9, 0.95, 0.99)
AT_ONCE_S = 0.1
"""Longest that a request waited for a place that is scored as scheduled at once, by TTFT since it was sent."""
PRESSURE = 0.01
"""Share of iterations with an over-full cache from which preemption decides the times."""
LARGE_GPU_BYTES = 70 * GIB
"""Memory from which vLLM's defaults of max_num_seqs and max_num_batched_tokens are the large ones, but on an A100
(vllm/engine/arg_utils.py, EngineArgs.get_batch_defaults, of the API server; vllm-project/vllm#17885)."""
LARGE_DEFAULTS = {"max_num_seqs": 1024, "max_num_batched_tokens": 8192}
SMALL_DEFAULTS = {"max_num_seqs": 256, "max_num_batched_tokens": 2048}
WALL_CLOCK_S = 1e8
"""Arrivals later than this are of the wall clock, where 0 is no time at all."""


def find_device(folder: Path, meta: dict[str, Any]) -> Gpu:
    """The GPU that the log names, else the one that the folder's name begins with.

    A name that several GPUs begin with is the usual one of them: SXM, then the largest memory. Raises InputError for
    none.
    """
    logged = _part(meta, "hardware").get("device_name")
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


def _part(found: dict[str, Any], *path: str) -> dict[str, Any]:
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
    engine = _part(meta, "engine_kwargs")
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
    caches = (_part(meta, "kv_cache"), _part(meta, "resolved_config", "cache_config"), _part(meta, "engine_kwargs"))
    return int(_first(*((cache, "block_size") for cache in caches)) or 16)


def _kv_tokens(meta: dict[str, Any], llm: Llm, shards: Shards) -> tuple[float, str]:
    logged, resolved = _part(meta, "kv_cache"), _part(meta, "resolved_config", "cache_config")
    tokens = _first(*((logged, key) for key in ("num_kv_tokens", "num_tokens", "total_tokens")))
    if tokens:
        return tokens, "as logged"
    blocks = _first((logged, "num_gpu_blocks"), (logged, "num_blocks"), (resolved, "num_gpu_blocks"))
    if blocks:
        return blocks * block_tokens(meta), "as logged"
    engine = _part(meta, "engine_kwargs")
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
    memory = _first((_part(meta, "hardware"), "device_total_memory_bytes")) or gpu.memory_bytes
    large = memory >= LARGE_GPU_BYTES and not gpu.name.startswith("A100")
    found: dict[str, tuple[int, str]] = {}
    # The default of sequences is no more than the tokens: a sequence takes one at least.
    for key in ("max_num_batched_tokens", "max_num_seqs"):
        default = LARGE_DEFAULTS[key] if large else SMALL_DEFAULTS[key]
        if key == "max_num_seqs":
            default = min(default, found["max_num_batched_tokens"][0])
        if value := _first((_part(meta, "engine_kwargs"), key)):
            found[key] = int(value), "engine_kwargs"
        elif value := _first((_part(meta, "resolved_config", "scheduler_config"), key)):
            found[key] = int(value), "resolved_config"
        else:
            found[key] = default, f"vLLM's default of its API server on {gpu.name}"
    return found


def overlapped(meta: dict[str, Any]) -> bool:
    """Whether the engine scheduled an iteration while the one before ran: as logged, else its version's default."""
    logged = _part(meta, "resolved_config", "scheduler_config").get("async_scheduling")
    if logged is not None:
        return bool(logged)
    version = [int(part) for part in re.findall(r"[0-9]+", str(meta.get("vllm_version") or ""))[:2]]
    return version >= ASYNC_BY_DEFAULT


def read_log(folder: Path) -> tuple[dict[str, Any], pd.DataFrame]:
    """meta.json and the requests by when they were sent. Raises InputError where either is missing or lacks a field."""
    what = "a folder with meta.json, requests.jsonl and op_tables/"
    meta = object_of(text_of(folder / "meta.json", what), str(folder / "meta.json"), ("model", "engine_kwargs"))
    path = folder / "requests.jsonl"
    lines = enumerate(text_of(path, what).splitlines(), start=1)
    rows = [object_of(line, f"{path}, line {number}", ()) for number, line in lines if line.strip()]
    if not rows:
        raise InputError(str(path), "one request a line", "no requests", "Give the log of a run.")
    log = pd.DataFrame(rows)
    require(dict.fromkeys(log.columns), REQUEST, str(path))
    log = log[list(REQUEST)].apply(pd.to_numeric, errors="coerce").astype(float)
    return meta, log.replace([np.inf, -np.inf], np.nan).sort_values("arrival_time")


def usable(log: pd.DataFrame, where: str) -> pd.DataFrame:
    """The requests that the engine served, stamps that cannot be as NaN. Raises InputError where there are none."""
    log = log.copy()
    stamps = ["queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts"]
    log[stamps] = log[stamps].where(log[stamps] > 0.0)
    log["last_token_ts"] = log.last_token_ts.where(log.last_token_ts >= log.first_token_ts)
    if log.arrival_time.max() > WALL_CLOCK_S:
        log["arrival_time"] = log.arrival_time.where(log.arrival_time > 0.0)
    # Comparisons with NaN are false.
    served = log[(log.first_token_ts >= log.queued_ts) & (log.output_toks >= 1) & (log.input_toks >= 1)]
    if served.empty:
        raise InputError(
            where, "requests with input_toks, output_toks, queued_ts and first_token_ts",
            f"none among {len(log)}", "Give the log of a run that served some.",
        )  # fmt: skip
    return served


def score(folder: Path, overlap: bool | None = None) -> dict[str, Any]:
    """Percentiles of the run and of its simulation, with relative errors; overlap: as told instead of as logged."""
    meta, everything = read_log(folder)
    log = usable(everything, str(folder / "requests.jsonl"))
    llm = find_llm(str(meta["model"]))
    engine = _part(meta, "engine_kwargs")
    if (replicas := int(engine.get("data_parallel_size") or 1)) > 1:
        raise InputError(
            str(folder / "meta.json"), "one replica", f"data_parallel_size {replicas}", "Score its replicas one by one."
        )
    shards = Shards(
        find_device(folder, meta), int(engine.get("tensor_parallel_size") or 1),
        bool(engine.get("enable_expert_parallel")),
    )  # fmt: skip
    capacity, source = kv_tokens(meta, llm, shards, float((log.input_toks + log.output_toks).max()))
    # A request counts as queued when the scheduler next looks: simulated is when it was sent, by the engine's clock.
    log = log.sort_values("queued_ts", kind="stable")
    ahead = overlapped(meta) if overlap is None else overlap
    sent = (log.arrival_time + (log.queued_ts - log.arrival_time).min()).fillna(log.queued_ts)
    queued = (log.queued_ts - log.queued_ts.min()).to_numpy()
    arrival = np.minimum(np.maximum.accumulate((sent - log.queued_ts.min()).to_numpy()), queued)
    inputs = log.input_toks.to_numpy().astype(np.int64)[None, :]
    outputs = log.output_toks.to_numpy().astype(np.int64)[None, :]
    requests = Requests(arrival[None, :], inputs, np.zeros_like(inputs), outputs)
    batch = batch_limits(meta, shards.gpu)
    block = block_tokens(meta)
    # What holds every request at once never binds.
    all_tokens = float((inputs + outputs + 2 * block).sum())
    limits = Limits(
        np.array([batch["max_num_seqs"][0]]), np.array([batch["max_num_batched_tokens"][0]]),
        np.array([capacity if math.isfinite(capacity) else all_tokens]), np.array([block]), np.array([ahead]),
    )  # fmt: skip
    held = float((inputs + outputs / 2.0).mean())
    longest = float(np.quantile(inputs + outputs, 0.95))
    reach = Reach(
        max(int(min(limits.max_num_seqs[0], capacity / held)), 1), float(np.quantile(inputs, 0.05)), longest
    )  # fmt: skip
    cost = step_cost(folder, llm, reach, shards)
    plain = simulate(cost, requests, limits)
    pressure = float(plain.kv_pressure[0])
    got: Outcome | PoolOutcome = plain
    if pressure > PRESSURE:
        pool = plain_pool(1, 1)._replace(preempts=np.array([True]))
        got = simulate_pool(cost, requests, limits, pool)
    theirs = {
        "ttft": (log.first_token_ts - log.queued_ts).to_numpy(),
        "tpot": ((log.last_token_ts - log.first_token_ts) / (log.output_toks - 1).clip(lower=1)).to_numpy(),
    }
    ours = {
        "ttft": got.first_token_s[0] - queued,
        "tpot": ((got.end_s - got.first_token_s) / np.maximum(outputs - 1, 1))[0],
    }
    # What a client sees where nothing waits for a place.
    at_once = (log.scheduled_ts - log.queued_ts).to_numpy() < AT_ONCE_S
    if at_once.any():
        theirs["ttft_at_once"] = (theirs["ttft"] + queued - arrival)[at_once]
        ours["ttft_at_once"] = (got.first_token_s[0] - arrival)[at_once]
    found: dict[str, Any] = {
        "run": folder.name,
        "gpu": shards.gpu.name,
        "unused_tables": unused(folder),
        "requests": len(log),
        "left_out": len(everything) - len(log),
        "left_out_of_tpot": int(log.last_token_ts.isna().sum()),
        "limits": {key: {"value": value, "from": where} for key, (value, where) in batch.items()},
        "kv_capacity_tokens": capacity,
        "kv_capacity_source": source,
        "kv_pressure": pressure,
        "preemptions": int(got.preemptions[0]) if isinstance(got, PoolOutcome) else 0,
        "finished": bool(got.finished[0]),
        "overlapped_scheduling": ahead,
        "scheduled_at_once": int(at_once.sum()),
    }
    for name in theirs:
        for q in QUANTILES:
            a, b = (_quantile(values[name][np.isfinite(theirs[name])], q) for values in (theirs, ours))
            found[f"{name}_p{q * 100:g}"] = {"theirs_s": a, "ours_s": b, "error": off(b, a)}
    return found


def _quantile(values: FloatArray, q: float) -> float:
    return float(np.quantile(values, q)) if len(values) else math.nan


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.vllm_log", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--overlap", action=argparse.BooleanOptionalAction)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        found = score(chosen.run, chosen.overlap)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps(strict(found), allow_nan=False))
        return 0
    for key, value in found.items():
        if key == "limits":
            print(", ".join(f"{name} {one['value']} (from {one['from']})" for name, one in value.items()))
        elif isinstance(value, dict):
            print(f"{key}: {value['theirs_s']:.4f} s measured, {value['ours_s']:.4f} s ours ({value['error']:+.1%})")
        else:
            print(f"{key}: {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
