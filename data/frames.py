"""The long traffic frame: one row per series and hour, checked."""

from __future__ import annotations

import pandas as pd
import pandera.pandas as pa

from configs.errors import InputError

KEYS = ["llm", "request_class", "region"]

HISTORY = pa.DataFrameSchema(
    {
        "llm": pa.Column(str),
        "request_class": pa.Column(str),
        "region": pa.Column(str),
        "ts": pa.Column(pd.DatetimeTZDtype("us", "UTC")),
        "requests": pa.Column(float, pa.Check.ge(0), nullable=True),
        "input_tokens": pa.Column(float, pa.Check.ge(0), nullable=True),
        "output_tokens": pa.Column(float, pa.Check.ge(0), nullable=True),
        "observed": pa.Column(bool),
    },
    strict=True,
    ordered=True,
    unique=[*KEYS, "ts"],
)


def checked_history(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame sorted by key and hour, against the schema and hourly completeness of every series."""
    frame = frame.sort_values([*KEYS, "ts"], ignore_index=True)
    frame["ts"] = frame["ts"].dt.as_unit("us")
    try:
        frame = HISTORY.validate(frame[list(HISTORY.columns)], lazy=True)
    except pa.errors.SchemaErrors as error:
        first = error.failure_cases.iloc[0]
        raise InputError(
            f"traffic history, column {first['column']}",
            str(first["check"]),
            str(first["failure_case"]),
            "Report this.",
        ) from None
    for key, one in frame.groupby(KEYS):
        steps = one["ts"].diff().dropna()
        if (steps != pd.Timedelta(hours=1)).any():
            raise InputError(
                f"traffic history of {'/'.join(map(str, key))}", "one row an hour", "a jump", "Report this."
            )
    return frame
