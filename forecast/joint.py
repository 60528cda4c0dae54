"""The same calendar day for every series: what moved together in history moves together in a path.

A path draws calendar days. A series whose bank lacks a drawn day (its history is shorter, or has a gap there) takes the
day of its own bank that was most alike by what the other series did, so that it still moves with them.
"""

from __future__ import annotations

import numpy as np

from data.records import BoolArray, FloatArray, IntArray
from forecast.gaps import DAY
from forecast.residuals import ErrorBank

MOST_SHIFT = 3
"""Blocks of a day are taken up to this many hours early or late: many more distinct days than history has."""


def _standard(bank: ErrorBank) -> FloatArray:
    """Mean error of each day of a bank in units of its own spread."""
    mean = bank.days.mean(axis=1)
    spread = float(mean.std())
    return np.asarray((mean - mean.mean()) / spread) if spread > 0.0 else np.zeros(len(mean))


def calendar(banks: list[ErrorBank]) -> tuple[IntArray, BoolArray]:
    """All days that any bank holds, sorted, and whether each is a quiet one (weekend or holiday)."""
    dates = np.unique(np.concatenate([bank.date for bank in banks]))
    quiet = np.zeros(len(dates), dtype=np.bool_)
    for bank in banks:
        quiet[np.searchsorted(dates, bank.date)] |= bank.quiet
    return dates, quiet


def common_factor(banks: list[ErrorBank], dates: IntArray) -> FloatArray:
    """How far each calendar day lay from expectation, averaged over the series that saw it; shape [dates]."""
    total, count = np.zeros(len(dates)), np.zeros(len(dates))
    for bank in banks:
        if len(bank.days):
            where = np.searchsorted(dates, bank.date)
            total[where] += _standard(bank)
            count[where] += 1.0
    return np.asarray(total / np.maximum(count, 1.0))


def row_by_date(bank: ErrorBank, dates: IntArray, quiet: BoolArray, factor: FloatArray) -> IntArray:
    """Which row of a bank stands for each calendar day; shape [dates].

    A day that the bank lacks gets the row of the same kind of day whose common factor is nearest.
    """
    rows = np.searchsorted(bank.date, dates)
    rows = np.minimum(rows, len(bank.date) - 1)
    missing = np.flatnonzero(bank.date[rows] != dates)
    own = factor[np.searchsorted(dates, bank.date)]
    for position in missing.tolist():
        alike = np.flatnonzero(bank.quiet == quiet[position])
        alike = alike if len(alike) else np.arange(len(bank.date))
        rows[position] = alike[int(np.argmin(np.abs(own[alike] - factor[position])))]
    return np.asarray(rows, dtype=np.int64)


def draw_days(quiet: BoolArray, wanted: BoolArray, uniform: FloatArray) -> IntArray:
    """Positions in the calendar, [paths, days], of days of the wanted kind where there are at least three such."""
    picked = np.empty(uniform.shape, dtype=np.int64)
    for kind in (False, True):
        pool = np.flatnonzero(quiet == kind)
        pool = pool if len(pool) >= 3 else np.arange(len(quiet))
        columns = wanted == kind
        picked[:, columns] = pool[(uniform[:, columns] * len(pool)).astype(np.int64)]
    return picked


def shifted_blocks(bank: ErrorBank) -> FloatArray:
    """Every day of a bank taken 0, +-1, ... +-MOST_SHIFT times its reach late, [days, shifts, 24]: hours beyond the
    day's ends come from the neighbouring day where the bank has it, else from the day itself."""
    days = bank.days
    before, after = np.roll(days, 1, axis=0), np.roll(days, -1, axis=0)
    follows = np.diff(bank.date) == 1
    has_before, has_after = np.r_[False, follows], np.r_[follows, False]
    before = np.where(has_before[:, None], before, days[:, ::-1])
    after = np.where(has_after[:, None], after, days[:, ::-1])
    long = np.concatenate([before, days, after], axis=1)
    moves = bank.reach * np.arange(-MOST_SHIFT, MOST_SHIFT + 1)
    return np.stack([long[:, DAY + s : 2 * DAY + s] for s in moves.tolist()], axis=1)
