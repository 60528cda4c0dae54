"""One series made ready to simulate: its point forecast, what past errors say of it, and how far its level may move."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from data.forecast_records import Accuracy
from data.records import FloatArray
from data.units import HOURS_PER_WEEK
from forecast.backtest import CEILING, bank_of, rolling_windows, score, window_hours
from forecast.calendar import as_sundays, without_holidays
from forecast.clean import filled
from forecast.members import combined
from forecast.paths import PRIOR_LEVEL, level_sigma
from forecast.residuals import ErrorBank

SIGMA_MOST = 1.0


@dataclass(frozen=True, slots=True)
class Prepared:
    """point [hours]; sigma: standard deviation of the log level over the horizon; ceiling: requests an hour that no
    path exceeds; accuracy: the method's and its yardsticks' scores, empty where they were not asked for."""

    point: FloatArray
    method: str
    degradations: tuple[str, ...]
    bank: ErrorBank
    sigma: float
    ceiling: float
    accuracy: tuple[Accuracy, ...]


def prepare(
    observed: pd.Series,
    future: pd.DatetimeIndex,
    windows: int,
    window_days: int,
    rng: np.random.Generator | None,
    country: str | None = None,
) -> Prepared:
    """Forecast one hourly series (NaN: unobserved) over `future`, learning from `windows` past origins.

    rng scores the backtest too; None skips that (the error bank needs no scores). country: whose public holidays are
    left out of history and forecast as Sundays.
    """
    observed = without_holidays(observed, country)
    complete, _ = filled(observed)
    scale = float(complete.mean())
    past = rolling_windows(observed, windows, window_days)
    point, method, degraded = combined(complete, future)
    bank = bank_of(past, scale)
    sigma = level_sigma(bank, window_hours(len(observed), window_days), len(future))
    if len(observed) < 3 * HOURS_PER_WEEK:
        sigma = max(sigma, PRIOR_LEVEL)
    return Prepared(
        point=as_sundays(point, future, country),
        method=method,
        degradations=degraded,
        bank=bank,
        sigma=min(sigma, SIGMA_MOST),
        ceiling=CEILING * float(complete.max()),
        accuracy=() if rng is None else score(past, method, scale, rng),
    )
