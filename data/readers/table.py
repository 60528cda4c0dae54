"""Request-level files (CSV, JSON lines, Parquet) into canonical requests, in bulk."""

from __future__ import annotations

import re
from pathlib import Path

import duckdb

from configs.errors import InputError
from configs.mapping import LogMapping
from data.readers import canonical
from data.readers.columns import Resolved, resolve
from data.readers.detect import Found
from data.readers.fields import REQUEST_COLUMNS
from data.readers.lines import Sifted, reject_record, sift
from data.readers.mooncake import cached_potential
from data.readers.outcome import Outcome
from data.readers.relation import table_sql
from data.readers.session import ident, literal, one_row
from data.readers.staging import Staged
from data.readers.times import UNIT_S, native, number

TWICE = "an id that an earlier row has, with the same content"
_SMALL = 40.0 * 365.25 * 86_400.0
"""Seconds: numbers below 40 years are relative times, since no LLM served before 2010."""

NUMBERS = ("input_tokens", "output_tokens", "cached_tokens", "duration_s", "ttft_s")
_NEITHER = re.compile(r"DATE$|TIME$|TIME WITH|BOOLEAN|INTERVAL|BLOB|BIT|UUID|STRUCT|MAP|UNION")


def time_unit(connection: duckdb.DuckDBPyConnection, relation: str, found: Found, resolved: Resolved) -> str:
    """How the time column is written: as text, or as a number of which unit, absolute or relative.

    Told by the median of a sample where the mapping says `auto`: 40 years of seconds lie well below today's epoch
    seconds, these below epoch milliseconds, and so on.
    """
    kind = native(found.types[resolved.columns["timestamp"]])
    unit = resolved.mapping.timestamp_unit
    if unit == "text" or kind in ("timestamp", "timestamptz"):
        return "text"
    sample = f"SELECT {number('timestamp', kind)} AS x FROM (SELECT timestamp FROM ({relation}) LIMIT 2000)"
    median, share = one_row(
        connection,
        f"SELECT median(abs(x)), count(x) / greatest(count(*), 1) FROM ({sample}) WHERE isfinite(coalesce(x, 0))",
    )
    if unit == "auto":
        if median is None or float(str(share)) < 0.5:
            return "text"
        value = float(str(median))
        unit = "s"
        for name, scale in (("ns", 1e-9), ("us", 1e-6), ("ms", 1e-3)):
            if value * scale > _SMALL:
                unit = name  # type: ignore[assignment]
                break
        if value <= _SMALL:
            return "relative s"
        return unit
    scale = UNIT_S[unit]
    return unit if median is not None and float(str(median)) * scale > _SMALL else f"relative {unit}"


def check_zone(connection: duckdb.DuckDBPyConnection, zone: str) -> None:
    """InputError where the database does not know a time zone."""
    try:
        connection.execute(f"SELECT TIMESTAMP '2026-01-01' AT TIME ZONE {literal(zone)}").fetchone()
    except duckdb.Error:
        raise InputError("time_zone", "an IANA zone such as Europe/Paris", repr(zone), "Correct it.") from None


def check_types(where: str, found: Found, resolved: Resolved) -> None:
    """InputError for a typed column of which no time, or no number, can be made."""
    for field in ("timestamp", *NUMBERS):
        if field not in resolved.columns:
            continue
        at = resolved.columns[field]
        kind = found.types[at].upper()
        if kind == "DATE" and field == "timestamp":
            raise InputError(
                f"{where}, column {found.columns[at]!r}", "when each request arrived, with its time of day",
                "dates without a time (DATE)", "Export a TIMESTAMP, or a number such as milliseconds since 1970.",
            )  # fmt: skip
        if _NEITHER.match(kind) or "[" in kind:
            wanted = "times (TIMESTAMP, text, or a number)" if field == "timestamp" else "numbers"
            raise InputError(
                f"{where}, column {found.columns[at]!r}", f"{wanted} for {field}", f"values of type {kind:.60}",
                "Name another column in a mapping file (`--mapping`, see docs/ingest.md), or convert it.",
            )  # fmt: skip


