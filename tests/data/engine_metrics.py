"""Prometheus exports as vLLM would have been scraped, made from a log of requests."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

T0 = 1_767_607_200.0  # 2026-01-05 10:00:00 UTC


@dataclass(frozen=True, slots=True)
class Log:
    """Requests of one engine, seconds from its start, shape [n]; tokens come evenly from the first to the last."""

    queued_s: np.ndarray
    scheduled_s: np.ndarray
    first_s: np.ndarray
    last_s: np.ndarray
    input_tokens: np.ndarray
    output_tokens: np.ndarray


def scraped(
    log: Log,
    times: np.ndarray,
    prompts: np.ndarray | None = None,
    tokens: np.ndarray | None = None,
    kv_capacity: float = 1e6,
) -> dict[str, list[tuple[float, float]]]:
    """Samples by metric name: what the engine's counters and gauges say at `times` [t].

    prompts, tokens: the engine's own counts of prompt and output tokens up to each time, where it kept them; else they
    follow from the log.
    """  # fmt: skip
    gaps = np.maximum(log.output_tokens - 1.0, 0.0)
    life = np.maximum(log.last_s - log.first_s, 1e-9)
    done = np.clip((times[:, None] - log.first_s) / life, 0.0, 1.0)  # [times, requests]
    begun = times[:, None] >= log.first_s
    running = (times[:, None] >= log.scheduled_s) & (times[:, None] < log.last_s)
    waiting = (times[:, None] >= log.queued_s) & (times[:, None] < log.scheduled_s)
    made = (begun + done * gaps).sum(1) if tokens is None else tokens
    columns = {
        "vllm:prompt_tokens_total": (begun * log.input_tokens).sum(1) if prompts is None else prompts,
        "vllm:generation_tokens_total": made,
        "vllm:inter_token_latency_seconds_count": np.maximum(made - begun.sum(1), 0.0),
        # The sum of all gaps up to now is the time that requests have spent decoding.
        "vllm:inter_token_latency_seconds_sum": (done * life * (gaps > 0)).sum(1),
        "vllm:time_to_first_token_seconds_count": begun.sum(1),
        "vllm:time_to_first_token_seconds_sum": (begun * (log.first_s - log.queued_s)).sum(1),
        "vllm:request_queue_time_seconds_count": begun.sum(1),
        "vllm:request_queue_time_seconds_sum": (begun * (log.scheduled_s - log.queued_s)).sum(1),
        "vllm:num_requests_running": running.sum(1),
        "vllm:num_requests_waiting": waiting.sum(1),
        "vllm:kv_cache_usage_perc": (running * (log.input_tokens + done * log.output_tokens)).sum(1) / kv_capacity,
    }
    return {name: list(zip(T0 + times, map(float, values), strict=True)) for name, values in columns.items()}


def export(
    path: Path, samples: Mapping[str, Sequence[tuple[float, float]]], labels: Mapping[str, str] | None = None
) -> Path:
    """One answer of the HTTP API's query_range."""
    own = labels or {"model_name": "llama", "instance": "a:8000", "engine": "0"}
    result = [
        {"metric": {"__name__": name, **own}, "values": [[t, f"{v:.9g}"] for t, v in values]}
        for name, values in samples.items()
    ]
    path.write_text(json.dumps({"status": "success", "data": {"resultType": "matrix", "result": result}}))
    return path


def real_log(folder: Path) -> Log:
    """A real vLLM's request log."""
    lines = [json.loads(line) for line in (folder / "requests.jsonl").read_text(encoding="utf-8").splitlines()]

    def column(name: str) -> np.ndarray:
        return np.array([line[name] for line in lines], dtype=np.float64)

    start = column("queued_ts").min()
    return Log(
        column("queued_ts") - start, column("scheduled_ts") - start, column("first_token_ts") - start,
        column("last_token_ts") - start, column("input_toks"), column("output_toks"),
    )  # fmt: skip


def real_metrics(folder: Path, kv_capacity: float = 1e6) -> dict[str, list[tuple[float, float]]]:
    """A real vLLM's counts of tokens and its gauges by second, and the rest from its request log.

    kv_capacity: tokens, where the gauge of KV use says nothing and is made from the log.
    """
    rows = np.genfromtxt(folder / "timeseries.csv", delimiter=",", names=True)
    times = np.concatenate([[0.0], rows["t"]])

    def total(name: str) -> np.ndarray:
        return np.concatenate([[0.0], np.cumsum(rows[name])])

    found = scraped(real_log(folder), times, total("prompt_throughput"), total("gen_throughput"), kv_capacity)
    own = {"vllm:num_requests_running": rows["running"], "vllm:num_requests_waiting": rows["waiting"]}
    if rows["kv_cache_pct"].max() > 0:
        own["vllm:kv_cache_usage_perc"] = rows["kv_cache_pct"] / 100.0
    return found | {name: list(zip(T0 + rows["t"], map(float, v), strict=True)) for name, v in own.items()}


@dataclass(frozen=True, slots=True)
class Load:
    """A steady load: requests that decode, their lengths, seconds between their tokens, and how long it lasts."""

    batch: float
    input_tokens: float
    output_tokens: float
    tpot_s: float
    lasts_s: float = 300.0


def steady(loads: Sequence[Load], every_s: float = 15.0, kv_capacity: float = 1e6) -> dict[str, list]:
    """Samples of an engine that goes through loads one after the other, by Little's law."""
    ends = np.cumsum([load.lasts_s for load in loads])
    times = np.arange(0.0, ends[-1] + 0.5 * every_s, every_s)
    which = np.minimum(np.searchsorted(ends, times, side="right"), len(loads) - 1)

    def total(per_s: Sequence[float]) -> np.ndarray:
        return np.interp(times, np.concatenate([[0.0], ends]), np.concatenate([[0.0], np.cumsum(per_s)]))

    tokens = [load.batch / load.tpot_s * load.lasts_s for load in loads]
    prompts = [made / max(load.output_tokens - 1.0, 1.0) for made, load in zip(tokens, loads, strict=True)]
    read = [number * load.input_tokens for number, load in zip(prompts, loads, strict=True)]
    kept = [load.batch * (load.input_tokens + load.output_tokens / 2.0) / kv_capacity for load in loads]
    columns = {
        "vllm:prompt_tokens_total": total(read),
        "vllm:generation_tokens_total": total([a + b for a, b in zip(tokens, prompts, strict=True)]),
        "vllm:inter_token_latency_seconds_count": total(tokens),
        "vllm:inter_token_latency_seconds_sum": total([load.batch * load.lasts_s for load in loads]),
        "vllm:time_to_first_token_seconds_count": total(prompts),
        "vllm:time_to_first_token_seconds_sum": total([0.5 * number for number in prompts]),
        "vllm:request_queue_time_seconds_count": total(prompts),
        "vllm:request_queue_time_seconds_sum": total([0.1 * number for number in prompts]),
        "vllm:num_requests_running": np.array([load.batch for load in loads])[which],
        "vllm:kv_cache_usage_perc": np.array(kept)[which],
    }
    return {name: list(zip(T0 + times, map(float, values), strict=True)) for name, values in columns.items()}
