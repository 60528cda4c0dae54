"""Where a search for a plan stands: the best point and bound so far, each only ever replaced by a better one."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, field

from data.records import FloatArray
from optimizer.parts import Layout, Prices

MORE_THAN_FAIR = 2.0
"""What is solved one after the other may take so many times its share of the time that is left."""


@dataclass(frozen=True, slots=True)
class Proof:
    """What is known of a part: a bound, and the best point with its value (inf without one in whole numbers)."""

    bound: float
    x: FloatArray | None
    objective: float = float("inf")

    def within(self, gap: float) -> bool:
        return self.objective < float("inf") and self.objective - self.bound <= gap * abs(self.objective)


Parts = dict[tuple[int, int], Proof]


@dataclass(slots=True)
class Search:
    """The state of a search: the best point and bound so far, and the clock."""

    whole: Layout
    fine: Layout
    prices: Prices
    fine_prices: Prices
    gap: float
    seed: int
    begun: float
    deadline: float
    say: Callable[[str], None]
    bound: float
    x: FloatArray | None = None
    objective: float = float("inf")
    parts: Parts = field(default_factory=dict)
    fine_parts: Parts = field(default_factory=dict)
    """Bound and best point of every part."""
    stop: Callable[[], bool] = lambda: False
    tried: dict[frozenset[int], float] = field(default_factory=dict)
    """Sets of pools that have been planned, with the gap of their months."""

    def left(self) -> float:
        return max(self.deadline - time.perf_counter(), 0.0)

    def reached(self) -> float:
        """The relative gap."""
        return (self.objective - self.bound) / max(abs(self.objective), 1e-9)

    @property
    def done(self) -> bool:
        return self.reached() <= self.gap or self.left() <= 0.0 or self.stop()

    def offer(self, x: FloatArray | None, what: str) -> None:
        """Takes a point if it is better; integers are exact in it."""
        if x is None:
            return
        value = float(self.whole.matrix.cost @ x) + self.whole.matrix.offset
        if value < self.objective - 1e-9:
            self.x, self.objective = x, value
            self._tell(what)

    def raise_bound(self, value: float, what: str) -> None:
        if value > self.bound:
            self.bound = min(value, self.objective)
            self._tell(what)

    def _tell(self, what: str) -> None:
        plan = f"{self.objective * 1e3:,.0f}" if self.x is not None else "none yet"
        gap = f", gap {self.reached():.2%}" if self.x is not None else ""
        spent = time.perf_counter() - self.begun
        self.say(f"  {spent:5.1f} s  plan {plan} USD, bound {self.bound * 1e3:,.0f} USD{gap} ({what})")
