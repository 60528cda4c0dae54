"""Hourly series from anyone's file; what cannot be used is told on stderr, not dropped or added up in silence."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pandas as pd

from configs.errors import InputError

FIRST_DAY = pd.Timestamp("2026-09-30", tz="UTC")
ALSO = {"series_id": "unique_id", "ts": "ds"}
"""Nixtla's names of columns."""
UNOBSERVED = ("", "nan", "na", "n/a", "null", "none", "<na>", "-")
NUMBER = re.compile(r"-?\d+(?:\.\d*)?(?:[eE][+-]?\d+)?")
UNITS = ((1e17, "ns"), (1e14, "us"), (1e11, "ms"), (1e8, "s"))
"""Least magnitude of Unix time in each unit: that of 1973."""
LARGEST = 1e18
"""No service has more an hour; the paths of a forecast are of single precision, which squares up to 1e19."""
LONGEST_YEARS = 100
ON_GRID = 0.99
PRESENT = 0.5
"""Shares of a series' instants on one grid, and of the grid's instants in hours with any: more, and it is a grid."""


def read_series(path: Path) -> dict[str, pd.Series]:
    """Series by id on complete hourly grids, NaN where unobserved; steps finer than an hour are summed.

    An hour of a series in finer regular steps that lacks a part is unobserved. Raises InputError where the file cannot
    be read, a column is missing, or nothing in it can be used.
    """
    frame = _long(path, _frame(path))
    if frame.empty:
        raise InputError(str(path), "rows of series_id, ts, y", "none", "Export the file again.")
    name = frame["series_id"]
    # Parquet has ids of any type, categories among them: they are text, as a CSV's are.
    nameless = (name.isna() | (name.astype(str).str.strip() == "")).to_numpy()
    _tell(int(nameless.sum()), "rows without a series_id are left out")
    clean = pd.DataFrame({"series_id": name.astype(str).to_numpy(dtype=object), "ts": _instants(path, frame["ts"])})
    clean["y"] = _values(path, frame["y"])
    undated = clean["ts"].isna().to_numpy()
    _tell(int(undated.sum()), f"rows whose ts is no timestamp are left out (first: {_first(frame['ts'], undated)!r})")
    clean = clean[~nameless & ~undated]
    if clean.empty:
        raise InputError(str(path), "rows with a series_id and a ts", "none", "Fill these columns.")
    below = clean["y"] < 0.0
    for series_id, count in clean["series_id"][below].value_counts().items():
        print(f"{series_id}: {count:,} values below zero count as zero: volumes are never negative", file=sys.stderr)
    clean.loc[below, "y"] = 0.0
    return {str(each): _hourly(str(each), one) for each, one in _once(clean).groupby("series_id")}


def _frame(path: Path) -> pd.DataFrame:
    """The file as it is: a CSV's columns all text, since an id of 001 or NA is one."""
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
            return frame.reset_index(drop=frame.index.names == [None])
        return pd.read_csv(path, dtype=str, keep_default_na=False, encoding="utf-8-sig", skipinitialspace=True)
    except OSError as error:
        raise InputError(str(path), "a readable file", error.strerror or str(error), "Check the path.") from None
    except ValueError as error:
        # pandas' and Arrow's own errors of damaged files are ValueErrors, and so are those of text that is no UTF-8.
        said = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise InputError(str(path), "a CSV file in UTF-8 or a .parquet file", said, "Export the file again.") from None


def _long(path: Path, frame: pd.DataFrame) -> pd.DataFrame:
    """Columns series_id, ts, y, whichever of the two layouts the file has."""
    frame = frame.rename(columns=lambda column: str(column).strip())
    frame = frame.rename(columns={also: name for name, also in ALSO.items() if name not in frame.columns})
    if {"day", "hour"} <= set(frame.columns) and "ts" not in frame:
        # BurstGPT's days have no dates: day 0 is a Wednesday by convention.
        day, hour = (pd.to_numeric(frame[column], errors="coerce") for column in ("day", "hour"))
        frame["ts"] = FIRST_DAY + pd.to_timedelta(day * 24 + hour, unit="h")
        frame = frame.drop(columns=["day", "hour"]).melt("ts", var_name="series_id", value_name="y")
    missing = {"series_id", "ts", "y"} - set(frame.columns)
    if missing:
        raise InputError(str(path), "columns series_id, ts, y", f"no {', '.join(sorted(missing))}", "Rename them.")
    return frame


