"""Measured against predicted service curve: one picture that stands alone, as SVG and PNG."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from reports.charts import BLUE, INK, ORANGE, RED

WIDTH, HEIGHT = 380, 260
SERIES = ("measured", "catalog", "calibrated", "point left out")
COLOURS = (INK, ORANGE, BLUE, RED)
DASHES = ([1, 0], [5, 4], [1, 0], [0, 1])


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """Milliseconds of one point of a service curve, NaN where not known; the load is requests/s that were served."""

    load_rps: float
    metric: str
    """TTFT or TPOT."""
    statistic: str
    """median or p99."""
    measured_ms: float
    catalog_ms: float
    calibrated_ms: float
    left_out_ms: float


def chart(points: Sequence[CurvePoint], title: str, subtitle: str) -> Any:
    """The curve as an altair chart: TTFT and TPOT side by side; the median in full strength, p99 faint."""
    rows = []
    for p in points:
        values = (p.measured_ms, p.catalog_ms, p.calibrated_ms, p.left_out_ms)
        rows += [
            {"load": p.load_rps, "metric": p.metric, "statistic": p.statistic, "series": name, "ms": value}
            for name, value in zip(SERIES, values, strict=True)
            if value > 0 and not (name == SERIES[3] and p.statistic == "p99")
        ]
    frame = pd.DataFrame(rows, columns=["load", "metric", "statistic", "series", "ms"])
    wanted = [name for name in SERIES if name in set(frame["series"])]
    picked = [SERIES.index(name) for name in wanted]
    colour = alt.Color(
        "series:N", title=None, scale=alt.Scale(domain=wanted, range=[COLOURS[i] for i in picked]), sort=wanted
    )
    dash = alt.StrokeDash("series:N", title=None, scale=alt.Scale(domain=wanted, range=[DASHES[i] for i in picked]))
    shape = alt.Shape(
        "series:N",
        title=None,
        scale=alt.Scale(domain=wanted, range=[("circle", "square", "triangle-up", "cross")[i] for i in picked]),
        sort=wanted,
    )
    strength = alt.Opacity(
        "statistic:N", title=None, scale=alt.Scale(domain=["median", "p99"], range=[1.0, 0.3]), sort=["median", "p99"]
    )

    def panel(metric: str) -> Any:
        mine = frame[frame["metric"] == metric]
        x = alt.X("load:Q", title="requests/s served", scale=alt.Scale(zero=True), axis=alt.Axis(tickCount=6))
        y = alt.Y("ms:Q", title=f"{metric}, ms", scale=alt.Scale(zero=True))
        if metric == "TTFT":
            # Queues make TTFT span decades: a few rules in each.
            low, high = mine["ms"].min() / 1.4, mine["ms"].max() * 1.4
            digits = (1, 3) if high > 30.0 * low else (1, 2, 5)
            rules = [digit * 10.0**power for power in range(-1, 7) for digit in digits]
            scale = alt.Scale(type="log", domain=[low, high], nice=False)
            y = alt.Y(
                "ms:Q", title="TTFT, ms", scale=scale, axis=alt.Axis(values=[r for r in rules if low <= r <= high])
            )
        base = alt.Chart(mine).encode(x=x, y=y, color=colour, opacity=strength, detail="statistic:N")
        lines = alt.Chart(mine[mine["series"] != SERIES[3]]).mark_line(strokeWidth=1.8)
        line = lines.encode(x=x, y=y, color=colour, opacity=strength, strokeDash=dash, detail="statistic:N")
        dots = base.mark_point(filled=True, size=46).encode(shape=shape)
        return (line + dots).properties(width=WIDTH, height=HEIGHT)

    both = alt.hconcat(panel("TTFT"), panel("TPOT"), spacing=30)
    return both.properties(title=alt.TitleParams(title, subtitle=subtitle, anchor="start"))


def _spec(figure: Any) -> dict[str, Any]:
    spec: dict[str, Any] = figure.to_dict()
    spec["config"] = {
        "background": "white",
        "padding": 14,
        "font": "Helvetica, Arial, sans-serif",
        "view": {"stroke": None},
        "axis": {"labelFontSize": 11, "titleFontSize": 12, "titleFontWeight": "normal", "gridColor": "#e4e4e4"},
        "legend": {"labelFontSize": 12, "orient": "top", "columnPadding": 22, "symbolSize": 70},
        "title": {"fontSize": 15, "subtitleFontSize": 12, "subtitleColor": "#555555", "offset": 10},
    }
    return spec


def svg(figure: Any) -> str:
    """The picture as SVG on white."""
    return str(vl_convert.vegalite_to_svg(_spec(figure)))


def png(figure: Any) -> bytes:
    """The picture as PNG on white, twice as fine as the screen."""
    return bytes(vl_convert.vegalite_to_png(_spec(figure), scale=2.0))
