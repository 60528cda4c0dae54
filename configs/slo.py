"""What "served" means."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.base import Positive, Section

Percentile = Annotated[float, Field(gt=0.0, lt=100.0)]
SuccessCriterion = Literal["answered", "first_token", "within_slo"]
"""A request succeeds when it ended without error; gave a token; or kept every limit of its SLO."""


class Slo(Section):
    """What "served" means: every limit must hold at its percentile, all at once."""

    ttft_s: Positive = Field(description="time to first token, seconds")
    tpot_s: Positive = Field(description="time per output token after the first, seconds, mean of a request")
    e2e_s: Positive | None = Field(default=None, description="end-to-end time, seconds")
    percentile: Percentile = Field(
        default=99.0, description="per cent of requests that keep a limit which has no percentile of its own"
    )
    ttft_percentile: Percentile | None = Field(default=None, description="that of `ttft_s`")
    tpot_percentile: Percentile | None = Field(default=None, description="that of `tpot_s`")
    e2e_percentile: Percentile | None = Field(default=None, description="that of `e2e_s`")

    @model_validator(mode="after")
    def _limited(self) -> Slo:
        if self.e2e_percentile is not None and self.e2e_s is None:
            raise ValueError("`e2e_percentile` says how many requests keep `e2e_s`, which is not given; state it too")
        return self
