"""The ingested dataset: a folder of Parquet parts named by their content, and a manifest that says where each is from.

    DIR/dataset.json          the manifest; replaced in one rename
    DIR/parts/<sha256>.parquet
    DIR/rejects/<sha256 of the source>.jsonl

Adding is idempotent and safe against overlaps. A source whose bytes are in the manifest changes nothing. Rows of a new
source are compared by `row_key` with those already there, as multisets: of a row that the dataset holds m times and the
source n times, max(m, n) are there afterwards. So two requests that are alike within one file both count, and a request
that two exports share counts once, in whatever order the files come.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import duckdb

from configs.errors import InputError
from data.readers.fields import METRIC_COLUMNS, REQUEST_COLUMNS
from data.readers.metrics import UNSEEN
from data.readers.outcome import Kind, Outcome
from data.readers.session import ident, literal, one_row, session

FORMAT = 1
MANIFEST = "dataset.json"


@dataclass(frozen=True, slots=True)
class Source:
    """One ingested file. rows_in = kept + repaired + rejected; kept + repaired = new + already_present + conflicting.

    part: SHA-256 (and file name) of the rows it added, None where it added none; first and last: the time it spans.
    """

    sha256: str
    name: str
    mapping_sha256: str
    format: str
    kind: Kind
    rows_in: int
    kept: int
    repaired: int
    rejected: int
    new: int
    already_present: int
    conflicting: int
    reasons: dict[str, int]
    repairs: dict[str, int]
    notes: list[str]
    first: str | None
    last: str | None
    part: str | None


@dataclass(frozen=True, slots=True)
class Dataset:
    """An opened dataset: its folder and its sources, in the order they were added."""

    folder: Path
    sources: tuple[Source, ...]

    def parts(self, kind: Kind) -> list[Path]:
        """Parquet files with rows of a kind."""
        return [self.folder / "parts" / f"{s.part}.parquet" for s in self.sources if s.kind == kind and s.part]

    def sha256(self) -> str:
        """Changes when any row does."""
        names = sorted(s.part for s in self.sources if s.part)
        return hashlib.sha256("\n".join(names).encode()).hexdigest()


def open_dataset(folder: Path) -> Dataset:
    """Reads the manifest. Raises InputError where there is none, it is damaged, or a part is missing."""
    manifest = folder / MANIFEST
    fix = "Ingest the files again into an empty folder: `fleetcast ingest FILE --out DIR`."
    try:
        raw = json.loads(manifest.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise InputError(str(folder), "an ingested dataset", f"no {MANIFEST} in it", fix) from None
    except (OSError, ValueError) as error:
        raise InputError(str(manifest), "a dataset manifest", str(error), fix) from None
    try:
        if raw["format"] != FORMAT:
            raise InputError(str(manifest), f"format {FORMAT}", repr(raw["format"]), fix)
        dataset = Dataset(folder, tuple(Source(**one) for one in raw["sources"]))
    except (KeyError, TypeError) as error:
        raise InputError(str(manifest), "a dataset manifest", f"a damaged one ({error})", fix) from None
    for kind in ("requests", "metrics"):
        for path in dataset.parts(kind):
            if not path.is_file():
                raise InputError(str(path), "a part that the manifest names", "no such file", fix)
    return dataset


def parts_sql(dataset: Dataset, kind: Kind) -> str:
    """A relation of all rows of a kind; empty, with the right columns, where there are none."""
    paths = dataset.parts(kind)
    if paths:
        return f"read_parquet([{', '.join(literal(path) for path in paths)}])"
    schema = REQUEST_COLUMNS if kind == "requests" else METRIC_COLUMNS
    empty = ", ".join(f"NULL::{type_name} AS {ident(name)}" for name, type_name in schema.items())
    return f"(SELECT {empty} WHERE false)"


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Dataset, duckdb.DuckDBPyConnection]]:
    """A dataset and a connection with its views `requests` and `metrics`."""
    dataset = open_dataset(folder)
    with tempfile.TemporaryDirectory(prefix="fleetcast-") as scratch, session(Path(scratch)) as connection:
        for kind in ("requests", "metrics"):
            connection.execute(f"CREATE VIEW {kind} AS SELECT * FROM {parts_sql(dataset, kind)}")
        yield dataset, connection


def _write_manifest(folder: Path, sources: tuple[Source, ...]) -> None:
    record: dict[str, Any] = {"format": FORMAT, "sources": [asdict(one) for one in sources]}
    partial = folder / f".{MANIFEST}.partial-{os.getpid()}"
    with partial.open("w", encoding="utf-8") as handle:
        json.dump(record, handle, indent=1, sort_keys=True)
        handle.write("\n")
        handle.flush()
        os.fsync(handle.fileno())
    partial.replace(folder / MANIFEST)


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One writer at a time. Raises InputError where the folder cannot be made or holds something else."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        strangers = [
            p.name
            for p in folder.iterdir()
            if not p.name.startswith(".") and p.name not in (MANIFEST, "parts", "rejects")
        ]
        if strangers and not (folder / MANIFEST).exists():
            raise InputError(
                str(folder),
                "an empty folder or a dataset",
                f"a folder that holds {sorted(strangers)[0]!r}",
                "Choose another --out.",
            )
        handle = (folder / ".lock").open("w")
    except OSError as error:
        raise InputError(
            str(folder), "a folder that can be written", error.strerror or str(error), "Choose another --out."
        ) from None
    with handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        for left in (
            *folder.glob(".scratch-*"),
            *folder.glob("parts/.partial-*"),
            *folder.glob(f".{MANIFEST}.partial-*"),
        ):
            # What an interrupted writer left: nobody else holds the lock.
            shutil.rmtree(left) if left.is_dir() else left.unlink()
        yield


def _new_rows_sql(connection: duckdb.DuckDBPyConnection, dataset: Dataset, outcome: Outcome) -> tuple[str, int, int]:
    """SQL of the rows of an outcome that the dataset lacks; how many it has already, and how many contradict it."""
    fresh = f"read_parquet({literal(outcome.table)})"
    first, last = one_row(connection, f"SELECT min(ts), max(ts) FROM {fresh}")
    if first is None or not dataset.parts(outcome.kind):
        return f"SELECT * FROM {fresh}", 0, 0
    span = f"ts BETWEEN TIMESTAMP {literal(str(first))} AND TIMESTAMP {literal(str(last))}"
    there = f"(SELECT * FROM {parts_sql(dataset, outcome.kind)} WHERE {span})"
    if outcome.kind == "metrics":
        fresh, finer = _without_other_widths(connection, dataset, fresh, first, last)
        connection.execute(
            f"CREATE OR REPLACE TEMP TABLE there AS SELECT row_key, any_value(value) AS held FROM {there} GROUP BY 1"
        )
        joined = f"FROM {fresh} LEFT JOIN there USING (row_key)"
        same = "abs(value - held) <= 1e-9 * greatest(abs(value), abs(held))"
        known, other = one_row(
            connection, f"SELECT count(held) FILTER ({same}), count(held) FILTER (NOT ({same})) {joined}"
        )
        new = f"SELECT {', '.join(METRIC_COLUMNS)} {joined} WHERE held IS NULL"
        return new, int(str(known)) + finer, int(str(other))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE there AS SELECT row_key, count(*) AS held FROM {there} "
        f"WHERE row_key IN (SELECT row_key FROM {fresh}) GROUP BY 1"
    )
    (shared,) = one_row(connection, "SELECT count(*) FROM there")
    if not int(str(shared)):
        return f"SELECT * FROM {fresh}", 0, 0
    columns = ", ".join(ident(name) for name in REQUEST_COLUMNS)
    copy = "row_number() OVER (PARTITION BY row_key) AS copy"
    numbered = f"SELECT {columns}, held, {copy} FROM {fresh} JOIN there USING (row_key)"
    (known,) = one_row(connection, f"SELECT count(*) FROM ({numbered}) WHERE copy <= held")
    rest = f"SELECT {columns} FROM {fresh} ANTI JOIN there USING (row_key)"
    return f"{rest} UNION ALL SELECT {columns} FROM ({numbered}) WHERE copy > held", int(str(known)), 0


def _without_other_widths(
    connection: duckdb.DuckDBPyConnection, dataset: Dataset, fresh: str, first: object, last: object
) -> tuple[str, int]:
    """The fresh rows without those whose time the dataset has already covered, of the same series, in intervals of
    another width (an export with another step); and how many those are."""
    held = parts_sql(dataset, "metrics")
    low, high = (f"TIMESTAMP {literal(str(edge))}" for edge in (first, last))
    near = f"ts BETWEEN {low} - INTERVAL 1 DAY AND {high} + INTERVAL 1 DAY"
    end = "ts + to_microseconds(CAST(interval_s * 1e6 AS BIGINT))"
    widths = f"SELECT DISTINCT series_key, interval_s FROM {fresh}"
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE others AS SELECT h.series_key, h.interval_s, h.ts, {end} AS until "
        f"FROM {held} h WHERE {near} AND NOT ends_with(h.metric, '{UNSEEN}') AND EXISTS (SELECT 1 FROM ({widths}) w "
        "WHERE w.series_key = h.series_key AND w.interval_s <> h.interval_s)"
    )
    (count,) = one_row(connection, "SELECT count(*) FROM others")
    if not int(str(count)):
        return fresh, 0
    clash = (
        f"SELECT DISTINCT f.row_key FROM {fresh} f JOIN others o ON f.series_key = o.series_key "
        f"AND f.interval_s <> o.interval_s AND o.ts < f.{end.replace('interval_s', 'f.interval_s')} AND o.until > f.ts"
    )
    connection.execute(f"CREATE OR REPLACE TEMP TABLE clash AS {clash}")
    (dropped,) = one_row(connection, f"SELECT count(*) FROM {fresh} SEMI JOIN clash USING (row_key)")
    return f"(SELECT * FROM {fresh} ANTI JOIN clash USING (row_key))", int(str(dropped))


def _sha256(path: Path) -> str:
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def add(
    connection: duckdb.DuckDBPyConnection, folder: Path, dataset: Dataset, outcome: Outcome, sha256: str, name: str,
    mapping_sha256: str,
) -> Dataset:  # fmt: skip
    """The dataset with one more source: part first, manifest last, so that an interruption leaves the old dataset.

    Call within `locked(folder)`.
    """
    sql, known, conflicting = _new_rows_sql(connection, dataset, outcome)
    for sub in ("parts", "rejects"):
        (folder / sub).mkdir(exist_ok=True)
    partial = folder / "parts" / f".partial-{os.getpid()}.parquet"
    part: str | None = None
    try:
        connection.execute(f"COPY ({sql}) TO {literal(partial)} (FORMAT parquet, COMPRESSION zstd)")
        written = f"read_parquet({literal(partial)})"
        (rows,) = one_row(connection, f"SELECT count(*) FROM {written}")
        span = one_row(connection, f"SELECT min(ts), max(ts) FROM read_parquet({literal(outcome.table)})")
        if int(str(rows)):
            with partial.open("rb") as handle:
                os.fsync(handle.fileno())
            part = _sha256(partial)
            partial.replace(folder / "parts" / f"{part}.parquet")
    finally:
        partial.unlink(missing_ok=True)
    if outcome.rejected:
        shutil.copyfile(outcome.rejects, folder / "rejects" / f"{sha256}.jsonl")
    notes = list(outcome.notes)
    if conflicting:
        notes.append(
            f"{conflicting} rows give another value than an earlier export for the same interval; the earlier one stays"
        )
    source = Source(
        sha256=sha256, name=name, mapping_sha256=mapping_sha256, format=outcome.format, kind=outcome.kind,
        rows_in=outcome.rows_in, kept=outcome.kept, repaired=outcome.repaired, rejected=outcome.rejected,
        new=int(str(rows)), already_present=known, conflicting=conflicting, reasons=dict(outcome.reasons),
        repairs=dict(outcome.repairs), notes=notes,
        first=None if span[0] is None else f"{span[0]}Z", last=None if span[1] is None else f"{span[1]}Z", part=part,
    )  # fmt: skip
    sources = (*dataset.sources, source)
    _write_manifest(folder, sources)
    return Dataset(folder, sources)
