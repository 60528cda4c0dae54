"""What reconciliation makes of a level that changes, on a recorded series.

    python -m benchmarks.level_change --trace burstgpt_hourly.csv [--column conversation] [--first 14,21,28,33]
        [--reconciled 33,40,41,42,43] [--json]

For every first cut a vintage is made from the days before it, as a planner would have had it, and reconciled on later
days with what had come by then: drift, attribution, and the level correction that is proposed. The next vintage is made
on that day with the correction accepted, and without it. All three are then judged by the days that were left. With
`--replan DAY` a vintage of that day stands between the first and the reconciliation, as a monthly plan would make it.
Nothing is chosen by its result; a day 0 of the file is a Wednesday by convention.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from configs.forecasting import ForecastPolicy
from data.frames import checked_history
from data.history import TrafficHistory
from data.hourly import read_hourly_counts
from data.ledger.records import HOUR, Actual, Correction, Vintage
from data.records import SeriesKey
from forecast.portfolio import forecast
from reconcile.apply import corrected_history
from reconcile.attribution import CAUSES, cost_ratio, waterfall
from reconcile.corrections import propose
from reconcile.expected import expected
from reconcile.fleet import reconcile_fleet

KEY = SeriesKey("LLM", "class", "region")
FIRST_DAY = date(2026, 4, 29)
LEAST_LEFT_DAYS = 4


@dataclass(frozen=True, slots=True)
class Line:
    """One first cut and one reconciliation day.

    until_now: bias of what was last said, from the first cut (or a shift since) to that day; severity, chance, shift:
    what drift says of it; volume_usd: what the waterfall of a plan of 100 USD puts on volume; factor: the level
    correction, None where none is proposed; first, corrected, untouched: bias over the days left of what was last said,
    of the next vintage with the correction, and of the next without.
    """

    cut: int
    day: int
    until_now: float
    severity: str
    chance: float
    shift: float
    volume_usd: float
    factor: float | None
    first: float
    corrected: float
    untouched: float


def read(path: Path, column: str) -> pd.Series:
    """Requests by hour."""
    return read_hourly_counts(path, column, FIRST_DAY).requests


def history(requests: pd.Series, days: int) -> TrafficHistory:
    """The first days of a series as a history."""
    past = requests.iloc[: days * 24]
    columns = {"ts": past.index, "requests": past.to_numpy(), "input_tokens": 0.0, "output_tokens": 0.0}
    return TrafficHistory(checked_history(pd.DataFrame(asdict(KEY) | columns | {"observed": True})), {}, (), {})


def issue(told: TrafficHistory) -> Vintage:
    """The forecast from a history, as the ledger keeps it."""
    one = forecast(told, ForecastPolicy(horizon_months=1), seed=1).series[0]
    first = one.hours[0].astype("datetime64[h]")
    return Vintage(
        "run", KEY, first - HOUR, first, one.levels, one.hourly, one.months, one.monthly_total, one.monthly_peak_hour
    )


def known(requests: pd.Series, days: int) -> Actual:
    """What had come by the end of so many days."""
    first = pd.DatetimeIndex(requests.index)[0].tz_convert(None).to_numpy().astype("datetime64[h]")
    return Actual(KEY, first, requests.to_numpy()[: days * 24])


def bias(vintage: Vintage, requests: pd.Series, start: int, stop: int) -> float:
    """Of the volume said for days [start, stop)."""
    actual = known(requests, stop)
    first = actual.first_hour + start * 24 * HOUR
    shift = int((first - vintage.first_hour) / HOUR)
    said = expected(vintage)[shift : shift + (stop - start) * 24]
    return float(said.sum() / actual.between(first, actual.end).sum() - 1.0)


def corrections(requests: pd.Series, said: Sequence[Vintage], day: int) -> tuple[Line, list[Correction]]:
    """What a reconciliation on a day finds; the biases over the days left are still NaN."""
    found = reconcile_fleet([(KEY, tuple(said), known(requests, day))])
    (one,) = found.series
    levels = [c for c in propose("trace", found) if c.kind == "level"]
    ratios = dict.fromkeys(CAUSES, None) | {"volume": one.drift.ratio}
    fall = waterfall("cost", "USD", lambda r: 100.0 * cost_ratio(r), ratios)
    (volume,) = [bar.amount for bar in fall.bars if bar.cause == "volume"]
    factor = levels[0].values["factor"] if levels else None
    nan = float("nan")
    d = one.drift
    until_now = 1.0 / d.ratio - 1.0
    return Line(0, day, until_now, d.severity, d.chance, d.shift_statistic, volume, factor, nan, nan, nan), levels


def lines(requests: pd.Series, cuts: Sequence[int], days: Sequence[int], replan: int | None = None) -> list[Line]:
    """Every first cut with every later reconciliation day that leaves days to be judged by."""
    end = len(requests) // 24
    said = {cut: issue(history(requests, cut)) for cut in {*cuts, *days, *([replan] if replan else [])}}
    rows = []
    for cut in cuts:
        for day in (d for d in days if cut + 3 <= d <= end - LEAST_LEFT_DAYS):
            between = [replan] if replan and cut < replan < day else []
            stood = [said[at] for at in (cut, *between)]
            line, levels = corrections(requests, stood, day)
            corrected = issue(corrected_history(history(requests, day), levels)) if levels else said[day]
            after = [bias(one, requests, day, end) for one in (stood[-1], corrected, said[day])]
            rows.append(
                Line(
                    cut, day, line.until_now, line.severity, line.chance, line.shift, line.volume_usd, line.factor,
                    *after,
                )
            )  # fmt: skip
    return rows


def table(rows: Sequence[Line]) -> str:
    """The lines as text."""
    head = ("cut", "day", "until now", "drift", "chance", "sup F", "volume", "level x", "first", "corrected", "without")
    told = [
        (
            str(r.cut), str(r.day), f"{r.until_now:+.1%}", r.severity, f"{r.chance:.0%}", f"{r.shift:.1f}",
            f"{r.volume_usd:+.1f}", "-" if r.factor is None else f"{r.factor:.3f}", f"{r.first:+.1%}",
            f"{r.corrected:+.1%}", f"{r.untouched:+.1%}",
        )
        for r in rows
    ]  # fmt: skip
    widths = [max(len(row[i]) for row in (head, *told)) for i in range(len(head))]
    text = ["  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (head, *told)]
    sizes = np.abs([[r.first, r.corrected, r.untouched] for r in rows]).mean(axis=0)
    text.append(
        f"mean size of the bias over the days left: first {sizes[0]:.1%}, corrected {sizes[1]:.1%} "
        f"({sizes[1] / sizes[0]:.2f} of it), without {sizes[2]:.1%} ({sizes[2] / sizes[0]:.2f})"
    )
    return "\n".join(text)


def numbers(text: str) -> list[int]:
    """Whole numbers between commas; `14-20` is a range."""
    found: list[int] = []
    for part in text.split(","):
        low, _, high = part.partition("-")
        found += range(int(low), int(high or low) + 1)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--column", default="conversation")
    parser.add_argument("--first", type=numbers, default=numbers("33"))
    parser.add_argument("--reconciled", type=numbers, default=numbers("40-43"))
    parser.add_argument("--replan", type=int)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = lines(read(given.trace, given.column), given.first, given.reconciled, given.replan)
    print(json.dumps([asdict(one) for one in rows]) if given.json else table(rows))


if __name__ == "__main__":
    main()
