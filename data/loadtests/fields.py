"""Checked access to decoded JSON: whatever a file holds, a wrong field is an InputError that names it."""

from __future__ import annotations

import itertools
import json
import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from configs.errors import InputError
from data.loadtests.records import NAN, Spread
from data.records import FloatArray

LONGEST_S = 7 * 86_400.0
"""No time in a load test is longer: a larger number is in another unit than the field says."""
MOST = 1e12
MOST_TOKENS = 1e7
"""No request is longer."""
FIX = "Run the test again, or correct the file."


@dataclass(frozen=True, slots=True)
class Node:
    """A JSON value and where it stands: `FILE, benchmarks[0].metrics`."""

    where: str
    value: Any

    def has(self, name: str) -> bool:
        """Whether this is an object with that field, and the field is not null."""
        return isinstance(self.value, dict) and self.value.get(name) is not None

    def at(self, *names: str) -> Node:
        """The field under these names, one inside the other; InputError where one is absent."""
        node = self
        for name in names:
            if not isinstance(node.value, dict):
                raise InputError(node.where, f"an object with {name!r}", _kind(node.value), FIX)
            if node.value.get(name) is None:
                keys = ", ".join(map(repr, list(node.value)[:8])) or "nothing"
                raise InputError(f"{node.where}, {name}", f"the field {name!r}", f"the fields {keys}", FIX)
            node = Node(f"{node.where}, {name}" if node is self else f"{node.where}.{name}", node.value[name])
        return node

    def first(self, *names: str) -> Node | None:
        """The first of these dotted paths that is there, or None: formats rename their fields."""
        for name in names:
            node: Node | None = self
            for part in name.split("."):
                node = node.at(part) if node is not None and node.has(part) else None
            if node is not None:
                return node
        return None

    def items(self) -> list[Node]:
        """The entries of a list."""
        if not isinstance(self.value, list):
            raise InputError(self.where, "a list", _kind(self.value), FIX)
        return [Node(f"{self.where}[{i}]", entry) for i, entry in enumerate(self.value)]

    def text(self) -> str:
        """A string."""
        if not isinstance(self.value, str):
            raise InputError(self.where, "text", _kind(self.value), FIX)
        return self.value

    def number(self, least: float = 0.0, most: float = MOST) -> float:
        """A finite number within bounds; numbers written as text (metadata) count."""
        value = self.value
        if isinstance(value, str):
            try:
                value = float(value)
            except ValueError:
                raise InputError(self.where, "a number", repr(value[:40]), FIX) from None
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise InputError(self.where, "a number", _kind(value), FIX)
        if isinstance(value, int):
            # An integer of hundreds of digits has no float.
            value = max(min(value, 10**30), -(10**30))
        if not math.isfinite(value) or not least <= value <= most:
            raise InputError(self.where, f"a number from {least:g} to {most:g}", repr(value), FIX)
        return float(value)

    def count(self) -> int:
        """A whole number, 0 or more."""
        value = self.number()
        if value != math.floor(value):
            raise InputError(self.where, "a whole number", repr(value), FIX)
        return int(value)

    def numbers(self, scale: float = 1.0, most: float = MOST) -> FloatArray:
        """A list of numbers, times `scale`; null becomes NaN."""
        found = [NAN if entry.value is None else entry.number(0.0, most) * scale for entry in self.items()]
        return np.array(found, dtype=np.float64)


def seconds(node: Node, scale: float) -> float:
    """A time of a field whose unit is `scale` seconds; InputError for one that no load test takes."""
    return node.number(0.0, LONGEST_S / scale) * scale


def optional(node: Node, *names: str, scale: float = 1.0) -> float:
    """The number under the first of these dotted paths, times scale; NaN where none is there."""
    found = node.first(*names)
    return NAN if found is None else found.number() * scale


def spread(
    node: Node | None, scale: float, names: tuple[str, str, str, str, str, str, str], time: bool = True
) -> Spread:
    """A Spread whose mean, p50, p90, p95, p99, low and high stand under these dotted names; NaN where absent.

    Raises InputError for percentiles that fall (beyond rounding): the fields are mixed up or damaged.
    """
    if node is None:
        return Spread()
    values = []
    for name in names:
        found = node.first(name)
        if found is None:
            values.append(NAN)
        else:
            values.append(seconds(found, scale) if time else found.number(0.0, MOST_TOKENS) * scale)
    mean, p50, p90, p95, p99, low, high = values
    rising = [value for value in (low, p50, p90, p95, p99, high) if not math.isnan(value)]
    for left, right in itertools.pairwise(rising):
        if right < left * (1.0 - 1e-6) - 1e-12:
            raise InputError(node.where, "percentiles that do not fall", f"{left:.6g} before {right:.6g}", FIX)
    if not math.isnan(mean) and rising and not math.isnan(low) and mean < low * (1.0 - 1e-6) - 1e-12:
        raise InputError(node.where, f"a mean of at least the minimum {low:.6g}", f"{mean:.6g}", FIX)
    return Spread(mean, p50, p90, p95, p99, low, high)


def of_values(values: FloatArray) -> Spread:
    """The Spread of what was measured request by request; NaN entries are left out."""
    seen = values[~np.isnan(values)]
    if not len(seen):
        return Spread()
    p50, p90, p95, p99 = np.percentile(seen, [50, 90, 95, 99])
    return Spread(
        float(seen.mean()), float(p50), float(p90), float(p95), float(p99), float(seen.min()), float(seen.max())
    )


def decoded(where: str, text: str) -> Any:
    """The JSON value of a text, with Python's NaN and Infinity, which some tools write."""
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}, line {error.lineno}", "JSON", error.msg, FIX) from None
    except (ValueError, RecursionError) as error:
        raise InputError(where, "JSON", str(error)[:80], FIX) from None


def _kind(value: Any) -> str:
    names = {dict: "an object", list: "a list", str: "text", bool: "true or false", type(None): "null"}
    return names.get(type(value), repr(value)[:40])
