"""What the serving engines call their Prometheus metrics, old names and new, and what each of them means here.

Names are compared with `:` written as `_` and without `_total`, so that exporters that rename are understood. Sources,
read 2026-11: the production metrics pages of vLLM (v0.5 to v0.32) and SGLang, tensorrtllm_backend for Triton, the
collector of trtllm-serve, and the metrics reference of Text Generation Inference.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

Shape = Literal["counter", "gauge", "histogram"]


@dataclass(frozen=True, slots=True)
class Meaning:
    """A canonical metric; rank 0 is the current name, higher ranks older ones that yield to it in the same export."""

    metric: str
    shape: Shape
    engine: str
    rank: int = 0


_TABLE: tuple[tuple[str, Shape, str, tuple[str, ...]], ...] = (
    # Requests: `requests` counts arrivals, `of_which_...` parts of them; engines that count endings only have
    # `succeeded`, `failed` and `cancelled`, which add up to arrivals.
    ("succeeded", "counter", "vllm", ("vllm_request_success",)),
    ("requests", "counter", "sglang", ("sglang_num_requests",)),
    ("succeeded", "counter", "sglang", ("sglang_request_success",)),
    ("of_which_cancelled", "counter", "sglang", ("sglang_num_aborted_requests",)),
    ("succeeded", "counter", "trtllm", ("trtllm_request_success",)),
    ("succeeded", "counter", "triton", ("nv_inference_request_success",)),
    ("failed", "counter", "triton", ("nv_inference_request_failure",)),
    ("requests", "counter", "tgi", ("tgi_request_count",)),
    ("of_which_succeeded", "counter", "tgi", ("tgi_request_success",)),
    ("of_which_failed", "counter", "tgi", ("tgi_request_failure",)),
    # Tokens
    ("input_tokens", "counter", "vllm", ("vllm_prompt_tokens",)),
    ("output_tokens", "counter", "vllm", ("vllm_generation_tokens",)),
    ("cache_hit_tokens", "counter", "vllm", ("vllm_prefix_cache_hits", "vllm_gpu_prefix_cache_hits")),
    ("cache_query_tokens", "counter", "vllm", ("vllm_prefix_cache_queries", "vllm_gpu_prefix_cache_queries")),
    ("preemptions", "counter", "vllm", ("vllm_num_preemptions",)),
    ("input_tokens", "counter", "sglang", ("sglang_prompt_tokens",)),
    ("output_tokens", "counter", "sglang", ("sglang_generation_tokens",)),
    ("cache_hit_tokens", "counter", "sglang", ("sglang_cached_tokens",)),
    # Length histograms
    ("input_length", "histogram", "vllm", ("vllm_request_prompt_tokens",)),
    ("output_length", "histogram", "vllm", ("vllm_request_generation_tokens",)),
    ("input_length", "histogram", "sglang", ("sglang_prompt_tokens_histogram", "sglang_request_prompt_tokens")),
    (
        "output_length",
        "histogram",
        "sglang",
        ("sglang_generation_tokens_histogram", "sglang_request_generation_tokens"),
    ),
    ("input_length", "histogram", "triton", ("nv_llm_input_token_len",)),
    ("output_length", "histogram", "triton", ("nv_llm_output_token_len",)),
    ("input_length", "histogram", "tgi", ("tgi_request_input_length",)),
    ("output_length", "histogram", "tgi", ("tgi_request_generated_tokens",)),
    # Latency histograms, seconds
    ("ttft_s", "histogram", "vllm", ("vllm_time_to_first_token_seconds",)),
    ("tpot_s", "histogram", "vllm", ("vllm_inter_token_latency_seconds", "vllm_time_per_output_token_seconds")),
    ("e2e_s", "histogram", "vllm", ("vllm_e2e_request_latency_seconds",)),
    ("queue_s", "histogram", "vllm", ("vllm_request_queue_time_seconds",)),
    ("ttft_s", "histogram", "sglang", ("sglang_time_to_first_token_seconds",)),
    ("tpot_s", "histogram", "sglang", ("sglang_inter_token_latency_seconds", "sglang_time_per_output_token_seconds")),
    ("e2e_s", "histogram", "sglang", ("sglang_e2e_request_latency_seconds",)),
    ("queue_s", "histogram", "sglang", ("sglang_queue_time_seconds",)),
    ("ttft_s", "histogram", "trtllm", ("trtllm_time_to_first_token_seconds",)),
    ("tpot_s", "histogram", "trtllm", ("trtllm_inter_token_latency_seconds", "trtllm_time_per_output_token_seconds")),
    ("e2e_s", "histogram", "trtllm", ("trtllm_e2e_request_latency_seconds",)),
    ("queue_s", "histogram", "trtllm", ("trtllm_request_queue_time_seconds",)),
    ("tpot_s", "histogram", "tgi", ("tgi_request_mean_time_per_token_duration",)),
    ("e2e_s", "histogram", "tgi", ("tgi_request_duration",)),
    ("queue_s", "histogram", "tgi", ("tgi_request_queue_duration",)),
    # State
    ("running", "gauge", "vllm", ("vllm_num_requests_running",)),
    ("waiting", "gauge", "vllm", ("vllm_num_requests_waiting",)),
    ("kv_usage", "gauge", "vllm", ("vllm_kv_cache_usage_perc", "vllm_gpu_cache_usage_perc")),
    ("cache_hit_rate", "gauge", "vllm", ("vllm_gpu_prefix_cache_hit_rate",)),
    ("running", "gauge", "sglang", ("sglang_num_running_reqs",)),
    ("waiting", "gauge", "sglang", ("sglang_num_queue_reqs", "sglang_queue_req")),
    ("kv_usage", "gauge", "sglang", ("sglang_token_usage",)),
    ("cache_hit_rate", "gauge", "sglang", ("sglang_cache_hit_rate",)),
    ("running", "gauge", "trtllm", ("trtllm_num_requests_running",)),
    ("waiting", "gauge", "trtllm", ("trtllm_num_requests_waiting",)),
    ("kv_usage", "gauge", "trtllm", ("trtllm_kv_cache_utilization",)),
    ("cache_hit_rate", "gauge", "trtllm", ("trtllm_kv_cache_hit_rate",)),
    ("running", "gauge", "tgi", ("tgi_batch_current_size",)),
    ("waiting", "gauge", "tgi", ("tgi_queue_size",)),
)

NAMES: Mapping[str, Meaning] = {
    name: Meaning(metric, shape, engine, rank)
    for metric, shape, engine, names in _TABLE
    for rank, name in enumerate(names)
}

BY_LABEL: Mapping[str, tuple[str, Mapping[str, str]]] = {
    # Triton keeps several gauges in one family and tells them apart by a label.
    "nv_trt_llm_request_metrics": ("request_type", {"active": "running", "waiting": "waiting"}),
    "nv_trt_llm_kv_cache_block_metrics": ("kv_cache_block_type", {"fraction": "kv_usage"}),
}

ENDINGS: Mapping[str, str] = {"abort": "cancelled", "aborted": "cancelled", "cancelled": "cancelled", "error": "failed"}
"""finished_reason of a counter of endings -> what it counts instead of successes."""

LABEL_NAMES: Mapping[str, tuple[str, ...]] = {
    # SGLang's first metrics call it `name`.
    "llm": ("model_name", "model", "served_model_name", "model_id", "name"),
    "service": ("service", "app", "job"),
    "tenant": ("tenant", "tenant_id", "customer"),
    "slo_tier": ("slo_tier", "tier", "priority"),
    "region": ("region", "cluster", "zone"),
}
RANK_LABELS = ("tp_rank", "pp_rank")


def plain(name: str) -> str:
    """A metric name as it is compared here."""
    return name.strip().lower().replace(":", "_").removesuffix("_total")


def meaning(name: str, labels: Mapping[str, str]) -> tuple[Meaning, str] | None:
    """What a series is, and which part of a histogram (`bucket`, `sum`, `count`, else ``); None where not known."""
    base = plain(name)
    if base in BY_LABEL:
        label, kinds = BY_LABEL[base]
        metric = kinds.get(labels.get(label, ""))
        return None if metric is None else (Meaning(metric, "gauge", "triton"), "")
    for part in ("bucket", "sum", "count"):
        stem = base.removesuffix(f"_{part}")
        found = NAMES.get(stem)
        if stem != base and found is not None and found.shape == "histogram":
            return found, part
    found = NAMES.get(base)
    if found is None or found.shape == "histogram":
        return None
    if found.metric == "succeeded":
        ending = ENDINGS.get(labels.get("finished_reason", "").lower(), "succeeded")
        return Meaning(ending, "counter", found.engine, found.rank), ""
    return found, ""
