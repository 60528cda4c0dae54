"""Scores of the forecast and its yardsticks over past origins.

What a window's own days showed is kept out of what its quantiles are made from (forecast/calibrate.py), and so are its
scores out of the calibration it is scored with: coverage is honest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from data.forecast_records import Accuracy
from data.records import FloatArray
from data.units import HOURS_PER_WEEK
from forecast.accuracy import bias, covered, diebold_mariano, mase, pinball, wape
from forecast.calibrate import UPPER, Evidence, Pool, calibration, independent, peak_share, summed
from forecast.paths import Calibration, peak_tail
from forecast.windows import Window

LEVELS = (0.8, 0.95)
NORMAL = {0.8: 1.2816, 0.95: 1.9600}


@dataclass(frozen=True, slots=True)
class Scored:
    """One series' past: its evidence by window, how many windows are independent and what each counts for in peaks, the
    hours that came, and the accuracy of every method in which the intervals of the forecast itself are still missing.
    """

    evidence: tuple[Evidence, ...]
    independent: float
    peak_share: float
    actual: tuple[FloatArray, ...]
    accuracy: tuple[Accuracy, ...]

    @property
    def pool(self) -> Pool:
        return summed(self.evidence, self.independent, self.peak_share)


NOTHING = Scored((), 0.0, 0.0, (), ())


def _point(method: str, windows: list[Window], forecasts: list[FloatArray], pinball95: float) -> Accuracy:
    actual = np.concatenate([w.actual for w in windows])
    scaled = [mase(w.actual, f, w.history, HOURS_PER_WEEK) for w, f in zip(windows, forecasts, strict=True)]
    each = [wape(w.actual, f) for w, f in zip(windows, forecasts, strict=True)]
    worst = int(np.argmax(each))
    return Accuracy(
        method=method,
        windows=len(windows),
        wape=wape(actual, np.concatenate(forecasts)),
        mase=float(np.mean(scaled)),
        bias=bias(actual, np.concatenate(forecasts)),
        pinball95=pinball95,
        hour_coverage={},
        peak_coverage={},
        total_coverage={},
        worst_wape=each[worst],
        worst_from=str(np.datetime64(int(windows[worst].date[0]), "D")),
    )


def _yardstick(method: str, windows: list[Window], forecasts: list[FloatArray], own: Accuracy) -> Accuracy:
    """A method that gives points only: its quantiles are its points shifted by its own past errors' quantiles."""
    errors = [w.actual - f for w, f in zip(windows, forecasts, strict=True)]
    losses: list[float] = []
    hits: dict[float, list[float]] = {level: [] for level in LEVELS}
    for i, (w, f) in enumerate(zip(windows, forecasts, strict=True)):
        others = np.concatenate([e for j, e in enumerate(errors) if j != i]) if len(errors) > 1 else errors[i]
        losses.append(pinball(w.actual, np.maximum(f + np.nanquantile(others, 0.95), 0.0), 0.95))
        for level in LEVELS:
            low, high = np.nanquantile(others, [(1 - level) / 2, (1 + level) / 2])
            hits[level].append(covered(w.actual, f + low, f + high))
    found = _point(method, windows, forecasts, float(np.mean(losses)))
    ours = _daily(windows, [w.forecast for w in windows])
    theirs = _daily(windows, forecasts)
    return replace(
        found,
        hour_coverage={level: float(np.nanmean(found)) for level, found in hits.items()},
        value_added=1.0 - own.wape / found.wape if found.wape > 0.0 else None,
        dm_p=diebold_mariano(ours, theirs),
    )


def _daily(windows: list[Window], forecasts: list[FloatArray]) -> FloatArray:
    """Absolute error of each calendar day, the latest window that saw it counting; NaN-free, in order of date."""
    by_date: dict[int, float] = {}
    for w, f in zip(windows, forecasts, strict=True):
        whole = len(w.date) * 24
        error = np.concatenate([np.abs(w.actual - f), np.full(whole - len(f), np.nan)]).reshape(-1, 24)
        seen = (~np.isnan(error)).sum(axis=1)
        mean = np.nansum(error, axis=1) / np.maximum(seen, 1)
        by_date |= {date: value for date, value, some in zip(w.date.tolist(), mean.tolist(), seen, strict=True) if some}
    return np.array([by_date[date] for date in sorted(by_date)])


def scored(windows: list[Window], method: str, evidence: Sequence[Evidence], horizon_days: float) -> Scored:
    """Everything about a series' past that needs no other series; nothing without windows. horizon_days: of what is
    forecast today."""
    if not windows:
        return NOTHING
    own = _point(method, windows, [w.forecast for w in windows], float("nan"))
    return Scored(
        tuple(evidence),
        independent(windows),
        peak_share(windows, horizon_days),
        tuple(w.actual for w in windows),
        (
            own,
            _yardstick("seasonal naive", windows, [w.naive for w in windows], own),
            _yardstick("four-week mean", windows, [w.four_week for w in windows], own),
        ),
    )


def with_intervals(past: Scored, everyone: Pool, hours: bool = True) -> tuple[Accuracy, ...]:
    """Accuracy of all methods, the forecast's own intervals calibrated as today's are, each window by the others."""
    if not past.accuracy:
        return ()
    hits: dict[str, dict[float, list[float]]] = {k: {lv: [] for lv in LEVELS} for k in ("hour", "peak", "total")}
    losses: list[float] = []
    for i, one in enumerate(past.evidence):
        others = [other for j, other in enumerate(past.evidence) if j != i]
        without = summed(others, past.independent * len(others) / len(past.evidence), past.peak_share)
        fit = calibration(without, everyone, hours=hours)
        losses.append(pinball(past.actual[i], _upper(one, fit), 0.95))
        for level in LEVELS:
            seen = one.hour[~np.isnan(one.hour)]
            hits["hour"][level].append(float((np.abs(seen) <= NORMAL[level] * fit.hour).mean()))
            wide = float(peak_tail(np.array(NORMAL[level]))) * fit.peak
            hits["peak"][level].append(float(abs(one.peak - fit.peak_shift) <= wide))
            hits["total"][level].append(float(abs(one.total) <= NORMAL[level] * fit.level))
    mean = {name: {lv: float(np.mean(found)) for lv, found in by.items()} for name, by in hits.items()}
    own = replace(
        past.accuracy[0],
        pinball95=float(np.mean(losses)),
        hour_coverage=mean["hour"],
        peak_coverage=mean["peak"],
        total_coverage=mean["total"],
    )
    return (own, *past.accuracy[1:])


def _upper(one: Evidence, fit: Calibration) -> FloatArray:
    """The calibrated 95 % quantile of every hour: the simulated quantile that many calibrated deviations out."""
    wanted = float(stats.norm.cdf(1.6449 * fit.hour))
    place = float(np.interp(wanted, UPPER, np.arange(len(UPPER))))
    low = int(place)
    high = min(low + 1, len(UPPER) - 1)
    return np.asarray(one.upper[low] + (place - low) * (one.upper[high] - one.upper[low]))
