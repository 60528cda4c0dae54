"""How far hindsight brings a forecast on any series: a bar below it asks for more than a choice of methods can give.

    python -m benchmarks.forecast_hindsight --series FILE [--train-weeks 12] [--horizon-weeks 4] [--origins 12]

WAPE over that of the seasonal naive, mean over series, of the portfolio as it is; of whichever of the portfolio, its
members and the yardsticks turned out best on each series, and on each window; and of the portfolio told what every
coming week adds up to, so that it errs by the week's shape alone. FILE as of benchmarks.forecast.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from benchmarks.forecast import cuts_of, portfolio
from benchmarks.series_file import read_series
from configs.errors import InputError
from data.records import FloatArray
from data.units import HOURS_PER_WEEK
from forecast.clean import filled
from forecast.members import MEMBERS, four_week_mean, seasonal_naive
from forecast.shift import settled

TOLD = "portfolio told each week's total"
YARDSTICK = "seasonal naive"


def told_totals(forecast: FloatArray, actual: FloatArray) -> FloatArray:
    """The forecast with every week scaled to what came in its observed hours, [hours]."""
    found = forecast.copy()
    for week in range(0, len(actual), HOURS_PER_WEEK):
        part = slice(week, week + HOURS_PER_WEEK)
        seen = ~np.isnan(actual[part])
        total = float(found[part][seen].sum())
        if total > 0.0:
            found[part] *= float(actual[part][seen].sum()) / total
    return found


def errors(train: pd.Series, point: FloatArray, actual: pd.Series) -> dict[str, float]:
    """Sum of absolute errors of every method on one window; methods that history is too short for are left out."""
    future, came = pd.DatetimeIndex(actual.index), actual.to_numpy()
    complete, _ = filled(train)
    history, _ = settled(complete)
    made = {
        "portfolio": point,
        YARDSTICK: seasonal_naive(complete, future),
        "four-week mean": four_week_mean(complete, future),
        TOLD: told_totals(point, came),
    }
    if len(train) >= 4 * HOURS_PER_WEEK:
        made |= {name: member(history, future) for name, member in MEMBERS.items()}
    return {name: float(np.nansum(np.abs(came - one))) for name, one in made.items()}


def hindsight(by_series: Mapping[str, Sequence[Mapping[str, float]]]) -> dict[str, float]:
    """Mean over series of each forecast's error over the seasonal naive's; series in which that errs nowhere aside."""
    ratios: dict[str, list[float]] = {}
    for windows in by_series.values():
        naive = sum(one[YARDSTICK] for one in windows)
        if not naive > 0.0:
            continue
        real = [name for name in windows[0] if name != TOLD]
        sums = {name: sum(one[name] for one in windows) for name in (*real, TOLD)}
        found = {
            "portfolio": sums["portfolio"],
            "best method of each series": min(sums[name] for name in real),
            "best method of each window": sum(min(one[name] for name in real) for one in windows),
            TOLD: sums[TOLD],
        }
        for name, error in found.items():
            ratios.setdefault(name, []).append(error / naive)
    return {name: float(np.mean(each)) for name, each in ratios.items()}


def run(series: Mapping[str, pd.Series], train_weeks: int, horizon_weeks: int, origins: int) -> dict[str, float]:
    """`hindsight` over the origins of benchmarks.forecast."""
    hours = horizon_weeks * HOURS_PER_WEEK
    found: dict[str, list[dict[str, float]]] = {}
    for name, values in series.items():
        for i, cut in enumerate(cuts_of(values, train_weeks, hours, origins)):
            train, actual = (
                values.iloc[max(cut - train_weeks * HOURS_PER_WEEK, 0) : cut],
                values.iloc[cut : cut + hours],
            )
            ((own, _),) = portfolio([train], [pd.DatetimeIndex(actual.index)], None, i)
            found.setdefault(name, []).append(errors(train, np.asarray(own["point"]), actual))
    return hindsight(found)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=Path, required=True)
    parser.add_argument("--train-weeks", type=int, default=12)
    parser.add_argument("--horizon-weeks", type=int, default=4)
    parser.add_argument("--origins", type=int, default=12)
    chosen = parser.parse_args(arguments)
    try:
        series = read_series(chosen.series)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    for name, ratio in run(series, chosen.train_weeks, chosen.horizon_weeks, chosen.origins).items():
        print(f"{name}: WAPE x {ratio:.2f} of the seasonal naive")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
