"""What "served" means."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from configs.base import Positive, Section


class Slo(Section):
    """What "served" means: every stated percentile must hold at once."""

    ttft_s: Positive = Field(description="time to first token, seconds, at `percentile`")
    tpot_s: Positive = Field(description="time per output token after the first, seconds, at `percentile`")
    e2e_s: Positive | None = Field(default=None, description="end-to-end time, seconds, at `percentile`")
    percentile: Annotated[float, Field(gt=0.0, lt=100.0)] = 99.0
