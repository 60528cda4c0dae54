"""Other forecasting packages on the same hours, given the same holidays; imported only where they are installed."""

from __future__ import annotations

import logging

import numpy as np
import pandas as pd

from forecast.calendar import as_sundays, without_holidays
from forecast.clean import filled

BANDS = (80, 90, 95)


def statsforecast_peer(train: pd.Series, future: pd.DatetimeIndex, country: str | None) -> dict[str, np.ndarray]:
    """MSTL (24, 168) with AutoARIMA on the remainder, holidays filled in history and forecast as Sundays: the wrapper
    that the portfolio has."""
    from statsforecast import StatsForecast
    from statsforecast.models import MSTL, AutoARIMA

    complete, _ = filled(without_holidays(train, country))
    frame = pd.DataFrame({"unique_id": "s", "ds": complete.index.tz_convert(None), "y": complete.to_numpy()})
    # MSTL needs two whole seasons.
    seasons = [24, 168] if len(complete) >= 2 * 168 else [24]
    model = StatsForecast([MSTL(seasons, trend_forecaster=AutoARIMA())], freq="h")
    out = model.forecast(df=frame, h=len(future), level=list(BANDS))
    named = {name.removeprefix("MSTL").lstrip("-"): out[name].to_numpy() for name in out.columns if "MSTL" in name}
    return {
        ("point" if name == "" else name): as_sundays(np.maximum(values, 0.0), future, country)
        for name, values in named.items()
    }


def prophet_peer(train: pd.Series, future: pd.DatetimeIndex, country: str | None) -> dict[str, np.ndarray]:
    """Prophet with finer daily and weekly seasons, growth kept flat (its trend runs away over four weeks) and its own
    holiday effects."""
    from prophet import Prophet

    for name in ("prophet", "cmdstanpy"):
        log = logging.getLogger(name)
        log.setLevel(logging.ERROR)
        log.disabled = True
    known = train.dropna()
    frame = pd.DataFrame({"ds": pd.DatetimeIndex(known.index).tz_convert(None), "y": known.to_numpy()})
    model = Prophet(
        growth="flat",
        daily_seasonality=False,
        weekly_seasonality=False,
        yearly_seasonality=False,
        uncertainty_samples=300,
    )
    model.add_seasonality("day", 1, 8)
    model.add_seasonality("week", 7, 30)
    if country is not None:
        model.add_country_holidays(country.partition("-")[0])
    model.fit(frame)
    ahead = pd.DataFrame({"ds": future.tz_convert(None)})
    samples = np.maximum(model.predictive_samples(ahead)["yhat"], 0.0)
    point = np.maximum(model.predict(ahead)["yhat"].to_numpy(), 0.0)
    found = {"point": point}
    for level in BANDS:
        low, high = np.quantile(samples, [0.5 - level / 200, 0.5 + level / 200], axis=1)
        found |= {f"lo-{level}": low, f"hi-{level}": high}
    return found
