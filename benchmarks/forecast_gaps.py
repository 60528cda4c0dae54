"""Hours taken out of a history, to see what a forecast loses with them."""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
import pandas as pd


@dataclass(frozen=True, slots=True)
class Gaps:
    """share: of the hours, 0 to under 1; days: how long each gap is, 0 for single hours."""

    share: float
    days: int = 0


def missing_hours(hours: int, gaps: Gaps, rng: np.random.Generator) -> np.ndarray:
    """Which hours are missing, [hours]: as many single ones as the share says, or gaps of whole days, from any hour on
    and perhaps beside or across each other, until the share is reached."""
    gone = np.zeros(hours, dtype=np.bool_)
    if gaps.days == 0:
        gone[rng.permutation(hours)[: round(gaps.share * hours)]] = True
        return gone
    length = 24 * gaps.days
    while gone.mean() < gaps.share:
        start = int(rng.integers(1 - length, hours))
        gone[max(start, 0) : start + length] = True
    return gone


def with_gaps(train: pd.Series, gaps: Gaps, name: str, origin: int) -> pd.Series:
    """The history with those hours unobserved; the same ones for the same name and origin."""
    rng = np.random.default_rng([zlib.crc32(name.encode()), origin])
    return train.mask(missing_hours(len(train), gaps, rng))
