"""Score forecasts on anyone's hourly series: the product's portfolio beside its yardsticks, and peers where installed.

    python -m benchmarks.forecast --series FILE [--train-weeks 12] [--horizon-weeks 4] [--origins 6]
                                  [--holidays COUNTRY] [--drop 0.2 [--drop-days 3]] [--no-peers] [--json]

FILE: a long frame `series_id, ts, y` (or `unique_id, ds, y`; CSV or Parquet), hourly or finer, or a CSV of `day, hour`
and a series a column. Ids are text; ts is ISO 8601 or Unix time, UTC where it names no offset. An hour of a finer
series that lacks a part is unobserved, rows that repeat an instant count once, and what cannot be used is told on
stderr.

Every series is forecast from several past origins with nothing known after them; calibration is pooled over the series
of the file at the same origin. Prints WAPE, MASE, bias, pinball loss at 0.95, three-level coverage (hour, largest hour
of the horizon, total of the horizon) and CPU seconds, by series and pooled. statsforecast (MSTL with AutoARIMA) and
Prophet are scored in the same run where they are installed.
--holidays: every method but the seasonal naive treats that country's public holidays as Sundays (Prophet: as its own
holiday effects).
--drop: that share of the hours known at each origin is unobserved for every method, and the portfolio that lacks none
of them is scored beside them; --drop-days: in gaps of so many days rather than in single hours.

statsforecast needs an older pandas than the product: give the peers an environment of their own (docs/forecast.md).
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import holidays
import numpy as np
import pandas as pd

from benchmarks.forecast_gaps import Gaps, with_gaps
from benchmarks.forecast_peers import prophet_peer, statsforecast_peer
from benchmarks.forecast_scores import LEVELS, PATHS, Found, Scored, pooled, ratios, scale_history, score_window
from benchmarks.scores import strict
from benchmarks.series_file import read_series
from configs.errors import InputError
from forecast.calendar import as_sundays, without_holidays
from forecast.clean import filled
from forecast.members import four_week_mean, seasonal_naive
from forecast.paths import compound, simulate
from forecast.portfolio import calibrated
from forecast.single import Task, prepared_or_fallback
from forecast.windows import quiet_days

NORMAL = {0.8: 1.2816, 0.9: 1.6449, 0.95: 1.9600}
WINDOWS = 5
WHOLE = "portfolio, nothing missing"


def cpu_seconds() -> float:
    """CPU time of this process and of those it has started and awaited (Prophet fits in one)."""
    spent = os.times()
    return spent.user + spent.system + spent.children_user + spent.children_system


def portfolio(
    trains: list[pd.Series], futures: list[pd.DatetimeIndex], country: str | None, seed: int
) -> list[tuple[Found, float]]:
    """Point forecast and hourly paths of every series, calibrated together, and each one's CPU seconds."""
    made, seconds = [], []
    for i, (train, future) in enumerate(zip(trains, futures, strict=True)):
        begun = cpu_seconds()
        days = max(len(future) // 24, 1)
        made.append(prepared_or_fallback(train, Task(future, WINDOWS, days, country), seed * 1000 + i))
        seconds.append(cpu_seconds() - begun)
    found = []
    for one, future, spent in zip(calibrated(made), futures, seconds, strict=True):
        begun = cpu_seconds()
        growth = compound(len(future), 0.0, 0.0)
        quiet = quiet_days(future, country)
        paths = next(simulate([one.model], quiet, [growth], PATHS, np.random.default_rng(seed)))
        ordered = np.sort(np.ascontiguousarray(paths.T), axis=1)
        # Of a series drawn from its own days the hours' median is what is published.
        point = ordered[:, PATHS // 2].astype(np.float64) if one.empirical else one.point
        found.append(({"point": point, "paths": paths, "ordered": ordered}, spent + cpu_seconds() - begun))
    return found


def past_errors(train: pd.Series, hours: int, method: Callable[..., np.ndarray], country: str | None) -> np.ndarray:
    """Errors of a point method over past windows of the same length: what its quantiles are shifted by."""
    clean = without_holidays(train, country)
    errors = []
    for back in range(1, WINDOWS + 1):
        cut = len(train) - back * hours
        if cut < 2 * 168:
            break
        past, _ = filled(clean.iloc[:cut])
        actual = train.iloc[cut : cut + hours]
        index = pd.DatetimeIndex(actual.index)
        errors.append(actual.to_numpy() - as_sundays(method(past, index), index, country))
    if not errors or np.isnan(np.concatenate(errors)).all():
        # No room for a past window of this length, or none observed: week-over-week changes stand in, as they do for a
        # seasonal naive.
        complete, _ = filled(train)
        errors = [complete.to_numpy()[168:] - complete.to_numpy()[:-168]]
    whole = np.concatenate(errors)
    return np.asarray(whole[~np.isnan(whole)])


def yardstick(
    method: Callable[..., np.ndarray], train: pd.Series, future: pd.DatetimeIndex, country: str | None
) -> Found:
    complete, _ = filled(without_holidays(train, country))
    point = as_sundays(method(complete, future), future, country)
    return {"point": point, "errors": past_errors(train, len(future), method, country)}


def naive(train: pd.Series, future: pd.DatetimeIndex) -> Found:
    """Seasonal naive with its textbook intervals (Hyndman and Athanasopoulos, FPP3, 5.5): normal, with the standard
    deviation of week-over-week changes times the square root of the number of weeks ahead."""
    complete, _ = filled(train)
    values = complete.to_numpy()
    point = seasonal_naive(complete, future)
    season = 168 if len(values) > 168 else 24
    sigma = float(np.std(values[season:] - values[:-season])) if len(values) > season else float(values.std())
    spread = sigma * np.sqrt(np.arange(len(future)) // season + 1.0)
    bands = {}
    for level, z in NORMAL.items():
        bands[f"lo-{level * 100:.0f}"] = np.maximum(point - z * spread, 0.0)
        bands[f"hi-{level * 100:.0f}"] = point + z * spread
    return {"point": point, **bands}


def cuts_of(values: pd.Series, train_weeks: int, hours: int, origins: int) -> list[int]:
    """Origins of one series, evenly spaced from the first with enough training to the last with a whole horizon."""
    room = len(values) - hours
    wanted = train_weeks * 168
    least = wanted if room >= wanted else max(room // 2, 336)
    if room < least:
        return []
    count = min(origins, max((room - least) // (hours // 2) + 1, 1))
    cuts = [int(cut) for cut in np.unique(np.linspace(least, room, count).astype(int) // 24 * 24)]
    seen = values.notna().to_numpy()
    # An origin needs a day of history and most of what came.
    return [c for c in cuts if seen[max(c - train_weeks * 168, 0) : c].sum() >= 24 and seen[c : c + hours].mean() > 0.5]


def run(
    series: dict[str, pd.Series],
    train_weeks: int,
    horizon_weeks: int,
    origins: int,
    country: str | None,
    peers: bool = True,
    gaps: Gaps | None = None,
) -> Scored:
    """Scores by method, by series and pooled; with gaps, those of a portfolio that knows the missing hours as well."""
    hours = horizon_weeks * 168
    singles: dict[str, tuple[str, Callable[..., Found]]] = {
        "seasonal naive": ("bands", lambda t, f: naive(t, f)),
        "seasonal naive, past errors": ("errors", lambda t, f: yardstick(seasonal_naive, t, f, None)),
        "four-week mean": ("errors", lambda t, f: yardstick(four_week_mean, t, f, country)),
    }
    if peers and importlib.util.find_spec("statsforecast"):
        singles["statsforecast MSTL+AutoARIMA"] = ("bands", lambda t, f: statsforecast_peer(t, f, country))
    if peers and importlib.util.find_spec("prophet"):
        singles["prophet"] = ("bands", lambda t, f: prophet_peer(t, f, country))
    others = (WHOLE, *singles) if gaps else tuple(singles)
    rows: dict[str, dict[str, list[Scored]]] = {name: {} for name in ("portfolio", *others)}
    cuts = {name: cuts_of(values, train_weeks, hours, origins) for name, values in series.items()}
    failed: dict[str, str] = {}
    skipped = {
        name: f"{len(series[name])} hours: too short or too sparse for two weeks of training and the horizon"
        for name, found in cuts.items()
        if not found
    }
    for i in range(max((len(found) for found in cuts.values()), default=0)):
        names = [name for name, found in cuts.items() if i < len(found)]
        trains = [series[name].iloc[max(cuts[name][i] - train_weeks * 168, 0) : cuts[name][i]] for name in names]
        actuals = [series[name].iloc[cuts[name][i] : cuts[name][i] + hours] for name in names]
        futures = [pd.DatetimeIndex(actual.index) for actual in actuals]
        complete = portfolio(trains, futures, country, i) if gaps else []
        if gaps:
            trains = [with_gaps(train, gaps, name, i) for name, train in zip(names, trains, strict=True)]
        own = portfolio(trains, futures, country, i)
        for at, (name, train, actual, future) in enumerate(zip(names, trains, actuals, futures, strict=True)):
            truth, past = actual.to_numpy(), scale_history(train)
            for method, made in (("portfolio", own), (WHOLE, complete)):
                for found, cpu in made[at : at + 1]:
                    row = score_window("paths", found, truth, past) | {"cpu_s": cpu}
                    rows[method].setdefault(name, []).append(row)
            for method, (kind, call) in singles.items():
                begun = cpu_seconds()
                try:
                    other = call(train, future)
                except Exception as error:  # noqa: BLE001 - other packages raise what they like: it is reported
                    failed[f"{method}, {name}, from {future[0]:%Y-%m-%d}"] = f"{type(error).__name__}: {error}"[:200]
                    continue
                spent = cpu_seconds() - begun
                row = score_window(kind, other, truth, past) | {"cpu_s": spent}
                rows[method].setdefault(name, []).append(row)
    by_series = {m: {name: pooled(found) for name, found in by.items()} for m, by in rows.items()}
    return {
        "train_weeks": train_weeks,
        "horizon_weeks": horizon_weeks,
        "skipped": skipped,
        "failed": failed,
        "by_series": by_series,
        "pooled": {m: pooled([r for found in by.values() for r in found]) for m, by in rows.items() if by},
        "portfolio_over": {m: ratios(by_series, m) for m in others if by_series[m]},
    }


def whole(least: int) -> Callable[[str], int]:
    """An argument's type: a whole number from `least` on."""

    def read(text: str) -> int:
        try:
            number = int(text)
        except ValueError:
            number = least - 1
        if number < least:
            raise argparse.ArgumentTypeError(f"expected a whole number of at least {least}, got {text!r}")
        return number

    return read


def share(text: str) -> float:
    """An argument's type: a share from 0 to under 0.95."""
    try:
        number = float(text)
    except ValueError:
        number = -1.0
    if not 0.0 <= number < 0.95:
        raise argparse.ArgumentTypeError(f"expected a share from 0 to under 0.95, got {text!r}")
    return number


def country_of(text: str | None) -> str | None:
    """A country's code, or that of a part of one, as the holidays library spells it. InputError where it knows none."""
    if text is None:
        return None
    known = holidays.list_supported_countries(include_aliases=True)
    name, _, part = text.strip().upper().partition("-")
    parts = {each.upper(): each for each in known.get(name, ())}
    if name not in known or (part and part not in parts):
        raise InputError("--holidays", "an ISO 3166 code such as US, DE or AU-VIC", repr(text), "Correct it.")
    return f"{name}-{parts[part]}" if part else name


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.forecast",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--series", type=Path, required=True)
    parser.add_argument("--train-weeks", type=whole(2), default=12)
    parser.add_argument("--horizon-weeks", type=whole(1), default=4)
    parser.add_argument("--origins", type=whole(1), default=6)
    parser.add_argument("--holidays")
    parser.add_argument("--drop", type=share, default=0.0, help="share of the known hours to leave out")
    parser.add_argument("--drop-days", type=whole(0), default=0, help="length of the gaps; 0: single hours")
    parser.add_argument("--no-peers", action="store_true", help="leave out statsforecast and Prophet")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args(arguments)
    try:
        country = country_of(args.holidays)
        series = read_series(args.series)
        gaps = Gaps(args.drop, args.drop_days) if args.drop else None
        found = run(series, args.train_weeks, args.horizon_weeks, args.origins, country, not args.no_peers, gaps)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if args.json:
        print(json.dumps(strict(found), allow_nan=False))
        return 0
    for name, why in found["skipped"].items():
        print(f"skipped {name}: {why}")
    for name, why in found["failed"].items():
        print(f"failed {name}: {why}")
    for method, row in found["pooled"].items():
        cover = "  ".join(
            f"{name} " + "/".join(f"{row[name][str(level)]:.2f}" for level in LEVELS)
            for name in ("hour", "peak", "total")
            if name in row
        )
        print(
            f"{method}: WAPE {row['wape']:.3f}  MASE {row['mase']:.2f}  bias {row['bias']:+.1%}  "
            f"pinball95 {row['pinball95']:.3f}  CPU-s {row['cpu_s']:.3f}  coverage 80/95: {cover}"
        )
    for method, row in found["portfolio_over"].items():
        print(
            f"portfolio over {method}: WAPE x {row['wape_mean']:.2f} (worst series {row['wape_worst']:.2f}), "
            f"pinball95 x {row['pinball95_mean']:.2f}"
        )
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
