"""Three-level calibration: hours, peaks and totals are widened or narrowed by what past windows showed.

Each window is simulated as a future of its own, from what was known at its origin and from errors of other days, and
what came is expressed as a score: how many standard deviations of the simulated distribution it lay from its median (0
and +-1 on average where the distribution is right). Few windows say little, so a series' own scores are shrunk to those
of all series, and those to no correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy import stats

from data.records import FloatArray
from forecast.level import believe
from forecast.paths import Calibration, Growth, PathModel, one_series, shared_draws
from forecast.residuals import ErrorBank
from forecast.windows import Window

PATHS = 200
UPPER = np.array([0.5, 0.8, 0.9, 0.925, 0.95, 0.965, 0.98, 0.99, 0.995])
CAP = 2.5
"""Scores beyond this count as this: one outage must not widen every interval."""
CAPPED_SQUARE = float(stats.norm.expect(lambda z: min(z * z, CAP * CAP)))
WINDOW_HANDICAP = 1.05
"""Expected mean square of the scores of hours and totals in windows: they were made from shorter histories than today's
forecast."""
PEAK_DOUBT = 1.4
"""The same for peaks before any evidence: the largest hour of a month depends on a tail that few days have shown."""
PRIOR_WINDOWS = 8.0
"""How many independent windows no correction counts for against those of all series, and those against one's own."""
LEAN_PRIOR = 20.0
"""The same for where peaks lie: past windows know shorter histories, whose peaks lean otherwise (chosen on generated
and on five public series, docs/forecast.md)."""
PEAK_DAYS = 28
"""Peaks are those of a month: a window that is shorter (and than the horizon) has not seen what is asked of it."""
LEAST_FACTOR = 1.0 / 3.0
LEAST_DAYS = 10
Z80 = float(stats.norm.ppf(0.9))


@dataclass(frozen=True, slots=True)
class Evidence:
    """What one window says: scores of its total and peak, of every hour [hours] (NaN: unobserved), and the simulated
    hours' quantiles at UPPER [levels, hours]."""

    total: float
    peak: float
    hour: FloatArray
    upper: FloatArray


@dataclass(frozen=True, slots=True)
class Pool:
    """Sums over the windows of many series: independent windows, mean squares of their scores, capped; how many
    windows they count for in peaks, and the mean square and the mean of the scores of those, capped."""

    windows: float
    total: float
    hour: float
    peak_windows: float
    peak: float
    peak_lean: float


def score_of(truth: FloatArray, quantiles: FloatArray) -> FloatArray:
    """Scores of truths given their simulated 10, 50 and 90 % quantiles [3, ...], each side in its own units."""
    low, middle, high = quantiles
    side = np.where(truth >= middle, high - middle, middle - low) / Z80
    gap = truth - middle
    with np.errstate(invalid="ignore", divide="ignore"):
        score = np.where(gap == 0.0, 0.0, gap / side)
    return np.asarray(np.clip(score, -10.0, 10.0))


def without_days(bank: ErrorBank, window: Window) -> ErrorBank:
    """The bank without the window's own days, where enough others remain."""
    keep = ~np.isin(bank.date, window.date)
    if keep.sum() < LEAST_DAYS:
        return bank
    return replace(bank, days=bank.days[keep], date=bank.date[keep], quiet=bank.quiet[keep])


