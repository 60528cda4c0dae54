"""Forecast errors as sums: tallies of hours add up to those of weeks, series and fleets."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data.ledger.records import Actual, Vintage
from data.records import FloatArray
from data.units import HOURS_PER_DAY, HOURS_PER_WEEK

HORIZON_DAYS = (1, 7, 14, 28, 91, 3660)
HORIZONS = ("1 day", "2-7 days", "8-14 days", "15-28 days", "29-91 days", "over 91 days")
FIXED = ("observed", "actual", "forecast", "abs_error", "scaled_error", "own_vs_naive", "naive_abs_error")
N = len(FIXED)


@dataclass(frozen=True, slots=True)
class Score:
    """Errors over `observed` hours, days or months (`grain`).

    wape, bias, fva, pinball: fractions (of actual total; of the seasonal naive's error; of mean demand); bias is that
    of the totals that were said; mase against the naive's error in the history before each origin; coverage maps a
    nominal level to the share inside. NaN where there is nothing to compare with.
    """

    grain: str
    observed: int
    wape: float
    mase: float
    bias: float
    fva: float
    pinball: float
    coverage: dict[float, float] = field(default_factory=dict)


def intervals(levels: tuple[float, ...]) -> dict[float, tuple[int, int]]:
    """Central intervals that a set of quantile levels holds: nominal coverage -> positions of their ends."""
    found = {}
    for low, level in enumerate(levels):
        for high in range(low + 1, len(levels)):
            if abs(level + levels[high] - 1.0) < 1e-9:
                found[round(levels[high] - level, 6)] = (low, high)
    return dict(sorted(found.items()))


def seasonal_naive(actual: Actual, origin: np.datetime64, hours: int) -> FloatArray:
    """The last observed week before the origin, repeated; NaN where that hour was not observed."""
    last = actual.between(origin - np.timedelta64(HOURS_PER_WEEK, "h"), origin)
    return np.asarray(last[np.arange(hours) % HOURS_PER_WEEK], dtype=np.float64)


def naive_scale(actual: Actual, origin: np.datetime64) -> float:
    """Mean absolute error of the seasonal naive in the (up to 12) weeks before the origin; NaN without two weeks."""
    past = actual.between(origin - np.timedelta64(12 * HOURS_PER_WEEK, "h"), origin)
    error = np.abs(past[HOURS_PER_WEEK:] - past[:-HOURS_PER_WEEK])
    seen = ~np.isnan(error)
    return float(error[seen].mean()) if seen.any() else float("nan")


def tally(
    real: FloatArray,
    quantiles: FloatArray,
    levels: tuple[float, ...],
    volume: FloatArray,
    naive: FloatArray,
    scale: float,
) -> FloatArray:
    """One row of sums an hour, shape [hours, 7 + 2 levels]: the columns of FIXED, then pinball losses and hits
    (actual <= quantile) by level. Hours that were not observed are rows of zeros. Errors are the medians', `forecast`
    is `volume` [hours], which adds up to what was said of totals (reconcile/expected.py)."""
    seen = ~np.isnan(real)
    y = np.where(seen, real, 0.0)
    point = quantiles[:, levels.index(0.5)]
    error = np.abs(y - point)
    compared = ~np.isnan(naive)
    rows = np.empty((len(real), N + 2 * len(levels)))
    rows[:, 0] = 1.0
    rows[:, 1] = y
    rows[:, 2] = volume
    rows[:, 3] = error
    rows[:, 4] = error / scale if scale > 0 else 0.0
    rows[:, 5] = np.where(compared, error, 0.0)
    rows[:, 6] = np.where(compared, np.abs(y - np.where(compared, naive, 0.0)), 0.0)
    gap = y[:, None] - quantiles
    level = np.asarray(levels)
    rows[:, N : N + len(levels)] = np.maximum(level * gap, (level - 1.0) * gap)
    rows[:, N + len(levels) :] = gap <= 0.0
    rows[~seen] = 0.0
    return rows


def by_horizon(rows: FloatArray) -> FloatArray:
    """Rows of hours ahead summed into the buckets of HORIZONS: [horizons, columns]."""
    edges = np.minimum(np.array((0, *HORIZON_DAYS)) * HOURS_PER_DAY, len(rows))
    padded = np.concatenate([np.zeros((1, rows.shape[1])), np.cumsum(rows, axis=0)])
    return np.asarray(np.diff(padded[edges], axis=0))


def score(row: FloatArray, levels: tuple[float, ...], grain: str = "hour") -> Score:
    """The scores of a sum of rows."""
    observed, actual, forecast, error, scaled, own, naive = (float(v) for v in row[:N])
    nan = float("nan")
    hits = row[N + len(levels) :]
    return Score(
        grain=grain,
        observed=int(observed),
        wape=error / actual if actual > 0 else nan,
        mase=scaled / observed if observed and scaled > 0 else nan,
        bias=forecast / actual - 1.0 if actual > 0 else nan,
        fva=1.0 - own / naive if naive > 0 else nan,
        pinball=float(row[N : N + len(levels)].mean()) / actual if actual > 0 else nan,
        coverage={
            nominal: float(hits[high] - hits[low]) / observed
            for nominal, (low, high) in intervals(levels).items()
            if observed
        },
    )


def point_sums(real: FloatArray, point: FloatArray, naive: FloatArray, first_hour: np.datetime64) -> FloatArray:
    """Sums of whole observed days, shape [days, 3]: actual, forecast, naive (NaN where the naive is not known).

    A day counts when all of its 24 hours were observed.
    """
    lead = int((-first_hour.astype(np.int64)) % HOURS_PER_DAY)
    days = max((len(real) - lead) // HOURS_PER_DAY, 0)
    cut = slice(lead, lead + days * HOURS_PER_DAY)
    stacked: NDArray[np.float64] = np.stack([real[cut], point[cut], naive[cut]], axis=1)
    sums = stacked.reshape(days, HOURS_PER_DAY, 3).sum(axis=1)
    return np.asarray(sums[~np.isnan(sums[:, 0])])


def point_score(sums: FloatArray, grain: str) -> Score:
    """Scores of totals that have no quantiles: [periods, 3] as point_sums gives them."""
    rows = np.zeros(N)
    if len(sums):
        compared = ~np.isnan(sums[:, 2])
        error = np.abs(sums[:, 0] - sums[:, 1])
        rows[:] = (
            len(sums), sums[:, 0].sum(), sums[:, 1].sum(), error.sum(), 0.0, error[compared].sum(),
            np.abs(sums[compared, 0] - sums[compared, 2]).sum(),
        )  # fmt: skip
    nan = float("nan")
    actual = rows[1]
    return Score(
        grain,
        int(rows[0]),
        rows[3] / actual if actual > 0 else nan,
        nan,
        rows[2] / actual - 1.0 if actual > 0 else nan,
        1.0 - rows[5] / rows[6] if rows[6] > 0 else nan,
        nan,
    )


def matched(vintage: Vintage, actual: Actual) -> FloatArray:
    """What happened in the hours that a vintage spoke of, NaN where not (yet) observed."""
    stop = vintage.first_hour + np.timedelta64(len(vintage.hourly), "h")
    return actual.between(vintage.first_hour, stop)
