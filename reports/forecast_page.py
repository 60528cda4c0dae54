"""A forecast as one HTML file: fans, what a month is made of, how good the method was on history, and the sums."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from markupsafe import Markup

from data.forecast_records import Accuracy, Forecast, SeriesForecast
from reports.charts import BLUE, Picture, fan, joined, picture
from reports.layout import lay_out
from reports.reconciliation import Section

MOST_SERIES = 8
"""Series with charts of their own; the tables hold all."""


@dataclass(frozen=True, slots=True)
class Chapter:
    """One series: what is said of it, its charts and tables."""

    name: str
    grade: str
    words: tuple[str, ...]
    pictures: tuple[Picture, ...]
    sections: tuple[Section, ...]


def _share(value: float | None) -> str:
    return "" if value is None or not np.isfinite(value) else f"{value:+.0%}"


def decomposition(one: SeriesForecast) -> Section:
    """Requests a month: the level, and what season, course, events, growth and spread add to it one after the other."""
    rows = []
    for part in one.parts:
        total, cells = part.level, [f"{part.level:,.0f}"]
        for factor in (part.season, part.course, part.events, part.growth, part.spread):
            cells.append(f"{total * (factor - 1.0):+,.0f} ({factor - 1.0:+.1%})")
            total *= factor
        rows.append((part.month, *cells, f"{total:,.0f}"))
    head = ("month", "level", "season", "course", "events", "growth", "level and error spread", "median")
    return Section("What the median is made of, requests a month", head, tuple(rows))


def quantile_table(one: SeriesForecast) -> Section:
    """Monthly totals and largest hours at every level."""
    rows = [
        (month, what, *(f"{value:,.0f}" for value in values[j]))
        for j, month in enumerate(one.months)
        for what, values in (("total", one.monthly_total), ("largest hour", one.monthly_peak_hour))
    ]
    return Section("Months, requests", ("month", "of", *(f"{q:.0%}" for q in one.levels)), tuple(rows))


def backtest(one: SeriesForecast) -> Section:
    """Scores on past windows, and what the forecast adds over its yardsticks."""
    rows = [
        (
            a.method, str(a.windows), f"{a.wape:.3f}", f"{a.mase:.2f}", f"{a.bias:+.1%}",
            "" if not np.isfinite(a.pinball95) else f"{a.pinball95:.3f}",
            "" if a.worst_wape is None else f"{a.worst_wape:.3f} from {a.worst_from}",
            _share(a.value_added), "" if a.dm_p is None else f"{a.dm_p:.3f}",
        )
        for a in one.accuracy
    ]  # fmt: skip
    head = (
        "method", "windows", "WAPE", "MASE", "bias", "pinball 0.95", "worst window, WAPE", "forecast adds",
        "Diebold-Mariano p",
    )  # fmt: skip
    return Section("On history", head, tuple(rows))


def coverage(one: SeriesForecast) -> Section:
    """Share of past hours, peaks and totals within the stated intervals."""

    def row(a: Accuracy) -> tuple[str, ...]:
        found = (a.hour_coverage, a.peak_coverage, a.total_coverage)
        return (a.method, *("" if lv not in f else f"{f[lv]:.0%}" for f in found for lv in (0.8, 0.95)))

    head = ("method", *(f"{what}, {lv} %" for what in ("hours", "largest hour", "total") for lv in (80, 95)))
    return Section("Coverage on history", head, tuple(row(a) for a in one.accuracy))


def busiest_week(one: SeriesForecast) -> Picture | None:
    """Hours of the week in which the median is highest, with the outer quantiles; None under a week."""
    middle = one.levels.index(0.5)
    hours = pd.DatetimeIndex(one.hours)
    if len(hours) < 168:
        return None
    sums = np.convolve(one.hourly[:, middle], np.ones(168), "valid")[::24]
    span = slice(24 * int(np.argmax(sums)), 24 * int(np.argmax(sums)) + 168)
    columns = {"low": 0, "mid": middle, "high": -1}
    frame = pd.DataFrame({name: one.hourly[span, j] / 3600 for name, j in columns.items()})
    frame["ts"] = hours[span]

    def build(width: int) -> Any:
        axis = alt.Axis(format="%a %d", tickCount=4 if width < 400 else 7)
        base = alt.Chart(frame).encode(x=alt.X("ts:T", title=None, axis=axis))
        y = alt.Y("low:Q", title="requests/s", scale=alt.Scale(zero=True))
        area = base.mark_area(color=BLUE, opacity=0.25).encode(y=y, y2="high:Q")
        line = base.mark_line(color=BLUE, strokeWidth=1.6).encode(y="mid:Q")
        return joined("layer", [area, line], width=width - 70, height=170)

    peak = float(frame["mid"].max())
    title = f"Its busiest week, from {hours[span][0]:%Y-%m-%d}: the median hour reaches {peak:,.3g} requests/s"
    return picture(title, f"Hours; band: {one.levels[0]:.0%} to {one.levels[-1]:.0%}.", build)


def chapter(frame: pd.DataFrame, one: SeriesForecast, words: Sequence[str]) -> Chapter:
    """Everything about one series; frame: the history of all."""
    week = busiest_week(one)
    pictures = (fan(frame, one), *([] if week is None else [week]))
    past = (backtest(one), coverage(one)) if one.accuracy else ()
    sections = (decomposition(one), quantile_table(one), *past)
    return Chapter(str(one.key), one.grade, tuple(words), pictures, sections)


def overview(series: Sequence[SeriesForecast]) -> Section:
    """All series, one a row, at the last month."""
    rows = []
    for one in series:
        middle = one.levels.index(0.5)
        near = int(np.argmin(np.abs(np.asarray(one.levels) - 0.95)))
        total = one.monthly_total[-1]
        own = one.accuracy[0] if one.accuracy else None
        adds = [_share(a.value_added) for a in one.accuracy[1:]] or ["", ""]
        rows.append(
            (
                str(one.key), one.grade, f"{total[middle]:,.0f}", f"{total[0]:,.0f} to {total[-1]:,.0f}",
                f"{one.monthly_peak_hour[-1, near]:,.0f}", "" if own is None else f"{own.wape:.3f}", *adds, one.reason,
            )
        )  # fmt: skip
    first = series[0]
    head = (
        "series", "grade", f"median of {first.months[-1]}",
        f"{first.levels[0]:.0%} to {first.levels[-1]:.0%}", "largest hour, 95 %", "WAPE",
        "adds over seasonal naive", "over four-week mean", "why this grade",
    )  # fmt: skip
    return Section("Series", head, tuple(rows))


def sums(forecast: Forecast) -> Section:
    """Coherent sums by group and month along joint paths."""
    first = forecast.series[0]
    rows = [
        (one.name, str(one.series), month, *(f"{value:,.0f}" for value in one.monthly_total[j]))
        for one in forecast.groups
        for j, month in enumerate(first.months)
    ]
    return Section("Sums", ("group", "series", "month", *(f"{q:.0%}" for q in first.levels)), tuple(rows))


def forecast_page(
    title: str,
    frame: pd.DataFrame,
    forecast: Forecast,
    series: Sequence[SeriesForecast],
    words: Mapping[str, Sequence[str]],
    warnings: Sequence[str] = (),
) -> str:
    """The whole page, self-contained; series: those shown, largest first; words: what is said of each by its key."""
    months = series[0].months
    lead = (
        f"Issued from history until {forecast.issued_from} for {months[0]} to {months[-1]}; {len(series)} series. "
        "Every quantile is one of joint simulated futures, widened or narrowed by what past windows showed."
    )
    return lay_out(
        "forecast.html.j2",
        title=title,
        lead=lead,
        warnings=warnings,
        chapters=[chapter(frame, one, words[str(one.key)]) for one in series[:MOST_SERIES]],
        more=max(len(series) - MOST_SERIES, 0),
        overview=overview(series),
        sums=sums(forecast) if forecast.groups else None,
        lengths=[one.note for one in forecast.lengths],
        notes=forecast.notes,
        markup=Markup,
    )
