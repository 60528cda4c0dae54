"""Damaged text, line by line: lines that can be read go on, the others to the rejects with the reason."""

from __future__ import annotations

import csv
import io
import json
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from data.readers.staging import CONTROL_BYTES, LONGEST_LINE_BYTES

SHOWN_CHARACTERS = 500
RECODED = "R"
"""Flag of a line whose bytes were not all UTF-8."""


@dataclass(frozen=True, slots=True)
class Sifted:
    """path: the readable lines, each with its line number and flag in front; reasons: how many lines went to the
    rejects, and why. Blank lines are no rows."""

    path: Path
    kept: int
    reasons: Mapping[str, int]


def _lines(handle: BinaryIO) -> Iterator[tuple[bytes, bool]]:
    """(line without its end, whether it was cut for being too long)."""
    while line := handle.readline(LONGEST_LINE_BYTES + 1):
        if line.endswith(b"\n") or len(line) <= LONGEST_LINE_BYTES:
            yield line.rstrip(b"\r\n"), False
            continue
        head = line[: 4 * SHOWN_CHARACTERS]
        while line and not line.endswith(b"\n"):
            line = handle.readline(LONGEST_LINE_BYTES)
        yield head, True


def _fields(text: str, delimiter: str) -> list[str] | None:
    """The fields of one line; None where a quote does not close."""
    if '"' not in text:
        return text.split(delimiter)
    try:
        return next(csv.reader([text], delimiter=delimiter, strict=True))
    except (csv.Error, StopIteration):
        return None


def reject_record(line: int, reason: str, text: str, rows: int = 1) -> str:
    """One line of a rejects file, for `rows` rows alike. JSON: no content can pose as a formula or break out."""
    shown = text if len(text) <= SHOWN_CHARACTERS else text[:SHOWN_CHARACTERS] + "..."
    return json.dumps({"line": line, "reason": reason, "text": shown, "rows": rows}) + "\n"


def sift(source: Path, out: Path, rejects: Path, delimiter: str | None, columns: int) -> Sifted:
    """Splits a text into lines that the bulk reader can take and rejects.

    delimiter: of a delimited file, whose first line is a header of `columns` fields; None for JSON lines. A row is a
    physical line: a quoted line break is not supported, since one flipped quote would swallow the rest of the file.
    """
    kept = 0
    reasons: Counter[str] = Counter()
    with (
        source.open("rb") as handle,
        out.open("w", encoding="utf-8", newline="") as good,
        rejects.open("a", encoding="utf-8") as bad,
    ):
        for number, (raw, cut) in enumerate(_lines(handle), start=1):
            if delimiter is not None and number == 1:
                continue
            if not raw.strip():
                continue
            flag = ""
            try:
                text = raw.decode()
            except UnicodeDecodeError:
                text, flag = raw.decode(errors="replace"), RECODED
            reason = ""
            if cut:
                reason = f"a line of more than {LONGEST_LINE_BYTES:,} bytes"
            elif len(raw.translate(None, CONTROL_BYTES)) != len(raw) or b"\r" in raw:
                reason = "a control character"
            elif delimiter is not None:
                fields = _fields(text, delimiter)
                if fields is None:
                    reason = "a quote that does not close on its line"
                elif len(fields) != columns:
                    reason = f"{len(fields)} fields where the header has {columns}"
                elif '"' in text:
                    buffer = io.StringIO()
                    csv.writer(buffer, delimiter=delimiter, quoting=csv.QUOTE_ALL, lineterminator="").writerow(fields)
                    text = buffer.getvalue()
            if reason:
                reasons[reason] += 1
                bad.write(reject_record(number, reason, text))
            else:
                kept += 1
                between = delimiter or "\x01"
                good.write(f"{number}{between}{flag}{between}{text}\n")
    return Sifted(out, kept, reasons)
