"""What a forecast is scored by: intervals, coverage at three levels, and ratios series by series."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from forecast.accuracy import bias, covered, mase, pinball, wape
from forecast.clean import filled

LEVELS = (0.8, 0.95)
PATHS = 500
ZERO = 1e-12
"""Losses up to this are none."""

Scored = dict[str, Any]
Found = dict[str, np.ndarray]


def band(kind: str, found: Found, level: float) -> tuple[np.ndarray, np.ndarray]:
    """Lower and upper bound of the central interval of every hour."""
    q = [(1 - level) / 2, (1 + level) / 2]
    if kind == "paths":
        places = [round(x * (PATHS - 1)) for x in q]
        return found["ordered"][:, places[0]], found["ordered"][:, places[1]]
    if kind == "errors":
        low, high = np.quantile(found["errors"], q)
        return np.maximum(found["point"] + low, 0.0), np.maximum(found["point"] + high, 0.0)
    return found[f"lo-{level * 100:.0f}"], found[f"hi-{level * 100:.0f}"]


def score_window(kind: str, found: Found, actual: np.ndarray, past: np.ndarray) -> Scored:
    """All scores of one method at one origin."""
    point, seen = found["point"], ~np.isnan(actual)
    row: Scored = {
        "wape": wape(actual, point),
        "bias": bias(actual, point),
        "mase": mase(actual, point, past, 168),
        "pinball95": pinball(actual, band(kind, found, 0.9)[1], 0.95),
        "hour": {str(level): covered(actual, *band(kind, found, level)) for level in LEVELS},
    }
    if kind == "paths":
        # Planned for: the 95 % hour of the whole horizon against every hour that came.
        row["hours_under_p95"] = float((actual[seen] <= np.quantile(found["paths"], 0.95)).mean())
        for name, values, truth in (
            ("peak", found["paths"][:, seen].max(axis=1), actual[seen].max()),
            ("total", found["paths"][:, seen].sum(axis=1, dtype=np.float64), actual[seen].sum()),
        ):
            row[name] = {}
            for level in LEVELS:
                low, high = np.quantile(values, [(1 - level) / 2, (1 + level) / 2])
                row[name][str(level)] = float(low <= truth <= high)
    return row


def pooled(rows: list[Scored]) -> Scored:
    """Means over windows; coverage levels each on their own."""
    out: Scored = {"windows": len(rows)}
    for key in rows[0]:
        if isinstance(rows[0][key], dict):
            out[key] = {level: float(np.nanmean([row[key][level] for row in rows])) for level in rows[0][key]}
        else:
            out[key] = float(np.mean([row[key] for row in rows]))
    return out


def ratios(by_series: dict[str, dict[str, Scored]], against: str) -> Scored:
    """The portfolio over another method, series by series: mean and worst WAPE ratio, mean pinball ratio.

    A series of which both lose nothing (zeros forecast as zeros) is left out of a ratio, being neither's gain: `series`
    says how many are in WAPE's. NaN where all are left out.
    """
    both = [
        (one, by_series[against][name]) for name, one in by_series["portfolio"].items() if name in by_series[against]
    ]

    def over(key: str) -> np.ndarray:
        found = [own[key] / max(other[key], ZERO) for own, other in both if max(own[key], other[key]) > ZERO]
        return np.array(found or [np.nan])

    return {
        "series": sum(max(own["wape"], other["wape"]) > ZERO for own, other in both),
        "wape_mean": float(over("wape").mean()),
        "wape_worst": float(over("wape").max()),
        "pinball95_mean": float(over("pinball95").mean()),
    }


def scale_history(train: pd.Series) -> np.ndarray:
    """What MASE takes the naive error of: the hours as observed, since filled ones repeat the week before and err less.
    The filled ones where no observed hour has one a season before it."""
    raw = train.to_numpy(dtype=np.float64)
    season = 168 if len(raw) > 168 else 24
    if np.isnan(raw[season:] - raw[:-season]).all():
        return np.asarray(filled(train)[0].to_numpy())
    return raw
