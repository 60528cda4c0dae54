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
import json
import math
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.inputs import object_of, require, text_of
from benchmarks.operator_tables import Reach, Shards, step_cost, unused
from benchmarks.scores import off, strict
from benchmarks.vllm_meta import batch_limits, block_tokens, find_device, kv_tokens, overlapped, part
from configs.errors import InputError
from data.catalog import find_llm
from data.records import FloatArray
from models.simulator.engine import Limits, Outcome, Requests, simulate
from models.simulator.pool import PoolOutcome, plain_pool, simulate_pool

REQUEST = ("input_toks", "output_toks", "arrival_time", "queued_ts", "scheduled_ts", "first_token_ts", "last_token_ts")
QUANTILES = (0.5, 0.9, 0.95, 0.99)
AT_ONCE_S = 0.1
"""Longest that a request waited for a place that is scored as scheduled at once, by TTFT since it was sent."""
PRESSURE = 0.01
"""Share of iterations with an over-full cache from which preemption decides the times."""
WALL_CLOCK_S = 1e8
"""Arrivals later than this are of the wall clock, where 0 is no time at all."""


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
    engine = part(meta, "engine_kwargs")
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
