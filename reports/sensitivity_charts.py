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

LINES = {"committed": GREEN, "the plan": ORANGE, "quota": RED}
"""Capacity lines over a fan, and their colours."""
MOST_RISK = 0.5
"""Decisions that are short more often than this, and than twice as often as the plan, are not drawn."""
LEAST_RISK = 0.0005
"""Decisions whose chances of a shortfall differ by less print the same chance."""


def tornado(answer: Sensitivity) -> Picture:
    """What each variable does to the plan's cost between its 5 % and 95 % values."""
    marked = {bar.variable: variable_words(bar.variable) + (" *" if bar.decides else "") for bar in answer.bars}
    rows = [
        {"variable": marked[bar.variable], "end": f"{side} value", "low": min(usd, bar.base_usd) / 1e3,
         "high": max(usd, bar.base_usd) / 1e3}
        for bar in answer.bars
        for side, usd in (("5 %", bar.low_usd), ("95 %", bar.high_usd))
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    order = [*marked.values()]
    most = answer.bars[0]
    deciding = [variable_words(bar.variable) for bar in answer.bars if bar.decides]
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

    decided = f"*: the decision changes with {', '.join(deciding)}." if deciding else "None changes the decision."
    return picture(title, f"One variable at a time, the others at their base. {decided}", build)


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
    days = [*band["month"]]
    lines += [{"month": day, "GPUs": gpus, "line": "the plan"} for day, gpus in zip(days, one.planned, strict=False)]
    top = max(band["p95"].max(), *one.committed, *one.planned)
    above = one.quota is not None and one.quota > 3 * top
    if one.quota is not None and not above:
        lines += [{"month": day, "GPUs": one.quota, "line": "quota"} for day in days]
    shown = [name for name in LINES if any(row["line"] == name for row in lines)]
    frame = pd.DataFrame(lines, columns=["month", "GPUs", "line"])
    middle_need, top_need = band["p50"].iloc[-1], band["p95"].iloc[-1]
    title = (
        f"{one.gpu} in {one.region}: {middle_need:,.0f} GPUs needed at the end, {top_need:,.0f} at the 95th percentile"
    )
    single = len(answer.months) == 1

    def build(width: int) -> Any:
        every = -(-len(days) // (3 if width < 400 else 12))
        ticks = [day.isoformat() for day in days[::every]]
        x = alt.X("month:T", title=None, axis=alt.Axis(format="%b %Y", values=ticks))
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
            color=alt.Color("line:N", title=None, scale=alt.Scale(domain=shown, range=[LINES[n] for n in shown])),
        )
        return joined("layer", [spread, middle, *([drawn] if shown else [])], width=width - 70, height=190)

    held = "" if any(one.committed) else " Nothing is committed."
    held += f" The quota of {one.quota:,.0f} lies above the picture." if above else ""
    held += " There is no quota." if one.quota is None else ""
    when = "" if one.run_out_p95 is None else f" The 95 % need passes the quota on {one.run_out_p95}."
    caption = f"Bands: 5 to 95 % and 25 to 75 % of {answer.samples:,} draws, reserves included.{held}{when}"
    return picture(title, caption, build)


def run_out(answer: Sensitivity) -> Picture | None:
    """When each GPU and region runs out of quota, at the median and the 95 % need; None where nothing ever does."""
    rows = [
        {
            "place": f"{one.gpu}, {one.region} (chance {one.run_out_chance:.0%})", "date": pd.Timestamp(day),
            "need": which, "size": 160 if which == "median need" else 60,
        }
        for one in answer.cells
        for which, day in (("median need", one.run_out_p50), ("95 % need", one.run_out_p95))
        if day is not None
    ]  # fmt: skip
    if not rows:
        return None
    frame = pd.DataFrame(rows)
    first = frame.sort_values("date").iloc[0]
    title = f"{str(first['place']).partition(' (')[0]} runs out first: {first['date']:%Y-%m-%d} at the {first['need']}"
    start, end = pd.Timestamp(f"{answer.months[0]}-01"), pd.Timestamp(f"{answer.months[-1]}-28")

    def build(width: int) -> Any:
        return (
            alt.Chart(frame)
            .mark_point(filled=True, opacity=1.0)
            .encode(
                size=alt.Size("size:Q", scale=None, legend=None),
                y=alt.Y("place:N", title=None, axis=alt.Axis(labelLimit=240)),
                x=alt.X(
                    "date:T", title=None, scale=alt.Scale(domain=[start.isoformat(), end.isoformat()]),
                    axis=alt.Axis(format="%d %b %Y", tickCount=3),
                ),
                color=alt.Color(
                    "need:N", title=None, scale=alt.Scale(domain=["median need", "95 % need"], range=[RED, ORANGE])
                ),
            )
            .properties(width=width - (270 if width > 400 else 220), height=30 * frame["place"].nunique() + 20)
        )  # fmt: skip

    return picture(
        title,
        "The day the need passes the quota, months joined by straight lines; chance: that it does within the horizon.",
        build,
    )


def frontier(answer: Sensitivity) -> Picture | None:
    """Expected cash of decisions against the chance of a shortfall, the efficient ones marked; None where all that
    are drawn carry the same chance, so that there is nothing to weigh."""
    frame = pd.DataFrame(
        [
            {"name": one.name, "cash": one.cash_usd / 1e3, "risk": one.short,
             "kind": "the plan" if one.name == "the plan" else "efficient" if one.efficient else "dominated",
             "label": one.name.replace(" of the plan's GPUs", "").replace("commit to 100%, ", "")
             if one.efficient and one.name != "the plan" else ""}
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
                x=alt.X(
                    "risk:Q",
                    title="chance that a protected class is short",
                    axis=alt.Axis(format="%", tickCount=4 if width < 400 else 8),
                    scale=alt.Scale(zero=True),
                ),
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
        names = (
            alt.Chart(frame)
            .mark_text(align="left", dx=7, dy=-7, color=INK, fontSize=10)
            .encode(x="risk:Q", y="cash:Q", text="label:N")
        )
        return alt.layer(line, marks, *([names] if width > 400 else [])).properties(width=width - 130, height=220)

    return picture(
        title,
        "Decisions on the same draws: commitments scaled, and fleets of at most a share of the plan's GPUs.",
        build,
    )


def sensitivity_pictures(answer: Sensitivity) -> Mapping[str, Any]:
    """What templates/_sensitivity.html.j2 draws."""
    return {
        "tornado": tornado(answer), "fans": fans(answer), "run_out": run_out(answer), "frontier": frontier(answer),
        "switches": None if answer.switching is None else switching_picture(answer.switching),
        "regrets": None if answer.regrets is None else regret_picture(answer.regrets),
    }  # fmt: skip
