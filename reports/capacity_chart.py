"""Capacity against demand through time: every reserve a band of its own, demand on top."""

from __future__ import annotations

from typing import Any

import altair as alt
import numpy as np
import pandas as pd

from reports.bundle import PlanBundle
from reports.charts import BANDS, INK, STEADY, Picture, band_scale, joined, picture
from reports.decision import quantile


def capacity_rows(bundle: PlanBundle, llm: str) -> pd.DataFrame:
    """month, band, rps: what the replicas of an LLM carry at their operating point, by what they are for."""
    rows = [
        {"month": pool.month, "band": band, "rps": replicas * pool.operating_rps_per_replica}
        for pool in bundle.plan.pools
        if pool.configuration.llm == llm
        for band, replicas in {STEADY: pool.steady_replicas, **pool.reserve}.items()
        if replicas
    ]
    frame = pd.DataFrame(rows, columns=["month", "band", "rps"])
    return frame.groupby(["month", "band"])["rps"].sum().reset_index()


def peak_rows(bundle: PlanBundle, llm: str) -> pd.DataFrame:
    """month, what, rps: peak demand of an LLM over all regions, at the median and at the planned quantile."""
    demand = bundle.problem.demand
    mine = [i for i, key in enumerate(demand.series) if key.llm == llm]
    peaks, p = demand.rps[mine, :, 0, :].sum(axis=0), np.asarray(demand.probabilities)
    level = bundle.problem.planning_quantile
    return pd.DataFrame(
        [
            {"month": month, "what": what, "rps": quantile(peaks[m], p, q)}
            for m, month in enumerate(demand.months)
            for what, q in (("median peak", 0.5), (f"{level:.0%} peak", level))
        ]
    )


def capacity_against_demand(bundle: PlanBundle, most: int = 4) -> list[Picture]:
    """One picture an LLM, those with the most GPUs first."""
    gpus: dict[str, int] = {}
    for pool in bundle.plan.pools:
        gpus[pool.configuration.llm] = gpus.get(pool.configuration.llm, 0) + pool.gpus
    return [_one(bundle, llm) for llm in sorted(gpus, key=lambda one: -gpus[one])[:most]]


def _one(bundle: PlanBundle, llm: str) -> Picture:
    bands, peaks = capacity_rows(bundle, llm), peak_rows(bundle, llm)
    bands["order"] = bands["band"].map(list(BANDS).index)
    planned = f"{bundle.problem.planning_quantile:.0%} peak"
    total = bands.groupby("month")["rps"].sum()
    needed = peaks[peaks["what"] == planned].set_index("month")["rps"]
    spare = (total / needed).reindex(needed.index).fillna(0.0)
    worst = str(spare.idxmin())
    over = float(spare[worst]) - 1.0
    verdict = f"at least {over:.0%} above" if over >= 0 else f"{-over:.0%} below"
    title = f"{llm}: capacity is {verdict} the {planned} in every month, tightest in {worst}"
    if over < 0:
        title = f"{llm}: capacity is {verdict} the {planned} in {worst}"

    def build(width: int) -> Any:
        x = alt.X("month:N", title="month", axis=alt.Axis(labelAngle=0 if len(total) * 60 < width else -90))
        y_title = "requests/s at the operating point"
        bars = (
            alt.Chart(bands)
            .mark_bar(size=min(60, 0.6 * (width - 90) / max(len(total), 1)))
            .encode(
                x=x, y=alt.Y("rps:Q", title=y_title), order="order:Q",
                color=alt.Color("band:N", title=None, scale=band_scale(set(bands["band"]))),
            )
        )  # fmt: skip
        marks = (
            alt.Chart(peaks)
            .mark_point(filled=True, size=80, color=INK, opacity=1)
            .encode(
                x=x, y=alt.Y("rps:Q", title=y_title),
                shape=alt.Shape(
                    "what:N", title=None, legend=alt.Legend(orient="bottom"),
                    scale=alt.Scale(domain=["median peak", planned], range=["circle", "triangle-up"]),
                ),
            )
        )  # fmt: skip
        return joined("layer", [bars, marks], width=width - 90, height=200)

    caption = (
        "Bars: what the planned replicas carry, by what they are for; marks: the peak 10 minutes of demand over all "
        "regions, in the demand scenarios. Reserves are there for a loss, so they do not count as room to grow."
    )
    return picture(title, caption, build)
