"""A reconciliation in a few lines: what someone should know before any table."""

from __future__ import annotations

import math

from flows.misses import UNEXPLAINED
from flows.reconcile import Reconciled
from reconcile.attribution import Waterfall


def _largest(fall: Waterfall) -> str:
    """The cause that moved it most, leaving out what no cause explains."""
    told = [bar for bar in fall.bars if bar.measured and bar.amount != 0.0 and bar.cause != UNEXPLAINED]
    if not told:
        return ""
    bar = max(told, key=lambda one: abs(one.amount))
    return f"; most of it {bar.cause}, {bar.amount:+,.0f} {fall.unit}"


def _costs(found: Reconciled) -> list[tuple[str, str]]:
    falls = {fall.what: fall for fall in found.waterfalls}
    rows = []
    for one in found.costs:
        fall = falls[f"cost of {one.month}"]
        came = one.billed_usd if not math.isnan(one.billed_usd) else fall.actual
        said = "billed" if not math.isnan(one.billed_usd) else "worth, at planned unit costs,"
        off = f" ({came / one.planned_usd - 1.0:+.1%})" if one.planned_usd > 0 else ""
        rows.append(
            (f"cost of {one.month}", f"{said} {came:,.0f} USD, planned {one.planned_usd:,.0f}{off}{_largest(fall)}")
        )
    return rows


def _capacity(found: Reconciled) -> list[tuple[str, str]]:
    if not found.capacity:
        return []
    short = [one for one in found.capacity if one.short_hours]
    told = ", ".join(f"{one.llm} {one.short_hours} h in {one.month}" for one in short) or "no hour short"
    reserve = sum(one.reserve_hours for one in found.capacity)
    gpu_hours, over = (sum(getattr(one, name) for one in found.capacity) for name in ("gpu_hours", "over_gpu_hours"))
    share = f" ({over / gpu_hours:.0%})" if gpu_hours else ""
    return [
        (
            "capacity",
            f"{told}; the reserve was needed in {reserve} h; {over:,.0f} of {gpu_hours:,.0f} GPU-h were more than "
            f"their hour needed{share}, nights included",
        )
    ]


def in_short(found: Reconciled) -> tuple[tuple[str, str], ...]:
    """What it is about, and what was found: volume, drift, cost, capacity, what there is to review."""
    rows: list[tuple[str, str]] = []
    for group in found.errors.groups:
        if group.dimension == "all":
            days = next((one for one in group.total if one.grain == "day" and one.observed), None)
            daily = "" if days is None else f", {days.wape:.1%} off by day"
            bias = group.members.bias
            if math.isnan(bias):
                rows.append(("volume", "nothing came of what was forecast"))
                continue
            said = f"forecast {abs(bias):.1%} {'above' if bias > 0 else 'below'} what came"
            rows.append(("volume", f"{said}{daily}, hours of single series {group.members.wape:.1%}"))
    drifting = [one for one in found.errors.series if one.drift.severity == "alarm"]
    drifting.sort(key=lambda one: -abs(math.log(max(one.drift.ratio, 1e-9))))
    named = ", ".join(
        f"{one.key} sends {'nothing' if one.drift.silent else f'{one.drift.ratio - 1.0:+.0%}'} of what was said over "
        f"{one.drift.days - one.drift.since} days"
        for one in drifting[:3]
    )
    watched = sum(one.drift.severity == "watch" for one in found.errors.series)
    more = f" and {len(drifting) - 3} more" if len(drifting) > 3 else ""
    rows.append(("drift", (f"alarm: {named}{more}" if drifting else "none at alarm") + f"; {watched} to watch"))
    rows += [*_costs(found), *_capacity(found)]
    if found.tenants:
        one = found.tenants[0]
        if not math.isnan(one.planned):
            rows.append(("tenants", f"farthest from its share: {one.tenant} of {one.llm}, {one.miss:+,.0f} requests"))
    kinds: dict[str, int] = {}
    for correction in found.proposals.values():
        kinds[correction.kind] = kinds.get(correction.kind, 0) + 1
    told = ", ".join(f"{number} {kind}" for kind, number in kinds.items()) or "none"
    rows.append(("corrections to review", told))
    if found.stale:
        rows.append(("assumptions", f"{len(found.stale)} are stale"))
    return tuple(rows)
