"""The schema of the catalog of provider API prices."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.base import Name, NonNegative, Positive, Section
from configs.prices import PriceSource


class ApiPriceRow(Section):
    """What a provider charges for a million tokens; llm is the catalog's name of the LLM, where it is open."""

    key: Annotated[str, Field(min_length=1, max_length=200)]
    provider: Name
    llm: Name | None = None
    input_usd_per_mtok: Positive
    output_usd_per_mtok: Positive
    cached_usd_per_mtok: NonNegative | None = None
    source: Name


class ApiPriceCatalog(Section):
    """Sources by key, and rows that name one."""

    currency: Literal["USD"]
    sources: dict[Name, PriceSource]
    rows: tuple[ApiPriceRow, ...] = Field(min_length=1)
