"""From the columns of a source to canonical fields: by mapping, by known format, or by usual names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

from configs.errors import InputError
from configs.mapping import LogMapping
from data.readers.detect import Found
from data.readers.fields import USUAL_NAMES

DEFAULT_START = date(2024, 1, 1)
"""A Monday: where relative times begin unless the user says otherwise."""

KNOWN: Mapping[str, Mapping[str, object]] = {
    "azure": {"timestamp": "TIMESTAMP", "input_tokens": "ContextTokens", "output_tokens": "GeneratedTokens"},
    "burstgpt": {
        "timestamp": "Timestamp", "timestamp_unit": "s", "input_tokens": "Request tokens",
        "output_tokens": "Response tokens", "llm": "Model", "service": "Log Type", "duration_s": "Elapsed time",
    },
    "mooncake": {
        "timestamp": "timestamp", "timestamp_unit": "ms", "input_tokens": "input_length",
        "output_tokens": "output_length",
    },
}  # fmt: skip
"""Columns of published traces. Azure: https://github.com/Azure/AzurePublicDataset (2023 and 2024 share their header;
2024 writes offsets). BurstGPT: https://github.com/HPMLL/BurstGPT (files 1 and 2 without, file 3 with session and
elapsed time; no response token means the request failed). Mooncake: https://github.com/kvcache-ai/Mooncake (arrival in
ms; hash_ids name prefix blocks of 512 tokens)."""

FIELDS = tuple(USUAL_NAMES)
MOST_SHOWN = 20
COUNTS = frozenset({"requests", "count", "num_requests", "request_count", "n_requests"})
"""Columns that say how many requests a row stands for, lower case."""


@dataclass(frozen=True, slots=True)
class Resolved:
    """Field -> index of its column in the source; the mapping in force; notes on what was assumed."""

    columns: Mapping[str, int]
    mapping: LogMapping
    notes: tuple[str, ...]


def resolve(where: str, found: Found, mapping: LogMapping | None) -> Resolved:
    """Which column feeds which field. Raises InputError for a column that is not there, and for a log without a time
    or token column; it lists the columns that are there."""
    chosen = mapping or LogMapping()
    if mapping is None or not any(getattr(mapping, field) for field in FIELDS):
        known = dict(KNOWN.get(found.format, {}))
        if known.get("duration_s") not in found.columns:
            known.pop("duration_s", None)
        known = {key: value for key, value in known.items() if key not in chosen.constants}
        chosen = chosen.model_copy(update=known)
    columns: dict[str, int] = {}
    lower = {name.lower(): at for at, name in reversed(list(enumerate(found.columns)))}
    guessed = []
    for field in FIELDS:
        named = getattr(chosen, field)
        if named is not None:
            if named not in found.columns:
                if found.layout == "jsonl":
                    # A key that no sampled line has may still come later; absent keys read as empty.
                    raise_missing = field in ("timestamp", "input_tokens", "output_tokens")
                else:
                    raise_missing = True
                if raise_missing:
                    _missing(where, f"the column {named!r} for {field}", found)
                continue
            columns[field] = found.columns.index(named)
        elif field not in chosen.constants and found.format == "request_log":
            for usual in USUAL_NAMES[field]:
                at = lower.get(usual, lower.get(f"usage.{usual}", lower.get(f"attributes.{usual}")))
                if at is not None:
                    columns[field] = at
                    guessed.append(f"{field} from {found.columns[at]!r}")
                    break
    if found.format == "request_log" and chosen.rows is None:
        _one_request_a_row(where, found, columns)
    for field in ("timestamp", "input_tokens", "output_tokens"):
        if field not in columns:
            _missing(where, f"a column for {field}", found)
    notes = [f"columns taken by their usual names: {', '.join(guessed)}"] if guessed else []
    return Resolved(columns, chosen, tuple(notes))


def _one_request_a_row(where: str, found: Found, columns: Mapping[str, int]) -> None:
    """InputError for a table that counts: a thousand requests an hour would be read as one."""
    counted = [
        name for at, name in enumerate(found.columns) if name.lower() in COUNTS and at not in set(columns.values())
    ]
    if counted:
        raise InputError(
            where, "a row a request", f"a column {counted[0]!r}, which counts the requests of a row",
            "Hourly counts have a format of their own, `day,hour,<series>` (see docs/ingest.md), and no lengths of "
            "single requests. Where each row is a request, say `rows: requests` in a mapping file (`--mapping`).",
        )  # fmt: skip


def _missing(where: str, what: str, found: Found) -> None:
    shown = ", ".join(map(repr, found.columns[:MOST_SHOWN]))
    more = f" and {len(found.columns) - MOST_SHOWN} more" if len(found.columns) > MOST_SHOWN else ""
    fix = "Name it in a mapping file (`--mapping`, see docs/ingest.md)."
    if found.layout == "jsonl":
        fix += " Results of load tests are read by `fleetcast loadtest`."
    raise InputError(where, what, f"the columns {shown}{more}", fix)
