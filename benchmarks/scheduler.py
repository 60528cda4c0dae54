"""Scheduler exactness against per-request times of another simulator, with its own cost table.

    python -m benchmarks.scheduler --requests FILE --cost FILE [--speeds FILE] [--lanes 1024] [--json]

FILE formats: requests as CSV (optionally gzip) with columns case, qps, arrival, request_num_prefill_tokens,
request_num_decode_tokens, ttft, tpot, e2e (seconds); cost as JSON with tokens, linear_s, decode_s [d0, d1, d2],
prefill_s [p0, p1, p2], decode_overhead, kv_blocks, block_size, max_num_seqs, chunk_tokens (Vidur's A100 predictor).
Prints percentiles beside ours and relative errors by rate. Requests without an arrival or a length are left out and
counted; a time that is missing is left out of its own percentiles alone. Times count from a rate's first arrival.

`speed` is requests simulated a second: all rates side by side, as often as fill --lanes lanes (0: not measured),
compile excluded, and its ratio to Vidur's at the 100 to 600 us of CPU time an iteration that it is said to take, for as
many iterations. --speeds FILE compares with measured seconds besides: CSV with columns case, qps, n_requests,
n_iterations, sim_cpu_s, sim_wall_s, one row a rate (Vidur's are in vidur_a100_llama3_8b.csv). Run it under `taskset -c
0` for one core.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks.inputs import object_of, table_of, text_of
from benchmarks.scores import off, strict
from configs.errors import InputError
from data.records import FloatArray, StepCost
from models.simulator.engine import Limits, Outcome, Requests, simulate
from models.simulator.kernel import CONTEXT_TOKENS

COLUMNS = (
    "case", "qps", "arrival", "request_num_prefill_tokens", "request_num_decode_tokens", "ttft", "tpot", "e2e",
)  # fmt: skip
COST = ("tokens", "linear_s", "decode_s", "prefill_s", "kv_blocks")
QUANTILES = (0.5, 0.95, 0.99)
SPEEDS = ("case", "qps", "n_requests", "n_iterations", "sim_cpu_s", "sim_wall_s")
STATED_S = (100e-6, 600e-6)
"""CPU seconds that Vidur takes an iteration, least and most, as stated (2026-11)."""


def step_cost(raw: dict[str, Any], lanes: int) -> StepCost:
    """The stored cost for every lane, with the roundings of its source (Vidur's predictor): batches up to 8 tokens and
    prompt chunks as one (`pad`), decode contexts up to 64 tokens (32 on average), batching overheads on both attentions
    (Vidur's on prefill only where two prompts share a batch)."""

    def each(value: float) -> np.ndarray:
        return np.full(lanes, float(value))

    tokens, linear = _numbers(raw, "tokens"), _numbers(raw, "linear_s")
    if len(tokens) != len(linear) or not len(tokens) or len(set(tokens)) != len(tokens):
        raise InputError(
            "tokens, linear_s", "a time for each number of tokens", f"{len(tokens)} ({len(set(tokens))} different) "
            f"and {len(linear)}", "Give one time for each.",
        )  # fmt: skip
    order = np.argsort(tokens)
    tokens, linear = tokens[order], linear[order]
    if tokens[0] > 0:
        tokens, linear = np.concatenate([[0.0], tokens]), np.concatenate([linear[:1], linear])
    over = 1.0 + _number(raw, "decode_overhead", 0.0)
    (d0, d1, d2) = (over * value for value in _numbers(raw, "decode_s", 3))
    d1 += d2 * CONTEXT_TOKENS / 2
    p0, p1, p2 = ((1.0 + _number(raw, "prefill_overhead", 0.0)) * value for value in _numbers(raw, "prefill_s", 3))
    return StepCost(
        tokens, np.tile(linear, (lanes, 1)), each(d0), each(d1), each(d2), each(p0), each(p1),
        each(p2),
    )  # fmt: skip


def _numbers(raw: dict[str, Any], key: str, count: int | None = None) -> FloatArray:
    """A list of finite numbers, as many as count says. Raises InputError for anything else."""
    try:
        found = np.asarray(raw[key], dtype=float)
    except (TypeError, ValueError):
        found = np.array([np.nan])
    if found.ndim != 1 or not np.isfinite(found).all() or (count is not None and len(found) != count):
        what = f"{count} finite numbers" if count else "a list of finite numbers"
        raise InputError(key, what, str(raw[key])[:80], "Correct the file of step costs.")
    return found


def _number(raw: dict[str, Any], key: str, default: float) -> float:
    """A finite number of at least 0, the default where it is missing or null. Raises InputError for anything else."""
    value = default if raw.get(key) is None else raw[key]
    if not isinstance(value, int | float) or not math.isfinite(value) or value < 0:
        raise InputError(key, "a number of at least 0", str(raw.get(key)), "Correct the file of step costs.")
    return float(value)


Group = tuple[Any, pd.DataFrame, int]
"""A case and rate, its usable requests in order of arrival, and how many were left out."""


def grouped(requests: pd.DataFrame) -> list[Group]:
    """Every (case, rate). Raises InputError where no request has an arrival and lengths."""
    known = requests.copy()
    numbers = list(COLUMNS[1:])
    known[numbers] = known[numbers].apply(pd.to_numeric, errors="coerce").replace([np.inf, -np.inf], np.nan)
    lengths = known[["request_num_prefill_tokens", "request_num_decode_tokens"]]
    known["usable"] = known["arrival"].notna() & (lengths >= 1).all(axis=1)
    groups = [
        (key, one[one["usable"]].sort_values("arrival"), int((~one["usable"]).sum()))
        for key, one in known.groupby(["case", "qps"], dropna=False)
    ]
    if not any(len(one) for _, one, _ in groups):
        raise InputError("requests", "an arrival and lengths of at least 1", f"none in {len(known)} rows", "Add them.")
    return groups


def score(requests: pd.DataFrame, raw: dict[str, Any]) -> dict[str, Any]:
    """Every (case, rate) as a lane; relative errors of percentiles and of achieved throughput.

    `left_out` counts requests without an arrival or a length. Raises InputError where no request has them, and for
    costs that are wrong.
    """
    everyone = grouped(requests)
    left_out = sum(lost for _, _, lost in everyone)
    groups = [group for group in everyone if len(group[1])]
    rows: dict[int, dict[str, Any]] = {}
    begun = time.perf_counter()
    # Lanes of one call are equally long: every length is simulated apart, so that none is cut short.
    for count in sorted({len(one) for _, one, _ in groups}):
        index = [i for i, (_, one, _) in enumerate(groups) if len(one) == count]
        drawn, got = _simulated([groups[i][1] for i in index], raw)
        for lane, i in enumerate(index):
            (case, qps), one, lost = groups[i]
            rows[i] = {"case": "" if pd.isna(case) else case, "qps": float(qps), "requests": count, "left_out": lost}
            rows[i] |= _row(one, drawn, got, lane)
    return {
        "requests": sum(len(one) for _, one, _ in groups),
        "left_out": left_out,
        "simulated_s": time.perf_counter() - begun,
        "rates": [rows[i] for i in range(len(groups))],
    }


def _simulated(groups: Sequence[pd.DataFrame], raw: dict[str, Any]) -> tuple[Requests, Outcome]:
    """Groups of one length, as lanes from their first arrival on."""

    def table(column: str, dtype: type) -> np.ndarray:
        return np.stack([one[column].to_numpy().astype(dtype) for one in groups])

    arrival, inputs = table("arrival", np.float64), table("request_num_prefill_tokens", np.int64)
    drawn = Requests(
        arrival - arrival[:, :1], inputs, np.zeros_like(inputs), table("request_num_decode_tokens", np.int64)
    )
    lanes = len(groups)
    block = int(_number(raw, "block_size", 16))
    blocks = _number(raw, "kv_blocks", math.nan) * (1.0 - _number(raw, "watermark", 0.01))
    limits = Limits(
        np.full(lanes, int(_number(raw, "max_num_seqs", 256))), np.full(lanes, int(_number(raw, "chunk_tokens", 512))),
        np.full(lanes, blocks * block), np.full(lanes, block),
    )  # fmt: skip
    return drawn, simulate(step_cost(raw, lanes), drawn, limits, pad=True)


def speed(requests: pd.DataFrame, raw: dict[str, Any], lanes: int, theirs: pd.DataFrame | None) -> dict[str, Any]:
    """Requests simulated a second, the same requests in `lanes` lanes or more, and the ratio to the other simulator's.

    theirs: its seconds, columns SPEEDS; of the rates that both have. Rates are cut to the shortest's number of
    requests, as lanes are equally long. Raises InputError where they share no rate.
    """
    groups = [group for group in grouped(requests) if len(group[1])]
    if theirs is not None:
        timed = {(str(one.case), float(one.qps)): one for one in theirs.itertuples()}
        groups = [group for group in groups if (str(group[0][0]), float(group[0][1])) in timed]
        if not groups:
            raise InputError("--speeds", "a row for a case and rate of the requests", "none", "Give the same cases.")
    shortest = min(len(one) for _, one, _ in groups)
    once = [one.head(shortest) for _, one, _ in groups]
    many = once * -(-lanes // len(once))
    _simulated(many, raw)
    begun, cpu = time.perf_counter(), time.process_time()
    _, got = _simulated(many, raw)
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    count, iterations = len(many) * shortest, int(got.iterations.sum())
    found: dict[str, Any] = {
        "lanes": len(many), "requests": count, "iterations": iterations, "wall_s": wall, "cpu_s": cpu,
        "requests_per_s": count / wall, "requests_per_cpu_s": count / cpu,
        "cpu_ns_per_iteration": cpu / iterations * 1e9,
        "over_stated": {
            f"{seconds * 1e6:g} us an iteration": (iterations * seconds) / cpu for seconds in STATED_S
        },
    }  # fmt: skip
    if theirs is not None:
        rows = [timed[str(case), float(qps)] for (case, qps), _, _ in groups]
        asked, steps, cpu_s, wall_s = (float(sum(float(getattr(row, name)) for row in rows)) for name in SPEEDS[2:])
        found["theirs"] = {
            "requests": asked, "iterations": steps, "cpu_s": cpu_s, "wall_s": wall_s,
            "requests_per_cpu_s": asked / cpu_s, "requests_per_s": asked / wall_s,
            "cpu_ns_per_iteration": cpu_s / steps * 1e9,
        }  # fmt: skip
        found["over_theirs_in_cpu_s"] = found["requests_per_cpu_s"] / found["theirs"]["requests_per_cpu_s"]
        found["over_theirs_in_wall_s"] = found["requests_per_s"] / found["theirs"]["requests_per_s"]
    return found


def _row(one: pd.DataFrame, drawn: Requests, got: Outcome, lane: int) -> dict[str, Any]:
    """The figures of one lane beside those of its requests, times that are missing left out of both."""
    out = drawn.output_tokens[lane]
    ours = {
        "ttft": got.first_token_s[lane] - drawn.arrival_s[lane],
        "tpot": (got.end_s[lane] - got.first_token_s[lane]) / np.maximum(out - 1, 1),
    }
    row: dict[str, Any] = {"finished": bool(got.finished[lane])}
    for name in ("ttft", "tpot"):
        theirs = one[name].to_numpy()
        timed = np.isfinite(theirs)
        row[f"without_{name}"] = int((~timed).sum())
        for q in QUANTILES:
            a, b = (float(np.quantile(v[timed], q)) if timed.any() else math.nan for v in (theirs, ours[name]))
            row[f"{name}_p{q * 100:g}"] = {"theirs_s": a, "ours_s": b, "error": off(b, a)}
    end = (one["arrival"] + one["e2e"]).to_numpy() - one["arrival"].min()
    timed = np.isfinite(end)
    row["without_e2e"] = int((~timed).sum())
    last = [float(v[timed].max()) if timed.any() else 0.0 for v in (end, got.end_s[lane])]
    rates = [int(timed.sum()) / seconds if seconds else math.nan for seconds in last]
    row["throughput_rps"] = {"theirs": rates[0], "ours": rates[1], "error": off(rates[1], rates[0])}
    return row


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scheduler", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--cost", type=Path, required=True)
    parser.add_argument("--speeds", type=Path)
    parser.add_argument("--lanes", type=int, default=1024)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        requests = table_of(chosen.requests, "a CSV file of requests and their times", COLUMNS)
        raw = object_of(text_of(chosen.cost, "a JSON file of step costs"), str(chosen.cost), COST)
        found = score(requests, raw)
        if chosen.lanes > 0:
            what = "a CSV file of another simulator's seconds"
            theirs = None if chosen.speeds is None else table_of(chosen.speeds, what, SPEEDS)
            found["speed"] = speed(requests, raw, chosen.lanes, theirs)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps(strict(found), allow_nan=False))
        return 0
    print(f"{found['requests']} requests scored, {found['left_out']} left out for want of an arrival or a length")
    for row in found["rates"]:
        errors = "  ".join(f"{k} {v['error']:+.1%}" for k, v in row.items() if isinstance(v, dict))
        print(
            f"{row['case']} {row['qps']:g} req/s, {row['left_out']} left out, without TTFT, TPOT, end: "
            f"{row['without_ttft']}, {row['without_tpot']}, {row['without_e2e']}: {errors}"
        )
    for key, value in found.get("speed", {}).items():
        parts = value.items() if isinstance(value, dict) else [("", value)]
        print(f"{key}:", ", ".join(f"{name} {number:,.6g}".strip() for name, number in parts))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
