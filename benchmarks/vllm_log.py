"""A real vLLM run, request by request, against the simulator with that GPU's own operator times.

    python -m benchmarks.vllm_log --run FOLDER [--no-overlap] [--json]

FOLDER holds meta.json (model, engine_kwargs, optionally kv_cache), requests.jsonl (input_toks, output_toks,
arrival_time, queued_ts, scheduled_ts, first_token_ts, last_token_ts) and op_tables/ (benchmarks/operator_tables.py).
Step costs come from the tables, the catalog's link and its host time alone: dense operators and experts by token
count, attention by a relative least-squares fit of the simulator's linear form. No request time is used. Prints TTFT
(since queueing; for requests that were scheduled at once also since sending) and TPOT percentiles beside ours, and how
often the KV cache was over-full: where it was, the run is simulated in the lane form that preempts and computes again
as the engine does.
"""

from __future__ import annotations

import argparse
import difflib
import json
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.inputs import object_of, text_of
from benchmarks.operator_tables import Reach, Shards, step_cost, unused
from benchmarks.scores import off, strict
from configs.errors import InputError
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients, load_gpus, load_llms
from data.records import Configuration, Gpu, Llm
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


def find_device(folder: Path, meta: dict[str, Any]) -> Gpu:
    """The GPU that the log names, else the catalog's nearest to the name of the folder. Raises InputError for none."""
    logged = (meta.get("hardware") or {}).get("device_name")
    if logged:
        return find_gpu(logged)
    name = folder.name.split("_")[0].replace("-", "").lower()
    keys = {gpu.replace("-", "").lower(): gpu for gpu in load_gpus()}
    near = [key for key in keys if key.startswith(name)] or difflib.get_close_matches(name, keys, n=1, cutoff=0.3)
    if not near:
        raise InputError(
            str(folder), "a folder named GPU_LLM", folder.name, "Rename it, or add the GPU to the catalog."
        )
    return find_gpu(keys[sorted(near)[0]])


def kv_tokens(meta: dict[str, Any], llm: Llm, shards: Shards) -> tuple[float, str]:
    """KV capacity in tokens: as the engine logged it, else by the memory kernel."""
    logged = meta.get("kv_cache") or {}
    for key in ("num_kv_tokens", "num_tokens", "total_tokens"):
        if key in logged:
            return float(logged[key]), "as logged"
    blocks = logged.get("num_gpu_blocks") or logged.get("num_blocks")
    if blocks:
        return float(blocks) * float(logged.get("block_size", 16)), "as logged"
    kv = "fp8" if "fp8" in str(meta["engine_kwargs"].get("kv_cache_dtype")) else "bf16"
    one = Configuration(llm.name, shards.gpu.name, "bf16", kv, shards.tensor_parallel, "vllm")
    llms = load_llms() if llm.name in load_llms() else {llm.name: llm}
    found = size(one, llms, load_gpus(), find_engine("vllm"), load_coefficients(), 1000.0)
    return found.kv_capacity_tokens, f"memory kernel, {shards.gpu.name}"


def overlapped(meta: dict[str, Any]) -> bool:
    """Whether the engine scheduled an iteration while the one before ran: as logged, else its version's default."""
    logged = ((meta.get("resolved_config") or {}).get("scheduler_config") or {}).get("async_scheduling")
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
    rows = [object_of(line, f"{path}, line {number}", REQUEST) for number, line in lines if line.strip()]
    if not rows:
        raise InputError(str(path), "one request a line", "no requests", "Give the log of a run.")
    return meta, pd.DataFrame(rows).sort_values("arrival_time")


def score(folder: Path, overlap: bool | None = None) -> dict[str, Any]:
    """Percentiles of the run and of its simulation, with relative errors; overlap: as told instead of as logged."""
    meta, log = read_log(folder)
    llm = find_llm(meta["model"])
    engine = meta["engine_kwargs"]
    if (replicas := int(engine.get("data_parallel_size") or 1)) > 1:
        raise InputError(
            str(folder / "meta.json"), "one replica", f"data_parallel_size {replicas}", "Score its replicas one by one."
        )
    shards = Shards(
        find_device(folder, meta), int(engine.get("tensor_parallel_size") or 1),
        bool(engine.get("enable_expert_parallel")),
    )  # fmt: skip
    capacity, source = kv_tokens(meta, llm, shards)
    # A request counts as queued when the scheduler next looks: simulated is when it was sent, by the engine's clock.
    log = log.sort_values("queued_ts", kind="stable")
    ahead = overlapped(meta) if overlap is None else overlap
    sent = log.arrival_time + (log.queued_ts - log.arrival_time).min()
    queued = (log.queued_ts - log.queued_ts.min()).to_numpy()
    arrival = np.minimum(np.maximum.accumulate((sent - log.queued_ts.min()).to_numpy()), queued)
    inputs = log.input_toks.to_numpy()[None, :]
    outputs = log.output_toks.to_numpy()[None, :]
    requests = Requests(arrival[None, :], inputs, np.zeros_like(inputs), outputs)
    limits = Limits(
        np.array([int(engine.get("max_num_seqs") or 256)]),
        np.array([int(engine.get("max_num_batched_tokens") or 2048)]),
        np.array([capacity]), np.array([16]), np.array([ahead]),
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
            a, b = float(np.quantile(theirs[name], q)), float(np.quantile(ours[name], q))
            found[f"{name}_p{q * 100:g}"] = {"theirs_s": a, "ours_s": b, "error": off(b, a)}
    return found


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
        if isinstance(value, dict):
            print(f"{key}: {value['theirs_s']:.4f} s measured, {value['ours_s']:.4f} s ours ({value['error']:+.1%})")
        else:
            print(f"{key}: {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
