"""OpenTelemetry spans with GenAI attributes (OTLP JSON, or one span a line) into canonical requests.

Attribute names: OpenTelemetry semantic conventions for generative AI, current (`gen_ai.usage.input_tokens`) and former
(`gen_ai.usage.prompt_tokens`), https://opentelemetry.io/docs/specs/semconv/gen-ai/; and what vLLM and SGLang write on
the spans of their own (`gen_ai.latency.*`, `gen_ai.usage.cached_tokens`).
"""

from __future__ import annotations

import json
import math
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb

from configs.errors import InputError
from configs.mapping import LogMapping
from data.readers.detect import Found
from data.readers.lines import reject_record
from data.readers.outcome import Outcome
from data.readers.staging import Staged
from data.readers.table import read_table_file

MOST_BYTES = 1 << 30
COLUMNS = (
    "timestamp", "input_tokens", "output_tokens", "cached_tokens", "llm", "service", "tenant", "slo_tier", "region",
    "status", "duration_s", "ttft_s", "request_id",
)  # fmt: skip
ATTRIBUTES: Mapping[str, tuple[str, ...]] = {
    "input_tokens": ("gen_ai.usage.input_tokens", "gen_ai.usage.prompt_tokens"),
    "output_tokens": ("gen_ai.usage.output_tokens", "gen_ai.usage.completion_tokens"),
    "cached_tokens": (
        "gen_ai.usage.cache_read.input_tokens", "gen_ai.usage.cache_read_input_tokens",
        "gen_ai.usage.input_tokens.cached", "gen_ai.usage.cached_tokens",
    ),
    "llm": ("gen_ai.request.model", "gen_ai.response.model"),
    "service": ("service.name",),
    "tenant": ("tenant.id", "tenant", "enduser.id", "user.id"),
    "slo_tier": ("slo_tier", "gen_ai.openai.request.service_tier", "openai.request.service_tier"),
    "region": ("cloud.region",),
    "ttft_s": (
        "gen_ai.latency.time_to_first_token", "gen_ai.response.time_to_first_chunk",
        "gen_ai.server.time_to_first_token", "gen_ai.response.time_to_first_token",
    ),
}  # fmt: skip
NOT_MODEL_CALLS = frozenset({"invoke_agent", "create_agent", "execute_tool", "invoke_workflow"})
NO_USAGE = "no token usage: not a model call"
AGENT = "an agent or tool span: its model calls are spans of their own"
NO_SPAN = "not a span"
OUTER = "around a model call that is a span of its own (a client's span, or a sum over calls)"


def _value(value: Any) -> Any:
    """An OTLP attribute value ({"intValue": "5"}) or a plain one."""
    if isinstance(value, dict):
        for kind in ("stringValue", "intValue", "doubleValue", "boolValue"):
            if kind in value:
                return value[kind]
        return None
    return value if isinstance(value, str | int | float) else None


def _attributes(raw: Any) -> dict[str, Any]:
    if isinstance(raw, dict):
        return {str(key): _value(value) for key, value in raw.items()}
    if isinstance(raw, list):
        pairs = (one for one in raw if isinstance(one, dict) and "key" in one)
        return {str(one["key"]): _value(one.get("value")) for one in pairs}
    return {}


def _first(record: Mapping[str, Any], *names: str) -> Any:
    return next((record[name] for name in names if record.get(name) not in (None, "")), None)


def _spans(document: Any) -> Iterator[tuple[Any, dict[str, Any]]]:
    """(span, attributes of its resource) of an OTLP document, a list of spans, or one span."""
    if isinstance(document, list):
        for one in document:
            yield from _spans(one)
        return
    groups = _first(document, "resourceSpans", "resource_spans") if isinstance(document, dict) else None
    if not isinstance(groups, list):
        yield document, {}
        return
    for group in groups:
        resource = group.get("resource") if isinstance(group, dict) else None
        shared = _attributes(resource.get("attributes")) if isinstance(resource, dict) else {}
        scopes = (
            _first(group, "scopeSpans", "scope_spans", "instrumentationLibrarySpans")
            if isinstance(group, dict)
            else None
        )
        for scope in scopes if isinstance(scopes, list) else [None]:
            spans = scope.get("spans") if isinstance(scope, dict) else None
            for span in spans if isinstance(spans, list) else [None]:
                yield span, shared


def _documents(staged: Staged) -> Iterator[tuple[int, Any]]:
    """(line, document); None for a line that is no JSON. A file of one document that spans lines is read whole."""
    if staged.path.stat().st_size > MOST_BYTES:
        raise InputError(str(staged.source), "at most 1 GiB of spans", "more", "Split the file.")
    text = staged.path.read_bytes().decode(errors="replace")
    lines = text.splitlines()
    first = next((line for line in lines if line.strip()), "")
    try:
        json.loads(first)
    except (ValueError, RecursionError):
        try:
            yield 1, json.loads(text)
        except (ValueError, RecursionError):
            pass
        else:
            return
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield number, json.loads(line)
            except (ValueError, RecursionError):
                yield number, None


def _nanoseconds(value: Any) -> float | None:
    """A span's time in ns since 1970: a number of s, ms, us or ns, or ISO text."""
    try:
        number = float(value)
    except (TypeError, ValueError, OverflowError):
        if not isinstance(value, str):
            return None
        try:
            stamp = datetime.fromisoformat(value)
        except ValueError:
            return None
        return (stamp if stamp.tzinfo is not None else stamp.replace(tzinfo=UTC)).timestamp() * 1e9
    if not math.isfinite(number):
        return None
    for scale in (1e9, 1e6, 1e3):
        if abs(number) * scale < 4.2e18:
            return number * scale
    return number


