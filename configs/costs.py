"""What a plan costs beyond its GPUs: dated assumptions, and whom costs belong to."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.base import Name, NonNegative, Section, Share

AssumptionName = Literal[
    "storage_usd_per_gb_month",
    "weight_copies_per_replica",
    "log_bytes_per_token",
    "log_months",
    "network_usd_per_gb",
    "wire_bytes_per_output_token",
    "observability_usd_per_gb",
    "observability_bytes_per_request",
    "observability_usd_per_gpu_month",
    "evaluation_usd_per_llm_month",
    "engineering_usd_per_fte_month",
    "engineering_fte",
    "engineering_fte_per_100_gpus",
    "retried_share",
    "failed_share",
    "electricity_usd_per_kwh",
    "power_usage_effectiveness",
    "server_power_factor",
    "mean_load_of_tdp",
]


class Assumption(Section):
    """A figure with where it comes from and the day it was true."""

    value: NonNegative = Field(description="in the unit of the assumption of that name in the catalog")
    source: str = Field(min_length=1, description="where it comes from")
    as_of: Annotated[str, Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")] = Field(description="the day it was true")


class CatalogAssumption(Assumption):
    """An assumption of the catalog, with its unit."""

    unit: str = Field(min_length=1)
    quality: Literal["list", "second_hand", "assumption"]
    note: str = ""


class CostCatalog(Section):
    """Default assumptions by name."""

    currency: Literal["USD"]
    assumptions: dict[AssumptionName, CatalogAssumption]

    @model_validator(mode="after")
    def _whole(self) -> CostCatalog:
        missing = set(AssumptionName.__args__) - set(self.assumptions)  # type: ignore[attr-defined]
        if missing:
            raise ValueError(f"assumptions without a default: {', '.join(sorted(missing))}")
        return self


class ToolCalls(Section):
    """A tool API that requests of a class call."""

    name: Name = Field(description="of the tool")
    calls_per_request: NonNegative = Field(description="mean calls of one request")
    usd_per_call: NonNegative = Field(description="price of a call")
    source: str = Field(min_length=1, description="where the price comes from")
    as_of: Annotated[str, Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")] = Field(description="the day it was true")


class Success(Section):
    """When a task of a class counts as done, and how many of its requests are."""

    criterion: str = Field(min_length=1, max_length=200, description="in words, as reports state it")
    rate: Annotated[float, Field(gt=0.0, le=1.0)] = Field(description="share of requests that meet it")


class CostPolicy(Section):
    """The full cost of a plan. Figures left out are those of data/catalog/costs.yaml, with their source and date."""

    assumptions: dict[AssumptionName, Assumption] = Field(
        default_factory=dict, description="figures that replace the catalog's, each with source and date"
    )
    products: dict[Name, Name] = Field(
        default_factory=dict, description="request class -> product it belongs to; default: the class's own name"
    )
    tenants: dict[Name, dict[Name, Share]] = Field(
        default_factory=dict,
        description="request class -> tenant -> share of its resource use; default: one tenant, `all`",
    )
    tools: dict[Name, tuple[ToolCalls, ...]] = Field(
        default_factory=dict, description="request class -> tool APIs its requests call"
    )
    success: dict[Name, Success] = Field(
        default_factory=dict, description="request class -> when a task is done; default: the request holds its SLO"
    )

    @model_validator(mode="after")
    def _shares_sum(self) -> CostPolicy:
        for name, shares in self.tenants.items():
            total = math.fsum(shares.values())
            if abs(total - 1.0) > 1e-9:
                raise ValueError(f"tenants.{name}: shares sum to {total:g}, not 1")
        return self
