"""Scaling as a section of a page: for every pool a statement, tables and one picture. The template is
`templates/_scaling.html.j2`, which reads a variable `scaling`: what `sections` returns, or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date
from importlib import metadata
from typing import Any

import altair as alt
import pandas as pd

from data.scaling_records import PoolScaling, Timeline
from reports import scaling, standing
from reports.charts import BLUE, INK, ORANGE, Picture, picture
from reports.layout import lay_out
from reports.tables import without_empty

PICTURES = 2
"""Pools that are drawn, the most doubtful first; the others are told in words and tables."""


@dataclass(frozen=True, slots=True)
class ScalingSection:
    """One pool in words, rows and a picture."""

    title: str
    statement: str
    kinds: scaling.Rows
    days: scaling.Rows
    figure: Picture | None


@dataclass(frozen=True, slots=True)
class ScalingPage:
    """The table of all pools, and each of them; heads are column names and which of them hold numbers."""

    title: str
    how: str
    pools: tuple[list[str], scaling.Rows, list[int]]
    sections: tuple[ScalingSection, ...]
    kind_head: tuple[str, ...] = scaling.KIND_HEAD
    day_head: tuple[str, ...] = scaling.TRACE_HEAD


def page(pools: Sequence[PoolScaling]) -> ScalingPage | None:
    """What the template needs; None where nothing was scaled."""
    if not pools:
        return None
    late = sum(not pool.kinds[0].best.holds for pool in pools)
    holds = sum(pool.chosen.holds for pool in pools)
    most = max(pools, key=lambda one: one.policies)
    burst = most.burst
    return ScalingPage(
        f"{holds} of {len(pools)} pools hold their SLO when scaled; plain reaction is too late in {late}",
        f"Held against {len(most.chosen.verdicts)} days: the busiest at the peak of every demand scenario up to the "
        f"design, and a burst of {burst.factor:g} times the load within {scaling.minutes(burst.ramp_s)}, for "
        f"{scaling.minutes(burst.hold_s)}, at the steepest rise, the peak and the trough; "
        f"{scaling.minutes(burst.short_s)} of a day may be short of capacity. "
        f"{most.policies} policies a pool; {most.method}.",
        without_empty(scaling.POOL_HEAD, scaling.pool_rows(pools), scaling.POOL_NUMBERS),
        tuple(_section(pool, number < PICTURES) for number, pool in enumerate(ranked(pools))),
    )


def ranked(pools: Sequence[PoolScaling]) -> list[PoolScaling]:
    """Those first in which no policy holds, then those in which reaction alone does not, then the dearest."""
    return sorted(pools, key=lambda one: (one.chosen.holds, one.kinds[0].best.holds, -one.chosen.usd_per_day))


def render(pools: Sequence[PoolScaling], today: date, unscaled: Sequence[str] = ()) -> str:
    """The section as a page of its own, self-contained; user texts are escaped by the template."""
    return lay_out(
        "scaling.html.j2", scaling=page(pools), unscaled=unscaled, thresholds=(), version=metadata.version("fleetcast"),
        standing=standing.of_scaling(pools, today).lines,
    )  # fmt: skip


def _section(pool: PoolScaling, pictured: bool) -> ScalingSection:
    return ScalingSection(
        title=f"{pool.configuration.label} in {pool.region}",
        statement=pool.statement,
        kinds=scaling.kind_rows(pool),
        days=scaling.trace_rows(pool.chosen),
        figure=burst_picture(pool) if pictured else None,
    )


def burst_picture(pool: PoolScaling) -> Picture:
    """Load against what the ready replicas carry at their knee, with the chosen policy and with plain reaction, about
    the time in which plain reaction has the least to spare."""
    lines = dict(pool.timelines)
    rows = _rows("load", lines["reaction"], lines["reaction"].load_rps)
    names = {"chosen": f"carried: {pool.chosen_kind}", "reaction": "carried: plain reaction"}
    for key, name in names.items():
        rows += _rows(name, lines[key], lines[key].ready * pool.facts.knee_rps)
    frame = pd.DataFrame(rows)
    reaction = next(kind.best for kind in pool.kinds if kind.name == "reaction")
    short = max(row.short_s for row in reaction.verdicts)
    order = ["load", names["chosen"], names["reaction"]]
    missed = f"is short of capacity for {scaling.minutes(short)}" if short else "carries it"
    title = f"{pool.llm} in {pool.region}, {pool.pictured}: plain reaction {missed}"

    span = [float(frame["hour"].min()), float(frame["hour"].max())]
    halves = [half / 2 for half in range(math.ceil(span[0] * 2), math.floor(span[1] * 2) + 1)]

    def build(width: int) -> Any:
        colour = alt.Scale(domain=order, range=[INK, BLUE, ORANGE])
        clock = alt.Axis(values=halves, labelExpr="floor(datum.value) + (datum.value % 1 ? ':30' : ':00')")
        dash = alt.Scale(domain=order, range=[[1, 0], [1, 0], [5, 3]])
        return (
            alt.Chart(frame)
            .mark_line(interpolate="step-after", clip=True)
            .encode(
                x=alt.X("hour:Q", title="hour of the day (UTC)", axis=clock, scale=alt.Scale(domain=span, nice=False)),
                y=alt.Y("rps:Q", title="requests/s"),
                color=alt.Color("what:N", title=None, scale=colour),
                strokeDash=alt.StrokeDash("what:N", title=None, scale=dash),
            )
            .properties(width=width - 80, height=190)
        )

    caption = (
        f"Ready replicas times {pool.facts.knee_rps:.1f} requests/s at the knee; a new replica serves "
        f"{scaling.minutes(pool.start_up.cold_s)} after it is ordered."
    )
    return picture(title, caption, build)


def _rows(what: str, line: Timeline, values: Any) -> list[dict[str, Any]]:
    return [
        {"what": what, "hour": float(at) / 3600.0, "rps": float(value)}
        for at, value in zip(line.seconds, values, strict=True)
    ]
