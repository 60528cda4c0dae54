"""Service curves of the plan's configurations, with knee and operating point, for the report."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from data.curve_records import ServiceCurve
from reports.charts import BLUE, GREEN, INK, ORANGE, RED, Picture, joined, picture


def curve_pictures(curves: tuple[ServiceCurve, ...], most: int = 3) -> list[Picture]:
    """One picture a curve, of the configurations with the most GPUs; the tables below have all of them."""
    return [_one(curve) for curve in curves[:most]]


def _one(curve: ServiceCurve) -> Picture:
    title = (
        f"{curve.configuration.label}: run at {curve.operating_rps:.2f} requests/s a replica; at {curve.knee_rps:.2f} "
        f"{curve.binding.upper()} breaks first"
    )
    first = next(iter(curve.slos.values()))
    served = [
        {"load": point.offered_rps, "what": what, "rps": value}
        for point in curve.points
        for what, value in (("served", point.served_rps), ("within SLO", point.goodput_rps))
    ]
    times = [
        {"load": point.offered_rps, "metric": metric, "line": f"{one.name} {name}", "value": value}
        for point in curve.points
        for one in point.classes
        for metric, three, scale in (("TTFT", one.ttft, 1.0), ("TPOT", one.tpot, 1e3))
        for name, value in (("p95", three.p95_s * scale), ("p99", three.p99_s * scale))
        if value == value
    ]
    limits = {
        "TTFT": max(s.ttft_s for s in curve.slos.values()),
        "TPOT": max(s.tpot_s for s in curve.slos.values()) * 1e3,
    }
    marks = pd.DataFrame(
        [{"load": curve.operating_rps, "at": "operating point"}, {"load": curve.knee_rps, "at": "knee"}]
    )
    top = max(point.offered_rps for point in curve.points)

    def build(width: int) -> Any:
        narrow = width < 400
        each = width - 90 if narrow else (width - 210) // 3
        x = alt.X("load:Q", title="offered, requests/s", scale=alt.Scale(domain=[0, top]), axis=alt.Axis(tickCount=5))
        at = alt.Scale(domain=["operating point", "knee"], range=[GREEN, RED])
        rules = (
            alt.Chart(marks)
            .mark_rule(strokeWidth=1.6, strokeDash=[5, 4])
            .encode(x=x, color=alt.Color("at:N", title=None, scale=at))
        )
        good = (
            alt.Chart(pd.DataFrame(served))
            .mark_line()
            .encode(
                x=x,
                y=alt.Y("rps:Q", title="requests/s"),
                stroke=alt.Stroke(
                    "what:N", title=None, scale=alt.Scale(domain=["served", "within SLO"], range=[ORANGE, BLUE])
                ),
            )
        )
        panels = [joined("layer", [rules, good], width=each, height=150, title="goodput")]
        for metric, unit in (("TTFT", "s"), ("TPOT", "ms")):
            frame = pd.DataFrame([row for row in times if row["metric"] == metric])
            limit = alt.Chart(pd.DataFrame([{"limit": limits[metric]}])).mark_rule(color=INK, strokeDash=[2, 2])
            scale = alt.Scale(domain=[0, 2.5 * limits[metric]])
            lines = (
                alt.Chart(frame)
                .mark_line(clip=True, color=BLUE)
                .encode(
                    x=x, y=alt.Y("value:Q", title=f"{metric}, {unit}", scale=scale),
                    strokeDash=alt.StrokeDash("line:N", title=None, legend=alt.Legend(symbolStrokeColor=BLUE)),
                )
            )  # fmt: skip
            over = [rules, limit.encode(y=alt.Y("limit:Q", scale=scale)), lines]
            panels.append(joined("layer", over, width=each, height=150, title=metric))
        return joined("vconcat" if narrow else "hconcat", panels)

    caption = (
        f"Dotted: the SLO's limit at {first.at}; past the knee requests are turned away by the admission "
        f"limits below, so times stay bounded. Found by {curve.method}; step time {curve.provenance}."
    )
    return picture(title, caption, build)
