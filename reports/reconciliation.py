"""A reconciliation as one HTML file: waterfalls as pictures, and the tables beside them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
from markupsafe import Markup

from reports.charts import BLUE, GREEN, INK, ORANGE, Picture, picture
from reports.layout import lay_out

NUMBER = re.compile(r"(?:[+-]?[\d,.]+(?: ?%)?)?")


@dataclass(frozen=True, slots=True)
class Step:
    """One cause of a miss, in the miss's own unit; measured is False where it was taken as planned; rest: what no cause
    explains."""

    label: str
    amount: float
    measured: bool
    rest: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """A table with its heading; prose: its last column is text that may wrap."""

    heading: str
    head: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    prose: bool = False

    @property
    def numeric(self) -> frozenset[int]:
        """Columns that hold numbers only: they stand right-aligned."""
        columns = list(zip(*self.rows, strict=True))
        return frozenset(i for i, cells in enumerate(columns) if any(cells) and all(map(NUMBER.fullmatch, cells)))


def waterfall_frame(planned: float, actual: float, steps: Sequence[Step]) -> pd.DataFrame:
    """Bars from left to right: label, low and high end, kind (total, more, less), text; unmeasured causes are left out.

    The last bar ends where the steps lead, which is `actual` when they add up.
    """
    rows = [{"label": "planned", "start": 0.0, "end": planned, "kind": "total", "text": f"{planned:,.0f}"}]
    level = planned
    for step in steps:
        if not step.measured:
            continue
        kind = "more" if step.amount > 0 else "less"
        rows.append(
            {
                "label": step.label,
                "start": level,
                "end": level + step.amount,
                "kind": kind,
                "text": f"{step.amount:+,.0f}",
            }
        )
        level += step.amount
    rows.append({"label": "actual", "start": 0.0, "end": actual, "kind": "total", "text": f"{actual:,.0f}"})
    return pd.DataFrame(rows)


def waterfall(what: str, unit: str, planned: float, actual: float, steps: Sequence[Step], note: str) -> Picture:
    """The waterfall of a miss as a picture; its title names the largest cause."""
    frame = waterfall_frame(planned, actual, steps)
    told = [step for step in steps if step.measured and step.amount != 0.0 and not step.rest]
    largest = max(told, key=lambda step: abs(step.amount), default=None)
    title = f"{what[:1].upper()}{what[1:]}: {actual:,.0f} {unit} against {planned:,.0f} planned" + (
        "" if largest is None else f"; the largest cause is {largest.label} ({largest.amount:+,.0f})"
    )
    order = frame["label"].tolist()
    unheard = [step.label for step in steps if not step.measured]
    caption = note + (f"; not measured: {', '.join(unheard)}" if unheard else "")

    def build(width: int) -> Any:
        base = alt.Chart(frame).encode(y=alt.Y("label:N", sort=order, title=None))
        colour = alt.Color(
            "kind:N",
            scale=alt.Scale(domain=["total", "more", "less"], range=[BLUE, ORANGE, GREEN]),
            legend=alt.Legend(title=None),
        )
        bars = base.mark_bar().encode(
            x=alt.X("start:Q", title=unit, axis=alt.Axis(tickCount=max(width // 150, 2))), x2="end:Q", color=colour
        )
        labels = (
            base.mark_text(align="left", dx=4, color=INK)
            .encode(x=alt.X("right:Q"), text="text:N")
            .transform_calculate(right="max(datum.start, datum.end)")
        )
        return (bars + labels).properties(width=width - 190, height=26 * len(frame))

    return picture(title, caption, build)


def reconciliation_page(
    title: str, lead: str, pictures: Sequence[Picture], sections: Sequence[Section], notes: Sequence[str]
) -> str:
    """The whole page, self-contained."""
    drawn = [(one.title, one.caption, Markup(one.wide), Markup(one.narrow)) for one in pictures]
    return lay_out("reconciliation.html.j2", title=title, lead=lead, pictures=drawn, sections=sections, notes=notes)
