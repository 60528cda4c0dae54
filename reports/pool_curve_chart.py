"""A pool's service curve as one picture: goodput, who is not served, TTFT and TPOT against offered load."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd
import vl_convert

from data.pool_curve_records import PoolCurve
from reports.charts import BLUE, GREEN, INK, ORANGE, PURPLE, RED, SKY

WIDTH, HEIGHT = 300, 240
PERCENTILES = ("p50", "p95", "p99")
FATES = {"rejected": ORANGE, "gave up": RED, "lost": PURPLE, "came again": SKY, "preemptions": INK}


def pool_curve_chart(curve: PoolCurve) -> Any:
    """The curve as an altair chart. Times are those of served requests, since they first asked."""
    load = alt.X("load:Q", title="offered load, requests/s")
    marks = [{"load": curve.knee_rps * curve.rules.replicas, "at": "knees of lone replicas"}]
    if curve.carries_rps:
        marks.append({"load": curve.carries_rps, "at": "SLO holds up to"})
    at = alt.Scale(domain=["SLO holds up to", "knees of lone replicas"], range=[GREEN, INK])
    rules = (
        alt.Chart(pd.DataFrame(marks))
        .mark_rule(strokeWidth=1.5, strokeDash=[5, 4])
        .encode(x="load:Q", stroke=alt.Stroke("at:N", title=None, scale=at))
    )
    panels = [
        _panel(rules, _goodput(curve, load), "Goodput, requests/s"),
        _panel(rules, _shares(curve, load), "Share of requests"),
    ]
    times = pd.DataFrame(
        [
            {"load": point.offered_rps, "class": name, "metric": metric, "percentile": label, "value": value * scale}
            for point in curve.points
            for name, told in ((one.times.name, one.times) for one in point.classes)
            for metric, three, scale in (("TTFT, s", told.ttft, 1.0), ("TPOT, ms", told.tpot, 1e3))
            for label, value in zip(PERCENTILES, (three.p50_s, three.p95_s, three.p99_s), strict=True)
        ]
    )
    for metric, limits in (
        ("TTFT, s", [slo.ttft_s for slo in curve.slos.values()]),
        ("TPOT, ms", [slo.tpot_s * 1e3 for slo in curve.slos.values()]),
    ):
        order = list(PERCENTILES)
        line = (
            alt.Chart(times[times["metric"] == metric].dropna())
            .mark_line(point=True, clip=True, color=BLUE)
            .encode(
                x=load,
                y=alt.Y("value:Q", title=None, scale=alt.Scale(domain=[0, max(limits) * 2.5])),
                opacity=alt.Opacity(
                    "percentile:N", title=None, sort=order, scale=alt.Scale(domain=order, range=[0.35, 0.65, 1.0])
                ),
                strokeDash=alt.StrokeDash("class:N", title=None),
            )
        )
        limit = alt.Chart(pd.DataFrame({"value": limits})).mark_rule(color=INK, strokeDash=[2, 2]).encode(y="value:Q")
        panels.append(_panel(rules, alt.layer(limit, line), metric))
    subtitle = [
        f"{curve.rules.replicas} replicas, {curve.rules.routing.replace('_', ' ')}; {curve.method}",
        "dotted: the SLO's limits; times are of served requests, since they first asked",
    ]
    title = alt.TitleParams(curve.configuration.label, subtitle=subtitle, anchor="start")
    rows = alt.vconcat(*(alt.hconcat(*row).resolve_scale(color="independent") for row in (panels[:2], panels[2:])))
    return rows.resolve_scale(stroke="shared", color="independent").properties(title=title)


def _panel(rules: Any, drawn: Any, title: str) -> Any:
    return alt.layer(rules, drawn).properties(width=WIDTH, height=HEIGHT, title=title)


def _goodput(curve: PoolCurve, load: Any) -> Any:
    """Goodput of every class beside what was served of all."""
    rows = [{"load": point.offered_rps, "what": "served", "rps": point.served_rps} for point in curve.points]
    rows += [
        {"load": point.offered_rps, "what": f"within SLO: {one.times.name}", "rps": one.goodput_rps}
        for point in curve.points
        for one in point.classes
    ]
    names = list(dict.fromkeys(str(row["what"]) for row in rows))
    colour = alt.Scale(domain=names, range=[ORANGE, BLUE, SKY, PURPLE, RED, GREEN][: len(names)])
    return _lines(rows, load, alt.Y("rps:Q", title=None), colour)


def _shares(curve: PoolCurve, load: Any) -> Any:
    """What became of those that were not served at once; preemptions a request."""
    rows = [
        {"load": point.offered_rps, "what": name, "share": share}
        for point in curve.points
        for name, share in zip(
            FATES, (point.rejected, point.timed_out, point.lost, point.retried, point.preemptions), strict=True
        )
    ]
    colour = alt.Scale(domain=list(FATES), range=list(FATES.values()))
    return _lines(rows, load, alt.Y("share:Q", title=None, axis=alt.Axis(format="%")), colour)


def _lines(rows: list[dict[str, Any]], load: Any, y: Any, colour: Any) -> Any:
    chart = alt.Chart(pd.DataFrame(rows)).mark_line(point=True)
    return chart.encode(x=load, y=y, color=alt.Color("what:N", title=None, scale=colour, legend=alt.Legend(columns=3)))


def pool_curve_svg(curve: PoolCurve) -> str:
    """The picture alone, on white."""
    spec = pool_curve_chart(curve).to_dict()
    spec["config"] = {"background": "white", "font": "system-ui, sans-serif", "legend": {"orient": "bottom"}}
    return str(vl_convert.vegalite_to_svg(spec))
