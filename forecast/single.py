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
LEAST_HOURS = 24


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
    complete, _ = filled(without_holidays(observed, country))
    scale = float(complete.mean())
    past = rolling_windows(observed, windows, window_days, country)
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


def up_to(observed: pd.Series, last: pd.Timestamp) -> tuple[pd.Series, tuple[str, ...]]:
    """The series on every hour up to `last`, the hours it lacks unobserved, and what to say of it."""
    short = int((last - observed.index[-1]) / pd.Timedelta(hours=1))
    if short == 0:
        return observed, ()
    whole = observed.reindex(pd.date_range(observed.index[0], last, freq="h"))
    return whole, (f"history ends {short} h before the other series: those hours count as unobserved",)


def prepared_or_fallback(
    observed: pd.Series,
    future: pd.DatetimeIndex,
    windows: int,
    window_days: int,
    rng: np.random.Generator | None,
    country: str | None = None,
) -> Prepared:
    """`prepare`, or the mean of what was observed under a wide prior where that cannot be done."""
    seen = int(observed.notna().sum())
    if seen >= LEAST_HOURS:
        try:
            return prepare(observed, future, windows, window_days, rng, country)
        except (ValueError, ArithmeticError, np.linalg.LinAlgError, IndexError) as error:
            why = f"fell back to the mean of history: {type(error).__name__}: {error}"
    elif seen:
        why = f"only {seen} observed hours: their mean, under a wide prior"
    else:
        why = "no observed hour: nothing is forecast; give a level of your own"
    level = float(observed.mean()) if seen else 0.0
    return Prepared(
        point=np.full(len(future), level),
        method="mean of history",
        degradations=(why,),
        bank=bank_of([], level),
        sigma=SIGMA_MOST,
        ceiling=CEILING * float(observed.max()) if seen else 0.0,
        accuracy=(),
    )
