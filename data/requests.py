"""Request-level traces named by a scenario: read like any trace, but a row that cannot be kept is an error."""

from __future__ import annotations

import json
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import InputError
from configs.mapping import LogMapping
from data.history import DataNote
from data.readers.detect import detect
from data.readers.outcome import Outcome
from data.readers.session import literal, session
from data.readers.staging import stage
from data.readers.table import read_table_file
from data.statistics.counts import hourly_series, logged_counts, stray_notes

MOST_ALIKE = 0.05


@dataclass(frozen=True, slots=True)
class RequestTable:
    """Requests in time order: columns ts (UTC), input_tokens, output_tokens; what was noticed; SHA-256."""

    frame: pd.DataFrame
    notes: tuple[DataNote, ...]
    sha256: str


def _no_rejects(path: Path, outcome: Outcome) -> None:
    """InputError that names the first rejected row; a plan is not made from a file that is read in part unseen."""
    if not outcome.rejected:
        return
    with outcome.rejects.open(encoding="utf-8") as handle:
        first = min((json.loads(line) for line in handle), key=lambda record: int(record["line"]))
    raise InputError(
        f"{path}, line {first['line']}",
        "a request that can be read",
        f"{first['text']!r} ({first['reason']})",
        f"Correct it ({outcome.rejected} such rows), or plan from a dataset: `fleetcast ingest` sets bad rows aside.",
    )


def read_requests(path: Path, timestamp: str, input_tokens: str, output_tokens: str, time_zone: str) -> RequestTable:
    """All requests of a trace in any layout that `fleetcast ingest` reads (CSV, JSON lines, Parquet, gzip).

    Rows that repeat another word for word are kept (two requests may be alike within the clock's resolution) but
    counted in a note. Raises InputError for the first row that cannot be read, and where over 5 % repeat another.
    """
    mapping = LogMapping(
        timestamp=timestamp, input_tokens=input_tokens, output_tokens=output_tokens, time_zone=time_zone,
        rows="requests",
    )  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="fleetcast-") as name, session(Path(name)) as connection:
        staged = stage(path, Path(name))
        outcome = read_table_file(connection, staged, detect(connection, staged), mapping, Path(name))
        _no_rejects(path, outcome)
        frame = connection.execute(
            "SELECT ts, CAST(input_tokens AS DOUBLE) AS input_tokens, CAST(output_tokens AS DOUBLE) AS output_tokens "
            f"FROM read_parquet({literal(outcome.table)}) ORDER BY ts"
        ).df()
    frame["ts"] = frame["ts"].dt.tz_localize("UTC")
    notes = [DataNote("repair", str(path), f"{count} rows: {text}") for text, count in outcome.repairs.items()]
    notes += [DataNote("warning", str(path), text) for text in outcome.notes]
    alike = int(frame.duplicated().sum())
    if alike > MOST_ALIKE * len(frame):
        raise InputError(
            str(path),
            "distinct requests",
            f"{alike} rows ({alike / len(frame):.0%}) that repeat an earlier one word for word",
            "The export was probably concatenated with itself: drop the copies.",
        )
    if alike:
        notes.append(DataNote("warning", str(path), f"{alike} rows repeat an earlier row word for word; kept"))
    return RequestTable(frame, tuple(notes), staged.sha256)


def hourly(table: RequestTable) -> tuple[pd.Series, list[str]]:
    """Requests by UTC hour, by the rules for ingested logs (data/statistics/counts.py): an hour without any among hours
    of few is 0, among hours of many NaN; hours that the log's ends cut off are left out. And notes on strays."""
    seconds = table.frame["ts"].dt.tz_convert(None).to_numpy().astype("datetime64[us]").astype(np.int64) / 1e6
    at, count = np.unique(seconds.astype(np.int64), return_counts=True)
    alone = np.zeros(len(at), dtype=np.int64)
    span = float(seconds[0]), float(seconds[-1])
    found, strays = logged_counts(("all",), alone, at, count.astype(np.float64), 1, span)
    return hourly_series(found[0]), stray_notes(strays)
