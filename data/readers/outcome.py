"""What reading one file came to: every row of it is kept, repaired or rejected."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Kind = Literal["requests", "metrics"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """rows_in = kept + repaired + rejected, where kept counts rows taken as they are.

    table: Parquet of the canonical rows kept or repaired; rejects: JSON lines {line, reason, text} of the others;
    reasons and repairs: how many rows of each kind (a row can have several repairs).
    """

    format: str
    kind: Kind
    table: Path
    rejects: Path
    rows_in: int
    kept: int
    repaired: int
    rejected: int
    reasons: Mapping[str, int]
    repairs: Mapping[str, int]
    notes: tuple[str, ...]
