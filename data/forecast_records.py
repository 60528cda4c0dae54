"""What a forecast says, and how good the same method was on history."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from data.records import Demand, FloatArray, SeriesKey


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Rolling-origin scores of one method on one series; coverage keys are nominal levels such as 0.8.

    wape, bias: fractions; mase: against the in-sample seasonal naive; pinball95: mean loss over mean demand.
    worst_wape and worst_from: the window it did worst in and the day that begins, None without windows.
    value_added: 1 - WAPE of the forecast / WAPE of this method, for yardsticks: what the forecast adds over it.
    dm_p: two-sided p-value of the Diebold-Mariano test that the forecast and this yardstick err alike, None where there
    are too few days for it.
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
    worst_wape: float | None = None
    worst_from: str | None = None
    value_added: float | None = None
    dm_p: float | None = None


@dataclass(frozen=True, slots=True)
class Parts:
    """What a month's median total is made of, as factors on requests a month at the level of history's last weeks:
    season (calendar of the month: its weekdays and holidays), course (history's rise or fall going on and dying away),
    events, growth, and the rest of the simulated median."""

    month: str
    level: float
    season: float
    course: float
    events: float
    growth: float
    spread: float


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
    parts: tuple[Parts, ...] = ()


@dataclass(frozen=True, slots=True)
class GroupForecast:
    """Quantiles of the sum of some series along joint paths: monthly totals and peak hours [months, levels]."""

    name: str
    series: int
    monthly_total: FloatArray
    monthly_peak_hour: FloatArray


@dataclass(frozen=True, slots=True)
class TenantForecast:
    """One tenant of a series: its expected share of the requests (shares of a series add up to 1), and quantiles of its
    month totals [months, levels]."""

    key: SeriesKey
    tenant: str
    share: float
    levels: tuple[float, ...]
    months: tuple[str, ...]
    monthly_total: FloatArray


@dataclass(frozen=True, slots=True)
class LengthForecast:
    """Mean tokens of a request by month and quantile [months, levels]; side: input, output, or cached (the share of
    input tokens). ratio: median of the last month over the mean of the whole history."""

    llm: str
    request_class: str
    side: str
    levels: tuple[float, ...]
    months: tuple[str, ...]
    monthly_mean: FloatArray
    ratio: float
    note: str


@dataclass(frozen=True, slots=True)
class Reduction:
    """What is lost between thousands of hours and hundreds of paths, and the blocks and scenarios of the plan.

    volume: largest relative error of a series' expected volume in a month; peak: largest relative gap between the
    scenario peak at the 95th percentile and the paths' own; sum_peak: by how much the scenario peaks of all series
    together exceed the paths' 95 % peak of their sum (they are planned to peak at once); spread: share of the standard
    deviation of the total volume that is lost.
    """

    volume: float
    peak: float
    sum_peak: float
    spread: float = 0.0


@dataclass(frozen=True, slots=True)
class Forecast:
    """All series, and the demand scenarios that the plan is made for."""

    series: tuple[SeriesForecast, ...]
    demand: Demand
    issued_from: str
    """Last observed hour, ISO 8601 UTC."""
    notes: tuple[str, ...] = ()
    groups: tuple[GroupForecast, ...] = ()
    lengths: tuple[LengthForecast, ...] = ()
    reduction: Reduction = field(default_factory=lambda: Reduction(0.0, 0.0, 0.0))
    fresh: Demand | None = None
    """Paths drawn anew, each a scenario: what the finished plan is tried on."""
    tenants: tuple[TenantForecast, ...] = ()
    """Tenants of series whose history names them."""
