"""Where traffic history comes from, and the request classes it becomes."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.base import Name, NonNegative, Positive, Section, Share
from configs.matching import Match


class Slo(Section):
    """What "served" means: every stated percentile must hold at once."""

    ttft_s: Positive = Field(description="time to first token, seconds, at `percentile`")
    tpot_s: Positive = Field(description="time per output token after the first, seconds, at `percentile`")
    e2e_s: Positive | None = Field(default=None, description="end-to-end time, seconds, at `percentile`")
    percentile: Annotated[float, Field(gt=0.0, lt=100.0)] = 99.0


class LengthFile(Section):
    """Token lengths from a request-level trace (Azure 2023 columns, or the generic log)."""

    kind: Literal["file"] = "file"
    path: str | None = Field(default=None, description="a CSV, absolute or relative to the config file")
    public_name: Name | None = Field(default=None, description="a trace known by name instead of `path`")
    timestamp: str = "TIMESTAMP"
    input_tokens: str = "ContextTokens"
    output_tokens: str = "GeneratedTokens"

    @model_validator(mode="after")
    def _one_place(self) -> LengthFile:
        if (self.path is None) == (self.public_name is None):
            raise ValueError("give exactly one of `path` and `public_name`")
        return self


class LogNormalLengths(Section):
    """Token lengths by published percentiles: a lognormal through p50 and p99, with rank correlation."""

    kind: Literal["lognormal"] = "lognormal"
    input_p50_tokens: Positive
    input_p99_tokens: Positive
    output_p50_tokens: Positive
    output_p99_tokens: Positive
    correlation: Annotated[float, Field(gt=-1.0, lt=1.0)] = 0.0
    source: str = Field(min_length=1, description="where these percentiles were published")

    @model_validator(mode="after")
    def _ordered(self) -> LogNormalLengths:
        for side in ("input", "output"):
            p50, p99 = getattr(self, f"{side}_p50_tokens"), getattr(self, f"{side}_p99_tokens")
            if p99 <= p50:
                raise ValueError(f"{side}_p99_tokens must exceed {side}_p50_tokens, got {p99} <= {p50}")
        return self


class IngestedLengths(Section):
    """Joint input, output and cached tokens of the requests in a dataset that `fleetcast ingest` made; from the length
    histograms of its engine metrics where it has no requests."""

    kind: Literal["ingested"] = "ingested"
    dataset: str = Field(min_length=1, description="the dataset's folder, absolute or relative to the config file")
    match: Match = Field(default=Match(), description="which requests; all of them by default")


Lengths = Annotated[LengthFile | LogNormalLengths | IngestedLengths, Field(discriminator="kind")]


class HourlyCounts(Section):
    """A CSV of requests per hour with columns `day,hour,<column>` (BurstGPT hourly layout)."""

    kind: Literal["hourly_counts"] = "hourly_counts"
    path: str | None = None
    public_name: Name | None = None
    column: str = Field(min_length=1, description="which column counts this series' requests")
    first_day: date = Field(description="the calendar date of day 0 (a convention where the trace has none)")

    @model_validator(mode="after")
    def _one_place(self) -> HourlyCounts:
        if (self.path is None) == (self.public_name is None):
            raise ValueError("give exactly one of `path` and `public_name`")
        return self


class RequestLog(Section):
    """A request-level trace: one row a request with a timestamp and token counts."""

    kind: Literal["request_log"] = "request_log"
    path: str | None = None
    public_name: Name | None = None
    timestamp: str = "TIMESTAMP"
    input_tokens: str = "ContextTokens"
    output_tokens: str = "GeneratedTokens"
    time_zone: str = Field(default="UTC", description="zone of timestamps that carry none")

    @model_validator(mode="after")
    def _one_place(self) -> RequestLog:
        if (self.path is None) == (self.public_name is None):
            raise ValueError("give exactly one of `path` and `public_name`")
        return self


class Synthetic(Section):
    """The documented synthetic workload model (data/synthetic.py); every default cites its source there."""

    kind: Literal["synthetic"] = "synthetic"
    first_day: date
    weeks: Annotated[int, Field(ge=2, le=520)]
    mean_requests_per_hour: Positive
    weekend_ratio: Positive = 0.55
    daily_amplitude: Share = 0.70
    peak_hour_utc: Annotated[int, Field(ge=0, le=23)] = 15
    growth_per_month: Annotated[float, Field(gt=-0.5, lt=2.0)] = 0.0
    burstiness_cv: NonNegative = 0.20


class Ingested(Section):
    """Requests per hour of a dataset that `fleetcast ingest` made, from traces, logs or engine metrics."""

    kind: Literal["ingested"] = "ingested"
    dataset: str = Field(min_length=1, description="the dataset's folder, absolute or relative to the config file")
    match: Match = Field(default=Match(), description="which requests; all of them by default")


Source = Annotated[HourlyCounts | RequestLog | Synthetic | Ingested, Field(discriminator="kind")]


class TrafficSeries(Section):
    """One history: an LLM, a request class, and how its volume splits over origin regions."""

    llm: Name
    request_class: Name
    source: Source
    lengths: Lengths
    regions: dict[Name, Share] = Field(min_length=1, description="origin region -> share of requests")
    volume_multiplier: Positive = Field(
        default=1.0, description="declared scaling of the history; every output repeats it"
    )
    prefix_cache_hit: Share = Field(default=0.0, description="share of input tokens found in the prefix cache")
    failed_share: Annotated[float, Field(ge=0.0, lt=1.0)] = Field(
        default=0.0, description="share of requests retried once: offered load is divided by 1 - this"
    )

    @model_validator(mode="after")
    def _shares_sum_to_one(self) -> TrafficSeries:
        total = sum(self.regions.values())
        if abs(total - 1.0) > 1e-6:
            raise ValueError(f"the shares in `regions` must add up to 1, they add up to {total:.6g}")
        return self


class RequestClass(Section):
    """A promise to a kind of request: its SLO, and what a request not served costs."""

    slo: Slo
    protected: bool = Field(default=True, description="must survive the loss of a replica, zone or region")
    shed_usd_per_request: Positive = Field(
        default=1.0, description="what a request not served costs; prices a shortfall, never hides it"
    )
    tenant: Name | None = Field(default=None, description="whose traffic it is; errors are added up by tenant too")


class Traffic(Section):
    """All histories and classes."""

    series: tuple[TrafficSeries, ...] = Field(min_length=1)
    classes: dict[Name, RequestClass] = Field(min_length=1)

    @model_validator(mode="after")
    def _consistent(self) -> Traffic:
        seen: set[tuple[str, str]] = set()
        for one in self.series:
            if one.request_class not in self.classes:
                known = ", ".join(sorted(self.classes))
                raise ValueError(f"series of {one.llm} names class {one.request_class!r}; known: {known}")
            key = (one.llm, one.request_class)
            if key in seen:
                raise ValueError(f"two series for LLM {key[0]} and class {key[1]}; merge them")
            seen.add(key)
        return self