def _staged_rows(
    connection: duckdb.DuckDBPyConnection, staged: Staged, found: Found, resolved: Resolved, sifted: Sifted | None,
    out: Path,
) -> tuple[int, str]:  # fmt: skip
    """Writes every row, kept or not, to `out`; the number of rows and the time unit."""
    extra = ("hash_ids",) if found.format == "mooncake" else ()
    relation = table_sql(staged, found, resolved, sifted, extra)
    unit = time_unit(connection, relation, found, resolved)
    sql = canonical.canonical_sql(relation, found, resolved, unit, tuple(f"x{i}" for i in range(len(extra))))
    # A Parquet file says the least and largest value of each column, and the optimizer drops checks that these make
    # idle. In a damaged file they may be wrong: every value is checked.
    connection.execute("SET disabled_optimizers = 'statistics_propagation'")
    try:
        connection.execute(f"COPY ({sql}) TO {literal(out)} (FORMAT parquet, COMPRESSION snappy)")
    finally:
        connection.execute("RESET disabled_optimizers")
    (rows,) = one_row(connection, f"SELECT count(*) FROM read_parquet({literal(out)})")
    return int(str(rows)), unit


def read_table_file(
    connection: duckdb.DuckDBPyConnection, staged: Staged, found: Found, mapping: LogMapping | None, scratch: Path
) -> Outcome:
    """Reads one request-level file.

    The bulk reader takes it whole where its rows come out one a line; at the first doubt every line is looked at on its
    own, so that what is damaged is rejected with its line number and the rest is kept. Raises InputError where the
    columns cannot be told, or a Parquet file cannot be decoded.
    """
    where = str(staged.source)
    resolved = resolve(where, found, mapping)
    check_types(where, found, resolved)
    check_zone(connection, resolved.mapping.time_zone)
    stem = scratch / staged.sha256
    rejects, everything, table = (stem.with_suffix(end) for end in (".rejects", ".stage.parquet", ".table.parquet"))
    rejects.write_text("", encoding="utf-8")
    header = 1 if found.layout == "csv" else 0
    rows: int | None = None
    unit = ""
    sifted: Sifted | None = None
    if staged.clean or found.layout == "parquet":
        try:
            rows, unit = _staged_rows(connection, staged, found, resolved, None, everything)
        except duckdb.Error as error:
            if found.layout == "parquet":
                raise InputError(
                    where, "a whole Parquet file", str(error).splitlines()[0], "Export it again."
                ) from None
        if found.layout != "parquet" and rows != staged.lines - header:
            rows = None
    if rows is None:
        columns = len(found.columns)
        sifted = sift(staged.path, stem.with_suffix(".sifted"), rejects, found.delimiter if header else None, columns)
        if sifted.kept == 0:
            raise InputError(where, "rows of data", _why_none(rejects, header), "Export the file again.")
        rows, unit = _staged_rows(connection, staged, found, resolved, sifted, everything)
        if rows != sifted.kept:
            raise RuntimeError(f"{where}: {sifted.kept} lines were handed on and {rows} came back")
    rows_in = rows + (sum(sifted.reasons.values()) if sifted else 0)
    if rows_in == 0:
        raise InputError(where, "rows of data", "a header alone" if header else "no row", "Export the file again.")
    source = f"read_parquet({literal(everything)})"
    ids = f"SELECT *, reason AS why FROM {source}"
    if "request_id" in resolved.columns:
        ids = _ids_once(connection, source, stem.with_suffix(".judged.parquet"))
    columns_sql = ", ".join(ident(name) for name in REQUEST_COLUMNS)
    kept_sql = f"SELECT {columns_sql} FROM ({ids}) WHERE why IS NULL"
    notes = [*staged.notes, *resolved.notes]
    if found.format == "mooncake":
        kept_sql, note = cached_potential(connection, f"({ids})", columns_sql)
        notes.append(note)
    connection.execute(f"COPY ({kept_sql}) TO {literal(table)} (FORMAT parquet, COMPRESSION zstd)")
    _append_rejects(connection, ids, rejects)
    reasons = {
        str(reason): int(count)
        for reason, count in connection.execute(
            f"SELECT why, count(*) FROM ({ids}) WHERE why IS NOT NULL GROUP BY 1"
        ).fetchall()
    }
    for reason, count in (sifted.reasons if sifted else {}).items():
        reasons[reason] = reasons.get(reason, 0) + count
    # Times without offset are a repair only among times with one.
    zoned, zoneless = one_row(
        connection,
        f"SELECT count(*) FILTER (repairs & {canonical.NO_OFFSET} = 0), "
        f"count(*) FILTER (repairs & {canonical.NO_OFFSET} > 0) FROM ({ids}) WHERE why IS NULL",
    )
    mask = ~0 if int(str(zoned)) else ~canonical.NO_OFFSET
    ids = f"SELECT * REPLACE (repairs & {mask} AS repairs) FROM ({ids})"
    bits = ", ".join(f"coalesce(sum((repairs >> {k}) & 1), 0)" for k in range(len(canonical.REPAIRS)))
    repaired, *by_kind = one_row(
        connection, f"SELECT count(*) FILTER (repairs > 0), {bits} FROM ({ids}) WHERE why IS NULL"
    )
    rejected = sum(reasons.values())
    (disorder,) = one_row(
        connection,
        f"SELECT count(*) FROM (SELECT ts < lag(ts) OVER () AS back FROM read_parquet({literal(table)})) WHERE back",
    )
    if int(str(disorder)):
        notes.append(f"{disorder} rows are earlier than the row before them; time order is made when the data are read")
    if unit.startswith("relative"):
        day = resolved.mapping.start
        origin = f"{day} by declaration" if day else "2024-01-01, a Monday, since no start is declared"
        zone = resolved.mapping.time_zone
        midnight = "" if zone == "UTC" else f", at midnight in {zone}"
        notes.append(f"times are relative ({unit.removeprefix('relative ')}); time 0 is placed on {origin}{midnight}")
    elif unit == "text" and resolved.mapping.time_zone != "UTC" and int(str(zoneless)):
        notes.append(f"times without offset are read in {resolved.mapping.time_zone}")
    for path in (everything, stem.with_suffix(".sifted"), stem.with_suffix(".judged.parquet")):
        if path.exists():
            path.unlink()
    return Outcome(
        format=found.format,
        kind="requests",
        table=table,
        rejects=rejects,
        rows_in=rows_in,
        kept=rows_in - rejected - int(str(repaired)),
        repaired=int(str(repaired)),
        rejected=rejected,
        reasons=dict(sorted(reasons.items())),
        repairs={
            text: int(str(count)) for text, count in zip(canonical.REPAIRS, by_kind, strict=True) if int(str(count))
        },
        notes=tuple(notes),
    )


