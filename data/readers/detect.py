"""Which format a file is, told from its content: names and suffixes lie."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import duckdb

from configs.errors import InputError
from data.readers.session import literal
from data.readers.staging import Staged

Format = Literal[
    "azure", "burstgpt", "burstgpt_hourly", "mooncake", "request_log", "prometheus", "opentelemetry",
]  # fmt: skip
Layout = Literal["csv", "jsonl", "parquet", "json"]
HEAD_BYTES = 1 << 18
SAMPLED_LINES = 200
DELIMITERS = ",;\t|"

KNOWN_COLUMNS: Mapping[Format, frozenset[str]] = {
    "azure": frozenset({"TIMESTAMP", "ContextTokens", "GeneratedTokens"}),
    "burstgpt": frozenset({"Timestamp", "Model", "Request tokens", "Response tokens"}),
    "mooncake": frozenset({"timestamp", "input_length", "output_length", "hash_ids"}),
    "burstgpt_hourly": frozenset({"day", "hour"}),
}


@dataclass(frozen=True, slots=True)
class Found:
    """What a file is: its format, how it is laid out, its columns in order (keys of the first lines for JSON), and
    the delimiter of a CSV."""

    format: Format
    layout: Layout
    columns: tuple[str, ...]
    types: tuple[str, ...]
    delimiter: str = ","


def _by_columns(columns: Sequence[str]) -> Format:
    for name, known in KNOWN_COLUMNS.items():
        if known <= set(columns):
            return name
    return "request_log"


def flat_keys(record: Mapping[str, Any], prefix: str = "", depth: int = 3) -> list[str]:
    """Keys of nested objects as dotted paths, in order."""
    names: list[str] = []
    for key, value in record.items():
        if isinstance(value, Mapping) and depth > 1:
            names += flat_keys(value, f"{prefix}{key}.", depth - 1)
        else:
            names.append(f"{prefix}{key}")
    return names


def _json_objects(lines: Sequence[str]) -> list[dict[str, Any]]:
    found = []
    for line in lines:
        try:
            value = json.loads(line)
        except (ValueError, RecursionError):
            continue
        if isinstance(value, dict):
            found.append(value)
    return found


def _json(staged: Staged, head: str) -> Found:
    lines = head.splitlines()
    whole = len(head) < HEAD_BYTES
    objects = _json_objects(lines[:SAMPLED_LINES] if whole else lines[: min(SAMPLED_LINES, len(lines) - 1)])
    if '"resultType"' in head and ('"matrix"' in head or '"vector"' in head or '"values"' in head):
        return Found("prometheus", "json", (), ())
    if '"resourceSpans"' in head or '"resource_spans"' in head or '"scopeSpans"' in head:
        return Found("opentelemetry", "json", (), ())
    if any('"gen_ai.' in line and '"attributes"' in line for line in lines):
        return Found("opentelemetry", "json", (), ())
    if not objects:
        raise InputError(
            str(staged.source), "JSON lines (one object a line), a Prometheus range query or OpenTelemetry spans",
            "JSON of another shape, or damaged JSON", "Write one object a line, for instance with `jq -c '.[]'`.",
        )  # fmt: skip
    names = list(dict.fromkeys(key for one in objects for key in flat_keys(one)))
    return Found(_by_columns(names), "jsonl", tuple(names), ("VARCHAR",) * len(names))


def _csv(staged: Staged, head: str) -> Found:
    header = head.split("\n", 1)[0].rstrip("\r")
    delimiter = max(DELIMITERS, key=header.count)
    names = tuple(name.strip().strip('"').strip() for name in header.split(delimiter))
    if len(names) < 2 or (delimiter != "\t" and not header.isprintable()):
        raise InputError(
            str(staged.source), "a CSV with a header, JSON lines, Parquet, a Prometheus range query or OpenTelemetry",
            f"a file that begins with {header[:60]!r}", "See docs/ingest.md for the formats.",
        )  # fmt: skip
    twice = [name for name in names if names.count(name) > 1]
    if twice:
        raise InputError(f"{staged.source}, header", "column names given once", f"{twice[0]!r} twice", "Rename one.")
    return Found(_by_columns(names), "csv", names, ("VARCHAR",) * len(names), delimiter)


def detect(connection: duckdb.DuckDBPyConnection, staged: Staged) -> Found:
    """The format of a staged file. Raises InputError where it is none that can be read."""
    if staged.kind == "parquet":
        try:
            rows = connection.execute(f"DESCRIBE SELECT * FROM read_parquet({literal(staged.path)})").fetchall()
        except duckdb.Error as error:
            raise InputError(
                str(staged.source), "a whole Parquet file", str(error).splitlines()[0], "Export it again."
            ) from None
        names, types = tuple(str(row[0]) for row in rows), tuple(str(row[1]) for row in rows)
        return Found(_by_columns(names), "parquet", names, types)
    with staged.path.open("rb") as handle:
        head = handle.read(HEAD_BYTES).decode(errors="replace")
    if head.lstrip()[:1] in ("{", "["):
        return _json(staged, head.lstrip())
    return _csv(staged, head)
