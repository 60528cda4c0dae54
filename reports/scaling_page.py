"""Scaling as a section of a page: for every pool a statement, tables and one picture. The template is
`templates/_scaling.html.j2`, which reads a variable `scaling`: what `sections` returns, or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from importlib import metadata
from typing import Any

import altair as alt
import numpy as np
import pandas as pd
from jinja2 import Environment, FileSystemLoader, StrictUndefined, select_autoescape
from markupsafe import Markup

from data.scaling_records import PoolScaling, Timeline
from reports import scaling
from reports.charts import BLUE, INK, ORANGE, Picture, picture
from reports.page import TEMPLATES

SPAN_S = 3 * 3600.0
"""What the picture shows about the burst."""


@dataclass(frozen=True, slots=True)
class ScalingSection:
    """One pool in words, rows and a picture."""

    title: str
    statement: str
    kinds: scaling.Rows
    days: scaling.Rows
    figure: Picture


@dataclass(frozen=True, slots=True)
class ScalingPage:
    """The table of all pools, and each of them; heads are column names and which of them hold numbers."""

    pools: scaling.Rows
    sections: tuple[ScalingSection, ...]
    pool_head: tuple[str, ...] = scaling.POOL_HEAD
    kind_head: tuple[str, ...] = scaling.KIND_HEAD
    day_head: tuple[str, ...] = scaling.TRACE_HEAD


def page(pools: Sequence[PoolScaling]) -> ScalingPage | None:
    """What the template needs; None where nothing was scaled."""
    if not pools:
        return None
    return ScalingPage(scaling.pool_rows(pools), tuple(_section(pool) for pool in pools))


def render(pools: Sequence[PoolScaling]) -> str:
    """The section as a page of its own, self-contained; user texts are escaped by the template."""
    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=select_autoescape(["html", "j2"]),
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    late = sum(not pool.kinds[0].best.holds for pool in pools)
    holds = sum(pool.chosen.holds for pool in pools)
    return environment.get_template("scaling.html.j2").render(
        scaling=page(pools),
        css=Markup((TEMPLATES / "report.css").read_text(encoding="utf-8")),
        title=f"{holds} of {len(pools)} pools hold their SLO when scaled; plain reaction is too late in {late}",
        version=metadata.version("fleetcast"),
    )


def _section(pool: PoolScaling) -> ScalingSection:
    return ScalingSection(
        title=f"{pool.configuration.label} in {pool.region}",
        statement=pool.statement,
        kinds=scaling.kind_rows(pool),
        days=scaling.trace_rows(pool.chosen),
        figure=burst_picture(pool),
    )


def burst_picture(pool: PoolScaling) -> Picture:
    """Load against what the ready replicas carry at their knee, with the chosen policy and with plain reaction, about
    the time in which plain reaction has the least to spare."""
    lines = dict(pool.timelines)
    plain = lines["reaction"]
    spare = plain.ready * pool.facts.knee_rps - plain.load_rps
    middle = float(plain.seconds[int(np.argmin(spare))])
    last = float(plain.seconds[-1])
    begin = min(max(middle - SPAN_S / 2, 0.0), max(last - SPAN_S, 0.0))
    rows = _rows("load", plain, plain.load_rps, begin)
    names = {"chosen": f"carried: {pool.chosen_kind}", "reaction": "carried: plain reaction"}
    for key, name in names.items():
        rows += _rows(name, lines[key], lines[key].ready * pool.facts.knee_rps, begin)
    frame = pd.DataFrame(rows)
    reaction = next(kind.best for kind in pool.kinds if kind.name == "reaction")
    short = max(row.short_s for row in reaction.verdicts)
    order = ["load", names["chosen"], names["reaction"]]
    missed = f"is short of capacity for {scaling.minutes(short)}" if short else "carries it"
    title = f"{pool.llm} in {pool.region}, {pool.pictured}: plain reaction {missed}"

    def build(width: int) -> Any:
        colour = alt.Scale(domain=order, range=[INK, BLUE, ORANGE])
        dash = alt.Scale(domain=order, range=[[1, 0], [1, 0], [5, 3]])
        return (
            alt.Chart(frame)
            .mark_line(interpolate="step-after", clip=True)
            .encode(
                x=alt.X("hour:Q", title="hour of the day", axis=alt.Axis(format=".1f"), scale=alt.Scale(zero=False)),
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


def _rows(what: str, line: Timeline, values: Any, begin: float) -> list[dict[str, Any]]:
    keep = (line.seconds >= begin) & (line.seconds <= begin + SPAN_S)
    return [
        {"what": what, "hour": float(at) / 3600.0, "rps": float(value)}
        for at, value in zip(line.seconds[keep], values[keep], strict=True)
    ]
