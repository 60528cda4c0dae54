"""The canonical request: one row a request, the same columns whatever the source."""

from __future__ import annotations

from collections.abc import Mapping

LABELS = ("llm", "service", "tenant", "slo_tier", "region")
MOST_TOKENS = 100_000_000
"""A request of more tokens than this is a damaged number: no LLM takes a hundredth of it."""
FIRST_YEAR, LAST_YEAR = 2000, 2100
LONGEST_LABEL = 200
LONGEST_DURATION_S = 30 * 86_400.0

REQUEST_COLUMNS: Mapping[str, str] = {
    "ts": "TIMESTAMP",  # arrival, UTC, microseconds
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "cached_tokens": "BIGINT",  # of the input; NULL where the source does not say
    "llm": "VARCHAR",
    "service": "VARCHAR",
    "tenant": "VARCHAR",
    "slo_tier": "VARCHAR",
    "region": "VARCHAR",
    "status": "VARCHAR",  # ok, cancelled, failed, retried; NULL where the source does not say
    "duration_s": "DOUBLE",
    "ttft_s": "DOUBLE",
    "request_id": "VARCHAR",
    "row_key": "UBIGINT",  # identity: equal for the same request in overlapping exports
}

METRIC_COLUMNS: Mapping[str, str] = {
    "ts": "TIMESTAMP",  # start of the interval, UTC
    "interval_s": "DOUBLE",  # 0 for a gauge, read at ts
    "llm": "VARCHAR",
    "service": "VARCHAR",
    "tenant": "VARCHAR",
    "slo_tier": "VARCHAR",
    "region": "VARCHAR",
    "metric": "VARCHAR",  # data/readers/metric_names.py
    "le": "DOUBLE",  # upper edge of a histogram bucket; NULL elsewhere
    "value": "DOUBLE",  # counted within the interval, or the gauge's value
    "series_key": "UBIGINT",  # labels, replica, metric and le: what only time tells apart
    "row_key": "UBIGINT",
}

USUAL_NAMES: Mapping[str, tuple[str, ...]] = {
    "timestamp": (
        "timestamp", "ts", "time", "arrival_time", "arrived_at", "arrival_timestamp", "start_time", "created_at",
        "datetime", "starttime", "request_time", "created",
    ),
    "input_tokens": (
        "input_tokens", "prompt_tokens", "num_prompt_tokens", "input_toks", "input_length", "context_tokens",
        "contexttokens", "request tokens", "num_prefill_tokens", "gen_ai.usage.input_tokens",
        "gen_ai.usage.prompt_tokens",
    ),
    "output_tokens": (
        "output_tokens", "completion_tokens", "generated_tokens", "generation_tokens", "num_generation_tokens",
        "output_toks", "output_length", "generatedtokens", "response tokens", "num_decode_tokens",
        "gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens",
    ),
    "cached_tokens": (
        "cached_tokens", "cache_read_input_tokens", "cached_input_tokens", "gen_ai.usage.cache_read.input_tokens",
        "gen_ai.usage.cache_read_input_tokens", "gen_ai.usage.input_tokens.cached",
    ),
    "request_id": ("request_id", "req_id", "span_id"),
    "llm": ("llm", "model", "model_name", "gen_ai.request.model"),
    "service": ("service", "service_name", "service.name", "log type", "app", "application"),
    "tenant": ("tenant", "tenant_id", "customer", "organization", "org_id", "user_id"),
    "slo_tier": ("slo_tier", "tier", "priority_class", "service_tier"),
    "region": ("region", "cloud.region", "location"),
    "status": ("status", "status_code", "finish_reason", "finished_reason", "outcome"),
    "duration_s": ("duration_s", "e2e_s", "latency_s", "elapsed_s"),
    "ttft_s": ("ttft_s", "time_to_first_token_s"),
}  # fmt: skip
"""Names under which a field is found without a mapping, lower case, the most usual first."""

STATUS_WORDS: Mapping[str, tuple[str, ...]] = {
    "ok": (
        "ok", "success", "succeeded", "stop", "length", "eos", "tool_calls", "200", "completed", "unset",
        "end_turn", "2xx",
    ),
    "cancelled": ("cancelled", "canceled", "abort", "aborted", "cancel", "client_disconnect", "disconnected", "499"),
    "failed": ("failed", "failure", "error", "timeout", "rejected", "content_filter", "4xx", "5xx"),
    "retried": ("retried", "retry"),
}  # fmt: skip
"""What a status means without a mapping. `5xx` is every code of that hundred that no word names."""
