"""Traffic history as one long frame, with the token lengths of each class."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from data.records import FloatArray, LengthSample


@dataclass(frozen=True, slots=True)
class DataNote:
    """Something a reader of the plan should know about the data: a repair, a gap, a scaling, a doubt."""

    severity: str
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class TenantDays:
    """Requests of one LLM and class by UTC day and tenant, [days, tenants], from first_day (ISO 8601) on."""

    tenants: tuple[str, ...]
    first_day: str
    requests: FloatArray


@dataclass(frozen=True, slots=True)
class TrafficHistory:
    """Hourly history of every series.

    frame has the columns llm, request_class, region (str), ts (UTC, start of the hour), requests,
    input_tokens, output_tokens (float, totals of the hour) and observed (bool: False where the hour was missing
    and is filled with NaN requests). Rows are sorted by key and ts and complete from the first to the last hour.
    requests already include the declared volume multiplier and retries; `notes` say so.
    """

    frame: pd.DataFrame
    lengths: Mapping[tuple[str, str], LengthSample]
    notes: tuple[DataNote, ...]
    inputs: Mapping[str, str]
    """What was read: a path or generator description -> SHA-256 of its bytes or parameters."""
    tenants: Mapping[tuple[str, str], TenantDays] = field(default_factory=dict)
    """Whose requests they were, by LLM and class, where the data name tenants."""
