"""Range-query exports of serving engines as Prometheus would give them, made from requests that are known one by one.

Names, labels and bucket edges are those that the engines document: SGLang (its first metrics, and today's), Text
Generation Inference, Triton with the TensorRT-LLM backend, trtllm-serve and vLLM.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from data.records import FloatArray, IntArray

T0 = 1_767_607_200.0  # 2026-01-05 10:00 UTC
TOKENS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000, 20_000)
SECONDS = (0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0)
Labels = Mapping[str, str]


@dataclass(frozen=True)
class Served:
    """Requests of one replica: arrival (s since 1970, ascending), tokens, TTFT and end-to-end seconds; shapes [n]."""

    at: FloatArray
    input_tokens: IntArray
    output_tokens: IntArray
    ttft_s: FloatArray
    e2e_s: FloatArray


def served(seed: int, hours: float = 3.0, rps: float = 0.5) -> Served:
    """A Poisson process with lognormal lengths."""
    rng = np.random.default_rng(seed)
    n = rng.poisson(hours * 3600 * rps)
    at = T0 + np.sort(rng.uniform(0, hours * 3600, n))
    outputs = np.maximum(rng.lognormal(4.5, 0.8, n), 1).astype(np.int64)
    ttft = rng.lognormal(-1.5, 0.6, n)
    return Served(at, np.maximum(rng.lognormal(6.5, 0.9, n), 1).astype(np.int64), outputs, ttft, ttft + 0.02 * outputs)


@dataclass(frozen=True)
class Scrape:
    """When a replica is read (s) and since when its counters count at each reading (a restart moves it)."""

    times: FloatArray
    since: FloatArray
    skew_s: float = 0.0
    """By how much the clock that stamps the samples is ahead."""

    def counter(self, name: str, labels: Labels, at: FloatArray, weight: FloatArray | None = None) -> dict[str, Any]:
        """What happened since the last restart, at every reading."""
        total = np.concatenate([[0.0], np.cumsum(np.ones(len(at)) if weight is None else weight)])
        up, down = np.searchsorted(at, self.times, "right"), np.searchsorted(at, self.since, "right")
        return self._series(name, labels, total[up] - total[np.minimum(up, down)])

    def gauge(self, name: str, labels: Labels, value: float) -> dict[str, Any]:
        return self._series(name, labels, np.full(len(self.times), value))

    def histogram(
        self, name: str, labels: Labels, at: FloatArray, value: FloatArray | IntArray, edges: Sequence[float]
    ) -> list[dict[str, Any]]:
        made = []
        for edge in (*edges, np.inf):
            le = "+Inf" if np.isinf(edge) else str(float(edge))
            made.append(self.counter(f"{name}_bucket", {**labels, "le": le}, at[value <= edge]))
        return [
            *made,
            self.counter(f"{name}_sum", labels, at, np.asarray(value, dtype=np.float64)),
            self.counter(f"{name}_count", labels, at),
        ]

    def _series(self, name: str, labels: Labels, values: FloatArray) -> dict[str, Any]:
        stamped = [[float(t + self.skew_s), f"{v:.10g}"] for t, v in zip(self.times, values, strict=True)]
        return {"metric": {"__name__": name, **labels}, "values": stamped}


def scrape(hours: float = 3.0, step: float = 30.0, restart_h: float | None = None, gap_h: tuple[float, float] = (0, 0),
           skew_s: float = 0.0) -> Scrape:  # fmt: skip
    """Readings every `step` seconds; at restart_h all counters begin at 0 again; nothing is read within gap_h."""
    times = T0 + np.arange(0.0, hours * 3600 + step / 2, step)
    hour = (times - T0) / 3600
    times = times[~((hour > gap_h[0]) & (hour < gap_h[1]))]
    since = np.where(
        (times - T0) / 3600 >= (np.inf if restart_h is None else restart_h), T0 + 3600 * (restart_h or 0), 0
    )
    return Scrape(times, since, skew_s)


def sglang(one: Served, how: Scrape, instance: str = "10.0.0.7:30000", old: bool = False) -> list[dict[str, Any]]:
    """Today's names and labels; old: those of its first releases, which followed vLLM's."""
    base = {"instance": instance, "job": "sglang"}
    labels = base | ({"name": "meta-llama/Llama-3.1-8B"} if old else {"model_name": "meta-llama/Llama-3.1-8B"})
    if not old:
        labels |= {"engine_type": "unified", "tp_rank": "0", "pp_rank": "0"}
    side = "request_{}_tokens" if old else "{}_tokens_histogram"
    gap = "time_per_output_token_seconds" if old else "inter_token_latency_seconds"
    series = [
        how.counter("sglang:prompt_tokens_total", labels, one.at, one.input_tokens.astype(float)),
        how.counter("sglang:generation_tokens_total", labels, one.at, one.output_tokens.astype(float)),
        *how.histogram("sglang:time_to_first_token_seconds", labels, one.at, one.ttft_s, SECONDS),
        *how.histogram("sglang:e2e_request_latency_seconds", labels, one.at, one.e2e_s, SECONDS),
        *how.histogram(f"sglang:{gap}", labels, one.at, np.full(len(one.at), 0.02), SECONDS),
        *how.histogram(f"sglang:{side.format('prompt')}", labels, one.at, one.input_tokens, TOKENS),
        *how.histogram(f"sglang:{side.format('generation')}", labels, one.at, one.output_tokens, TOKENS),
        how.gauge("sglang:token_usage", labels, 0.28),
        how.gauge("sglang:gen_throughput", labels, 86.5),
    ]
    if old:
        reason = {"finished_reason": "stop"}
        return [*series, how.counter("sglang:request_success_total", {**labels, **reason}, one.at)]
    half = np.floor(one.input_tokens / 4)
    return [
        *series,
        how.counter("sglang:num_requests_total", labels, one.at),
        how.counter("sglang:num_aborted_requests_total", labels, one.at[::20]),
        how.counter("sglang:cached_tokens_total", {**labels, "cache_source": "device"}, one.at, half),
        how.counter("sglang:cached_tokens_total", {**labels, "cache_source": "host"}, one.at, half),
        how.gauge("sglang:num_running_reqs", labels, 5.0),
        how.gauge("sglang:num_queue_reqs", labels, 0.0),
    ]


def tgi(one: Served, how: Scrape, instance: str = "10.0.0.8:8080") -> list[dict[str, Any]]:
    """No label says which LLM it serves."""
    labels = {"instance": instance, "job": "tgi"}
    return [
        how.counter("tgi_request_count", labels, one.at),
        how.counter("tgi_request_success", labels, np.delete(one.at, slice(None, None, 50))),
        how.counter("tgi_request_failure", {**labels, "err": "overloaded"}, one.at[::50]),
        *how.histogram("tgi_request_input_length", labels, one.at, one.input_tokens, TOKENS),
        *how.histogram("tgi_request_generated_tokens", labels, one.at, one.output_tokens, TOKENS),
        *how.histogram("tgi_request_duration", labels, one.at, one.e2e_s, SECONDS),
        *how.histogram("tgi_request_mean_time_per_token_duration", labels, one.at, np.full(len(one.at), 0.02), SECONDS),
        *how.histogram("tgi_request_queue_duration", labels, one.at, one.ttft_s / 10, SECONDS),
        how.gauge("tgi_batch_current_size", labels, 4.0),
        how.gauge("tgi_queue_size", labels, 0.0),
        how.gauge("tgi_batch_current_max_tokens", labels, 16_000.0),
    ]


def triton(one: Served, how: Scrape, instance: str = "10.0.0.9:8002") -> list[dict[str, Any]]:
    """The TensorRT-LLM backend as its examples deploy it: every request passes through four models."""
    labels = {"instance": instance, "job": "triton"}
    passes = [
        how.counter("nv_inference_request_success", {**labels, "model": model, "version": "1"}, one.at)
        for model in ("ensemble", "preprocessing", "tensorrt_llm", "postprocessing")
    ]
    model = {**labels, "model": "tensorrt_llm", "version": "1"}
    return [
        *passes,
        how.counter("nv_inference_request_failure", {**model, "reason": "BACKEND"}, one.at[:0]),
        *how.histogram("nv_llm_input_token_len", model, one.at, one.input_tokens, TOKENS),
        *how.histogram("nv_llm_output_token_len", model, one.at, one.output_tokens, TOKENS),
        how.gauge("nv_trt_llm_request_metrics", {**model, "request_type": "active"}, 6.0),
        how.gauge("nv_trt_llm_request_metrics", {**model, "request_type": "waiting"}, 1.0),
        how.gauge("nv_trt_llm_request_metrics", {**model, "request_type": "max"}, 64.0),
        how.gauge("nv_trt_llm_kv_cache_block_metrics", {**model, "kv_cache_block_type": "fraction"}, 0.4),
    ]


def trtllm(one: Served, how: Scrape, instance: str = "10.0.0.6:8000", sep: str = "_") -> list[dict[str, Any]]:
    """trtllm-serve's collector; sep: `:` where NVIDIA Dynamo passes it on under its older prefix."""
    labels = {"instance": instance, "job": "trtllm", "model_name": "Llama-3.1-8B", "engine_type": "trtllm"}
    ended = np.arange(len(one.at)) % 10
    return [
        how.counter(f"trtllm{sep}request_success_total", {**labels, "finished_reason": "stop"}, one.at[ended > 2]),
        how.counter(f"trtllm{sep}request_success_total", {**labels, "finished_reason": "length"}, one.at[ended == 2]),
        how.counter(f"trtllm{sep}request_success_total", {**labels, "finished_reason": "cancelled"}, one.at[ended < 2]),
        *how.histogram(f"trtllm{sep}time_to_first_token_seconds", labels, one.at, one.ttft_s, SECONDS),
        *how.histogram(f"trtllm{sep}e2e_request_latency_seconds", labels, one.at, one.e2e_s, SECONDS),
        *how.histogram(
            f"trtllm{sep}time_per_output_token_seconds", labels, one.at, np.full(len(one.at), 0.02), SECONDS
        ),
        *how.histogram(f"trtllm{sep}request_queue_time_seconds", labels, one.at, one.ttft_s / 10, SECONDS),
    ]


def write_export(path: Path, series: Sequence[Mapping[str, Any]]) -> Path:
    """One answer of /api/v1/query_range."""
    data = {"resultType": "matrix", "result": list(series)}
    path.write_text(json.dumps({"status": "success", "data": data}), encoding="utf-8")
    return path