def _ids_once(connection: duckdb.DuckDBPyConnection, source: str, out: Path) -> str:
    """Rows with `why`: a row that repeats an earlier one whole, its id included, is the same request exported twice."""
    again = "request_id IS NOT NULL AND reason IS NULL AND row_number() OVER (PARTITION BY row_key ORDER BY line) > 1"
    sql = f"SELECT *, CASE WHEN {again} THEN {literal(TWICE)} ELSE reason END AS why FROM {source} ORDER BY line"
    connection.execute(f"COPY ({sql}) TO {literal(out)} (FORMAT parquet, COMPRESSION snappy)")
    return f"SELECT * FROM read_parquet({literal(out)})"


def _why_none(rejects: Path, header: int) -> str:
    with rejects.open(encoding="utf-8") as handle:
        first = handle.readline()
    return (
        f"no readable row; the first reject is {first.strip()[:200]}"
        if first
        else "a header alone"
        if header
        else "no row"
    )


def _append_rejects(connection: duckdb.DuckDBPyConnection, judged: str, rejects: Path) -> None:
    """Adds the rows that the bulk pass rejected to the rejects file, in the format of `reject_record`."""
    cursor = connection.execute(f"SELECT line, why, raw FROM ({judged}) WHERE why IS NOT NULL ORDER BY line")
    with rejects.open("a", encoding="utf-8") as handle:
        while rows := cursor.fetchmany(10_000):
            handle.writelines(reject_record(int(line), str(why), str(raw)) for line, why, raw in rows)
