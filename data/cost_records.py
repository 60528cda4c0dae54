"""What a plan costs, to whom, and for how much work. Standard library only."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass

from data.records import Configuration, SeriesKey, Source

IDLE = "idle"
STEADY = "steady"
WASTED = "failed and retried"


@dataclass(frozen=True, slots=True)
class CostLine:
    """One amount of one month.

    item: compute, power and cooling, storage, network, provider API, tool API, observability, evaluation, engineering
    or pool start. purpose (compute and power): steady, failed and retried, the reserve it stands for, or idle.
    amortisation: how the amount came into this month. quantity x unit_usd is what the unit's list price would make of
    it where there is one. llm and request_class are empty where several share the line.
    """

    item: str
    month: str
    usd: float
    region: str
    source: Source
    amortisation: str
    purpose: str = ""
    option: str = ""
    gpu: str = ""
    provider: str = ""
    commitment: str = ""
    llm: str = ""
    request_class: str = ""
    quantity: float = 0.0
    unit: str = ""
    list_usd: float | None = None
    """At list price; None where it is the same."""
    currency: str = "USD"

    def __post_init__(self) -> None:
        if not math.isfinite(self.usd):
            raise ValueError(f"a cost line needs a finite amount, got {self.usd} for {self.item} of {self.month}")
        for name in ("item", "month", "region", "amortisation", "currency"):
            if not getattr(self, name):
                raise ValueError(f"a cost line needs its {name}")
        if not (self.source.citation and self.source.as_of):
            raise ValueError(f"a cost line needs a dated source: {self.item} of {self.month}")


@dataclass(frozen=True, slots=True)
class ResourceUse:
    """What one request of a class takes on one replica of a configuration, from the kernels.

    prefill_s and decode_s are compute-seconds of the replica (a decode step shared by its batch), kv_token_s the KV
    cache tokens it holds times the seconds it holds them; kv_capacity_tokens is what the replica has.
    """

    configuration: Configuration
    request_class: str
    prefill_s: float
    decode_s: float
    kv_token_s: float
    kv_capacity_tokens: float

    @property
    def compute_s(self) -> float:
        return self.prefill_s + self.decode_s

    @property
    def kv_s(self) -> float:
        """Replica-seconds of its KV cache."""
        return self.kv_token_s / self.kv_capacity_tokens if self.kv_capacity_tokens > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Work:
    """Expected requests of a series in a month, with mean tokens of a request."""

    series: SeriesKey
    month: str
    requests: float
    input_tokens: float
    output_tokens: float
    cached_share: float = 0.0
    """Of the input, in the prefix cache."""


@dataclass(frozen=True, slots=True)
class AttributedCost:
    """A month's cost of one product, tenant, LLM and class: its own, its share of what is shared (reserves, common
    services) and its share of what stands idle."""

    product: str
    tenant: str
    llm: str
    request_class: str
    month: str
    direct_usd: float
    shared_usd: float
    idle_usd: float

    @property
    def usd(self) -> float:
        return math.fsum((self.direct_usd, self.shared_usd, self.idle_usd))


@dataclass(frozen=True, slots=True)
class UnitCost:
    """US dollars for one unit of work. It does not exist without the day its prices are of, the region, the LLM and the
    criterion of success, and prints with all of them."""

    unit: str
    usd: float
    as_of: str
    region: str
    llm: str
    success_criterion: str
    request_class: str
    period: str
    units: float
    """How many the period's cost was divided by."""

    def __post_init__(self) -> None:
        for name in ("unit", "as_of", "region", "llm", "success_criterion", "request_class", "period"):
            value = getattr(self, name)
            if not isinstance(value, str) or not value.strip():
                raise ValueError(f"a unit cost cannot be stated without its {name}")
        if not re.search(r"\b\d{4}\b", self.as_of):
            raise ValueError(f"a unit cost cannot be stated without its as_of: {self.as_of!r} names no year")
        if not (math.isfinite(self.usd) and self.units > 0):
            raise ValueError(f"a unit cost needs finite dollars over some units, got {self.usd} over {self.units}")

    def __str__(self) -> str:
        return (
            f"{self.usd:.4g} USD {self.unit} ({self.llm}, {self.request_class}, {self.region}, {self.period}, prices "
            f"of {self.as_of}; success: {self.success_criterion})"
        )


@dataclass(frozen=True, slots=True)
class Slower:
    """What a request takes of a replica over what it takes as planned, at factors on its output length and at shares
    added to the input that the cache holds; both ascend."""

    longer: tuple[float, ...]
    by_longer: tuple[float, ...]
    hit: tuple[float, ...]
    by_hit: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class TokenMix:
    """Of an (LLM, class): share of its compute that is prefill, and of its input that the prefix cache holds; slower:
    as the kernels say, None where they were not asked (compute alone is counted then)."""

    prefill_share: float
    cached_share: float
    slower: Slower | None = None


@dataclass(frozen=True, slots=True)
class CostReport:
    """Every line of a plan's cost, who it belongs to and what a unit of work costs."""

    lines: tuple[CostLine, ...]
    attribution: tuple[AttributedCost, ...]
    units: tuple[UnitCost, ...]
    assumptions: Mapping[str, tuple[float, str, Source]]
    """Name -> value, unit and source of every assumption used."""
    mixes: Mapping[tuple[str, str], TokenMix]
    """(LLM, class) -> how its compute divides."""

    @property
    def usd(self) -> float:
        return math.fsum(line.usd for line in self.lines)
