"""A JSON array of records as JSON lines, so that exports of databases and consoles need no other tool first."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

from data.readers.staging import Staged

MOST_BYTES = 1 << 30
"""An array is read whole."""


def unrolled(staged: Staged, scratch: Path) -> Staged:
    """The file, or, where it is one whole JSON array, a copy with an element a line."""
    if staged.kind != "text" or staged.path.stat().st_size > MOST_BYTES:
        return staged
    with staged.path.open("rb") as handle:
        if handle.read(1024).lstrip()[:1] != b"[":
            return staged
    try:
        whole = json.loads(staged.path.read_bytes())
    except (ValueError, RecursionError):
        return staged
    if not isinstance(whole, list) or not any(isinstance(one, dict) for one in whole):
        return staged
    path = scratch / f"{staged.sha256}.unrolled"
    with path.open("w", encoding="utf-8") as out:
        out.writelines(json.dumps(one) + "\n" for one in whole)
    note = "a JSON array: what is said of line N is said of its Nth element"
    return replace(staged, path=path, lines=len(whole), clean=False, notes=(*staged.notes, note))
