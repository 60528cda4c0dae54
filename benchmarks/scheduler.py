"""Scheduler exactness against per-request times of another simulator, with its own cost table.

    python -m benchmarks.scheduler --requests FILE --cost FILE [--json]

FILE formats: requests as CSV (optionally gzip) with columns case, qps, arrival, request_num_prefill_tokens,
request_num_decode_tokens, ttft, tpot, e2e (seconds); cost as JSON with tokens, linear_s, decode_s [d0, d1, d2],
prefill_s [p0, p1, p2], decode_overhead, kv_blocks, block_size, max_num_seqs, chunk_tokens (Vidur's A100 predictor).
Prints percentiles beside ours and relative errors by rate.
"""

from __future__ import annotations

import argparse
import json
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
from data.records import StepCost
from models.simulator.engine import Limits, Requests, simulate
from models.simulator.kernel import CONTEXT_TOKENS

COLUMNS = (
    "case", "qps", "arrival", "request_num_prefill_tokens", "request_num_decode_tokens", "ttft", "tpot", "e2e",
)  # fmt: skip
COST = ("tokens", "linear_s", "decode_s", "prefill_s", "kv_blocks")
QUANTILES = (0.5, 0.95, 0.99)


def step_cost(raw: dict[str, Any], lanes: int) -> StepCost:
    """The stored cost for every lane, with the roundings of its source (Vidur's predictor): batches up to 8 tokens and
    prompt chunks as one (`pad`), decode contexts up to 64 tokens (32 on average), batching overheads on both attentions
    (Vidur's on prefill only where two prompts share a batch)."""

    def each(value: float) -> np.ndarray:
        return np.full(lanes, float(value))

    tokens = np.asarray(raw["tokens"], dtype=float)
    linear = np.asarray(raw["linear_s"], dtype=float)
    if tokens[0] > 0:
        tokens, linear = np.concatenate([[0.0], tokens]), np.concatenate([linear[:1], linear])
    over = 1.0 + float(raw.get("decode_overhead", 0.0))
    (d0, d1, d2) = (over * value for value in raw["decode_s"])
    d1 += d2 * CONTEXT_TOKENS / 2
    p0, p1, p2 = ((1.0 + float(raw.get("prefill_overhead", 0.0))) * value for value in raw["prefill_s"])
    return StepCost(
        tokens, np.tile(linear, (lanes, 1)), each(d0), each(d1), each(d2), each(p0), each(p1),
        each(p2),
    )  # fmt: skip


def score(requests: pd.DataFrame, raw: dict[str, Any]) -> dict[str, Any]:
    """Every (case, rate) as a lane; relative errors of percentiles and of achieved throughput.

    Lanes are as long as the shortest of them; `left_out` says how many requests came later.
    """
    groups = list(requests.groupby(["case", "qps"]))
    count = min(len(one) for _, one in groups)

    def table(column: str, dtype: type) -> np.ndarray:
        return np.stack([one.sort_values("arrival")[column].to_numpy()[:count].astype(dtype) for _, one in groups])

    inputs = table("request_num_prefill_tokens", np.int64)
    drawn = Requests(
        table("arrival", np.float64), inputs, np.zeros_like(inputs), table("request_num_decode_tokens", np.int64)
    )
    lanes = len(groups)
    block = int(raw.get("block_size", 16))
    blocks = float(raw["kv_blocks"]) * (1.0 - float(raw.get("watermark", 0.01)))
    limits = Limits(
        np.full(lanes, int(raw.get("max_num_seqs", 256))), np.full(lanes, int(raw.get("chunk_tokens", 512))),
        np.full(lanes, blocks * block), np.full(lanes, block),
    )  # fmt: skip
    begun = time.perf_counter()
    got = simulate(step_cost(raw, lanes), drawn, limits, pad=True)
    seconds = time.perf_counter() - begun
    rows = []
    for lane, ((case, qps), one) in enumerate(groups):
        ordered = one.sort_values("arrival")
        theirs = {"ttft": ordered["ttft"].to_numpy()[:count], "tpot": ordered["tpot"].to_numpy()[:count]}
        out = drawn.output_tokens[lane]
        ours = {
            "ttft": got.first_token_s[lane] - drawn.arrival_s[lane],
            "tpot": (got.end_s[lane] - got.first_token_s[lane]) / np.maximum(out - 1, 1),
        }
        row: dict[str, Any] = {"case": case, "qps": float(qps), "left_out": len(one) - count}
        row["finished"] = bool(got.finished[lane])
        for name in ("ttft", "tpot"):
            for q in QUANTILES:
                a, b = float(np.quantile(theirs[name], q)), float(np.quantile(ours[name], q))
                row[f"{name}_p{q * 100:g}"] = {"theirs_s": a, "ours_s": b, "error": off(b, a)}
        their_rate = count / float((ordered["arrival"] + ordered["e2e"]).to_numpy()[:count].max())
        our_rate = count / float(got.end_s[lane].max())
        row["throughput_rps"] = {"theirs": their_rate, "ours": our_rate, "error": off(our_rate, their_rate)}
        rows.append(row)
    used = int(lanes * count)
    return {"requests": used, "left_out": len(requests) - used, "simulated_s": seconds, "rates": rows}


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.scheduler", description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )  # fmt: skip
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--cost", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        requests = table_of(chosen.requests, "a CSV file of requests and their times", COLUMNS)
        raw = object_of(text_of(chosen.cost, "a JSON file of step costs"), str(chosen.cost), COST)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    found = score(requests, raw)
    if chosen.json:
        print(json.dumps(strict(found), allow_nan=False))
        return 0
    print(f"{found['requests']} requests scored, {found['left_out']} left out: every rate is cut to the shortest one's")
    for row in found["rates"]:
        errors = "  ".join(f"{k} {v['error']:+.1%}" for k, v in row.items() if isinstance(v, dict))
        print(f"{row['case']} {row['qps']:g} req/s, {row['left_out']} left out: {errors}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
