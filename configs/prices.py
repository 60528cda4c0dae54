"""The schema of a price catalog."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.base import Name, Positive, Section


class PriceSource(Section):
    """Where rows come from, when they were true and how they were obtained."""

    citation: str = Field(min_length=1)
    as_of: str = Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$", description="YYYY, YYYY-MM or YYYY-MM-DD")
    quality: Literal["list", "second_hand"]
    note: str = ""


class PriceRow(Section):
    """What one GPU-hour costs somewhere: `usd_per_gpu_h` is the sku's price divided by its GPUs."""

    provider: Name
    region: Name
    sku: str
    gpu: Name
    gpus_per_sku: Annotated[int, Field(ge=1, le=72)]
    option: Literal["on_demand", "spot", "reserved_1y", "reserved_3y", "capacity_block"]
    usd_per_gpu_h: Positive
    source: Name


class PriceCatalog(Section):
    """Sources by key, and rows that name one."""

    currency: Literal["USD"]
    sources: dict[Name, PriceSource]
    rows: tuple[PriceRow, ...] = Field(min_length=1)
