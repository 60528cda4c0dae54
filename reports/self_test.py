"""Whether charts can be drawn here."""

from __future__ import annotations

import altair as alt
import pandas as pd

from reports.charts import picture


def draws() -> bool:
    """A small chart becomes a picture that holds its own axis title."""
    frame = pd.DataFrame({"x": [1, 2], "y": [1, 2]})
    return (
        "a title"
        in picture("", "", lambda _: alt.Chart(frame).mark_line().encode(x=alt.X("x:Q", title="a title"), y="y:Q")).wide
    )
