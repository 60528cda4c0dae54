"""Writing to the ledger: one run, one transaction."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime

import numpy as np
from sqlalchemy import Connection, Engine, func, insert, select

from configs.errors import InputError
from data.ledger import tables
from data.ledger.connect import writing
from data.ledger.content import canonical, get, pack, put, sha256, unpack
from data.ledger.records import Actual, Run, series_label
from data.records import FloatArray

ID_DIGITS = 16


def now() -> str:
    """This moment, ISO 8601 UTC with microseconds."""
    return datetime.now(UTC).isoformat(timespec="microseconds")


def record(engine: Engine, run: Run) -> None:
    """Writes a run with everything it says, in one transaction; a repeated call with the same run changes nothing.

    Raises InputError where another run has the same id, the disk is full, or the database is away.
    """
    vintages = [(series_label(one.key), one, one.packed()) for one in run.vintages]
    hashes = {(one.role, one.name): sha256(one.content) for one in run.entries}
    if len(hashes) != len(run.entries):
        raise ValueError("two entries of a run share a role and a name")
    manifest = canonical(
        {
            "entries": sorted([role, name, key] for (role, name), key in hashes.items()),
            "vintages": sorted([label, sha256(content)] for label, _, content in vintages),
            "corrections": sorted(sha256(one.content()) for one in run.corrections),
            "kind": run.kind,
            "scenario": run.scenario,
            "fingerprint": run.fingerprint,
        }
    )

    def work(connection: Connection) -> None:
        known = connection.execute(select(tables.run.c.manifest).where(tables.run.c.id == run.id)).scalar()
        if known is not None:
            if known != sha256(manifest):
                raise InputError("ledger", "a run id of its own", f"{run.id}, recorded before", "Run again.")
            return
        contents = [one.content for one in run.entries] + [content for _, _, content in vintages]
        put(connection, [*contents, *(one.content() for one in run.corrections), manifest])
        connection.execute(
            insert(tables.run),
            {
                "id": run.id, "kind": run.kind, "scenario": run.scenario, "fingerprint": run.fingerprint,
                "issued_from": run.issued_from, "recorded_at": now(), "manifest": sha256(manifest),
            },
        )  # fmt: skip
        rows = [{"run_id": run.id, "role": r, "name": n, "sha256": key} for (r, n), key in sorted(hashes.items())]
        if rows:
            connection.execute(insert(tables.entry), rows)
        rows = [
            {
                "run_id": run.id, "series": label, "scenario": run.scenario, "issued_from": str(one.issued_from),
                "sha256": sha256(content),
            }
            for label, one, content in vintages
        ]  # fmt: skip
        if rows:
            connection.execute(insert(tables.vintage), rows)
        write_actuals(connection, run.scenario, run.actuals)
        _write_corrections(connection, run)

    writing(engine, work)


def _write_corrections(connection: Connection, run: Run) -> None:
    by_id = {sha256(one.content())[:ID_DIGITS]: one for one in run.corrections}
    known = set(
        connection.execute(select(tables.correction.c.id).where(tables.correction.c.id.in_(list(by_id)))).scalars()
    )
    rows = [
        {
            "id": key, "scenario": run.scenario, "kind": one.kind, "proposed_by": run.id, "recorded_at": now(),
            "sha256": sha256(one.content()),
        }
        for key, one in by_id.items()
        if key not in known
    ]  # fmt: skip
    if rows:
        connection.execute(insert(tables.correction), rows)


def by_month(one: Actual) -> dict[str, FloatArray]:
    """An actual cut into calendar months (UTC), each a whole month of hours, NaN where nothing is known."""
    cut: dict[str, FloatArray] = {}
    month = one.first_hour.astype("datetime64[M]")
    while month.astype("datetime64[h]") < one.end:
        start = month.astype("datetime64[h]")
        stop = (month + np.timedelta64(1, "M")).astype("datetime64[h]")
        cut[str(month)] = one.between(start, stop)
        month = month + np.timedelta64(1, "M")
    return {name: values for name, values in cut.items() if not np.isnan(values).all()}


def overlaid(old: FloatArray, new: FloatArray) -> FloatArray:
    """What is known after `new` was heard: it replaces hours that it observes and leaves the others."""
    return np.where(np.isnan(new), old, new)


def write_actuals(connection: Connection, scenario: str, actuals: Iterable[Actual]) -> int:
    """Adds actuals by month; a month that says nothing new is not written again. Returns months written.

    The earlier versions of a month stay: what was known when a forecast was made can be read back.
    """
    chunks = {(series_label(one.key), month): values for one in actuals for month, values in by_month(one).items()}
    newest = (
        select(tables.actual.c.series, tables.actual.c.month, func.max(tables.actual.c.version).label("version"))
        .where(tables.actual.c.scenario == scenario)
        .group_by(tables.actual.c.series, tables.actual.c.month)
        .subquery()
    )
    query = select(tables.actual.c.series, tables.actual.c.month, tables.actual.c.version, tables.actual.c.sha256).join(
        newest,
        (tables.actual.c.scenario == scenario)
        & (tables.actual.c.series == newest.c.series)
        & (tables.actual.c.month == newest.c.month)
        & (tables.actual.c.version == newest.c.version),
    )
    known = {(s, m): (v, key) for s, m, v, key in connection.execute(query) if (s, m) in chunks}
    contents = get(connection, [key for _, key in known.values()])
    rows, blobs = [], []
    for (label, month), values in sorted(chunks.items(), key=lambda item: item[0]):
        version, key = known.get((label, month), (0, ""))
        merged = overlaid(unpack(contents[key])[1]["requests"], values) if version else values
        content = pack({"month": month}, {"requests": merged})
        if sha256(content) == key:
            continue
        blobs.append(content)
        rows.append(
            {
                "scenario": scenario, "series": label, "month": month, "version": version + 1,
                "recorded_at": now(), "sha256": sha256(content),
            }
        )  # fmt: skip
    put(connection, blobs)
    if rows:
        connection.execute(insert(tables.actual), rows)
    return len(rows)


def review(engine: Engine, correction_id: str, verdict: str, reviewer: str, note: str) -> None:
    """Accepts or rejects a correction; a later review takes the place of an earlier one, which stays."""
    if verdict not in ("accepted", "rejected"):
        raise ValueError(verdict)

    def work(connection: Connection) -> None:
        column = tables.correction.c.id
        if connection.execute(select(column).where(column == correction_id)).scalar() is None:
            raise InputError("correction", "an id that the ledger knows", repr(correction_id), "See `fleetcast trace`.")
        latest = select(func.max(tables.review.c.version)).where(tables.review.c.correction_id == correction_id)
        version = (connection.execute(latest).scalar() or 0) + 1
        connection.execute(
            insert(tables.review),
            {
                "correction_id": correction_id, "version": version, "verdict": verdict, "reviewer": reviewer,
                "note": note, "recorded_at": now(),
            },
        )  # fmt: skip

    writing(engine, work)
