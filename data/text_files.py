"""Delimited text in, a frame of strings out: every way a file can be broken gets its own message."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from collections.abc import Sequence
from pathlib import Path

import pandas as pd

from configs.errors import InputError


def read_bytes(path: Path) -> tuple[bytes, str]:
    """The (decompressed) content of a file and the SHA-256 of the file as it lies on disk.

    Raises InputError where the file is absent, empty, or a gzip that breaks off.
    """
    try:
        raw = path.read_bytes()
    except FileNotFoundError:
        raise InputError(str(path), "a file", "no such file", "Check the path.") from None
    except IsADirectoryError:
        raise InputError(str(path), "a file", "a folder", "Name the file inside it.") from None
    except PermissionError:
        raise InputError(str(path), "a readable file", "permission denied", "Change its permissions.") from None
    digest = hashlib.sha256(raw).hexdigest()
    if raw[:2] == b"\x1f\x8b":
        try:
            raw = gzip.decompress(raw)
        except (EOFError, OSError, zlib.error) as error:
            raise InputError(
                str(path), "a complete gzip file", f"one that breaks off or is damaged ({error})", "Copy it again."
            ) from None
    if not raw.strip():
        raise InputError(str(path), "rows of data", "an empty file", "Export the file again.")
    return raw, digest


def read_table(path: Path, columns: Sequence[str]) -> tuple[pd.DataFrame, str]:
    """The named columns of a CSV as text, index = line number in the file, and the file's SHA-256.

    Raises InputError for a wrong encoding, a missing column, a ragged row or a file without rows.
    """
    raw, digest = read_bytes(path)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise InputError(
            f"{path}, line {line}", "UTF-8 text", f"byte {raw[error.start]:#04x}", "Save the file as UTF-8."
        ) from None
    if "\x00" in text:
        line = text.count("\n", 0, text.index("\x00")) + 1
        raise InputError(f"{path}, line {line}", "text", "a NUL byte", "The file is binary or damaged.")
    try:
        frame = pd.read_csv(io.StringIO(text), dtype=str, keep_default_na=False, skip_blank_lines=False)
    except (pd.errors.ParserError, pd.errors.EmptyDataError) as error:
        raise InputError(str(path), "a CSV file with one row a line", str(error), "Correct or drop the row.") from None
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise InputError(
            f"{path}, header",
            f"the column {missing[0]!r}",
            f"the columns {', '.join(map(repr, frame.columns))}",
            "Rename the column or name the right one in the configuration.",
        )
    if frame.empty:
        raise InputError(str(path), "rows of data", "a header alone", "Export the file again.")
    frame.index = pd.RangeIndex(2, len(frame) + 2)
    return frame[list(columns)], digest


def first_line(mask: pd.Series) -> int:
    """The line number of the first row that a mask marks; frames read here are indexed by line."""
    return int(mask.index[mask.to_numpy(dtype=bool)][0])


def numbers(path: Path, column: pd.Series, what: str, least: float = 0.0) -> pd.Series:
    """A column of finite numbers not below `least`; InputError names the first line that is not one."""
    parsed = pd.to_numeric(column, errors="coerce")
    bad = parsed.isna() | (parsed < least) | (parsed > 1e15)
    if bad.any():
        line = first_line(bad)
        raise InputError(
            f"{path}, line {line}, column {column.name!r}",
            f"{what}: a number of at least {least:g}",
            repr(column[line]),
            f"Correct the value ({int(bad.sum())} such rows).",
        )
    return parsed.astype(float)
