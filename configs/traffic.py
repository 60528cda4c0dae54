"""Where traffic history comes from, and the request classes it becomes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date
from itertools import permutations
from typing import Annotated, Any, Literal

from pydantic import Field, ValidationError, model_validator

from configs.base import Name, NonNegative, Positive, Section, Share
from configs.classes import ClassRules
from configs.matching import Match, narrowed
from configs.slo import Slo, SuccessCriterion


class LengthFile(Section):
    """Token lengths from a request-level trace (Azure 2023 columns, or the generic log)."""

    kind: Literal["file"] = Field(default="file", description="token lengths of a request log")
    path: str | None = Field(default=None, description="a CSV, absolute or relative to the config file")
    public_name: Name | None = Field(default=None, description="a trace known by name instead of `path`")
    timestamp: str = Field(default="TIMESTAMP", description="column of the arrival")
    input_tokens: str = Field(default="ContextTokens", description="column of the prompt's tokens")
    output_tokens: str = Field(default="GeneratedTokens", description="column of the answer's tokens")

    @model_validator(mode="after")
    def _one_place(self) -> LengthFile:
        if (self.path is None) == (self.public_name is None):
            raise ValueError("give exactly one of `path` and `public_name`")
        return self


class LogNormalLengths(Section):
    """Token lengths by published percentiles: a lognormal through p50 and p99, with rank correlation."""

    kind: Literal["lognormal"] = Field(default="lognormal", description="declared log-normal lengths")
    input_p50_tokens: Positive = Field(description="median prompt")
    input_p99_tokens: Positive = Field(description="99th percentile of prompts")
    output_p50_tokens: Positive = Field(description="median answer")
    output_p99_tokens: Positive = Field(description="99th percentile of answers")
    correlation: Annotated[float, Field(gt=-1.0, lt=1.0)] = Field(
        default=0.0, description="of the logarithms of prompt and answer"
    )
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

    kind: Literal["ingested"] = Field(default="ingested", description="lengths of the dataset's own requests")
    dataset: str = Field(min_length=1, description="the dataset's folder, absolute or relative to the config file")
    match: Match | None = Field(
        default=None, description="which requests; with `class_rules`, which of the series' class; all by default"
    )


Lengths = Annotated[LengthFile | LogNormalLengths | IngestedLengths, Field(discriminator="kind")]


class HourlyCounts(Section):
    """A CSV of requests per hour with columns `day,hour,<column>` (BurstGPT hourly layout)."""

    kind: Literal["hourly_counts"] = Field(default="hourly_counts", description="hourly counts in a CSV file")
    path: str | None = Field(default=None, description="of the file, relative to the scenario")
    public_name: Name | None = Field(default=None, description="of a public trace, in place of a path")
    column: str = Field(min_length=1, description="which column counts this series' requests")
    first_day: date = Field(description="the calendar date of day 0 (a convention where the trace has none)")

    @model_validator(mode="after")
    def _one_place(self) -> HourlyCounts:
        if (self.path is None) == (self.public_name is None):
            raise ValueError("give exactly one of `path` and `public_name`")
        return self


class RequestLog(Section):
    """A request-level trace: one row a request with a timestamp and token counts."""

    kind: Literal["request_log"] = Field(default="request_log", description="one row a request in a CSV file")
    path: str | None = Field(default=None, description="of the file, relative to the scenario")
    public_name: Name | None = Field(default=None, description="of a public trace, in place of a path")
    timestamp: str = Field(default="TIMESTAMP", description="column of the arrival")
    input_tokens: str = Field(default="ContextTokens", description="column of the prompt's tokens")
    output_tokens: str = Field(default="GeneratedTokens", description="column of the answer's tokens")
    time_zone: str = Field(default="UTC", description="zone of timestamps that carry none")

    @model_validator(mode="after")
    def _one_place(self) -> RequestLog:
        if (self.path is None) == (self.public_name is None):
            raise ValueError("give exactly one of `path` and `public_name`")
        return self


class Synthetic(Section):
    """The documented synthetic workload model (data/synthetic.py); every default cites its source there."""

    kind: Literal["synthetic"] = Field(default="synthetic", description="the documented synthetic workload")
    first_day: date = Field(description="of the generated history")
    weeks: Annotated[int, Field(ge=2, le=520)] = Field(description="of history")
    mean_requests_per_hour: Positive = Field(description="on the first day, before growth")
    weekend_ratio: Positive = Field(default=0.55, description="a weekend day's requests over a weekday's")
    daily_amplitude: Share = Field(default=0.70, description="how far the day swings about its mean")
    peak_hour_utc: Annotated[int, Field(ge=0, le=23)] = Field(default=15, description="the day's busiest hour")
    growth_per_month: Annotated[float, Field(gt=-0.5, lt=2.0)] = Field(
        default=0.0, description="relative growth a month"
    )
    burstiness_cv: NonNegative = Field(
        default=0.20, description="coefficient of variation of the hours about their shape"
    )


class Ingested(Section):
    """Requests per hour of a dataset that `fleetcast ingest` made, from traces, logs or engine metrics."""

    kind: Literal["ingested"] = Field(default="ingested", description="a dataset of `fleetcast ingest`")
    dataset: str = Field(min_length=1, description="the dataset's folder, absolute or relative to the config file")
    match: Match | None = Field(
        default=None, description="which requests; with `class_rules`, which of the series' class; all by default"
    )


Source = Annotated[HourlyCounts | RequestLog | Synthetic | Ingested, Field(discriminator="kind")]


class TrafficSeries(Section):
    """One history: an LLM, a request class, and how its volume splits over origin regions."""

    llm: Name = Field(description="catalog name or Hugging Face id")
    request_class: Name = Field(description="a key of `classes`")
    source: Source = Field(description="where its hours come from")
    lengths: Lengths = Field(description="where its token lengths come from")
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

    slo: Slo = Field(description="what served means")
    protected: bool = Field(default=True, description="must survive the loss of a replica, zone or region")
    shed_usd_per_request: Positive = Field(
        default=1.0, description="what a request not served costs; prices a shortfall, never hides it"
    )
    tenant: Name | None = Field(default=None, description="whose traffic it is; errors are added up by tenant too")
    success: SuccessCriterion = Field(
        default="within_slo",
        description="which requests the cost of a successful task counts; `costs.success` comes first",
    )


class Traffic(Section):
    """All histories and classes. `class_rules` say which requests of a dataset a series plans, and give its SLO where
    `classes` does not. A class of higher priority is shed last: where no cost of shedding is stated, each step in
    priority costs ten times the one below it."""

    series: tuple[TrafficSeries, ...] = Field(min_length=1, description="histories, one LLM and class each")
    class_rules: ClassRules | None = Field(
        default=None, description="a class rules file, as for `fleetcast describe --classes`, or its content"
    )
    classes: dict[Name, RequestClass] = Field(default={}, description="every class that a series names")

    @model_validator(mode="before")
    @classmethod
    def _promised_by_rules(cls, raw: Any) -> Any:
        """Fills in the SLO and the cost of shedding of classes that have a rule."""
        if not isinstance(raw, Mapping) or not raw.get("class_rules"):
            return raw
        try:
            rules = ClassRules.model_validate(raw["class_rules"])
        except ValidationError:
            return raw  # said with its place when the field itself is checked
        series, classes = raw.get("series"), raw.get("classes") or {}
        if not isinstance(series, Sequence) or not isinstance(classes, Mapping):
            return raw
        planned = {one.get("request_class") for one in series if isinstance(one, Mapping)}
        ranks = sorted({rule.priority for rule in rules.classes if rule.name in planned})
        merged = dict(classes)
        for rule in rules.classes:
            given = classes.get(rule.name, {})
            if rule.name not in planned or not isinstance(given, Mapping):
                continue
            own: dict[str, Any] = {"slo": rule.slo.model_dump()} if rule.slo is not None else {}
            own |= {"success": rule.success} if rule.success is not None else {}
            merged[rule.name] = {"shed_usd_per_request": 10.0 ** ranks.index(rule.priority), **own, **given}
        return {**raw, "class_rules": rules, "classes": merged}

    @model_validator(mode="after")
    def _consistent(self) -> Traffic:
        seen: set[tuple[str, str]] = set()
        for one in self.series:
            if one.request_class not in self.classes:
                known = ", ".join(sorted(self.classes)) or "none"
                raise ValueError(f"series of {one.llm} names class {one.request_class!r}; known: {known}")
            key = (one.llm, one.request_class)
            if key in seen:
                raise ValueError(f"two series for LLM {key[0]} and class {key[1]}; merge them")
            seen.add(key)
        for rule in self.class_rules.classes if self.class_rules else ():
            stated = self.classes.get(rule.name)
            if stated is not None and rule.slo is not None and stated.slo != rule.slo:
                raise ValueError(f"class {rule.name!r} has one SLO in `classes` and another in its rule; keep one")
            if stated is not None and rule.success is not None and stated.success != rule.success:
                raise ValueError(
                    f"class {rule.name!r} succeeds when {stated.success} in `classes` and when {rule.success} in its "
                    "rule; keep one"
                )
        self._by_rules()
        self._shed_by_priority()
        return self

    def _by_rules(self) -> None:
        if self.class_rules is None:
            return
        rules = {one.name: one.match for one in self.class_rules.classes}
        seen: set[tuple[str, str, str]] = set()
        for one in self.series:
            for kind, said in (("source", one.source), ("lengths", one.lengths)):
                if not isinstance(said, Ingested | IngestedLengths):
                    continue
                if said.match is None:
                    if one.request_class not in rules and one.request_class != self.class_rules.unmatched:
                        raise ValueError(
                            f"`class_rules` has no class {one.request_class!r}: name one of {', '.join(rules)}, or say "
                            f"which requests the {kind} of {one.llm}/{one.request_class} is (`match`)"
                        )
                    key = (kind, said.dataset, one.request_class)
                    if key in seen and kind == "source":
                        raise ValueError(
                            f"two series plan all of class {one.request_class!r} of {said.dataset}: its requests would "
                            "count twice; narrow each with `match`, for instance by llm"
                        )
                    seen.add(key)
                elif one.request_class in rules:
                    narrowed(rules[one.request_class], said.match)

    def _shed_by_priority(self) -> None:
        ranked = [one for one in self.class_rules.classes if one.name in self.classes] if self.class_rules else []
        for high, low in permutations(ranked, 2):
            costs = [self.classes[one.name].shed_usd_per_request for one in (high, low)]
            if high.priority > low.priority and costs[0] < costs[1]:
                raise ValueError(
                    f"class {high.name!r} has a higher priority than {low.name!r} and a lower shed_usd_per_request "
                    f"({costs[0]:g} < {costs[1]:g}): it would be shed first; change one"
                )
