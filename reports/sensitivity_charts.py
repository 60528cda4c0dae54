"""Pictures of a plan's sensitivity: tornado, fan with capacity lines, run-out dates, cost against shortfall risk."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import altair as alt
import pandas as pd

from data.sensitivity_records import CellOutlook, Sensitivity
from reports.charts import BLUE, GREEN, INK, ORANGE, RED, SKY, Picture, joined, picture
from reports.decision_charts import regret_picture, switching_picture
from reports.sensitivity_tables import variable_words

MOST_RISK = 0.5
"""Decisions that are short more often than this, and than twice as often as the plan, are not drawn."""
LEAST_RISK = 0.0005
"""Decisions whose chances of a shortfall differ by less print the same chance."""


def tornado(answer: Sensitivity) -> Picture:
    """What each variable does to the plan's cost between its 5 % and 95 % values."""
    rows = [
        {"variable": variable_words(bar.variable), "end": f"{side} value", "low": min(usd, bar.base_usd) / 1e3,
         "high": max(usd, bar.base_usd) / 1e3}
        for bar in answer.bars
        for side, usd in (("5 %", bar.low_usd), ("95 %", bar.high_usd))
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    order = [variable_words(bar.variable) for bar in answer.bars]
    most = answer.bars[0]
    swing = f"{most.swing_usd / 1e3:,.0f} thousand USD between its ends"
    title = f"Cost moves most with {variable_words(most.variable)}: {swing}"
    base = pd.DataFrame({"usd": [most.base_usd / 1e3]})

    def build(width: int) -> Any:
        bars = (
            alt.Chart(frame)
            .mark_bar(height=14)
            .encode(
                y=alt.Y("variable:N", sort=order, title=None),
                x=alt.X("low:Q", title="thousand USD, the plan's decision cost", scale=alt.Scale(zero=False)),
                x2="high:Q",
                color=alt.Color(
                    "end:N", title=None, scale=alt.Scale(domain=["5 % value", "95 % value"], range=[SKY, ORANGE])
                ),
            )
        )
        rule = alt.Chart(base).mark_rule(color=INK).encode(x="usd:Q")
        return joined("layer", [bars, rule], width=width - 150, height=24 * len(order))

    return picture(title, "One variable at a time, the others at their base.", build)


def fans(answer: Sensitivity, most: int = 4) -> list[Picture]:
    """GPUs needed by month with the lines of what is committed and what quotas allow, largest needs first."""
    ranked = sorted(answer.cells, key=lambda one: -max(row[-1] for row in one.need))[:most]
    return [_fan(answer, one) for one in ranked]


def _fan(answer: Sensitivity, one: CellOutlook) -> Picture:
    band = pd.DataFrame(
        {
            "month": [pd.Timestamp(f"{month}-15") for month in answer.months],
        }
        | {f"p{level:.0%}".rstrip("%"): [row[i] for row in one.need] for i, level in enumerate(one.levels)}
    )
    lines = [
        {"month": pd.Timestamp(f"{month}-15"), "GPUs": gpus, "line": "committed"}
        for month, gpus in zip(answer.months, one.committed, strict=True)
        if any(one.committed)
    ]
    top = band["p95"].max()
    if one.quota is not None and one.quota < 4 * top:
        lines += [{"month": day, "GPUs": one.quota, "line": "quota"} for day in band["month"]]
    frame = pd.DataFrame(lines, columns=["month", "GPUs", "line"])
    drawn_lines = {"committed": GREEN, "quota": RED}
    named = [name for name in drawn_lines if (frame["line"] == name).any()]
    middle_need, top_need = band["p50"].iloc[-1], band["p95"].iloc[-1]
    title = (
        f"{one.gpu} in {one.region}: {middle_need:,.0f} GPUs needed at the end, {top_need:,.0f} at the 95th percentile"
    )
    single = len(answer.months) == 1
    few = len(answer.months) <= 4

    def build(width: int) -> Any:
        x = alt.X(
            "month:T", title=None, axis=alt.Axis(format="%b %Y", tickCount="month" if few else 4 if width < 400 else 7)
        )
        if single:
            spread = (
                alt.Chart(band)
                .mark_rule(color=BLUE, strokeWidth=6, opacity=0.35)
                .encode(x=x, y=alt.Y("p5:Q", title="GPUs"), y2="p95:Q")
            )
            middle = alt.Chart(band).mark_point(color=BLUE, filled=True, size=60).encode(x=x, y="p50:Q")
            marks = alt.Chart(frame).mark_tick(thickness=3, width=60, orient="horizontal")
        else:
            outer = alt.Chart(band).mark_area(color=BLUE, opacity=0.2)
            inner = alt.Chart(band).mark_area(color=BLUE, opacity=0.3)
            spread = joined(
                "layer",
                [
                    outer.encode(x=x, y=alt.Y("p5:Q", title="GPUs"), y2="p95:Q"),
                    inner.encode(x=x, y="p25:Q", y2="p75:Q"),
                ],
            )
            middle = alt.Chart(band).mark_line(color=BLUE).encode(x=x, y="p50:Q")
            marks = alt.Chart(frame).mark_line(strokeDash=[5, 3], interpolate="step")
        drawn = marks.encode(
            x=x,
            y=alt.Y("GPUs:Q", title="GPUs"),
            color=alt.Color(
                "line:N", title=None, scale=alt.Scale(domain=named, range=[drawn_lines[name] for name in named])
            ),
        )
        return joined("layer", [spread, middle, *([drawn] if named else [])], width=width - 70, height=190)

    when = "" if one.run_out_p95 is None else f" The 95 % need passes the quota on {one.run_out_p95}."
    caption = f"Bands: 5 to 95 % and 25 to 75 % of {answer.samples:,} draws, reserves included.{when}"
    return picture(title, caption, build)


def run_out(answer: Sensitivity) -> Picture | None:
    """When each GPU and region runs out of quota, at the median and the 95 % need; None where nothing ever does."""
    rows = [
        {"place": f"{one.gpu}, {one.region}", "date": pd.Timestamp(day), "need": which, "chance": one.run_out_chance}
        for one in answer.cells
        for which, day in (("median need", one.run_out_p50), ("95 % need", one.run_out_p95))
        if day is not None
    ]
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    first = frame.sort_values("date").iloc[0]
    title = f"{first['place']} runs out first: {first['date']:%Y-%m-%d} at the {first['need']}"
    start, end = pd.Timestamp(f"{answer.months[0]}-01"), pd.Timestamp(f"{answer.months[-1]}-28")

    def build(width: int) -> Any:
        return (
            alt.Chart(frame)
            .mark_point(filled=True, size=90)
            .encode(
                y=alt.Y("place:N", title=None),
                x=alt.X(
                    "date:T", title=None, scale=alt.Scale(domain=[start.isoformat(), end.isoformat()]),
                    axis=alt.Axis(format="%d %b", tickCount=4),
                ),
                color=alt.Color(
                    "need:N", title=None, scale=alt.Scale(domain=["median need", "95 % need"], range=[RED, ORANGE])
                ),
            )
            .properties(width=width - 190, height=30 * frame["place"].nunique() + 20)
        )  # fmt: skip

    return picture(title, "The day the need passes the quota, months joined by straight lines.", build)


def frontier(answer: Sensitivity) -> Picture | None:
    """Expected cash of decisions against the chance of a shortfall, the efficient ones marked; None where all that
    are drawn carry the same chance, so that there is nothing to weigh."""
    frame = pd.DataFrame(
        [
            {"name": one.name, "cash": one.cash_usd / 1e3, "risk": one.short,
             "kind": "the plan" if one.name == "the plan" else "efficient" if one.efficient else "dominated"}
            for one in answer.options
        ]
    )  # fmt: skip
    plan = frame[frame["kind"] == "the plan"].iloc[0]
    # A decision that leaves most draws short is no choice, and would squeeze the others into a corner.
    frame = frame[frame["risk"] <= max(MOST_RISK, 2.0 * float(plan["risk"]))]
    if frame["risk"].max() - frame["risk"].min() < LEAST_RISK:
        return None
    frame = frame.assign(top=(frame["kind"] == "the plan").astype(int)).sort_values("top")
    efficient = next(one.efficient for one in answer.options if one.name == "the plan")
    title = (
        f"The plan: {plan['cash']:,.0f} thousand USD expected, short in {plan['risk']:.1%} of draws"
        f"{'; nothing tried has less of both' if efficient else '; another decision has no more of either'}"
    )

    best = frame[frame["kind"] == "efficient"] if not efficient else frame[frame["kind"] != "dominated"]

    def build(width: int) -> Any:
        line = (
            alt.Chart(best)
            .mark_line(color=GREEN, interpolate="step-after", strokeWidth=1.2)
            .encode(x="risk:Q", y="cash:Q", order="risk:Q")
        )
        marks = (
            alt.Chart(frame)
            .mark_point(filled=True, size=80, opacity=0.85)
            .encode(
                x=alt.X("risk:Q", title="chance that a protected class is short", axis=alt.Axis(format="%")),
                y=alt.Y("cash:Q", title="thousand USD expected", scale=alt.Scale(zero=False)),
                color=alt.Color(
                    "kind:N",
                    title=None,
                    scale=alt.Scale(domain=["the plan", "efficient", "dominated"], range=[RED, GREEN, SKY]),
                ),
                # The plan lies on top of what coincides with it.
                order=alt.Order("top:Q"),
                tooltip="name:N",
            )
        )
        return alt.layer(line, marks).properties(width=width - 80, height=220)

    return picture(title, "Commitments scaled, and hours bought up to a share of what quotas leave.", build)


def sensitivity_pictures(answer: Sensitivity) -> Mapping[str, Any]:
    """What templates/_sensitivity.html.j2 draws."""
    return {
        "tornado": tornado(answer), "fans": fans(answer), "run_out": run_out(answer), "frontier": frontier(answer),
        "switches": None if answer.switching is None else switching_picture(answer.switching),
        "regrets": None if answer.regrets is None else regret_picture(answer.regrets),
    }  # fmt: skip