def flat(span: Any, resource: Mapping[str, Any]) -> dict[str, Any] | str:
    """A span as canonical columns, or why it is no request."""
    if not isinstance(span, dict):
        return NO_SPAN
    own = _attributes(span.get("attributes")) or _attributes(span)
    known = {**resource, **own}
    if known.get("gen_ai.operation.name") in NOT_MODEL_CALLS:
        return AGENT
    record = {field: _first(known, *names) for field, names in ATTRIBUTES.items()}
    if record["input_tokens"] is None and record["output_tokens"] is None:
        return NO_USAGE
    start = _nanoseconds(
        _first(span, "startTimeUnixNano", "start_time_unix_nano", "start_time", "startTime", "timestamp")
    )
    end = _nanoseconds(_first(span, "endTimeUnixNano", "end_time_unix_nano", "end_time", "endTime"))
    status = span.get("status")
    code = status.get("code") if isinstance(status, dict) else _first(span, "status_code", "otel.status_code")
    failed = str(code).upper() in ("2", "STATUS_CODE_ERROR", "ERROR") or bool(known.get("error.type"))
    record["timestamp"] = start
    record["duration_s"] = known.get("gen_ai.latency.e2e") if start is None or end is None else (end - start) / 1e9
    record["status"] = "failed" if failed else "ok"
    record["output_tokens"] = 0 if record["output_tokens"] is None and failed else record["output_tokens"]
    record["request_id"] = _first(span, "spanId", "span_id")
    return record


def _identity(span: Mapping[str, Any], *names: str) -> tuple[str, str] | None:
    found = _first(span, *names)
    trace = _first(span, "traceId", "trace_id") or ""
    return None if found is None else (str(trace), str(found))


def _outer(staged: Staged) -> set[tuple[str, str]]:
    """(trace, span) of every span with a model call among the spans inside it: where an application and its engine
    both report a call, it counts once, at its innermost span."""
    parents: dict[tuple[str, str], tuple[str, str]] = {}
    calls = []
    for _, document in _documents(staged):
        for span, resource in _spans(document):
            own = _identity(span, "spanId", "span_id") if isinstance(span, dict) else None
            if own is None:
                continue
            parent = _identity(span, "parentSpanId", "parent_span_id", "parent_id")
            if parent is not None and parent != own:
                parents[own] = parent
            if not isinstance(flat(span, resource), str):
                calls.append(own)
    found: set[tuple[str, str]] = set()
    for call in calls:
        above = parents.get(call)
        while above is not None and above not in found:
            found.add(above)
            above = parents.get(above)
    # Two spans that name each other as parents are a damaged file, not a nesting.
    return {one for one in found if not _within_itself(one, parents)}


def _within_itself(span: tuple[str, str], parents: Mapping[tuple[str, str], tuple[str, str]]) -> bool:
    seen = {span}
    above = parents.get(span)
    while above is not None and above not in seen:
        seen.add(above)
        above = parents.get(above)
    return above == span


def read_otel(
    connection: duckdb.DuckDBPyConnection, staged: Staged, mapping: LogMapping | None, scratch: Path
) -> Outcome:
    """Model calls among the spans of a file. A row, for the books, is a span; spans that are no model calls are
    rejected, saying so. Raises InputError where no span is a model call."""
    stem = scratch / staged.sha256
    converted, turned_away = stem.with_suffix(".spans"), stem.with_suffix(".turned_away")
    reasons: Counter[str] = Counter()
    lines = 0
    outer = _outer(staged)
    with converted.open("w", encoding="utf-8") as good, turned_away.open("w", encoding="utf-8") as bad:
        for number, document in _documents(staged):
            for span, resource in _spans(document):
                record = flat(span, resource)
                if not isinstance(record, str) and _identity(span, "spanId", "span_id") in outer:
                    record = OUTER
                if isinstance(record, str):
                    reasons[record] += 1
                    bad.write(reject_record(number, record, json.dumps(span)[:500]))
                else:
                    lines += 1
                    good.write(json.dumps(record) + "\n")
    if not lines:
        listed = "; ".join(f"{count} spans: {reason}" for reason, count in reasons.most_common(3))
        raise InputError(
            str(staged.source),
            "spans with gen_ai.usage attributes",
            listed or "no span",
            "Export the model calls' spans.",
        )
    columns = {name: name for name in COLUMNS}
    constants = mapping.constants if mapping else {}
    chosen = LogMapping(
        **{name: value for name, value in columns.items() if name not in constants},
        timestamp_unit="ns", constants=constants,
    )  # fmt: skip
    found = Found("opentelemetry", "jsonl", COLUMNS, ("VARCHAR",) * len(COLUMNS))
    outcome = read_table_file(
        connection, replace(staged, path=converted, lines=lines, clean=True, notes=staged.notes), found, chosen, scratch
    )
    with outcome.rejects.open("a", encoding="utf-8") as handle:
        handle.write(turned_away.read_text(encoding="utf-8"))
    for reason, count in outcome.reasons.items():
        reasons[reason] += count
    return replace(
        outcome,
        rows_in=outcome.rows_in + sum(reasons.values()) - outcome.rejected,
        rejected=sum(reasons.values()),
        reasons=dict(sorted(reasons.items())),
    )
