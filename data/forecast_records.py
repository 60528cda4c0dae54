"""What a forecast says, and how good the same method was on history."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.records import Demand, FloatArray, SeriesKey


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Rolling-origin scores of one method on one series; coverage keys are nominal levels such as 0.8.

    wape, bias: fractions; mase: against the in-sample seasonal naive; pinball95: mean loss over mean demand.
    """

    method: str
    windows: int
    wape: float
    mase: float
    bias: float
    pinball95: float
    hour_coverage: dict[float, float]
    peak_coverage: dict[float, float]
    total_coverage: dict[float, float]


@dataclass(frozen=True, slots=True)
class SeriesForecast:
    """Hourly quantiles in requests an hour, shape [hours, levels], and monthly totals and peak hours
    [months, levels]; `grade` is A (forecastable) to D (not), with its reason and consequence."""

    key: SeriesKey
    hours: NDArray[np.datetime64]
    levels: tuple[float, ...]
    hourly: FloatArray
    months: tuple[str, ...]
    monthly_total: FloatArray
    monthly_peak_hour: FloatArray
    method: str
    grade: str
    reason: str
    accuracy: tuple[Accuracy, ...]
    """The method used first, then its yardsticks: seasonal naive always among them."""
    degradations: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Forecast:
    """All series, and the demand scenarios that the plan is made for."""

    series: tuple[SeriesForecast, ...]
    demand: Demand
    issued_from: str
    """Last observed hour, ISO 8601 UTC."""
    notes: tuple[str, ...] = ()
