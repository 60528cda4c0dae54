"""Arrival times as SQL: text or numbers, absolute or relative, with and without an offset, across clock changes."""

from __future__ import annotations

from dataclasses import dataclass

from configs.mapping import LogMapping
from data.readers.columns import DEFAULT_START
from data.readers.session import ident, literal

UNIT_S = {"s": 1.0, "ms": 1e-3, "us": 1e-6, "ns": 1e-9}
_NUMBER_TYPES = ("INT", "DOUBLE", "FLOAT", "DECIMAL", "HUGE")
_SHORTEST_ZONED = 17  # 2026-01-01T00:00Z; a date alone ends in digits after a minus sign too


@dataclass(frozen=True, slots=True)
class TimeSql:
    """SQL of the arrival (TIMESTAMP, UTC; NULL where it is no time that exists), of `this hour occurs twice`, of `this
    row has no offset`, and of `its zone is one that cannot be told`."""

    ts: str
    twice: str = "false"
    no_offset: str = "false"
    zone_bad: str = "false"


def native(type_name: str) -> str:
    """text, number, timestamp or timestamptz: how a column of this DuckDB type is read."""
    upper = type_name.upper()
    if upper.startswith(("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ")):
        return "timestamptz"
    if upper.startswith(("TIMESTAMP", "DATETIME")):
        return "timestamp"
    return "number" if any(word in upper for word in _NUMBER_TYPES) and "[" not in upper else "text"


def number(field: str, kind: str) -> str:
    """A double, or NULL. Underscores are not digits, whatever the database thinks."""
    name = ident(field)
    if kind == "number":
        return f"CAST({name} AS DOUBLE)"
    return f"CASE WHEN NOT contains({name}, '_') THEN TRY_CAST({name} AS DOUBLE) END"


def start_sql(mapping: LogMapping) -> str:
    """SQL of time zero of relative times, microseconds since 1970: the midnight, in the declared zone, of the declared
    (or default) day."""
    day = mapping.start or DEFAULT_START
    return f"epoch_us(TIMESTAMP {literal(f'{day} 00:00:00')} AT TIME ZONE {literal(mapping.time_zone)})"


def with_zones(relation: str) -> str:
    """The relation, its text column `timestamp` trimmed and basic ISO 8601 (20261025T023000Z) written as extended, with
    two columns more: `zoned` (the text says its zone) and `zone_bad` (by a name that cannot be told).

    A zone is Z, UTC, GMT, an IANA name, +02, +0200 or +02:00 at the end; other names are abbreviations, of which most
    mean several zones (CST, IST, BST), or `PM`. Characters at fixed places and branches cost less than patterns, and
    what several expressions ask for is computed once where it is a column.
    """
    name = ident("timestamp")
    day, clock = "^([0-9]{4})([0-9]{2})([0-9]{2})[Tt]([0-9]{2})([0-9]{2})", r"\1-\2-\3T\4:\5"
    extended = (
        f"CASE WHEN {name}[9] IN ('T', 't') THEN CASE WHEN {name}[14] BETWEEN '0' AND '9' "
        f"THEN regexp_replace({name}, '{day}([0-9]{{2}})', '{clock}:\\6') "
        f"ELSE regexp_replace({name}, '{day}', '{clock}:00') END ELSE {name} END"
    )
    signs = " OR ".join(f"{name}[-{place}] IN ('+', '-')" for place in (6, 5, 3, 2))
    zoned = (
        f"CASE WHEN length({name}) < {_SHORTEST_ZONED} THEN false WHEN last >= 'A' THEN last <= 'Z' ELSE {signs} END"
    )
    told = f"NOT {name}[1] BETWEEN '0' AND '9' OR contains({name}, '/') OR upper({name}[-4:]) IN (' UTC', ' GMT')"
    bad = f"CASE WHEN NOT zoned OR last = 'Z' OR last < 'A' THEN false ELSE NOT ({told}) END"
    trimmed = f"SELECT * REPLACE (trim({name}) AS {name}) FROM ({relation})"
    written = f"SELECT * REPLACE ({extended} AS {name}), upper({name}[-1]) AS last FROM ({trimmed})"
    return f"SELECT *, {bad} AS zone_bad FROM (SELECT *, {zoned} AS zoned FROM ({written}))"


def time_sql(mapping: LogMapping, kind: str, unit: str) -> TimeSql:
    """The SQL for the column `timestamp` of a relation, written as `unit` (text, s, relative ms, ...); of text, one of
    `with_zones`."""
    name = ident("timestamp")
    if unit != "text":
        scale = UNIT_S[unit.removeprefix("relative ")] * 1e6
        origin = start_sql(mapping) if unit.startswith("relative") else "0"
        micros = f"(({number('timestamp', kind)}) * {scale!r} + {origin})"
        return TimeSql(
            f"CASE WHEN {micros} BETWEEN 0 AND 5e15 THEN make_timestamp(CAST(round({micros}) AS BIGINT)) END"
        )
    if kind == "timestamptz":
        # Some writers keep nanoseconds, which is a type of its own.
        return TimeSql(f"(CAST({name} AS TIMESTAMPTZ) AT TIME ZONE 'UTC')")
    if mapping.time_zone == "UTC" and kind == "timestamp":
        return TimeSql(f"CAST({name} AS TIMESTAMP)")
    # Words such as `now` and `infinity` are times to the database, not to us.
    sane = "true" if kind == "timestamp" else f"(ltrim({name})[1] BETWEEN '0' AND '9')"
    zoned, zone_bad = ("zoned", "zone_bad") if kind == "text" else ("false", "false")
    aware = f"CASE WHEN NOT {zone_bad} THEN TRY_CAST({name} AS TIMESTAMPTZ) AT TIME ZONE 'UTC' END"
    if mapping.time_zone == "UTC":
        return TimeSql(f"CASE WHEN {sane} THEN {aware} END", no_offset=f"(NOT {zoned})", zone_bad=zone_bad)
    zone = literal(mapping.time_zone)
    local = f"TRY_CAST({name} AS TIMESTAMP)"
    utc = f"(({local} AT TIME ZONE {zone}) AT TIME ZONE 'UTC')"

    def back(shift: str = "") -> str:
        return f"((({utc} {shift}) AT TIME ZONE 'UTC') AT TIME ZONE {zone})"

    # A local time that does not come back was skipped by a clock change; one that also comes back from an hour earlier
    # or later occurs twice.
    earlier = f"{back('- INTERVAL 1 HOUR')} = {local}"
    later = f"{back('+ INTERVAL 1 HOUR')} = {local}"
    first = f"CASE WHEN {earlier} THEN {utc} - INTERVAL 1 HOUR ELSE {utc} END"
    naive = f"CASE WHEN {back()} = {local} THEN {first} END"
    return TimeSql(
        ts=f"CASE WHEN {sane} THEN CASE WHEN {zoned} THEN {aware} ELSE {naive} END END",
        twice=f"(NOT {zoned} AND ({earlier} OR {later}))",
        no_offset=f"(NOT {zoned})",
        zone_bad=zone_bad,
    )
