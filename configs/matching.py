"""Conditions on requests: by name, by length bucket; and what two sets of conditions have in common."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated

from pydantic import Field, model_validator

from configs.base import Section

Pattern = Annotated[str, Field(min_length=1, max_length=200)]
LABEL_FIELDS = ("llm", "service", "tenant", "slo_tier", "region")
TOKEN_FIELDS = ("input_tokens", "output_tokens")


class TokenRange(Section):
    """A length bucket: at_least <= tokens < below."""

    at_least: Annotated[int, Field(ge=0)] = Field(default=0, description="smallest count that matches")
    below: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="smallest count that no longer does; nothing: no bound"
    )

    @model_validator(mode="after")
    def _not_empty(self) -> TokenRange:
        if self.below is not None and self.below <= self.at_least:
            raise ValueError(f"unreachable: no length is at least {self.at_least} and below {self.below}")
        return self


class Match(Section):
    """Conditions that hold together; a field left out may be anything. Names are exact, or prefixes with a final `*`; a
    list of `!name` means everything else, a missing name included."""

    llm: tuple[Pattern, ...] | None = Field(default=None, description="names in the log")
    service: tuple[Pattern, ...] | None = Field(default=None, description="names in the log")
    tenant: tuple[Pattern, ...] | None = Field(default=None, description="names in the log")
    slo_tier: tuple[Pattern, ...] | None = Field(default=None, description="names in the log")
    region: tuple[Pattern, ...] | None = Field(default=None, description="names in the log")
    input_tokens: TokenRange | None = Field(default=None, description="range of prompt tokens")
    output_tokens: TokenRange | None = Field(default=None, description="range of answer tokens")

    @model_validator(mode="after")
    def _reachable(self) -> Match:
        for field in LABEL_FIELDS:
            patterns: tuple[str, ...] | None = getattr(self, field)
            if patterns is None:
                continue
            if not patterns:
                raise ValueError(f"unreachable: `{field}` is an empty list; leave it out to match any")
            excluding = [pattern.startswith("!") for pattern in patterns]
            if any(excluding) and not all(excluding):
                raise ValueError(f"`{field}` mixes names and exclusions (`!name`); use one kind")
            bare = [pattern.removeprefix("!") for pattern in patterns]
            for i, one in enumerate(bare):
                hidden = [
                    other for j, other in enumerate(bare) if j != i and covers(other, one) and (other != one or j < i)
                ]
                if hidden:
                    raise ValueError(f"unreachable: `{field}` lists {one!r}, which {hidden[0]!r} covers already")
        return self


def narrowed(rule: Match, further: Match) -> Match:
    """The requests that both match. Raises ValueError where both say something of the same field."""
    said = [field for field in (*LABEL_FIELDS, *TOKEN_FIELDS) if getattr(further, field) is not None]
    for field in said:
        if getattr(rule, field) is not None:
            raise ValueError(f"`match` says {field!r}, which the rule of its class says already; leave it out")
    return rule.model_copy(update={field: getattr(further, field) for field in said})


def covers(pattern: str, other: str) -> bool:
    """Whether everything that `other` matches is matched by `pattern`."""
    if pattern.endswith("*"):
        return other.removesuffix("*").startswith(pattern[:-1])
    return pattern == other


def _common_label(a: Sequence[str] | None, b: Sequence[str] | None) -> str | None:
    """A value (or "(none)" for a missing one) that both lists match, or None."""
    lists = [patterns for patterns in (a, b) if patterns is not None]
    if not lists:
        return "(any)"
    included = [patterns for patterns in lists if not patterns[0].startswith("!")]
    excluded = [pattern.removeprefix("!") for patterns in lists if patterns[0].startswith("!") for pattern in patterns]
    if not included:
        return "(none)"
    candidates = list(included[0])
    if len(included) == 2:
        pairs = [(one, other) for one in included[0] for other in included[1]]
        candidates = [
            other if covers(one, other) else one for one, other in pairs if covers(one, other) or covers(other, one)
        ]
    for candidate in candidates:
        if any(covers(pattern, candidate) for pattern in excluded):
            continue
        if not candidate.endswith("*"):
            return candidate
        # A prefix always has a continuation that finitely many longer exclusions do not reach.
        stem = candidate[:-1]
        tries = (stem + tail for tail in ("x", *(chr(code) * 2 for code in range(0x30, 0x7B))))
        return next((t for t in tries if not any(covers(pattern, t) for pattern in excluded)), candidate)
    return None


def _common_range(a: TokenRange | None, b: TokenRange | None) -> int | None:
    low = max(a.at_least if a else 0, b.at_least if b else 0)
    highs = [one.below for one in (a, b) if one is not None and one.below is not None]
    return low if not highs or low < min(highs) else None


def common(a: Match, b: Match) -> str | None:
    """A request that both match, in words; None where there is none."""
    said = []
    for field in LABEL_FIELDS:
        value = _common_label(getattr(a, field), getattr(b, field))
        if value is None:
            return None
        if value != "(any)":
            said.append(f"{field} {value}")
    for field in TOKEN_FIELDS:
        tokens = _common_range(getattr(a, field), getattr(b, field))
        if tokens is None:
            return None
        if getattr(a, field) is not None or getattr(b, field) is not None:
            said.append(f"{tokens} {field.replace('_', ' ')}")
    return ", ".join(said) or "anything"