def _instants(path: Path, given: pd.Series) -> pd.Series:
    """UTC instants, NaT where unreadable: ISO 8601 in any of its spellings, Unix time by its magnitude, or dates with
    slashes whose order of day and month the file itself shows."""
    if pd.api.types.is_datetime64_any_dtype(given.dtype):
        return pd.to_datetime(given, utc=True)
    text = given.astype(str).str.strip()
    numbers = text.str.fullmatch(NUMBER.pattern)
    if numbers.mean() > PRESENT:
        size = pd.to_numeric(text[numbers]).abs().median()
        unit = next((unit for least, unit in UNITS if size >= least), None)
        if unit is not None:
            return pd.to_datetime(pd.to_numeric(text, errors="coerce"), unit=unit, utc=True, errors="coerce")
        if not text[numbers].str.fullmatch(r"\d{8}").all():
            raise InputError(f"{path}, ts", "timestamps", f"numbers such as {text.iloc[0]}", "Write ISO 8601 in UTC.")
    iso = pd.to_datetime(text, format="ISO8601", utc=True, errors="coerce")
    if iso.notna().mean() > PRESENT:
        return iso
    month_first, day_first = (
        pd.to_datetime(text, utc=True, errors="coerce", format=f"{order} %H:%M{seconds}")
        for order, seconds in _clocks(text)
    )
    if month_first.notna().sum() == day_first.notna().sum():
        got = "dates that can be read day first or month first" if month_first.notna().any() else repr(text.iloc[0])
        raise InputError(f"{path}, ts", "timestamps in ISO 8601", got, "Write 2026-03-01T00:00:00Z.")
    return max(month_first, day_first, key=lambda read: int(read.notna().sum()))


def _clocks(text: pd.Series) -> list[tuple[str, str]]:
    seconds = ":%S" if text.iloc[0].count(":") == 2 else ""
    return [("%m/%d/%Y", seconds), ("%d/%m/%Y", seconds)]


def _values(path: Path, given: pd.Series) -> np.ndarray:
    """Numbers, NaN where unobserved; what is neither is counted."""
    if pd.api.types.is_numeric_dtype(given.dtype):
        found = given.to_numpy(dtype=np.float64, na_value=np.nan)
        odd = np.zeros(len(found), dtype=np.bool_)
    else:
        text = given.astype(str).str.strip()
        found = pd.to_numeric(text, errors="coerce").to_numpy(dtype=np.float64)
        odd = np.isnan(found) & ~text.str.lower().isin(UNOBSERVED).to_numpy()
    if odd.any() and np.isnan(found).all():
        raise InputError(f"{path}, y", "numbers such as 1234.5", repr(_first(given, odd)), "Write plain numbers.")
    _tell(int(odd.sum()), f"values that are no numbers count as unobserved (first: {_first(given, odd)!r})")
    endless = np.abs(found) > LARGEST
    _tell(int(endless.sum()), f"values that are infinite or beyond {LARGEST:.0e} count as unobserved")
    return np.where(endless, np.nan, found)


def _once(frame: pd.DataFrame) -> pd.DataFrame:
    """One row an instant and series: of repeated ones the last that is observed."""
    ordered = frame.sort_values(["series_id", "ts"], kind="stable", ignore_index=True)
    groups = ordered.groupby(["series_id", "ts"], sort=False)["y"]
    once = groups.last().reset_index()
    again = len(ordered) - len(once)
    if again:
        differ = int((groups.nunique() > 1).sum())
        what = f"; {differ:,} instants have several values: their last counts" if differ else ""
        _tell(again, f"rows repeat the series_id and ts of another and count once{what}")
    return once


def _hourly(name: str, one: pd.DataFrame) -> pd.Series:
    """Sums by hour of rows [instant, y] in rising order."""
    years = (one["ts"].iloc[-1] - one["ts"].iloc[0]).days / 365.25
    if years > LONGEST_YEARS:
        got = f"{one['ts'].iloc[0]} to {one['ts'].iloc[-1]}"
        raise InputError(f"{name}, ts", f"at most {LONGEST_YEARS} years", got, "Correct the timestamps.")
    hours = one.groupby(one["ts"].dt.floor("h"))["y"]
    # A missing part makes the hour's total unknown, not small.
    partial = hours.count() < np.maximum(hours.size(), _rows_an_hour(one["ts"]))
    torn = int((partial & (hours.count() > 0)).sum())
    if torn:
        print(f"{name}: {torn:,} hours of which a part is missing count as unobserved", file=sys.stderr)
    return hours.sum().mask(partial).asfreq("h")


def _rows_an_hour(ts: pd.Series) -> int:
    """How many rows a whole hour has: 1 where the instants are no regular grid finer than an hour (events, say)."""
    seconds = (ts - ts.iloc[0]).dt.total_seconds().to_numpy()
    if len(seconds) < 3:
        return 1
    steps, counts = np.unique(np.diff(seconds), return_counts=True)
    step = steps[counts.argmax()]
    if step >= 3600.0 or 3600.0 % step:
        return 1
    rows = int(3600.0 // step)
    phases = np.unique(seconds % step, return_counts=True)[1]
    present = len(ts) / (ts.dt.floor("h").nunique() * rows)
    return rows if phases.max() >= ON_GRID * len(ts) and present >= PRESENT else 1


def _first(given: pd.Series, which: np.ndarray) -> str:
    return str(given.to_numpy()[which][0]) if which.any() else ""


def _tell(count: int, what: str) -> None:
    if count:
        print(f"{count:,} {what}", file=sys.stderr)
