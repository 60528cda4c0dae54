"""Charts as static SVG: no script, so they work in mail, print and offline. Each comes wide and narrow.

Colours are Okabe and Ito's (2008), told apart by the colour-blind; text and lines take the page's own colour, so that
dark mode and print need no second picture.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Literal

import altair as alt
import numpy as np
import pandas as pd
import vl_convert
from altair.utils import schemapi

from data.forecast_records import SeriesForecast
from reports.bundle import PlanBundle
from reports.machine import usd_per_million_requests

BLUE, ORANGE, GREEN, RED, PURPLE, SKY, YELLOW = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#F0E442",
)  # fmt: skip
STEADY = "steady load"
BANDS = {
    STEADY: BLUE, "failure (N+k)": ORANGE, "rollout": GREEN, "canary": SKY, "maintenance": PURPLE, "warm": YELLOW,
    "zone": RED, "region": "#999999",
}  # fmt: skip
"""Replicas by purpose."""
INK, GRID = "#111111", "#dddddd"
WIDE, NARROW = 960, 340
CHECKED = False
"""Whether altair holds every chart against the schema of Vega-Lite, which takes as long as drawing it: tests do."""
DRAWING = ThreadPoolExecutor(1, thread_name_prefix="charts")
"""Charts are drawn here while the next one is put together: the renderer is native code and lets Python go on."""


@dataclass(frozen=True, slots=True)
class Picture:
    """One chart: its finding as a title, what is drawn, both widths as SVG."""

    title: str
    caption: str
    drawn: tuple[Future[str], Future[str]]

    @property
    def wide(self) -> str:
        return self.drawn[0].result()

    @property
    def narrow(self) -> str:
        return self.drawn[1].result()


def _svg(spec: dict[str, Any], width: int) -> str:
    """A chart at a width, its ink as currentColor and its grid as a CSS variable."""
    spec["config"] = {
        "background": "transparent",
        # Room for text that a reader's font draws wider than the one that was measured.
        "padding": {"left": 18, "right": 18, "top": 4, "bottom": 4},
        "font": "system-ui, sans-serif",
        "view": {"stroke": None},
        "axis": {
            "labelColor": INK, "titleColor": INK, "domainColor": INK, "tickColor": INK, "gridColor": GRID,
            "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 0, "titleLimit": 0,
        },
        "legend": {
            "labelColor": INK, "titleColor": INK, "labelFontSize": 12, "titleFontSize": 12, "orient": "top",
            "titleFontWeight": "normal", "columns": 1 if width < 400 else 0, "labelLimit": 0, "titleLimit": 0,
            "columnPadding": 28,
        },
        "header": {"labelColor": INK, "titleColor": INK, "labelFontSize": 12, "labelLimit": 0},
    }  # fmt: skip
    svg = str(vl_convert.vegalite_to_svg(spec))
    svg = (
        svg.replace(f'"{INK}"', '"currentColor"')
        .replace(f'"{GRID}"', '"var(--grid)"')
        .replace(f'"{BLUE}"', '"var(--blue)"')
    )
    # The figure around it carries the accessible name; two copies of one would be read twice.
    return re.sub(r"<svg ", '<svg aria-hidden="true" focusable="false" ', svg, count=1)


def as_spec(chart: Any) -> dict[str, Any]:
    """A chart as Vega-Lite, or what is that already."""
    if isinstance(chart, dict):
        return chart
    spec: dict[str, Any] = chart.to_dict(validate=CHECKED)
    return {key: value for key, value in spec.items() if key not in ("$schema", "config")}


def joined(how: Literal["layer", "hconcat", "vconcat"], parts: Sequence[Any], **properties: Any) -> dict[str, Any]:
    """Charts over or beside each other, their data at the top. altair's own `layer` and `concat` copy every part
    several times over, which takes longer than drawing."""
    specs = [as_spec(part) for part in parts]
    data: dict[str, Any] = {}
    for spec in specs:
        data |= spec.pop("datasets", {})
    return {how: specs, "datasets": data, **properties}


def picture(title: str, caption: str, build: Callable[[int], Any]) -> Picture:
    """A chart in both widths; build takes the width in pixels and gives a chart of altair or a specification."""
    with schemapi.debug_mode(CHECKED):
        specs = {width: as_spec(build(width)) for width in (WIDE, NARROW)}
    wide, narrow = (DRAWING.submit(_svg, spec, width) for width, spec in specs.items())
    return Picture(title, caption, (wide, narrow))


def band_scale(shown: set[str]) -> Any:
    """The colours of the purposes that are shown."""
    known = [name for name in BANDS if name in shown]
    return alt.Scale(domain=known, range=[BANDS[name] for name in known])


def demand_fans(bundle: PlanBundle, most: int = 4) -> list[Picture]:
    """History and forecast of the largest series, by day, with the 80 % and 98 % bands the levels allow."""
    ranked = sorted(bundle.forecast.series, key=lambda one: -one.monthly_total[0].sum())[:most]
    return [fan(bundle.history.frame, one) for one in ranked]


def fan(frame: pd.DataFrame, one: SeriesForecast) -> Picture:
    """History and forecast of one series by day; frame: the history of all."""
    key, levels = one.key, np.asarray(one.levels)
    mine = frame[(frame.llm == key.llm) & (frame.request_class == key.request_class) & (frame.region == key.region)]
    past = (mine.set_index("ts")["requests"].resample("D").mean() / 3600).dropna().reset_index()
    past["ts"] = past["ts"].dt.tz_convert(None)
    hourly = pd.DataFrame(one.hourly / 3600, index=pd.DatetimeIndex(one.hours))
    daily = hourly.resample("D").mean()
    low, high = int(np.argmin(levels)), int(np.argmax(levels))
    middle = int(np.argmin(np.abs(levels - 0.5)))
    band = pd.DataFrame(
        {
            "ts": daily.index,
            "low": daily[low].to_numpy(),
            "mid": daily[middle].to_numpy(),
            "high": daily[high].to_numpy(),
        }
    )
    now, then = float(past["requests"].tail(28).mean()), float(band["mid"].tail(28).mean())
    change = then / now - 1 if now else 0.0
    moved = f"{change:+.0%}" if abs(change) >= 0.005 else "unchanged"
    title = f"{key.request_class} from {key.region}: {now:.3g} requests/s now, {then:.3g} forecast ({moved})"

    def build(width: int) -> Any:
        y = alt.Y("requests:Q", title="requests/s, daily mean", scale=alt.Scale(zero=True))
        x = alt.X("ts:T", title=None, axis=alt.Axis(format="%b %Y", tickCount=4 if width < 400 else 7))
        history = alt.Chart(past).mark_line(color=INK, strokeWidth=1.2).encode(x=x, y=y)
        area = alt.Chart(band).mark_area(color=BLUE, opacity=0.25).encode(x=x, y="low:Q", y2="high:Q")
        median = alt.Chart(band).mark_line(color=BLUE, strokeWidth=1.6).encode(x=x, y="mid:Q")
        return joined("layer", [area, median, history], width=width - 70, height=190)

    caption = (
        f"{key.llm}. Line: history, then the median forecast; band: {levels[low]:.0%} to {levels[high]:.0%} of hourly "
        f"paths, averaged by day. Grade {one.grade}: {one.reason}."
    )
    return picture(title, caption, build)


def fleet_by_purpose(bundle: PlanBundle) -> Picture | None:
    """GPUs by month and region, by what they are for."""
    rows = [
        {"month": p.month, "region": p.region, "purpose": name, "order": order, "GPUs": n * p.configuration.gpus}
        for p in bundle.plan.pools
        for order, (name, n) in enumerate({STEADY: p.steady_replicas, **p.reserve}.items())
        if n
    ]
    if not rows:
        return None
    frame = pd.DataFrame(rows).groupby(["month", "region", "purpose", "order"], as_index=False)["GPUs"].sum()
    total = frame.groupby("month")["GPUs"].sum()
    reserve = frame[frame.purpose != STEADY]["GPUs"].sum() / frame["GPUs"].sum()
    title = f"{total.max():,} GPUs in the largest month, {reserve:.0%} of them in reserve"

    def build(width: int) -> Any:
        regions = list(frame.region.unique())
        each = (width - 90) / len(regions) - 12
        bars = (
            alt.Chart(frame)
            .mark_bar()
            .encode(
                x=alt.X("month:N", title=None, axis=alt.Axis(labelAngle=-90 if width < 400 else 0)),
                y=alt.Y("GPUs:Q", title="GPUs"),
                color=alt.Color(
                    "purpose:N",
                    title=None,
                    scale=band_scale(set(frame.purpose)),
                ),
                order="order:Q",
            )
            .properties(width=max(each, 80), height=190)
        )
        return bars.facet(column=alt.Column("region:N", title=None))

    return picture(title, "Replicas of the design scenario times the GPUs of a replica.", build)


def cost_by_scenario(bundle: PlanBundle) -> Picture | None:
    """Cash of the horizon in every demand scenario."""
    usd, p = bundle.plan.scenario_usd, bundle.problem.demand.probabilities
    if len(usd) < 2:
        return None
    edges = np.concatenate([[0.0], np.cumsum(p)])
    frame = pd.DataFrame({"low": edges[:-1], "high": edges[1:], "usd": np.asarray(usd) / 1e3, "zero": 0.0})
    frame["which"] = np.where(np.arange(len(usd)) == bundle.plan.design_scenario, "design scenario", "other scenarios")
    mean = float((np.asarray(usd) * p).sum())
    title = f"Expected cash of {mean / 1e3:,.0f} thousand USD; {max(usd) / 1e3:,.0f} in the most loaded scenario"

    def build(width: int) -> Any:
        return (
            alt.Chart(frame)
            .mark_rect(stroke=GRID)
            .encode(
                x=alt.X("low:Q", title="cumulative probability of demand", axis=alt.Axis(format="%", tickCount=5)),
                x2="high:Q",
                y=alt.Y("zero:Q", title="thousand USD over the horizon"),
                y2="usd:Q",
                color=alt.Color(
                    "which:N",
                    title=None,
                    scale=alt.Scale(domain=["design scenario", "other scenarios"], range=[ORANGE, SKY]),
                ),
            )
            .properties(width=width - 80, height=170)
        )

    return picture(title, "Each block is a demand scenario, as wide as it is likely.", build)


def configurations(bundle: PlanBundle, most: int = 9) -> list[Picture]:
    """For every served class, what a million requests cost on the best configurations, the chosen ones marked."""
    prices: dict[str, float] = {}
    for offer in bundle.problem.offers:
        prices[offer.gpu] = min(offer.usd_per_gpu_h, prices.get(offer.gpu, float("inf")))
    running = {pool.configuration for pool in bundle.plan.pools}
    wanted = {(k.llm, k.request_class) for k in bundle.problem.demand.series}
    pictures = []
    for llm, name in sorted(wanted):
        rows = [
            {
                "label": f"{c.gpu} {c.precision} {c.layout}",
                "usd": usd_per_million_requests(prices[c.gpu], c.gpus, row.operating_rps),
                "in the plan": "runs in this plan" if c in running else "does not run",
            }
            for row in bundle.capacity.feasible()
            if (c := row.configuration).llm == llm and row.request_class == name and c.gpu in prices
        ]
        if not rows:
            continue
        frame = pd.DataFrame(rows).sort_values("usd")
        chosen = frame[frame["in the plan"] == "runs in this plan"]
        frame = pd.concat([frame.head(most), chosen]).drop_duplicates("label").sort_values("usd")
        title = f"{name}: {len(rows)} configurations of {llm} hold the SLO; the cheapest is {frame.label.iloc[0]}"

        def build(width: int, frame: pd.DataFrame = frame) -> Any:
            return (
                alt.Chart(frame)
                .mark_bar()
                .encode(
                    y=alt.Y("label:N", sort=list(frame.label), title=None),
                    x=alt.X("usd:Q", title="USD a million requests at the operating point", axis=alt.Axis(tickCount=5)),
                    color=alt.Color(
                        "in the plan:N",
                        title=None,
                        scale=alt.Scale(domain=["runs in this plan", "does not run"], range=[GREEN, SKY]),
                    ),
                )
                .properties(width=width - 190, height=20 * len(frame))
            )

        caption = "At each GPU's cheapest price in the plan's markets; reserves, quotas and rounding decide the rest."
        pictures.append(picture(title, caption, build))
    return pictures
