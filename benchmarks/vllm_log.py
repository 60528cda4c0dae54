"""A real vLLM run, request by request, against the simulator with that GPU's own operator times.

    python -m benchmarks.vllm_log --run FOLDER [--json]

FOLDER holds meta.json (model, engine_kwargs, optionally kv_cache), requests.jsonl (input_toks, output_toks,
arrival_time, queued_ts, first_token_ts, last_token_ts) and op_tables/{dense,per_sequence,attention}.csv in
microseconds a layer. Step costs come from the tables and the catalog's host time alone: dense operators by token
count, attention by a relative least-squares fit of the simulator's linear form. No request time is used. Prints TTFT
and TPOT percentiles beside ours, and how often the KV cache was over-full: where it was, the run is simulated in the
lane form that preempts and computes again as the engine does.
"""

from __future__ import annotations

import argparse
import difflib
import json
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from data.catalog import find_engine, find_llm, load_coefficients, load_gpus, load_llms
from data.records import Configuration, Llm, StepCost
from models.simulator.engine import Limits, Outcome, Requests, simulate
from models.simulator.pool import PoolOutcome, plain_pool, simulate_pool
from models.size import size

QUANTILES = (0.5, 0.9, 0.95, 0.99)
MICRO = 1e-6
ONCE = {"embedding", "final_layernorm"}
"""Dense operators that run once a step; layernorm runs twice a layer, every other operator once."""
PRESSURE = 0.01
"""Share of iterations with an over-full cache from which preemption decides the times."""


def relative_fit(columns: np.ndarray, times: np.ndarray) -> np.ndarray:
    """Least squares in relative error, coefficients not negative."""
    from scipy.optimize import nnls

    return np.asarray(nnls(columns / times[:, None], np.ones(len(times)))[0])


class Reach(NamedTuple):
    """Where a run can be: the most sequences in a batch, and contexts from the shortest to the longest (5th percentile
    of its prompts, 95th of its prompts with their outputs). A line through the tables is fitted there."""

    sequences: int
    shortest: float
    longest: float


def within(attention: pd.DataFrame, reach: Reach) -> pd.DataFrame:
    """The rows with decoding sequences that the run can reach; all of them where the table has too few there."""
    near = attention[
        (attention.n_decode <= reach.sequences) & attention.kv_decode.between(reach.shortest, reach.longest)
    ]
    return near if near.n_decode.nunique() >= 2 and near.kv_decode.nunique() >= 2 else attention


def step_cost(folder: Path, llm: Llm, reach: Reach) -> StepCost:
    """One lane's cost from operator tables."""
    dense = pd.read_csv(folder / "op_tables" / "dense.csv")
    per_sequence = pd.read_csv(folder / "op_tables" / "per_sequence.csv")
    attention = pd.read_csv(folder / "op_tables" / "attention.csv")
    wide = dense.pivot_table(index="tokens", columns="layer", values="time_us").sort_index()
    times = {name: (1 if name in ONCE else llm.layers * (2 if name == "layernorm" else 1)) for name in wide.columns}
    linear = sum(wide[name].to_numpy() * count for name, count in times.items())
    tokens = wide.index.to_numpy(dtype=float)

    heads = per_sequence.groupby("sequences")["time_us"].sum()
    head = np.polyfit(heads.index.to_numpy(dtype=float), heads.to_numpy(), 1)

    decode = within(attention[(attention.prefill_chunk == 0) & (attention.n_decode > 0)], reach)
    n, kv = decode.n_decode.to_numpy(dtype=float), decode.kv_decode.to_numpy(dtype=float)
    d = relative_fit(np.stack([np.ones_like(n), n, n * kv], axis=1), decode.time_us.to_numpy())

    alone = attention[(attention.prefill_chunk > 0) & (attention.n_decode == 0)]
    chunk, done = alone.prefill_chunk.to_numpy(dtype=float), alone.kv_prefill.to_numpy(dtype=float)
    work = chunk * (done + chunk / 2.0)
    p = relative_fit(np.stack([np.ones_like(chunk), chunk, work], axis=1), alone.time_us.to_numpy())

    both = within(attention[(attention.prefill_chunk > 0) & (attention.n_decode >= 8)], reach)
    chunk, done = both.prefill_chunk.to_numpy(dtype=float), both.kv_prefill.to_numpy(dtype=float)
    n, kv = both.n_decode.to_numpy(dtype=float), both.kv_decode.to_numpy(dtype=float)
    prefill = p[0] + p[1] * chunk + p[2] * chunk * (done + chunk / 2.0)
    rest = np.maximum(both.time_us.to_numpy() - prefill, 0.0)
    mixed = float(np.median(rest / (d[0] + d[1] * n + d[2] * n * kv))) if len(both) else 1.0

    def one(value: float) -> np.ndarray:
        return np.array([value * MICRO])

    layers = llm.layers
    return StepCost(
        np.concatenate([[0.0], tokens]),
        (np.concatenate([linear[:1], linear]) + head[1])[None, :] * MICRO + find_engine("vllm").host_overhead_s,
        one(layers * d[0]), one(layers * d[1] + head[0]), one(layers * d[2]),
        one(layers * p[0]), one(layers * p[1]), one(layers * p[2]),
        np.array([max(mixed, 1.0)]),
    )  # fmt: skip


