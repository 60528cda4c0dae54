"""Files into a dataset: found, told apart, read, merged; every file answered for."""

from __future__ import annotations

import glob
import hashlib
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from configs.errors import InputError
from configs.mapping import LogMapping
from data.dataset import MANIFEST, Dataset, Source, add, locked, open_dataset
from data.readers.detect import detect
from data.readers.hourly_table import read_hourly_table
from data.readers.json_array import unrolled
from data.readers.otel import read_otel
from data.readers.outcome import Outcome
from data.readers.prometheus import read_prometheus
from data.readers.session import session
from data.readers.staging import Staged, stage
from data.readers.table import read_table_file


@dataclass(frozen=True, slots=True)
class Ingested:
    """One answer a file: what it is in the dataset, or why it could not be read; unchanged: it was there already."""

    file: str
    source: Source | None
    unchanged: bool
    error: str | None
    rejects: Path | None


def expand(patterns: Sequence[str | Path]) -> list[Path]:
    """Files named or matched by patterns (`**` too), each once, in order of name within a pattern."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        text = str(pattern)
        if Path(text).exists() or not glob.has_magic(text):
            found[Path(text)] = None
            continue
        # A pattern may start at the root or hold `**`, which Path.glob takes from a folder only.
        matched = sorted(path for path in map(Path, glob.glob(text, recursive=True)) if path.is_file())  # noqa: PTH207
        if not matched:
            raise InputError(text, "a pattern that matches files", "no match", "Check the pattern.")
        found |= dict.fromkeys(matched)
    return list(found)


def read_file(
    connection: duckdb.DuckDBPyConnection, staged: Staged, mapping: LogMapping | None, scratch: Path
) -> Outcome:
    """One staged file by the reader that its content asks for."""
    staged = unrolled(staged, scratch)
    found = detect(connection, staged)
    if found.format == "burstgpt_hourly":
        return read_hourly_table(staged, found, mapping, scratch)
    if found.format == "prometheus":
        return read_prometheus(staged, mapping, scratch)
    if found.format == "opentelemetry":
        return read_otel(connection, staged, mapping, scratch)
    return read_table_file(connection, staged, found, mapping, scratch)


def ingest_files(
    patterns: Sequence[str | Path], folder: Path, mapping: LogMapping | None = None
) -> tuple[Ingested, ...]:
    """Adds files to the dataset in `folder` (made where there is none).

    A file that cannot be read at all is answered with its error and the others go on; each file is in the dataset whole
    or not at all. Raises InputError where no file is named or the folder cannot be written, and where a file that is in
    the dataset is ingested again with another mapping.
    """
    files = expand(patterns)
    if not files:
        raise InputError("fleetcast ingest", "at least one file", "none", "Name a file or a pattern.")
    chosen = mapping or LogMapping()
    # Left out where it is not given, datasets from before there was the key are those of the same mapping.
    unsaid = {"rows"} if chosen.rows is None else None
    fingerprint = hashlib.sha256(chosen.model_dump_json(exclude=unsaid).encode()).hexdigest()
    answers = []
    with locked(folder):
        dataset = open_dataset(folder) if (folder / MANIFEST).exists() else Dataset(folder, ())
        for path in files:
            answer, dataset = _one(path, folder, dataset, mapping, fingerprint)
            answers.append(answer)
    return tuple(answers)


def _one(
    path: Path, folder: Path, dataset: Dataset, mapping: LogMapping | None, fingerprint: str
) -> tuple[Ingested, Dataset]:
    with tempfile.TemporaryDirectory(prefix=".scratch-", dir=folder) as name:
        scratch = Path(name)
        with session(scratch) as connection:
            try:
                staged = stage(path, scratch)
                held = next((one for one in dataset.sources if one.sha256 == staged.sha256), None)
                if held is not None:
                    if held.mapping_sha256 != fingerprint:
                        raise InputError(
                            str(path), "the mapping that this file was ingested with", "another one",
                            "Use the same mapping, or a new dataset folder.",
                        )  # fmt: skip
                    return Ingested(str(path), held, True, None, _rejects(folder, held)), dataset
                outcome = read_file(connection, staged, mapping, scratch)
            except InputError as error:
                return Ingested(str(path), None, False, str(error), None), dataset
            dataset = add(connection, folder, dataset, outcome, staged.sha256, path.name, fingerprint)
    source = dataset.sources[-1]
    return Ingested(str(path), source, False, None, _rejects(folder, source)), dataset


def _rejects(folder: Path, source: Source) -> Path | None:
    return folder / "rejects" / f"{source.sha256}.jsonl" if source.rejected else None
