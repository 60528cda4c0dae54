"""How demand is forecast."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from configs.base import Section


class ForecastPolicy(Section):
    """Horizon, backtest and what part of the distribution is planned for."""

    horizon_months: Annotated[int, Field(ge=1, le=36)] = 3
    backtest_windows: Annotated[int, Field(ge=2, le=60)] = 6
    backtest_horizon_days: Annotated[int, Field(ge=1, le=91)] = 14
    quantiles: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = (0.05, 0.1, 0.5, 0.9, 0.95, 0.99)
    scenarios: Annotated[int, Field(ge=1, le=60)] = 5
    paths: Annotated[int, Field(ge=50, le=20_000)] = 500
    growth_per_month: Annotated[float, Field(gt=-0.5, lt=2.0)] = Field(
        default=0.0, description="declared growth on top of history, as a fraction a month"
    )
    growth_per_month_sd: Annotated[float, Field(ge=0.0, lt=1.0)] = 0.02
    burst_factor: Annotated[float, Field(ge=1.0, le=20.0)] = Field(
        default=1.25, description="10-minute peak over hour mean that capacity must carry (ServeGen p90 1.25)"
    )
    holidays_country: str | None = Field(default=None, description="ISO country whose public holidays apply")

    @model_validator(mode="after")
    def _sorted(self) -> ForecastPolicy:
        if list(self.quantiles) != sorted(set(self.quantiles)) or 0.5 not in self.quantiles:
            raise ValueError(f"`quantiles` must rise without repeats and contain 0.5, got {self.quantiles}")
        return self
