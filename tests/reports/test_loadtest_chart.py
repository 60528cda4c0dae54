"""The picture of a service curve shows every series and draws what it was given."""

from __future__ import annotations

import math

from reports.loadtest_chart import CurvePoint, chart, svg

POINTS = [
    CurvePoint(rate, metric, statistic, 10.0 * rate, 8.0 * rate, 9.5 * rate, 9.0 * rate)
    for rate in (1.0, 4.0, 9.0)
    for metric in ("TTFT", "TPOT")
    for statistic in ("median", "p99")
]


def test_every_series_is_named_in_the_picture() -> None:
    text = svg(chart(POINTS, "A finding", "what it is about"))
    for name in ("A finding", "what it is about", "measured", "catalog", "calibrated", "point left out", "TTFT, ms"):
        assert name in text


def test_what_is_not_known_is_not_drawn() -> None:
    nothing = [
        CurvePoint(p.load_rps, p.metric, p.statistic, p.measured_ms, math.nan, math.nan, math.nan) for p in POINTS
    ]
    text = svg(chart(nothing, "A finding", ""))
    assert "measured" in text
    assert "calibrated" not in text
