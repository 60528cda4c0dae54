"""How demand is forecast."""

from __future__ import annotations

from datetime import date
from typing import Annotated

from pydantic import Field, model_validator

from configs.base import Name, NonNegative, Positive, Section


class Event(Section):
    """Something that moves demand and that history alone cannot know: a launch, a price change, a migration, a day off.

    Past events explain history; coming ones move the forecast. An event without `until` is for good.
    """

    name: Name = Field(description="events of one name are alike: what past ones did is expected of coming ones")
    start: date = Field(description="first day (UTC)")
    until: date | None = Field(default=None, description="last day (UTC); none: the new level stays")
    uplift: Positive | None = Field(
        default=None,
        description="factor on demand, 1.3 for 30 % more; none: unknown, learnt from past events of the name",
    )
    uplift_sd: NonNegative = Field(default=0.1, description="standard deviation of the factor's logarithm")
    ramp_days: Annotated[int, Field(ge=0, le=365)] = Field(
        default=0, description="days over which it comes into effect"
    )
    llms: tuple[Name, ...] = Field(default=(), description="LLMs it applies to; empty: all")
    request_classes: tuple[Name, ...] = Field(default=(), description="request classes it applies to; empty: all")
    regions: tuple[Name, ...] = Field(default=(), description="origin regions it applies to; empty: all")

    @model_validator(mode="after")
    def _in_order(self) -> Event:
        if self.until is not None and self.until < self.start:
            raise ValueError(f"`until` must not lie before `start`, got {self.until} < {self.start}")
        return self


class DeclaredLevel(Section):
    """What the user expects of a series whose history is too short to have a level: a prior, outweighed by history."""

    llm: Name = Field(description="catalog name of the series")
    request_class: Name = Field(description="class of the series")
    region: Name | None = Field(default=None, description="origin region; none: in each, this much")
    requests_per_hour: Positive = Field(description="expected mean of requests an hour")
    sd: NonNegative = Field(default=0.5, description="standard deviation of its logarithm: 0.5 is a factor of 1.6")


class ForecastPolicy(Section):
    """Horizon, backtest and what part of the distribution is planned for."""

    horizon_months: Annotated[int, Field(ge=1, le=36)] = Field(
        default=3, description="whole months to forecast and plan"
    )
    backtest_windows: Annotated[int, Field(ge=2, le=60)] = Field(
        default=5, description="rolling origins on which methods are scored"
    )
    backtest_horizon_days: Annotated[int, Field(ge=1, le=91)] = Field(
        default=28, description="days of a past window; at most a third of the history is used"
    )
    quantiles: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = Field(
        default=(0.05, 0.1, 0.5, 0.9, 0.95, 0.99), description="levels of demand that are kept; 0.5 must be among them"
    )
    scenarios: Annotated[int, Field(ge=1, le=60)] = Field(
        default=5, description="demand scenarios that the plan is made for"
    )
    paths: Annotated[int, Field(ge=50, le=20_000)] = Field(
        default=500, description="joint paths from which scenarios and quantiles are drawn"
    )
    growth_per_month: Annotated[float, Field(gt=-0.5, lt=2.0)] = Field(
        default=0.0, description="declared growth on top of history, as a fraction a month"
    )
    growth_per_month_sd: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.02, description="standard deviation of `growth_per_month`"
    )
    growth_saturation: Annotated[float, Field(gt=1.0)] | None = Field(
        default=None, description="multiple of today's demand that declared growth approaches and does not pass"
    )
    events: tuple[Event, ...] = Field(default=(), description="launches, campaigns and other known changes")
    levels: tuple[DeclaredLevel, ...] = Field(
        default=(), description="expected levels of series with under four weeks of history"
    )
    burst_factor: Annotated[float, Field(ge=1.0, le=20.0)] = Field(
        default=1.25, description="10-minute peak over hour mean that capacity must carry (ServeGen p90 1.25)"
    )
    holidays_country: str | None = Field(
        default=None, description="ISO 3166 country, or part of one (AU-VIC), whose public holidays apply"
    )
    workers: Annotated[int, Field(ge=0, le=256)] = Field(
        default=0, description="processes that fit series; 0: one a core from 64 series on, else none"
    )

    @model_validator(mode="after")
    def _sorted(self) -> ForecastPolicy:
        if list(self.quantiles) != sorted(set(self.quantiles)) or 0.5 not in self.quantiles:
            raise ValueError(f"`quantiles` must rise without repeats and contain 0.5, got {self.quantiles}")
        return self