def kv_tokens(folder: Path, meta: dict[str, Any], llm: Llm) -> tuple[float, str]:
    """KV capacity in tokens: as the engine logged it, else by the memory kernel for the GPU that names the folder."""
    logged = meta.get("kv_cache") or {}
    for key in ("num_kv_tokens", "num_tokens", "total_tokens"):
        if key in logged:
            return float(logged[key]), "as logged"
    blocks = logged.get("num_gpu_blocks") or logged.get("num_blocks")
    if blocks:
        return float(blocks) * float(logged.get("block_size", 16)), "as logged"
    name = folder.name.split("_")[0].replace("-", "").lower()
    keys = {gpu.replace("-", "").lower(): gpu for gpu in load_gpus()}
    near = [key for key in keys if key.startswith(name)] or difflib.get_close_matches(name, keys, n=1, cutoff=0.3)
    gpu = keys[sorted(near)[0]]
    tp = int(meta["engine_kwargs"].get("tensor_parallel_size", 1))
    one = Configuration(llm.name, gpu, "bf16", "bf16", tp, "vllm")
    found = size(one, load_llms(), load_gpus(), find_engine("vllm"), load_coefficients(), 1000.0)
    return found.kv_capacity_tokens, f"memory kernel, {gpu}"


def score(folder: Path) -> dict[str, Any]:
    """Percentiles of the run and of its simulation, with relative errors."""
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    lines = (folder / "requests.jsonl").read_text(encoding="utf-8").splitlines()
    log = pd.DataFrame([json.loads(line) for line in lines if line.strip()]).sort_values("arrival_time")
    llm = find_llm(meta["model"])
    capacity, source = kv_tokens(folder, meta, llm)
    engine = meta["engine_kwargs"]
    # Arrival by the engine's own clock: TTFT is measured from when the request was queued.
    arrival = log.queued_ts.to_numpy() - log.queued_ts.min()
    order = np.argsort(arrival, kind="stable")
    inputs = log.input_toks.to_numpy()[order][None, :]
    outputs = log.output_toks.to_numpy()[order][None, :]
    requests = Requests(arrival[order][None, :], inputs, np.zeros_like(inputs), outputs)
    limits = Limits(
        np.array([int(engine.get("max_num_seqs") or 256)]),
        np.array([int(engine.get("max_num_batched_tokens") or 2048)]),
        np.array([capacity]), np.array([16]),
    )  # fmt: skip
    reach = Reach(
        int(limits.max_num_seqs[0]), float(np.quantile(inputs, 0.05)), float(np.quantile(inputs + outputs, 0.95))
    )
    cost = step_cost(folder, llm, reach)
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
        "ttft": (got.first_token_s - requests.arrival_s)[0],
        "tpot": ((got.end_s - got.first_token_s) / np.maximum(outputs - 1, 1))[0],
    }
    found: dict[str, Any] = {
        "run": folder.name,
        "requests": len(log),
        "kv_capacity_tokens": capacity,
        "kv_capacity_source": source,
        "kv_pressure": pressure,
        "preemptions": int(got.preemptions[0]) if isinstance(got, PoolOutcome) else 0,
        "finished": bool(got.finished[0]),
    }
    for name in ("ttft", "tpot"):
        for q in QUANTILES:
            a, b = float(np.quantile(theirs[name], q)), float(np.quantile(ours[name], q))
            found[f"{name}_p{q * 100:g}"] = {"theirs_s": a, "ours_s": b, "error": b / a - 1.0}
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = score(arguments.run)
    if arguments.json:
        print(json.dumps(found))
        return
    for key, value in found.items():
        if isinstance(value, dict):
            print(f"{key}: {value['theirs_s']:.4f} s measured, {value['ours_s']:.4f} s ours ({value['error']:+.1%})")
        else:
            print(f"{key}: {value}")


if __name__ == "__main__":
    main()
