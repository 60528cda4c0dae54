"""Request-level traces: one row a request, with a time and token counts (Azure 2023 columns by default)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

import numpy as np
import pandas as pd

from configs.errors import InputError
from data.history import DataNote
from data.text_files import first_line, numbers, read_table

_HAS_ZONE = re.compile(r"(?:Z|[+-]\d{2}:?\d{2})$")


@dataclass(frozen=True, slots=True)
class RequestTable:
    """Requests in time order: columns ts (UTC), input_tokens, output_tokens; what was noticed; SHA-256."""

    frame: pd.DataFrame
    notes: tuple[DataNote, ...]
    sha256: str


def parse_times(path: Path, column: pd.Series, time_zone: str) -> pd.Series:
    """Timestamps in UTC. Either every row carries an offset or none does; then `time_zone` applies.

    Raises InputError naming the first line that is no timestamp, or that breaks the rule above. An hour that a
    clock change skips or repeats cannot be resolved without an offset and is an error too.
    """
    zoned = column.str.contains(_HAS_ZONE)
    if zoned.any() and not zoned.all():
        line = first_line(~zoned if zoned.iloc[0] else zoned)
        raise InputError(
            f"{path}, line {line}, column {column.name!r}",
            "time zones given in every row or in none",
            f"{column[line]!r} after {column.iloc[0]!r}",
            "Write an offset in every row.",
        )
    parsed = pd.to_datetime(column, errors="coerce", utc=bool(zoned.all()), format="ISO8601")
    if parsed.isna().any():
        line = first_line(parsed.isna())
        raise InputError(
            f"{path}, line {line}, column {column.name!r}",
            "a timestamp such as 2026-11-21 18:15:46.68",
            repr(column[line]),
            f"Correct the value ({int(parsed.isna().sum())} such rows).",
        )
    if zoned.all():
        return parsed
    try:
        zone = ZoneInfo(time_zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise InputError("time_zone", "an IANA zone such as Europe/Paris", repr(time_zone), "Correct it.") from None
    local = parsed.dt.tz_localize(zone, ambiguous="NaT", nonexistent="NaT")
    if local.isna().any():
        line = first_line(local.isna())
        raise InputError(
            f"{path}, line {line}, column {column.name!r}",
            f"a time that exists once in {time_zone}",
            repr(column[line]),
            "Export with UTC offsets.",
        )
    return local.dt.tz_convert("UTC")


def read_requests(path: Path, timestamp: str, input_tokens: str, output_tokens: str, time_zone: str) -> RequestTable:
    """All requests of a trace. Rows that repeat another word for word are kept (two requests may be alike within
    the clock's resolution) but counted in a note; rows with neither input nor output tokens are errors.
    """
    raw, digest = read_table(path, [timestamp, input_tokens, output_tokens])
    frame = pd.DataFrame(
        {
            "ts": parse_times(path, raw[timestamp], time_zone),
            "input_tokens": numbers(path, raw[input_tokens], "input tokens"),
            "output_tokens": numbers(path, raw[output_tokens], "output tokens"),
        }
    )
    notes = []
    alike = int(raw.duplicated().sum())
    if alike:
        share = alike / len(raw)
        if share > 0.05:
            line = first_line(raw.duplicated())
            raise InputError(
                f"{path}, line {line}",
                "distinct requests",
                f"{alike} rows ({share:.0%}) that repeat an earlier one word for word",
                "The export was probably concatenated with itself: drop the copies.",
            )
        notes.append(DataNote("warning", str(path), f"{alike} rows repeat an earlier row word for word; kept"))
    if not frame["ts"].is_monotonic_increasing:
        notes.append(DataNote("repair", str(path), "rows were not in time order and are sorted"))
    return RequestTable(frame.sort_values("ts", kind="stable", ignore_index=True), tuple(notes), digest)


def hourly(table: RequestTable) -> pd.DataFrame:
    """Requests, input and output tokens by UTC hour. The first and last hour are dropped where they are cut off
    (less than 59 minutes covered), so that a partial hour does not pass for a quiet one.
    """
    frame = table.frame
    by_hour = frame.groupby(frame["ts"].dt.floor("h")).agg(
        requests=("ts", "size"), input_tokens=("input_tokens", "sum"), output_tokens=("output_tokens", "sum")
    )
    first, last = frame["ts"].iloc[0], frame["ts"].iloc[-1]
    keep = np.ones(len(by_hour), dtype=bool)
    if first - first.floor("h") > pd.Timedelta(minutes=1):
        keep[0] = False
    if last.ceil("h") - last > pd.Timedelta(minutes=1):
        keep[-1] = False
    return by_hour[keep].astype(float)
