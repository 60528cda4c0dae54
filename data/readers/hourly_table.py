"""Requests per hour from `day,hour,<series>...` rows (the hourly layout of BurstGPT), row by row with reasons."""

from __future__ import annotations

from collections import Counter
from datetime import UTC, date, datetime, time, timedelta, tzinfo
from pathlib import Path
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from configs.errors import InputError
from configs.mapping import LogMapping
from data.readers.columns import DEFAULT_START
from data.readers.detect import Found
from data.readers.fields import LAST_YEAR
from data.readers.lines import reject_record, sift, split_fields
from data.readers.metrics import MetricRow, write_metrics
from data.readers.outcome import Outcome
from data.readers.staging import Staged
from data.units import SECONDS_PER_HOUR

MOST_DAYS = 36_600
MOST_REQUESTS = 1e12
SKIPPED = "hour: one that a clock change skips"
REPEATED = "an hour that a clock change repeats: its count is spread over both"
TOTALS = frozenset({"all", "total", "sum"})


def _number(text: str) -> float | None:
    try:
        value = float(text) if "_" not in text else float("nan")
    except ValueError:
        return None
    return value if 0 <= value <= MOST_REQUESTS else None


def _zone(name: str) -> tzinfo:
    if name == "UTC":
        return UTC
    try:
        return ZoneInfo(name)
    except (ZoneInfoNotFoundError, ValueError):
        raise InputError("time_zone", "an IANA zone such as Europe/Paris", repr(name), "Correct it.") from None


def placed(first: date, day: int, hour: int, zone: tzinfo) -> tuple[int, float] | None:
    """When an hour of the clock of a zone begins (microseconds since 1970) and how many seconds it lasts: an hour that
    a clock change repeats is both. None for one that it skips."""
    clock = datetime.combine(first, time(hour)) + timedelta(days=day)
    begins, again = (clock.replace(tzinfo=zone, fold=fold).astimezone(UTC) for fold in (0, 1))
    if begins.astimezone(zone).replace(tzinfo=None) != clock:
        return None
    return round(begins.timestamp()) * 1_000_000, SECONDS_PER_HOUR + (again - begins).total_seconds()


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
    of an hour counts; later ones are rejected. Days and hours are those of the clock in the mapping's zone.
    """
    chosen = mapping or LogMapping()
    first_day, zone = chosen.start or DEFAULT_START, _zone(chosen.time_zone)
    if first_day.year >= LAST_YEAR:
        raise InputError("start", f"a day before {LAST_YEAR}", str(first_day), "Correct it.")
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
    begins: dict[tuple[int, int], tuple[int, float]] = {}
    with sifted.path.open(encoding="utf-8", newline="") as handle, rejects.open("a", encoding="utf-8") as bad:
        for line in handle:
            fields = split_fields(line.rstrip("\n"), found.delimiter) or []
            day, hour = _number(fields[at["day"]]), _number(fields[at["hour"]])
            counts = [_number(fields[at[name]]) for name in names]
            reason = _why(day, hour, counts)
            if reason is None and day is not None and hour is not None:
                key, whole = (int(day), int(hour)), [count for count in counts if count is not None]
                when = placed(first_day, *key, zone)
                if when is not None and key not in seen:
                    seen[key], begins[key] = whole, when
                    continue
                same = "with the same counts" if seen.get(key) == whole else "with other counts"
                reason = SKIPPED if when is None else f"a second row for its hour, {same}"
            reasons[str(reason)] += 1
            bad.write(reject_record(int(fields[0]), str(reason), found.delimiter.join(fields[2:])))
    rejected = sum(reasons.values())
    if not seen:
        raise InputError(
            str(staged.source), "rows of day, hour and counts", f"none in {rejected} rows", "Export it again."
        )
    kept_names = _without_total(names, seen)
    constants = {str(name): value for name, value in chosen.constants.items()}
    write_metrics(
        (
            MetricRow(
                *begins[key], {**constants, "service": name}, "requests", None, counts[names.index(name)],
            )
            for key, counts in sorted(seen.items())
            for name in kept_names
        ),
        table,
    )  # fmt: skip
    declared = "by declaration" if chosen.start else "a Monday, since no start is declared"
    notes = [*staged.notes, f"day 0 is placed on {first_day}, {declared}; hours are {chosen.time_zone}"]
    notes += [f"column {name!r} is the sum of the others and left out" for name in names if name not in kept_names]
    twice = sum(seconds > SECONDS_PER_HOUR for _, seconds in begins.values())
    return Outcome(
        "burstgpt_hourly", "metrics", table, rejects, len(seen) + rejected, len(seen) - twice, twice, rejected,
        dict(sorted(reasons.items())), {REPEATED: twice} if twice else {}, tuple(notes),
    )  # fmt: skip


def _without_total(names: list[str], rows: dict[tuple[int, int], list[float]]) -> list[str]:
    for at, name in enumerate(names):
        if name.lower() in TOTALS and len(names) > 1:
            sums = all(abs(sum(row) - 2 * row[at]) <= 1e-9 * max(row[at], 1.0) for row in rows.values())
            if sums:
                return [other for other in names if other != name]
    return names
