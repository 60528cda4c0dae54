"""Requests per hour from `day,hour,<series>...` rows (the hourly layout of BurstGPT), row by row with reasons."""

from __future__ import annotations

import csv
from collections import Counter
from datetime import timedelta
from pathlib import Path

from configs.errors import InputError
from configs.mapping import LogMapping
from data.readers.columns import DEFAULT_START
from data.readers.detect import Found
from data.readers.lines import reject_record, sift
from data.readers.metrics import MetricRow, midnight_us, write_metrics
from data.readers.outcome import Outcome
from data.readers.staging import Staged

MOST_DAYS = 36_600
MOST_REQUESTS = 1e12
TOTALS = frozenset({"all", "total", "sum"})


def _number(text: str) -> float | None:
    try:
        value = float(text) if "_" not in text else float("nan")
    except ValueError:
        return None
    return value if 0 <= value <= MOST_REQUESTS else None


def _why(day: float | None, hour: float | None, counts: list[float | None]) -> str | None:
    if day is None or day != int(day) or day > MOST_DAYS:
        return f"day: not a whole number from 0 to {MOST_DAYS}"
    if hour is None or hour != int(hour) or hour > 23:
        return "hour: not a whole number from 0 to 23"
    if any(count is None for count in counts):
        return "count: not a number from 0"
    return None


def read_hourly_table(staged: Staged, found: Found, mapping: LogMapping | None, scratch: Path) -> Outcome:
    """Counts of requests by hour; every column but day and hour is a series, named in the label `service`.

    A column called all, total or sum that is the sum of the others in every row is left out, with a note. The first row
    of an hour counts; later ones are rejected.
    """
    chosen = mapping or LogMapping()
    names = [name for name in found.columns if name not in ("day", "hour")]
    if not names:
        raise InputError(str(staged.source), "a column of counts beside day and hour", "none", "Add one.")
    stem = scratch / staged.sha256
    rejects, table = stem.with_suffix(".rejects"), stem.with_suffix(".table.parquet")
    rejects.write_text("", encoding="utf-8")
    sifted = sift(staged.path, stem.with_suffix(".sifted"), rejects, found.delimiter, len(found.columns))
    reasons: Counter[str] = Counter(sifted.reasons)
    at = {name: found.columns.index(name) + 2 for name in found.columns}
    seen: dict[tuple[int, int], list[float]] = {}
    with sifted.path.open(encoding="utf-8", newline="") as handle, rejects.open("a", encoding="utf-8") as bad:
        for fields in csv.reader(handle, delimiter=found.delimiter):
            day, hour = _number(fields[at["day"]]), _number(fields[at["hour"]])
            counts = [_number(fields[at[name]]) for name in names]
            reason = _why(day, hour, counts)
            if reason is None and day is not None and hour is not None:
                whole = [count for count in counts if count is not None]
                first = seen.setdefault((int(day), int(hour)), whole)
                if first is whole:
                    continue
                reason = "a second row for its hour, " + (
                    "with the same counts" if first == whole else "with other counts"
                )
            reasons[str(reason)] += 1
            bad.write(reject_record(int(fields[0]), str(reason), found.delimiter.join(fields[2:])))
    rejected = sum(reasons.values())
    if not seen:
        raise InputError(
            str(staged.source), "rows of day, hour and counts", f"none in {rejected} rows", "Export it again."
        )
    kept_names = _without_total(names, seen)
    first_day = chosen.start or DEFAULT_START
    constants = {str(name): value for name, value in chosen.constants.items()}
    origin = midnight_us(first_day.year, first_day.month, first_day.day)
    hour_us = int(timedelta(hours=1).total_seconds() * 1e6)
    write_metrics(
        (
            MetricRow(
                origin + (day * 24 + hour) * hour_us, 3600.0, {**constants, "service": name}, "requests", None,
                counts[names.index(name)],
            )
            for (day, hour), counts in sorted(seen.items())
            for name in kept_names
        ),
        table,
    )  # fmt: skip
    declared = "by declaration" if chosen.start else "a Monday, since no start is declared"
    notes = [*staged.notes, f"day 0 is placed on {first_day}, {declared}; hours are UTC"]
    notes += [f"column {name!r} is the sum of the others and left out" for name in names if name not in kept_names]
    return Outcome(
        "burstgpt_hourly", "metrics", table, rejects, len(seen) + rejected, len(seen), 0, rejected,
        dict(sorted(reasons.items())), {}, tuple(notes),
    )  # fmt: skip


def _without_total(names: list[str], rows: dict[tuple[int, int], list[float]]) -> list[str]:
    for at, name in enumerate(names):
        if name.lower() in TOTALS and len(names) > 1:
            sums = all(abs(sum(row) - 2 * row[at]) <= 1e-9 * max(row[at], 1.0) for row in rows.values())
            if sums:
                return [other for other in names if other != name]
    return names
