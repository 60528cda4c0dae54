"""What a miss of cost or of capacity came from: measured ratios of every LLM and class, in waterfalls that add up."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from data.actuals_billing import Billed
from data.records import FloatArray
from data.units import HOURS_PER_DAY
from flows.recorded import RecordedPlan
from reconcile.attribution import CAUSES, Waterfall, cost_ratio, waterfall, waterfall_of
from reconcile.capacity import PoolSupply, short_hours

Part = tuple[str, str]
"""An LLM and a request class."""
UNEXPLAINED = "not explained"


@dataclass(frozen=True, slots=True)
class Work:
    """Compute of the measured requests of a part in prompt tokens: at planned lengths and cache hits, at measured
    lengths, and at measured cache hits too; heard: whether cache hits were measured."""

    planned: float
    longer: float
    cached: float
    heard: bool


@dataclass(frozen=True, slots=True)
class Happened:
    """What was measured: volumes [actual, planned] and work by part, actual over planned goodput and available share by
    part; what is absent was not measured and counts as planned."""

    volumes: Mapping[Part, FloatArray] = field(default_factory=dict)
    work: Mapping[Part, Work] = field(default_factory=dict)
    goodput: Mapping[Part, float] = field(default_factory=dict)
    available: Mapping[Part, float] = field(default_factory=dict)

    def ratios(self, llm: str, request_class: str | None = None) -> dict[str, float | None]:
        """Actual over planned by cause for one part, or for an LLM as a whole; price is not known here."""

        def mine(part: Part) -> bool:
            return part[0] == llm and request_class in (None, part[1])

        def mean(found: Mapping[Part, float]) -> float | None:
            # An LLM is measured on the classes that were measured: those that were not are taken to be like them.
            values = [v for p, v in found.items() if mine(p)] or [v for p, v in found.items() if p[0] == llm]
            return math.exp(sum(map(math.log, values)) / len(values)) if values and min(values) > 0.0 else None

        real, said = np.sum([v for p, v in self.volumes.items() if mine(p)] or [np.zeros(2)], axis=0)
        works = [one for part, one in self.work.items() if mine(part)]
        planned, longer, cached = (sum(getattr(w, name) for w in works) for name in ("planned", "longer", "cached"))
        return dict.fromkeys(CAUSES, None) | {
            "volume": float(real / said) if said > 0.0 else None,
            "mix and length": longer / planned if planned > 0.0 else None,
            "cache hit": cached / longer if longer > 0.0 and any(w.heard for w in works) else None,
            "goodput": mean(self.goodput),
            "availability": mean(self.available),
        }


def price_ratio(plan: RecordedPlan, billed: Billed | None, month: str) -> float | None:
    """Billed over planned USD a GPU-hour, where the bill counts GPU-hours."""
    if billed is None or not billed.gpu_hours.get(month):
        return None
    gpus = sum(int(one["gpus"]) for one in plan.document["pools"] if one["month"] == month)
    cost = next((one for one in plan.document["costs"] if one["month"] == month), None)
    if cost is None or not gpus:
        return None
    start = np.datetime64(month, "M")
    days = int((start + np.timedelta64(1, "M")).astype("datetime64[D]").astype(int)) - int(
        start.astype("datetime64[D]").astype(int)
    )
    planned = (float(cost["cash_usd"]) - float(cost.get("start_usd", 0.0))) / (gpus * days * HOURS_PER_DAY)
    return (billed.usd[month] / billed.gpu_hours[month]) / planned if planned > 0 else None


def planned_shares(plan: RecordedPlan, month: str, happened: Happened) -> dict[Part, float]:
    """Whose a month's cost was planned to be, as the plan's full cost divides it; by planned requests where it does
    not say. Sums to 1."""
    usd: dict[Part, float] = {}
    for one in plan.document.get("full_cost", {}).get("attribution", ()):
        if one["month"] == month and one["llm"]:
            part = str(one["llm"]), str(one["request_class"])
            usd[part] = usd.get(part, 0.0) + float(one["direct_usd"])
    if not sum(usd.values()) > 0.0:
        usd = {part: float(said) for part, (_, said) in happened.volumes.items()}
    total = sum(usd.values())
    return {part: value / total for part, value in usd.items()} if total > 0.0 else {}


def cost_miss(plan: RecordedPlan, month: str, planned: float, billed: Billed | None, happened: Happened) -> Waterfall:
    """The waterfall of a month's cost: every LLM and class with its own ratios, weighted by its share of the cost."""
    price = price_ratio(plan, billed, month)
    shares = planned_shares(plan, month, happened)
    found = {part: happened.ratios(*part) | {"price": price} for part in shares}

    def worth(changed: frozenset[str]) -> float:
        if not found:
            return planned * (price if price is not None and "price" in changed else 1.0)
        return planned * math.fsum(
            shares[part] * cost_ratio({c: r if r is not None and c in changed else 1.0 for c, r in ratios.items()})
            for part, ratios in found.items()
        )

    measured = {cause: any(one[cause] is not None for one in found.values()) for cause in CAUSES}
    measured["price"] = price is not None
    usd = float("nan") if billed is None else billed.usd.get(month, float("nan"))
    if math.isnan(usd):
        note = "no bill: what the plan's unit costs make of what happened; causes not measured count as planned"
        return waterfall_of(f"cost of {month}", "USD", worth, measured, note=note)
    everything = worth(frozenset(CAUSES))
    left_over = usd / everything if everything > 0.0 else 1.0

    def billed_worth(changed: frozenset[str]) -> float:
        return worth(changed - {UNEXPLAINED}) * (left_over if UNEXPLAINED in changed else 1.0)

    note = (
        "against the bill; causes are what the work that came would have cost at the plan's GPU-hours per unit of "
        f"work, '{UNEXPLAINED}' is what they leave over: the GPUs that ran did more work than planned (-) or less (+)"
    )
    return waterfall_of(f"cost of {month}", "USD", billed_worth, measured | {UNEXPLAINED: True}, note=note)


def short_miss(
    llm: str, month: str, hours: FloatArray, there: PoolSupply, burst: float, happened: Happened
) -> Waterfall:
    """Short hours of an LLM from none changed (actual load on the planned scale) to all; price makes no shortfall."""
    seen = hours[~np.isnan(hours)]
    causes = {name: ratio for name, ratio in happened.ratios(llm).items() if name != "price"}
    volume = causes["volume"] or 1.0
    # The load that came is the planned load times the volume ratio: taken back first, so that planned stands at 1.
    return waterfall(
        f"short hours of {llm} in {month}",
        "h",
        lambda r: short_hours(seen / volume, there, burst, r),
        causes,
        digits=1,
        note="hours above steady and reserve capacity",
    )
