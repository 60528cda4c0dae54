"""The same calendar day for every series: what moved together in history moves together in a path.

A path draws calendar days. A series whose bank lacks a drawn day (its history is shorter, or has a gap there) takes the
day of its own bank that was most alike by what the other series did, so that it still moves with them.
"""

from __future__ import annotations

import numpy as np

from data.records import BoolArray, FloatArray, IntArray
from forecast.residuals import ErrorBank


def _standard(bank: ErrorBank) -> FloatArray:
    """Mean error of each day of a bank in units of its own spread."""
    mean = bank.days.mean(axis=1)
    spread = float(mean.std())
    return (mean - mean.mean()) / spread if spread > 0.0 else np.zeros(len(mean))


def common_factor(banks: list[ErrorBank], dates: IntArray) -> FloatArray:
    """How far each calendar day lay from expectation, averaged over the series that saw it; shape [dates]."""
    total, count = np.zeros(len(dates)), np.zeros(len(dates))
    for bank in banks:
        if len(bank.days):
            where = np.searchsorted(dates, bank.date)
            np.add.at(total, where, _standard(bank))
            np.add.at(count, where, 1.0)
    return total / np.maximum(count, 1.0)


def calendar(banks: list[ErrorBank]) -> tuple[IntArray, BoolArray]:
    """All days that any bank holds, sorted, and whether each is a quiet one (weekend or holiday)."""
    dates = np.unique(np.concatenate([bank.date for bank in banks]))
    quiet = np.zeros(len(dates), dtype=np.bool_)
    for bank in banks:
        quiet[np.searchsorted(dates, bank.date)] |= bank.quiet
    return dates, quiet


def rows_by_date(bank: ErrorBank, dates: IntArray, quiet: BoolArray, factor: FloatArray) -> tuple[IntArray, IntArray]:
    """Which rows of a bank stand for each calendar day: rows in order of date, and [dates + 1] bounds into them.

    A day that the bank lacks gets the row of the same kind of day whose common factor is nearest.
    """
    order = np.argsort(bank.date, kind="stable")
    held = bank.date[order]
    rows: list[IntArray] = []
    for date, is_quiet, value in zip(dates, quiet, factor, strict=True):
        low, high = np.searchsorted(held, [date, date + 1])
        if high > low:
            rows.append(order[low:high])
            continue
        alike = np.flatnonzero(bank.quiet == is_quiet)
        alike = alike if len(alike) else np.arange(len(bank.days))
        distance = np.abs(factor[np.searchsorted(dates, bank.date[alike])] - value)
        rows.append(alike[[int(np.argmin(distance))]])
    bounds = np.cumsum([0, *map(len, rows)])
    return np.concatenate(rows), bounds.astype(np.int64)


def draw_days(quiet: BoolArray, wanted: BoolArray, uniform: FloatArray) -> IntArray:
    """Positions in the calendar, [paths, days], of days of the wanted kind where there are at least three such."""
    picked = np.empty(uniform.shape, dtype=np.int64)
    for kind in (False, True):
        pool = np.flatnonzero(quiet == kind)
        pool = pool if len(pool) >= 3 else np.arange(len(quiet))
        columns = wanted == kind
        picked[:, columns] = pool[(uniform[:, columns] * len(pool)).astype(np.int64)]
    return picked
