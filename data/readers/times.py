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


def extended_sql() -> str:
    """SQL of the text column `timestamp` with basic ISO 8601 (20261025T023000Z) written as extended, all else as it is.
    The ninth character tells, so that other times cost no pattern."""
    text = f"trim({ident('timestamp')})"
    date_, clock = "^([0-9]{4})([0-9]{2})([0-9]{2})[Tt]([0-9]{2})([0-9]{2})", r"\1-\2-\3T\4:\5"
    return (
        f"CASE WHEN {text}[9] IN ('T', 't') THEN CASE WHEN {text}[14] BETWEEN '0' AND '9' "
        f"THEN regexp_replace({text}, '{date_}([0-9]{{2}})', '{clock}:\\6') "
        f"ELSE regexp_replace({text}, '{date_}', '{clock}:00') END ELSE {ident('timestamp')} END"
    )


def start_sql(mapping: LogMapping) -> str:
    """SQL of time zero of relative times, microseconds since 1970: the midnight, in the declared zone, of the declared
    (or default) day."""
    day = mapping.start or DEFAULT_START
    return f"epoch_us(TIMESTAMP {literal(f'{day} 00:00:00')} AT TIME ZONE {literal(mapping.time_zone)})"


def _zones(name: str) -> tuple[str, str]:
    """SQL of `this text says its zone`, and of `by a name that cannot be told`.

    Z, UTC, GMT, an IANA name, +02, +0200 or +02:00 at the end; characters at fixed places cost less than a pattern.
    Other names are abbreviations, of which most mean several zones (CST, IST, BST), or `PM`.
    """
    text = f"trim({name})"
    signs = " OR ".join(f"{text}[-{place}] IN ('+', '-')" for place in (6, 5, 3, 2))
    word = f"upper({text}[-1]) BETWEEN 'A' AND 'Z'"
    long = f"length({text}) >= {_SHORTEST_ZONED}"
    told = f"upper({text}[-1]) = 'Z' OR contains({text}, '/') OR upper({text}[-4:]) IN (' UTC', ' GMT')"
    return (
        f"({long} AND ({word} OR {signs}))",
        f"({long} AND {text}[1] BETWEEN '0' AND '9' AND {word} AND NOT ({told}))",
    )


def time_sql(mapping: LogMapping, kind: str, unit: str) -> TimeSql:
    """The SQL for the column `timestamp` of a relation, written as `unit` (text, s, relative ms, ...)."""
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
    zoned, zone_bad = _zones(name) if kind == "text" else ("false", "false")
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
