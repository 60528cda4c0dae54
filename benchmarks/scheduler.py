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
import time
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from data.records import StepCost
from models.simulator.engine import Limits, Requests, simulate
from models.simulator.kernel import CONTEXT_TOKENS

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
    """Every (case, rate) as a lane; relative errors of percentiles and of achieved throughput."""
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
        row: dict[str, Any] = {"case": case, "qps": float(qps), "finished": bool(got.finished[lane])}
        for name in ("ttft", "tpot"):
            for q in QUANTILES:
                a, b = float(np.quantile(theirs[name], q)), float(np.quantile(ours[name], q))
                row[f"{name}_p{q * 100:g}"] = {"theirs_s": a, "ours_s": b, "error": b / a - 1.0}
        their_rate = count / float((ordered["arrival"] + ordered["e2e"]).to_numpy()[:count].max())
        our_rate = count / float(got.end_s[lane].max())
        row["throughput_rps"] = {"theirs": their_rate, "ours": our_rate, "error": our_rate / their_rate - 1.0}
        rows.append(row)
    return {"requests": int(lanes * count), "simulated_s": seconds, "rates": rows}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--requests", type=Path, required=True)
    parser.add_argument("--cost", type=Path, required=True)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    found = score(pd.read_csv(arguments.requests), json.loads(arguments.cost.read_text(encoding="utf-8")))
    if arguments.json:
        print(json.dumps(found))
        return
    for row in found["rates"]:
        errors = "  ".join(f"{k} {v['error']:+.1%}" for k, v in row.items() if isinstance(v, dict))
        print(f"{row['case']} {row['qps']:g} req/s: {errors}")


if __name__ == "__main__":
    main()
