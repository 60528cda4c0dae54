"""Reading the ledger."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Sequence
from itertools import groupby

import numpy as np
from sqlalchemy import Connection, Engine, Table, func, select

from configs.errors import InputError
from data.ledger import tables
from data.ledger.connect import reading
from data.ledger.content import get, unpack
from data.ledger.records import Actual, Correction, CorrectionLine, PlanCorrections, RunLine, Vintage, series_key
from data.records import SeriesKey

BLOBS_AT_ONCE = 50
CORRECTION_INPUT = "correction/"
"""What the name of an input begins with that is a correction; its id follows."""
DAMAGE = (InputError, zlib.error, ValueError)
"""What reading a damaged content can raise."""
SERIES_AT_ONCE = 20
"""Series read in one go: bounds memory, and a database answers few large questions faster than many small ones."""


def runs(engine: Engine, scenario: str | None = None, kind: str | None = None) -> tuple[RunLine, ...]:
    """Runs in the order of their recording, without their entries."""
    table = tables.run.c

    def work(connection: Connection) -> tuple[RunLine, ...]:
        query = select(tables.run).order_by(table.recorded_at, table.id)
        query = query if scenario is None else query.where(table.scenario == scenario)
        query = query if kind is None else query.where(table.kind == kind)
        return tuple(RunLine(**row, entries={}) for row in connection.execute(query).mappings())

    return reading(engine, work)


def find_run(engine: Engine, name: str) -> RunLine:
    """The run with this id, or the only one whose id starts so, with its entries. InputError otherwise."""

    def work(connection: Connection) -> RunLine:
        table, wanted = tables.run.c, name.rstrip("/").rsplit("/", 1)[-1]
        query = select(tables.run).where(func.substr(table.id, 1, len(wanted)) == wanted).order_by(table.recorded_at)
        found = connection.execute(query).mappings().all()
        exact = [row for row in found if row["id"] == wanted]
        if len(exact) != 1 and len(found) != 1:
            last = connection.execute(select(table.id).order_by(table.recorded_at.desc()).limit(5)).scalars().all()
            got = f"{len(found)} runs: {', '.join(row['id'] for row in found[:5])}" if found else "none"
            known = f"Runs recorded last: {', '.join(last)}." if last else "The ledger is empty: make a plan first."
            raise InputError(f"run {name!r}", "the id of one recorded run, or its beginning", got, known)
        row = (exact or found)[0]
        entries = connection.execute(select(tables.entry).where(tables.entry.c.run_id == row["id"])).mappings()
        return RunLine(**row, entries={(e["role"], e["name"]): e["sha256"] for e in entries})

    return reading(engine, work)


def content(engine: Engine, sha256: str) -> bytes:
    """A content by its hash, verified."""
    return reading(engine, lambda connection: get(connection, [sha256])[sha256])


def vintages_of(engine: Engine, run_id: str) -> dict[str, str]:
    """Series label -> SHA-256 of the vintage that a run issued of it."""
    table = tables.vintage.c
    query = select(table.series, table.sha256).where(table.run_id == run_id).order_by(table.series)
    return reading(engine, lambda connection: {row.series: row.sha256 for row in connection.execute(query)})


def newest_actuals(connection: Connection, scenario: str, labels: list[str]) -> dict[str, Actual]:
    """What is known of these series, by label, from the first to the last recorded month."""
    table = tables.actual.c
    query = (
        select(table.series, table.month, table.sha256)
        .where(table.scenario == scenario, table.series.in_(labels))
        .order_by(table.series, table.month, table.version)
    )
    chunks: dict[str, dict[str, str]] = {}
    for label, month, key in connection.execute(query):
        chunks.setdefault(label, {})[month] = key
    contents = get(connection, [key for months in chunks.values() for key in months.values()])
    found = {}
    for label, months in chunks.items():
        first = np.datetime64(min(months), "M")
        stop = np.datetime64(max(months), "M") + np.timedelta64(1, "M")
        start = first.astype("datetime64[h]")
        hours = np.full(int((stop.astype("datetime64[h]") - start).astype(int)), np.nan)
        for month, key in months.items():
            shift = int((np.datetime64(month, "M").astype("datetime64[h]") - start).astype(int))
            values = unpack(contents[key])[1]["requests"]
            hours[shift : shift + len(values)] = values
        seen = np.flatnonzero(~np.isnan(hours))
        found[label] = Actual(series_key(label), np.datetime64(start + int(seen[0])), hours[seen[0] : seen[-1] + 1])
    return found


def series_of(engine: Engine, scenario: str) -> tuple[SeriesKey, ...]:
    """Series that have a vintage."""
    table = tables.vintage.c
    query = select(table.series).where(table.scenario == scenario).distinct().order_by(table.series)
    return reading(engine, lambda connection: tuple(map(series_key, connection.execute(query).scalars())))


def said_and_done(engine: Engine, scenario: str) -> Iterator[tuple[SeriesKey, tuple[Vintage, ...], Actual | None]]:
    """Every series with all its vintages, oldest first, and what happened; a few series in memory at a time.

    Where two runs issued a vintage from the same hour, the one recorded last is taken: what was planned from."""
    table = tables.vintage.c
    query = select(table.series).where(table.scenario == scenario).distinct().order_by(table.series)
    labels = reading(engine, lambda connection: connection.execute(query).scalars().all())

    def batch(connection: Connection, wanted: list[str]) -> list[tuple[str, list[Vintage], Actual | None]]:
        rows = connection.execute(
            select(table.series, table.run_id, table.issued_from, table.sha256)
            .join(tables.run, tables.run.c.id == table.run_id)
            .where(table.scenario == scenario, table.series.in_(wanted))
            .order_by(table.series, table.issued_from, tables.run.c.recorded_at)
        ).all()
        contents = get(connection, [row.sha256 for row in rows])
        known = newest_actuals(connection, scenario, wanted)
        found = []
        for label, group in groupby(rows, key=lambda row: str(row.series)):
            latest = {row.issued_from: row for row in group}
            key = series_key(label)
            vintages = [Vintage.unpacked(row.run_id, key, contents[row.sha256]) for row in latest.values()]
            found.append((label, vintages, known.get(label)))
        return found

    for start in range(0, len(labels), SERIES_AT_ONCE):
        wanted = list(labels[start : start + SERIES_AT_ONCE])
        for label, vintages, actual in reading(engine, lambda connection, wanted=wanted: batch(connection, wanted)):  # type: ignore[misc]
            yield series_key(label), tuple(vintages), actual


def corrections(engine: Engine, scenario: str | None = None) -> tuple[CorrectionLine, ...]:
    """All corrections with their latest review, in the order of their proposal."""
    table, reviews = tables.correction, tables.review.c

    def work(connection: Connection) -> tuple[CorrectionLine, ...]:
        query = select(table).order_by(table.c.recorded_at, table.c.id)
        query = query if scenario is None else query.where(table.c.scenario == scenario)
        rows = connection.execute(query).mappings().all()
        latest = {
            row["correction_id"]: row
            for row in connection.execute(select(tables.review).order_by(reviews.version)).mappings()
        }
        contents = get(connection, [row["sha256"] for row in rows])
        found = []
        for row in rows:
            seen = latest.get(row["id"])
            verdict = ("open", "", "") if seen is None else (seen["verdict"], seen["reviewer"], seen["note"])
            one = Correction.of(contents[row["sha256"]])
            found.append(CorrectionLine(row["id"], one, row["proposed_by"], row["recorded_at"], *verdict))
        return tuple(found)

    return reading(engine, work)


def plan_corrections(engine: Engine, scenario: str | None = None) -> dict[str, PlanCorrections]:
    """By run id, the corrections that every plan was made with (its inputs `correction/ID`)."""
    run, entry = tables.run.c, tables.entry.c
    used = (entry.run_id == run.id) & (entry.role == "input") & entry.name.startswith(CORRECTION_INPUT)
    query = select(run.id, run.recorded_at, entry.name).join_from(tables.run, tables.entry, used, isouter=True)
    query = query.where(run.kind == "plan")
    query = query if scenario is None else query.where(run.scenario == scenario)

    def work(connection: Connection) -> dict[str, PlanCorrections]:
        when: dict[str, str] = {}
        ids: dict[str, set[str]] = {}
        for name, recorded_at, one in connection.execute(query):
            when[name] = recorded_at
            ids.setdefault(name, set()).update([] if one is None else [one.removeprefix(CORRECTION_INPUT)])
        return {name: PlanCorrections(when[name], frozenset(ids[name])) for name in when}

    return reading(engine, work)


def verify(engine: Engine) -> tuple[str, ...]:
    """What is wrong with a ledger; nothing for a sound one. Every content is read and compared with its hash, and every
    run with its manifest."""

    def work(connection: Connection) -> tuple[str, ...]:
        faults: list[str] = []
        keys = connection.execute(select(tables.blob.c.sha256).order_by(tables.blob.c.sha256)).scalars().all()
        for start in range(0, len(keys), BLOBS_AT_ONCE):
            faults += _damaged(connection, keys[start : start + BLOBS_AT_ONCE])
        entries = _by_run(connection, tables.entry, "role", "name", "sha256")
        vintages = _by_run(connection, tables.vintage, "series", "sha256")
        for row in connection.execute(select(tables.run)).mappings().all():
            try:
                manifest = json.loads(get(connection, [row["manifest"]])[row["manifest"]])
            except DAMAGE as error:
                faults.append(f"run {row['id']}: {error}")
                continue
            there = entries.get(row["id"], []), vintages.get(row["id"], [])
            if tuple(map(sorted, there)) != (manifest["entries"], manifest["vintages"]):
                faults.append(f"run {row['id']}: its rows are not those of its manifest")
        return tuple(faults)

    return reading(engine, work)


def _damaged(connection: Connection, keys: Sequence[str]) -> list[str]:
    """Faults among these contents: read together, and one by one where something is wrong."""
    try:
        get(connection, keys)
    except DAMAGE as error:
        if len(keys) == 1:
            return [f"blob {keys[0][:12]}: {error}"]
        return [fault for key in keys for fault in _damaged(connection, [key])]
    return []


def _by_run(connection: Connection, table: Table, *names: str) -> dict[str, list[list[str]]]:
    found: dict[str, list[list[str]]] = {}
    for run_id, *values in connection.execute(select(table.c.run_id, *(table.c[name] for name in names))):
        found.setdefault(run_id, []).append(values)
    return found
