"""Score forecasts on anyone's hourly series: the product's portfolio beside its yardsticks, and peers where installed.

    python -m benchmarks.forecast --series FILE [--train-weeks 12] [--horizon-weeks 4] [--origins 6]
                                  [--holidays COUNTRY] [--json]

FILE: a long frame `series_id, ts, y` (CSV or Parquet), hourly. Every series is forecast from several past origins with
nothing known after them. Prints WAPE, MASE, bias, pinball loss at 0.95, three-level coverage (hour, largest hour of the
horizon, total of the horizon) and CPU seconds, by series and pooled. statsforecast (MSTL with AutoARIMA) is scored in
the same run where that package is installed. --holidays lets the four-week mean and the portfolio treat that country's
public holidays as Sundays.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from configs.errors import InputError
from forecast.accuracy import bias, covered, mase, pinball, wape
from forecast.backtest import quiet_days
from forecast.calendar import as_sundays, without_holidays
from forecast.clean import filled
from forecast.members import four_week_mean, seasonal_naive
from forecast.paths import simulate
from forecast.single import prepare

LEVELS = (0.8, 0.95)
PATHS = 500
WINDOWS = 6

Scored = dict[str, Any]


def read_series(path: Path) -> dict[str, pd.Series]:
    """Series by id on complete hourly grids; InputError where a column is missing or unusable."""
    frame = pd.read_parquet(path) if path.suffix == ".parquet" else pd.read_csv(path)
    missing = {"series_id", "ts", "y"} - set(frame.columns)
    if missing:
        raise InputError(str(path), "columns series_id, ts, y", f"no {', '.join(sorted(missing))}", "Rename them.")
    frame["ts"] = pd.to_datetime(frame["ts"], utc=True)
    frame["y"] = pd.to_numeric(frame["y"], errors="coerce").astype(float)
    return {str(name): one.groupby("ts")["y"].sum(min_count=1).asfreq("h") for name, one in frame.groupby("series_id")}


def quantiles_from_past(train: pd.Series, hours: int, method: Callable[..., np.ndarray]) -> np.ndarray:
    """Errors of a point method over past windows of the same length, pooled: what its quantiles are shifted by."""
    errors = []
    for back in range(1, WINDOWS + 1):
        cut = len(train) - back * hours
        if cut < 2 * 168:
            break
        past, _ = filled(train.iloc[:cut])
        actual = train.iloc[cut : cut + hours]
        errors.append(actual.to_numpy() - method(past, pd.DatetimeIndex(actual.index)))
    if errors:
        return np.concatenate(errors)
    # No room for a past window of this length: week-over-week changes stand in, as they do for a seasonal naive.
    complete, _ = filled(train)
    return complete.to_numpy()[168:] - complete.to_numpy()[:-168]


def portfolio(train: pd.Series, future: pd.DatetimeIndex, country: str | None, seed: int) -> dict[str, np.ndarray]:
    """Median forecast, hourly paths."""
    days = max(min(len(future) // 24, len(train) // 24 // 4), 1)
    ready = prepare(train, future, WINDOWS, days, None, country)
    paths = simulate(
        ready.point[None, :], [ready.bank], quiet_days(future, country), np.array([ready.sigma]), 0.0, 0.0,
        np.array([ready.ceiling]), PATHS, np.random.default_rng(seed),
    )[0]  # fmt: skip
    return {"point": ready.point, "paths": paths}


def yardstick(
    method: Callable[..., np.ndarray], train: pd.Series, future: pd.DatetimeIndex, country: str | None
) -> dict[str, np.ndarray]:
    clean = without_holidays(train, country)
    complete, _ = filled(clean)
    point = as_sundays(method(complete, future), future, country)
    errors = quantiles_from_past(clean, len(future), method)
    seen = errors[~np.isnan(errors)]
    return {"point": point, "errors": seen}


def statsforecast_peer(train: pd.Series, future: pd.DatetimeIndex) -> dict[str, np.ndarray]:
    """MSTL (24, 168) with AutoARIMA on the remainder, 80 and 95 % intervals."""
    from statsforecast import StatsForecast
    from statsforecast.models import MSTL, AutoARIMA

    complete, _ = filled(train)
    frame = pd.DataFrame({"unique_id": "s", "ds": complete.index.tz_convert(None), "y": complete.to_numpy()})
    model = StatsForecast([MSTL([24, 168], trend_forecaster=AutoARIMA())], freq="h")
    out = model.forecast(df=frame, h=len(future), level=[80, 90, 95])
    named = {name.removeprefix("MSTL").lstrip("-"): out[name].to_numpy() for name in out.columns if "MSTL" in name}
    return {"point": np.maximum(named.pop(""), 0.0), **named}


def score_window(kind: str, found: dict[str, np.ndarray], actual: np.ndarray, past: np.ndarray) -> Scored:
    """All scores of one method at one origin."""
    point, seen = found["point"], ~np.isnan(actual)
    row: Scored = {
        "wape": wape(actual, point),
        "bias": bias(actual, point),
        "mase": mase(actual, point, past, 168),
    }

    def band(level: float) -> tuple[np.ndarray, np.ndarray]:
        q = [(1 - level) / 2, (1 + level) / 2]
        if kind == "paths":
            low, high = np.quantile(found["paths"], q, axis=0)
        elif kind == "errors":
            shift = np.quantile(found["errors"], q)
            low, high = np.maximum(point + shift[0], 0.0), np.maximum(point + shift[1], 0.0)
        else:
            name = f"{level * 100:.0f}"
            low, high = found[f"lo-{name}"], found[f"hi-{name}"]
        return low, high

    upper = band(0.9)[1]
    row["pinball95"] = pinball(actual, upper, 0.95)
    row["hour"] = {str(level): covered(actual, *band(level)) for level in LEVELS}
    if kind == "paths":
        for name, values, truth in (
            ("peak", found["paths"][:, seen].max(axis=1), actual[seen].max()),
            ("total", found["paths"][:, seen].sum(axis=1), actual[seen].sum()),
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


def run(
    series: dict[str, pd.Series], train_weeks: int, horizon_weeks: int, origins: int, country: str | None
) -> Scored:
    """Scores by method, by series and pooled."""
    hours = horizon_weeks * 168
    methods: dict[str, tuple[str, Callable[..., dict[str, np.ndarray]]]] = {
        "portfolio": ("paths", lambda t, f, i: portfolio(t, f, country, i)),
        "seasonal naive": ("errors", lambda t, f, i: yardstick(seasonal_naive, t, f, None)),
        "four-week mean": ("errors", lambda t, f, i: yardstick(four_week_mean, t, f, country)),
    }
    if importlib.util.find_spec("statsforecast"):
        methods["statsforecast MSTL+AutoARIMA"] = ("bands", lambda t, f, i: statsforecast_peer(t, f))
    rows: dict[str, dict[str, list[Scored]]] = {name: {} for name in methods}
    skipped: dict[str, str] = {}
    for name, values in series.items():
        room = len(values) - hours
        least = min(train_weeks * 168, max(room // 2, 336))
        if room < least:
            skipped[name] = f"{len(values)} hours: too short for two weeks of training and the horizon"
            continue
        count = min(origins, max((room - least) // (hours // 2) + 1, 1))
        cuts = np.unique(np.linspace(least, room, count).astype(int) // 24 * 24)
        for i, cut in enumerate(cuts):
            train = values.iloc[max(cut - train_weeks * 168, 0) : cut]
            actual = values.iloc[cut : cut + hours]
            future, past = pd.DatetimeIndex(actual.index), filled(train)[0].to_numpy()
            for method, (kind, call) in methods.items():
                begun = time.process_time()
                found = call(train, future, i)
                cpu = time.process_time() - begun
                scored = score_window(kind, found, actual.to_numpy(), past) | {"cpu_s": cpu}
                rows[method].setdefault(name, []).append(scored)
    return {
        "train_weeks": train_weeks,
        "horizon_weeks": horizon_weeks,
        "skipped": skipped,
        "by_series": {m: {name: pooled(found) for name, found in by.items()} for m, by in rows.items()},
        "pooled": {m: pooled([r for found in by.values() for r in found]) for m, by in rows.items() if by},
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=Path, required=True)
    parser.add_argument("--train-weeks", type=int, default=12)
    parser.add_argument("--horizon-weeks", type=int, default=4)
    parser.add_argument("--origins", type=int, default=6)
    parser.add_argument("--holidays")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = run(read_series(args.series), args.train_weeks, args.horizon_weeks, args.origins, args.holidays)
    if args.json:
        print(json.dumps(found))
        return
    for method, row in found["pooled"].items():
        cover = {name: row[name] for name in ("hour", "peak", "total") if name in row}
        print(
            f"{method}: WAPE {row['wape']:.3f}  MASE {row['mase']:.2f}  bias {row['bias']:+.1%}  "
            f"pinball95 {row['pinball95']:.3f}  CPU-s {row['cpu_s']:.3f}  coverage {cover}"
        )


if __name__ == "__main__":
    main()
