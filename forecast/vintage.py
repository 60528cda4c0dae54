"""Forecasts as they were issued: files that are never changed, with everything needed to score them later."""

from __future__ import annotations

import gzip
import hashlib
import json
import zlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.errors import InputError
from data.forecast_records import Forecast
from data.frames import KEYS
from data.records import FloatArray, SeriesKey
from forecast.accuracy import bias, covered, pinball, wape

SCHEMA = 1
DIGITS = 7


@dataclass(frozen=True, slots=True)
class VintageScore:
    """How one series of a vintage did over the hours that have come since: hours of them, WAPE and bias of the median,
    pinball loss at 0.95 where that level was issued, and by central interval ("0.1-0.9") the share of hours, and of
    whole months' totals and peak hours, that fell within."""

    key: SeriesKey
    hours: int
    wape: float
    bias: float
    pinball95: float | None
    hour_coverage: dict[str, float]
    total_coverage: dict[str, float]
    peak_coverage: dict[str, float]
    months: int


def _numbers(values: FloatArray) -> Any:
    """Nested lists at seven significant digits: more than any forecast has."""
    flat = [float(f"{value:.{DIGITS}g}") for value in np.asarray(values, dtype=np.float64).ravel()]
    return np.array(flat).reshape(np.shape(values)).tolist()


def document(forecast: Forecast, seed: int, policy: Mapping[str, Any], inputs: Mapping[str, str]) -> dict[str, Any]:
    """Everything about a forecast that a later score needs, as JSON data; inputs: SHA-256 of what history came from."""
    return {
        "schema": SCHEMA,
        "issued_from": forecast.issued_from,
        "seed": seed,
        "policy": dict(policy),
        "inputs": dict(inputs),
        "notes": list(forecast.notes),
        "series": [
            {
                "key": asdict(one.key),
                "first_hour": str(one.hours[0]),
                "levels": list(one.levels),
                "hourly": _numbers(one.hourly),
                "months": list(one.months),
                "monthly_total": _numbers(one.monthly_total),
                "monthly_peak_hour": _numbers(one.monthly_peak_hour),
                "method": one.method,
                "grade": one.grade,
                "reason": one.reason,
                "degradations": list(one.degradations),
                "accuracy": [asdict(score) for score in one.accuracy],
            }
            for one in forecast.series
        ],
    }


def write_vintage(
    forecast: Forecast, seed: int, policy: Mapping[str, Any], inputs: Mapping[str, str], folder: Path
) -> Path:
    """Writes one read-only file named by its last observed hour and its own hash; the same forecast is one file."""
    text = json.dumps(document(forecast, seed, policy, inputs), sort_keys=True).encode()
    digest = hashlib.sha256(text).hexdigest()[:12]
    hour = forecast.issued_from.replace("-", "").replace(":", "")
    path = folder / f"forecast-{hour}-{digest}.json.gz"
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with path.open("xb") as file:
            file.write(gzip.compress(text, mtime=0))
    except FileExistsError:
        return path
    path.chmod(0o444)
    return path


def read_vintage(path: Path) -> dict[str, Any]:
    """The document of a vintage. InputError where it is none, or no longer what was written."""
    try:
        text = gzip.decompress(path.read_bytes())
        found: dict[str, Any] = json.loads(text)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise InputError(str(path), "a forecast vintage", f"{type(error).__name__}: {error}", "Name another.") from None
    if not isinstance(found, dict):
        raise InputError(str(path), "a forecast vintage", f"a JSON {type(found).__name__}", "Name another.")
    if hashlib.sha256(text).hexdigest()[:12] != path.name.removesuffix(".json.gz").rpartition("-")[2]:
        raise InputError(str(path), "the content its name was made from", "another", "Restore the file as issued.")
    if found.get("schema") != SCHEMA:
        raise InputError(str(path), f"schema {SCHEMA}", repr(found.get("schema")), "Use the version that wrote it.")
    return found


def _intervals(levels: list[float]) -> dict[str, tuple[int, int]]:
    """Central intervals that the levels hold, by name, with the positions of their ends."""
    found = {}
    for i, low in enumerate(levels):
        for j, high in enumerate(levels):
            if low < 0.5 and abs(low + high - 1.0) < 1e-9:
                found[f"{low:g}-{high:g}"] = (i, j)
    return found


def _score(one: dict[str, Any], key: SeriesKey, requests: pd.Series) -> VintageScore | None:
    hours = pd.date_range(one["first_hour"], periods=len(one["hourly"]), freq="h", tz="UTC")
    actual = requests.reindex(hours).to_numpy(dtype=np.float64)
    seen = ~np.isnan(actual)
    if not seen.any():
        return None
    levels = [float(level) for level in one["levels"]]
    hourly, middle = np.array(one["hourly"]), levels.index(0.5)
    labels = np.asarray(hours.strftime("%Y-%m"))
    whole = [j for j, label in enumerate(one["months"]) if seen[labels == label].all() and (labels == label).any()]
    totals: dict[str, list[bool]] = {}
    peaks: dict[str, list[bool]] = {}
    by_hour: dict[str, float] = {}
    for name, (low, high) in _intervals(levels).items():
        by_hour[name] = covered(actual, hourly[:, low], hourly[:, high])
        for j in whole:
            month = actual[labels == one["months"][j]]
            for found, kind, value in (
                (totals, "monthly_total", month.sum()),
                (peaks, "monthly_peak_hour", month.max()),
            ):
                row = one[kind][j]
                found.setdefault(name, []).append(bool(row[low] <= value <= row[high]))
    return VintageScore(
        key=key,
        hours=int(seen.sum()),
        wape=wape(actual, hourly[:, middle]),
        bias=bias(actual, hourly[:, middle]),
        pinball95=pinball(actual, hourly[:, levels.index(0.95)], 0.95) if 0.95 in levels else None,
        hour_coverage=by_hour,
        total_coverage={name: float(np.mean(hits)) for name, hits in totals.items()},
        peak_coverage={name: float(np.mean(hits)) for name, hits in peaks.items()},
        months=len(whole),
    )


def score_vintage(vintage: dict[str, Any], frame: pd.DataFrame) -> list[VintageScore]:
    """Scores against a history frame that has moved on; series without an hour in common are left out."""
    actual = {SeriesKey(*map(str, name)): one.set_index("ts")["requests"] for name, one in frame.groupby(KEYS)}
    found = []
    for one in vintage["series"]:
        key = SeriesKey(**one["key"])
        if key in actual:
            score = _score(one, key, actual[key])
            if score is not None:
                found.append(score)
    return found
