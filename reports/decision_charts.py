"""Pictures of what planning anew says of the decision: values at which it changes, and regrets of plans."""

from __future__ import annotations

import math
from typing import Any

import altair as alt
import pandas as pd

from data.sensitivity_records import RegretMatrix, Switch, Switching
from reports.charts import BLUE, GREEN, INK, ORANGE, RED, Picture, joined, picture

SURE = {"proven": RED, "likely": ORANGE, "within the gap": BLUE}
"""How sure a change of the decision is, and its colour."""


def switching_picture(found: Switching) -> Picture | None:
    """Where along each variable's way from its base to an end the decision changes; None where nothing does."""
    if not found.switches:
        return None
    rows = []
    for one in found.switches:
        away = (one.value - one.base) / (one.end - one.base)
        rows.append(
            {
                "what": _row(one), "way": away if one.end > one.base else -away, "sure": one.sure,
                "value": f"{one.value:.3g}",
            }
        )  # fmt: skip
    frame = pd.DataFrame(rows)
    nearest = min(found.switches, key=lambda one: abs((one.value - one.base) / (one.end - one.base)))
    order = list(dict.fromkeys(_row(one) for one in found.switches))
    title = f"{_words(nearest.variable)} changes the decision first: {nearest.aspect} at {nearest.value:.3g}"
    still = f" No change with {', '.join(map(_words, found.steady))}." if found.steady else ""

    def build(width: int) -> Any:
        y = alt.Y("what:N", sort=order, title=None, axis=alt.Axis(labelLimit=220 if width > 400 else 150))
        x = alt.X(
            "way:Q", title="of the way from the base to an end", scale=alt.Scale(domain=[-1, 1]),
            axis=alt.Axis(
                values=[-1, -0.5, 0, 0.5, 1] if width > 400 else [-1, 0, 1],
                labelExpr="datum.value == 0 ? 'base' : datum.value < 0 ? format(-datum.value, '.0%') + ' down' : "
                "format(datum.value, '.0%') + ' up'",
            ),
        )  # fmt: skip
        shade = alt.Color("sure:N", title=None, scale=alt.Scale(domain=[*SURE], range=[*SURE.values()]))
        marks = alt.Chart(frame).mark_point(filled=True, size=90, opacity=1.0).encode(x=x, y=y, color=shade)
        names = alt.Chart(frame).mark_text(dy=-11, color=INK, fontSize=10).encode(x=x, y=y, text="value:N")
        base = alt.Chart(pd.DataFrame({"way": [0.0]})).mark_rule(color=INK).encode(x="way:Q")
        return joined(
            "layer", [base, marks, names], width=width - (230 if width > 400 else 170), height=34 * len(order) + 10
        )

    return picture(title, f"Between the 5 % and 95 % values of one variable at a time, by planning anew.{still}", build)


def _row(one: Switch) -> str:
    return f"{_words(one.variable)}: {one.aspect}"


def regret_picture(found: RegretMatrix) -> Picture | None:
    """Regret of every candidate in every scenario: what is proven of it, and what the search found; None where nothing
    is to be regretted."""
    if not any(value > 0.0 and math.isfinite(value) for row in found.regret for value in row):
        return None
    rows = [
        {
            "plan": name, "scenario": f"in {scenario}", "found": found.regret[i][j] / 1e3,
            "proven": found.proven[i][j] / 1e3,
        }
        for i, name in enumerate(found.candidates)
        for j, scenario in enumerate(found.scenarios)
        if math.isfinite(found.regret[i][j])
    ]  # fmt: skip
    frame = pd.DataFrame(rows)
    order = list(found.candidates)
    title = f"Least regret: {found.least}"

    def build(width: int) -> Any:
        y = alt.Y("plan:N", sort=order, title=None, axis=alt.Axis(labelLimit=180))
        shade = alt.Color(
            "scenario:N", title=None, sort=[f"in {name}" for name in found.scenarios],
            scale=alt.Scale(range=[GREEN, BLUE, ORANGE, RED]),
        )  # fmt: skip
        offset = alt.YOffset("scenario:N", sort=[f"in {name}" for name in found.scenarios])
        title_x = "regret, thousand USD"
        thin = alt.Chart(frame).mark_bar(height=4, opacity=0.6).encode(
            y=y, yOffset=offset, x=alt.X("found:Q", title=title_x), color=shade
        )  # fmt: skip
        thick = alt.Chart(frame).mark_bar(height=10).encode(y=y, yOffset=offset, x="proven:Q", color=shade)
        bands = 16 * len(found.scenarios) * len(order)
        return joined("layer", [thin, thick], width=width - 200, height=bands)

    caption = (
        "Thin: as planned, everything but the commitments anew; thick: what is proven of it. A thin bar alone is "
        f"within the solver's gap (at most {found.gap_most:.1%})."
    )
    return picture(title, caption, build)


def _words(name: str) -> str:
    return name.replace("_", " ").replace("llm", "LLM")
