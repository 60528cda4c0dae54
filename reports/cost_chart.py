"""The full cost as a waterfall: from steady serving through waste, reserves and idle time to the whole bill."""

from __future__ import annotations

from typing import Any

import altair as alt
import pandas as pd

from data.cost_records import IDLE, STEADY, WASTED, CostReport
from reports.charts import BLUE, GREEN, INK, ORANGE, SKY, Picture, joined, picture

KINDS = {"serving": GREEN, "reserve, waste, idle": ORANGE, "everything else": SKY, "total": BLUE}
COMPUTE = ("compute", "power and cooling")


def cost_steps(report: CostReport) -> pd.DataFrame:
    """label, start, end, kind: steady compute first, then what is beside it, dearest first, then the other items."""
    sums: dict[tuple[int, str, str], float] = {}
    for line in report.lines:
        if line.item not in COMPUTE:
            key = (2, line.item, "everything else")
        elif line.purpose in ("", STEADY):
            key = (0, "steady load", "serving")
        else:
            name = line.purpose if line.purpose in (IDLE, WASTED) else f"reserve: {line.purpose}"
            key = (1, name, "reserve, waste, idle")
        sums[key] = sums.get(key, 0.0) + line.usd
    rows, level = [], 0.0
    for (_, label, kind), usd in sorted(sums.items(), key=lambda one: (one[0][0], -one[1])):
        if usd:
            rows.append({"label": label, "start": level / 1e3, "end": (level + usd) / 1e3, "kind": kind, "usd": usd})
            level += usd
    rows.append({"label": "full cost", "start": 0.0, "end": level / 1e3, "kind": "total", "usd": level})
    return pd.DataFrame(rows)


def cost_waterfall(report: CostReport) -> Picture | None:
    """The steps as a picture; None where there is no cost."""
    frame = cost_steps(report)
    total = float(frame["usd"].iloc[-1])
    if total <= 0:
        return None
    steady = float(frame.loc[frame["kind"] == "serving", "usd"].sum())
    title = f"Of {total:,.0f} USD in full, {steady / total:.0%} serves the steady load"
    beside = frame[(frame["kind"] != "serving") & (frame["kind"] != "total")]
    if len(beside):
        label, usd = max(zip(beside["label"], beside["usd"], strict=True), key=lambda one: float(one[1]))
        title += f"; {label} is the dearest of the rest ({usd / total:.0%})"
    frame["text"] = [f"{usd / 1e3:,.1f}" for usd in frame["usd"]]
    shown = [kind for kind in KINDS if kind in set(frame["kind"])]

    def build(width: int) -> Any:
        base = alt.Chart(frame).encode(y=alt.Y("label:N", sort=list(frame["label"]), title=None))
        bars = base.mark_bar().encode(
            x=alt.X("start:Q", title="thousand USD over the horizon", axis=alt.Axis(tickCount=5)),
            x2="end:Q",
            color=alt.Color("kind:N", title=None, scale=alt.Scale(domain=shown, range=[KINDS[k] for k in shown])),
        )
        labels = base.mark_text(align="left", dx=4, color=INK).encode(x="end:Q", text="text:N")
        return joined("layer", [bars, labels], width=width - 210, height=24 * len(frame))

    caption = (
        "Compute by what it is for, then every other line of the full cost; sources and dates are in the table below."
    )
    return picture(title, caption, build)
