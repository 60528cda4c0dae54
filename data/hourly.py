"""Requests per hour from a CSV of `day,hour,<count>` rows (the hourly layout of BurstGPT)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from pathlib import Path

import pandas as pd

from configs.errors import InputError
from data.history import DataNote
from data.text_files import first_line, numbers, read_table


@dataclass(frozen=True, slots=True)
class HourlySeries:
    """Requests by UTC hour, NaN where the hour was not in the file; what was noticed; the file's SHA-256."""

    requests: pd.Series
    notes: tuple[DataNote, ...]
    sha256: str


def complete_hours(counts: pd.Series, where: str, least_hours: int = 24) -> tuple[pd.Series, list[DataNote]]:
    """Counts on every hour from the first to the last, and notes on gaps; InputError under `least_hours`."""
    full = counts.asfreq("h")
    if len(full) < least_hours:
        raise InputError(
            where,
            f"at least {least_hours} hours of history (3 weeks for a weekly season)",
            f"{len(full)} hours",
            "Export a longer span.",
        )
    notes = []
    gaps = full.isna()
    if gaps.any():
        runs = (gaps != gaps.shift()).cumsum()[gaps]
        longest = runs.value_counts().max()
        first = gaps.idxmax()
        notes.append(
            DataNote(
                "warning",
                where,
                f"{int(gaps.sum())} of {len(full)} hours are missing in {runs.nunique()} gaps (longest {longest} h, "
                f"the first from {first:%Y-%m-%d %H:%M} UTC); they are left unobserved, not counted as zero",
            )
        )
    return full, notes


def read_hourly_counts(path: Path, column: str, first_day: date) -> HourlySeries:
    """Requests per hour; day 0 of the file is `first_day`, hours are UTC.

    A row given twice with the same count is dropped with a note; with different counts it is an error.
    Raises InputError for anything that cannot be used.
    """
    frame, digest = read_table(path, ["day", "hour", column])
    day = numbers(path, frame["day"], "a day number")
    hour = numbers(path, frame["hour"], "an hour of the day")
    requests = numbers(path, frame[column], "a count of requests")
    for name, values, top in (("day", day, 36_600), ("hour", hour, 23)):
        bad = (values != values.round()) | (values > top)
        if bad.any():
            line = first_line(bad)
            raise InputError(
                f"{path}, line {line}, column {name!r}",
                f"a whole number from 0 to {top}",
                repr(frame[name][line]),
                "Correct the value.",
            )
    start = pd.Timestamp(first_day, tz="UTC")
    ts = start + pd.to_timedelta(day * 24 + hour, unit="h")
    table = pd.DataFrame({"ts": ts, "requests": requests})
    notes: list[DataNote] = []
    repeated = table.duplicated("ts", keep=False)
    if repeated.any():
        clashes = table[repeated].groupby("ts")["requests"].nunique() > 1
        if clashes.any():
            line = table.index[table["ts"] == clashes.idxmax()][1]
            raise InputError(
                f"{path}, line {line}",
                "one row an hour",
                f"a second row for day {frame['day'][line]} hour {frame['hour'][line]} with another count",
                "Keep one of them.",
            )
        extra = int(table.duplicated("ts").sum())
        notes.append(DataNote("repair", str(path), f"{extra} rows repeat an earlier row word for word and are dropped"))
        table = table.drop_duplicates("ts")
    counts = table.set_index("ts")["requests"].sort_index()
    full, gap_notes = complete_hours(counts, str(path))
    return HourlySeries(full, (*notes, *gap_notes), digest)
