"""A service curve as one picture: goodput, TTFT and TPOT against offered load, with knee and operating point."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from data.curve_records import ServiceCurve
from reports.charts import BLUE, GREEN, INK, ORANGE, RED

WIDTH, HEIGHT = 300, 240
PERCENTILES = ("p50", "p95", "p99")


def curve_chart(curve: ServiceCurve) -> Any:
    """The curve as an altair chart. Times are those of served requests under the admission limits."""
    times = pd.DataFrame(
        [
            {"load": point.offered_rps, "class": one.name, "metric": metric, "percentile": name, "value": value * scale}
            for point in curve.points
            for one in point.classes
            for metric, three, scale in (("TTFT, s", one.ttft, 1.0), ("TPOT, ms", one.tpot, 1e3))
            for name, value in zip(PERCENTILES, (three.p50_s, three.p95_s, three.p99_s), strict=True)
        ]
    )
    limits = pd.DataFrame(
        [
            {"class": name, "metric": metric, "value": value * scale}
            for name, slo in curve.slos.items()
            for metric, value, scale in (("TTFT, s", slo.ttft_s, 1.0), ("TPOT, ms", slo.tpot_s, 1e3))
        ]
    )
    marks = pd.DataFrame(
        [{"load": curve.operating_rps, "at": "operating point"}, {"load": curve.knee_rps, "at": "knee"}]
    )
    at = alt.Scale(domain=["operating point", "knee"], range=[GREEN, RED])
    lines = alt.Chart(marks).mark_rule(strokeWidth=1.5, strokeDash=[5, 4])
    rules = lines.encode(x="load:Q", color=alt.Color("at:N", title=None, scale=at))
    load = alt.X("load:Q", title="offered load, requests/s")
    panels = [
        alt.layer(rules, _goodput(curve, load)).properties(width=WIDTH, height=HEIGHT, title="Goodput, requests/s")
    ]
    order = list(PERCENTILES)
    for metric in ("TTFT, s", "TPOT, ms"):
        seen = times[times["metric"] == metric].dropna()
        ceiling = float(limits.loc[limits["metric"] == metric, "value"].max()) * 2.5
        line = (
            alt.Chart(seen)
            .mark_line(point=True, clip=True, color=BLUE)
            .encode(
                x=load,
                y=alt.Y("value:Q", title=None, scale=alt.Scale(domain=[0, ceiling])),
                opacity=alt.Opacity(
                    "percentile:N", title=None, sort=order, scale=alt.Scale(domain=order, range=[0.35, 0.65, 1.0])
                ),
                strokeDash=alt.StrokeDash("class:N", title=None),
            )
        )
        limit = alt.Chart(limits[limits["metric"] == metric]).mark_rule(color=INK, strokeDash=[2, 2])
        panels.append(
            alt.layer(rules, limit.encode(y="value:Q"), line).properties(width=WIDTH, height=HEIGHT, title=metric)
        )
    first = next(iter(curve.slos.values()))
    subtitle = [
        f"knee {curve.knee_rps:.2f} requests/s, {curve.binding} breaks first; run at {curve.operating_rps:.2f}",
        f"dotted: the SLO's limits at {first.at}; at most {curve.limits.max_queue} may wait; {curve.method}",
    ]
    title = alt.TitleParams(curve.configuration.label, subtitle=subtitle, anchor="start")
    return alt.hconcat(*panels).resolve_scale(color="shared").properties(title=title)


def _goodput(curve: ServiceCurve, load: Any) -> Any:
    """Goodput beside what was served and what was offered."""
    rows = [
        {"load": point.offered_rps, "what": what, "rps": value}
        for point in curve.points
        for what, value in (("served", point.served_rps), ("within SLO", point.goodput_rps))
    ]
    colour = alt.Scale(domain=["served", "within SLO"], range=[ORANGE, BLUE])
    return (
        alt.Chart(pd.DataFrame(rows))
        .mark_line(point=True)
        .encode(
            x=load,
            y=alt.Y("rps:Q", title=None),
            stroke=alt.Stroke("what:N", title=None, scale=colour),
        )
    )


def curve_svg(curve: ServiceCurve) -> str:
    """The picture alone, on white."""
    spec = curve_chart(curve).to_dict()
    spec["config"] = {"background": "white", "font": "system-ui, sans-serif", "legend": {"orient": "bottom"}}
    return str(vl_convert.vegalite_to_svg(spec))
