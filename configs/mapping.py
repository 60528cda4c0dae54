"""How the columns of a request log become Fleetcast's: the YAML behind `fleetcast ingest --mapping`."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.base import Name, Section
from configs.validation import validated
from configs.yaml_files import load_yaml

Column = Annotated[str, Field(min_length=1, max_length=200)]
TimeUnit = Literal["auto", "text", "s", "ms", "us", "ns"]


class StatusWords(Section):
    """Which values of the status column mean what, beyond the words that are known anyway."""

    ok: tuple[str, ...] = ()
    cancelled: tuple[str, ...] = ()
    failed: tuple[str, ...] = ()
    retried: tuple[str, ...] = ()


class LogMapping(Section):
    """Source column of every canonical field. A field left out is looked for under its usual names."""

    timestamp: Column | None = Field(default=None, description="arrival time of the request")
    timestamp_unit: TimeUnit = Field(
        default="auto", description="numbers: seconds, ms, us or ns since 1970, or since `start` where they are small"
    )
    start: date | None = Field(default=None, description="the day of time 0 where times are relative")
    time_zone: str = Field(default="UTC", description="zone of times that carry none")
    input_tokens: Column | None = None
    output_tokens: Column | None = None
    cached_tokens: Column | None = None
    request_id: Column | None = None
    llm: Column | None = None
    service: Column | None = None
    tenant: Column | None = None
    slo_tier: Column | None = None
    region: Column | None = None
    status: Column | None = None
    status_words: StatusWords = StatusWords()
    duration_s: Column | None = Field(default=None, description="end-to-end time")
    duration_unit: Literal["s", "ms", "us", "ns"] = "s"
    ttft_s: Column | None = Field(default=None, description="time to first token")
    ttft_unit: Literal["s", "ms", "us", "ns"] = "s"
    rows: Literal["requests"] | None = Field(
        default=None, description="`requests`: every row is one, though a column is named as a count of them"
    )
    constants: dict[Literal["llm", "service", "tenant", "slo_tier", "region"], Name] = Field(
        default={}, description="values that every row of the file has and no column says"
    )

    @model_validator(mode="after")
    def _one_source(self) -> LogMapping:
        for name in self.constants:
            if getattr(self, name) is not None:
                raise ValueError(f"{name} has both a column and a constant; keep one")
        return self


def load_mapping(path: Path) -> LogMapping:
    """The mapping in a YAML file; InputError names file, key and problem."""
    return validated(LogMapping, load_yaml(path), str(path))
