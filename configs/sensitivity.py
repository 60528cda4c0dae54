"""What a plan's answer may depend on: ranges of its variables, and named scenarios of them."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.base import Name, Section

Variable = Literal[
    "volume",
    "growth",
    "output_length",
    "cache_hit",
    "llm_mix",
    "quality_routing",
    "goodput",
    "prices",
    "spot_availability",
    "lead_time",
]


class Spread(Section):
    """A variable's 5 %, median (base) and 95 % value. Factors (volume, output_length, goodput, prices) are 1 at the
    plan's own; growth is added to each month's, cache_hit to the share of input cached, llm_mix and quality_routing are
    shares of requests that move from the LLM that costs most a request to the one that costs least, spot_availability
    the share of hours spot GPUs are there, lead_time months that commitments start late."""

    low: float = Field(description="5 % value")
    base: float = Field(description="value that the plan assumes")
    high: float = Field(description="95 % value")
    source: str = Field(min_length=1, description="where the range comes from")
    as_of: Annotated[str, Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")] = Field(description="the day it was true")

    @model_validator(mode="after")
    def _ordered(self) -> Spread:
        if not self.low <= self.base <= self.high:
            raise ValueError(f"low {self.low:g}, base {self.base:g} and high {self.high:g} are not in order")
        return self


class WhatIf(Section):
    """A named scenario: values of some variables, the others at their base."""

    description: str = Field(default="", description="in words, for the report")
    set: dict[Variable, float] = Field(min_length=1, description="variables and their values")


class SpreadCatalog(Section):
    """Default ranges by variable."""

    variables: dict[Variable, Spread]


class SensitivityPolicy(Section):
    """How a plan's sensitivity is examined. Ranges left out are those of data/catalog/sensitivity.yaml."""

    variables: dict[Variable, Spread] = Field(default_factory=dict, description="ranges that replace the catalog's")
    scenarios: dict[Name, WhatIf] = Field(
        default_factory=dict, description="named scenarios beside best, base and worst"
    )
    samples: Annotated[int, Field(ge=10, le=1_000_000)] = Field(
        default=10_000, description="joint draws in which the plan is priced again"
    )
    route_from: Name | None = Field(default=None, description="LLM that llm_mix and quality_routing take from")
    route_to: Name | None = Field(default=None, description="LLM that they give to")
