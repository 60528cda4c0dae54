"""How old what an answer rests on is."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date


def age_days(as_of: str, today: date) -> int | None:
    """Days since the day, or the first of the month or year, `as_of`; None where it is no date."""
    parts = as_of.split("-")
    if not 1 <= len(parts) <= 3 or not all(part.isdigit() for part in parts):
        return None
    try:
        return (today - date(*(int(part) for part in [*parts, *["1"] * (3 - len(parts))]))).days
    except ValueError:
        return None


@dataclass(frozen=True, slots=True)
class Age:
    """One kind of assumption: how many there are, the oldest's days and date (None: none is dated), and how many have
    no date: declared by the user, or unknown."""

    kind: str
    count: int
    oldest_days: int | None
    oldest: str
    undated: int


def ages_of(dated: Iterable[tuple[str, str]], today: date) -> tuple[Age, ...]:
    """Kinds in the order in which they come; dated: kind and day, month or year."""
    kinds: dict[str, list[tuple[int | None, str]]] = {}
    for kind, as_of in dated:
        kinds.setdefault(kind, []).append((age_days(as_of, today), as_of))
    found = []
    for kind, every in kinds.items():
        known = [(days, as_of) for days, as_of in every if days is not None]
        days, as_of = max(known, default=(None, ""), key=lambda one: one[0])
        found.append(Age(kind, len(every), days, as_of, len(every) - len(known)))
    return tuple(found)