def examine(window: Window, today: PathModel, rng: np.random.Generator) -> Evidence:
    """The window simulated as it would have been, with today's errors of other days, and its scores."""
    bank = without_days(today.bank, window)
    belief = believe(window.levels, len(today.levels))
    model = replace(today, point=window.forecast, bank=bank, belief=belief, levels=window.levels)
    hours = len(window.forecast)
    still = Growth(np.ones(hours), np.zeros(hours))
    paths = one_series(model, shared_draws([model], window.quiet, PATHS, rng), 0, window.quiet, still)
    seen = ~np.isnan(window.actual)
    tail = np.array([0.1, 0.5, 0.9])
    total = np.quantile(np.log(paths[:, seen].sum(axis=1, dtype=np.float64) + 1e-9), tail)
    peak = np.quantile(np.log(paths[:, seen].max(axis=1).astype(np.float64) + 1e-9), tail)
    ordered = np.sort(paths, axis=0)
    position = (tail * (PATHS - 1)).round().astype(int)
    hour = score_of(np.nan_to_num(window.actual), ordered[position].astype(np.float64))
    return Evidence(
        total=float(score_of(np.log(window.actual[seen].sum() + 1e-9), total)),
        peak=float(score_of(np.log(window.actual[seen].max() + 1e-9), peak)),
        hour=np.where(seen, hour, np.nan),
        upper=ordered[np.minimum((UPPER * PATHS).astype(int), PATHS - 1)].astype(np.float64),
    )


def independent(windows: list[Window]) -> float:
    """Windows overlap: how many that do not would cover the same days."""
    if not windows:
        return 0.0
    days = np.unique(np.concatenate([window.date for window in windows]))
    return len(days) / len(windows[0].date)


def peak_share(windows: list[Window], horizon_days: float) -> float:
    """What a window counts for in peaks: the square of its share of the days whose largest hour is forecast (chosen on
    generated series of 5 and 8 weeks, docs/forecast.md)."""
    return min(len(windows[0].date) / min(horizon_days, PEAK_DAYS), 1.0) ** 2 if windows else 0.0


def _square(scores: FloatArray) -> float:
    return float(np.nanmean(np.minimum(np.square(scores), CAP * CAP))) / CAPPED_SQUARE


def summed(evidence: Sequence[Evidence], windows: float, share: float = 1.0) -> Pool:
    """The pool of one series; all zero without evidence. windows: how many of them are independent; share: what each
    counts for in peaks (`peak_share`)."""
    if not evidence or windows <= 0.0:
        return Pool(0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
    hours, peaks = np.concatenate([one.hour for one in evidence]), np.array([one.peak for one in evidence])
    return Pool(
        windows,
        windows * _square(np.array([one.total for one in evidence])) / WINDOW_HANDICAP,
        windows * _square(hours) / WINDOW_HANDICAP,
        windows * share,
        windows * share * _square(peaks),
        windows * share * float(np.clip(peaks, -CAP, CAP).mean()),
    )


def together(pools: Sequence[Pool]) -> Pool:
    """The pool of all series."""
    return Pool(*(float(sum(getattr(one, name) for one in pools)) for name in Pool.__dataclass_fields__))


def calibration(own: Pool, everyone: Pool, prior: float = PRIOR_WINDOWS, hours: bool = True) -> Calibration:
    """Factors on deviations, within a factor of three, from scores shrunk from one's own to everyone's to none; the
    same of where peaks lie: a few weeks' tails make those of real traffic, which has a ceiling, come out too high.

    hours: whether hours are moved too.
    """

    def factor(name: str, none: float, count: str = "windows") -> float:
        pooled = (prior * none + getattr(everyone, name)) / (prior + getattr(everyone, count))
        mine = (prior * pooled + getattr(own, name)) / (prior + getattr(own, count))
        return float(np.clip(np.sqrt(mine), LEAST_FACTOR, 1.0 / LEAST_FACTOR))

    hour = factor("hour", 1.0) if hours else 1.0
    all_count, count = LEAN_PRIOR + everyone.peak_windows, LEAN_PRIOR + own.peak_windows
    lean = (LEAN_PRIOR * everyone.peak_lean / all_count + own.peak_lean) / count
    # The spread is about where peaks lie, not about where they were expected; and where they lie is known from so many
    # windows only, of all series and of this one.
    doubt = 1.0 / all_count + 1.0 / count
    about = factor("peak", PEAK_DOUBT, "peak_windows") ** 2 - lean**2 / CAPPED_SQUARE + doubt
    return Calibration(factor("total", 1.0), hour, float(np.sqrt(max(about, LEAST_FACTOR**2))), lean)
