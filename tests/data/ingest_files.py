"""Small request files in every layout, and a dataset read back."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.dataset import opened
from data.ingestion import Ingested, ingest_files
from data.readers.outcome import Kind

AZURE = ("TIMESTAMP", "ContextTokens", "GeneratedTokens")
Row = tuple[Any, ...]


def csv_text(header: Sequence[str], rows: Sequence[Row]) -> str:
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(header)
    writer.writerows(rows)
    return out.getvalue()


def write_csv(path: Path, header: Sequence[str], rows: Sequence[Row]) -> Path:
    path.write_text(csv_text(header, rows), encoding="utf-8")
    return path


def write_jsonl(path: Path, header: Sequence[str], rows: Sequence[Row]) -> Path:
    lines = [json.dumps(dict(zip(header, row, strict=True))) + "\n" for row in rows]
    path.write_text("".join(lines), encoding="utf-8")
    return path


def write_parquet(path: Path, header: Sequence[str], rows: Sequence[Row]) -> Path:
    pq.write_table(pa.table({name: [row[i] for row in rows] for i, name in enumerate(header)}), path)
    return path


def content(folder: Path, columns: str, kind: Kind = "requests") -> list[Row]:
    """Rows of a dataset, sorted."""
    with opened(folder) as (_, connection):
        return sorted(connection.execute(f"SELECT {columns} FROM {kind}").fetchall(), key=repr)


def one(folder: Path, path: Path, **kwargs: Any) -> Ingested:
    """Ingests one file, which must be readable, and checks the books."""
    (answer,) = ingest_files([path], folder, **kwargs)
    assert answer.error is None, answer.error
    source = answer.source
    assert source is not None
    assert source.rows_in == source.kept + source.repaired + source.rejected
    assert source.rejected == sum(source.reasons.values())
    if source.rejected:
        assert answer.rejects is not None
        records = map(json.loads, answer.rejects.read_text(encoding="utf-8").splitlines())
        assert sum(record["rows"] for record in records) == source.rejected
    if source.kind == "requests" and not answer.unchanged:
        assert source.kept + source.repaired == source.new + source.already_present
    return answer
