"""Why a month is what it is: the parts of its median, and in words."""

from __future__ import annotations

from data.forecast_records import Parts, SeriesForecast
from data.records import FloatArray
from forecast.scenarios import Month
from forecast.single import DECLARED, Prepared

SAME = 0.005
"""Factors this near to 1 are not worth a word."""


def parts_of(
    ready: Prepared, events: FloatArray, growth: FloatArray, months: tuple[Month, ...], median: FloatArray
) -> tuple[Parts, ...]:
    """The parts of every month; events and growth: factors [hours]; median: of the simulated totals [months]."""

    def ratio(top: float, bottom: float) -> float:
        return top / bottom if bottom > 0.0 else 1.0

    found = []
    for j, month in enumerate(months):
        span = slice(month.start, month.stop)
        level = ready.recent * (month.stop - month.start)
        plain = float(ready.model.point[span].sum())
        still = float((ready.model.point / ready.course)[span].sum())
        with_events = float((ready.model.point * events)[span].sum())
        grown = float((ready.model.point * events * growth)[span].sum())
        found.append(
            Parts(
                month=month.label,
                level=level,
                season=ratio(still, level),
                course=ratio(plain, still),
                events=ratio(with_events, plain),
                growth=ratio(grown, with_events),
                spread=ratio(float(median[j]), grown),
            )
        )
    return tuple(found)


def in_words(one: SeriesForecast) -> list[str]:
    """What next month's median is made of, how sure it is, and what had to be assumed; one sentence each."""
    middle = one.levels.index(0.5)
    low, high = min(one.levels), max(one.levels)
    said = []
    level = DECLARED if one.method == DECLARED else "level of the last four weeks"
    for j, part in enumerate(one.parts):
        total = one.monthly_total[j]
        factors = [
            (part.season, "the calendar of the month"),
            (part.course, "the course of its last weeks, going on and dying away"),
            (part.events, "declared events"),
            (part.growth, "declared growth"),
            (part.spread, "levels and errors that do not cancel out"),
        ]
        # Nothing has no parts.
        there = part.level > 0.0
        moved = [f"{value - 1.0:+.1%} for {why}" for value, why in factors if there and abs(value - 1.0) >= SAME]
        said.append(
            f"{part.month}: {total[middle]:,.0f} requests ({low:.0%} to {high:.0%}: {total[0]:,.0f} to "
            f"{total[-1]:,.0f}) = "
            f"{part.level:,.0f} at the {level}" + (", " + ", ".join(moved) if moved else "")
        )
    if one.accuracy:
        own = one.accuracy[0]
        against = [f"{a.value_added:+.0%} over the {a.method}" for a in one.accuracy[1:] if a.value_added is not None]
        worst = "" if own.worst_wape is None else f" (worst window {own.worst_wape:.0%}, from {own.worst_from})"
        adds = f", which adds {' and '.join(against)}" if against else ""
        said.append(f"{one.method}; on history it erred by {own.wape:.0%} of the volume{worst}{adds}")
    said.append(f"grade {one.grade}: {one.reason}")
    said += [f"note: {text}" for text in one.degradations]
    return said
