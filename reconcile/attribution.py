"""Which change made the miss: Shapley values over causes, which add up exactly and depend on no order.

The Shapley value of a cause is its marginal effect averaged over every order in which the causes could have been
changed from what was planned to what happened (Shapley, 1953; Shorrocks, 2013, for decompositions). For two causes it
splits the interaction in half.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import combinations

CAUSES = ("volume", "mix and length", "cache hit", "goodput", "price", "availability")


@dataclass(frozen=True, slots=True)
class Bar:
    """One step of a waterfall in the unit of the miss; measured is False where nothing was measured, and the cause was
    taken as planned."""

    cause: str
    amount: float
    measured: bool


@dataclass(frozen=True, slots=True)
class Waterfall:
    """From what was planned to what happened: planned + the bars = actual, exactly in units of 1 / 10^digits."""

    what: str
    unit: str
    planned: float
    actual: float
    bars: tuple[Bar, ...]
    note: str = ""


def shapley(value: Callable[[frozenset[str]], float], causes: Sequence[str]) -> dict[str, float]:
    """The Shapley value of every cause; `value` says what would have come had only these causes changed.

    Evaluates all 2^n subsets once (64 for the six causes). The amounts add up to value(all) - value(none) within
    rounding of floats.
    """
    n = len(causes)
    worth = {
        frozenset(subset): float(value(frozenset(subset)))
        for size in range(n + 1)
        for subset in combinations(causes, size)
    }
    found = {}
    for cause in causes:
        others = [one for one in causes if one != cause]
        terms = []
        for size in range(n):
            weight = math.factorial(size) * math.factorial(n - size - 1) / math.factorial(n)
            for subset in combinations(others, size):
                without = frozenset(subset)
                terms.append(weight * (worth[without | {cause}] - worth[without]))
        found[cause] = math.fsum(terms)
    return found


def exact(amounts: Mapping[str, float], total: float, digits: int) -> dict[str, float]:
    """The amounts rounded to `digits` so that they add up to the rounded total exactly: what rounding leaves over goes
    to the amounts that lost most by it (largest remainders)."""
    unit = 10**digits
    scaled = {name: Fraction(value) * unit for name, value in amounts.items()}
    floors = {name: math.floor(value) for name, value in scaled.items()}
    missing = round(Fraction(total) * unit) - sum(floors.values())
    order = sorted(scaled, key=lambda name: (floors[name] - scaled[name], name))
    base, extra = divmod(missing, len(order)) if order else (0, 0)
    given = {name: floors[name] + base + (1 if i < extra else 0) for i, name in enumerate(order)}
    return {name: given[name] / unit for name in amounts}


def waterfall(
    what: str,
    unit: str,
    value: Callable[[Mapping[str, float]], float],
    ratios: Mapping[str, float | None],
    digits: int = 2,
    note: str = "",
) -> Waterfall:
    """The waterfall of a miss.

    value: what would have come at given ratios of actual over planned, by cause (1: as planned). ratios: what was
    measured; None where nothing was, which counts as planned and is marked.
    """
    known = {cause: 1.0 if ratio is None else float(ratio) for cause, ratio in ratios.items()}

    def worth(changed: frozenset[str]) -> float:
        return value({cause: ratio if cause in changed else 1.0 for cause, ratio in known.items()})

    measured = {cause: ratio is not None for cause, ratio in ratios.items()}
    return waterfall_of(what, unit, worth, measured, digits, note)


def waterfall_of(
    what: str,
    unit: str,
    worth: Callable[[frozenset[str]], float],
    measured: Mapping[str, bool],
    digits: int = 2,
    note: str = "",
) -> Waterfall:
    """The waterfall of a miss.

    worth: what would have come had only these causes changed; measured: every cause, and whether it was measured (one
    that was not changes nothing).
    """
    planned, actual = round(worth(frozenset()), digits), round(worth(frozenset(measured)), digits)
    total = float(round(Fraction(actual) - Fraction(planned), digits))
    amounts = exact(shapley(worth, tuple(measured)), total, digits)
    bars = tuple(Bar(cause, amounts[cause], known) for cause, known in measured.items())
    return Waterfall(what, unit, planned, actual, bars, note)


def cost_ratio(ratios: Mapping[str, float]) -> float:
    """Cost relative to plan: work x price over what a GPU delivers.

    Work is volume x tokens a request x the share of the prompt that must be computed; a GPU delivers its goodput for
    the share of the time that it is available.
    """
    work = ratios["volume"] * ratios["mix and length"] * ratios["cache hit"]
    return work * ratios["price"] / (ratios["goodput"] * ratios["availability"])
