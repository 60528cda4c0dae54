"""Scenario paths: whole futures whose hours, peaks and totals spread as past errors did.

A path is  y(t) = (sqrt(m) + s(m) z(t))^2  with m = f(t) x level(week of t) x growth(t): z is drawn in blocks of a day
from the error bank (forecast/residuals.py), working days from working days, the same calendar day for every series
(forecast/joint.py); levels walk week by week (forecast/level.py), correlated across series. Calibration
(forecast/calibrate.py) then widens or narrows levels, hours and peaks by what past windows showed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.records import BoolArray, Float32Array, FloatArray, IntArray
from data.units import HOURS_PER_MONTH, HOURS_PER_WEEK
from forecast.gaps import DAY
from forecast.joint import MOST_SHIFT, calendar, common_factor, draw_days, row_by_date, shifted_blocks
from forecast.level import LevelBelief, standard_levels
from forecast.residuals import ErrorBank

SPREAD_DOUBT, LEVEL_DOUBT = 0.2, 0.25
"""Standard deviation of the log of the scale of a series' errors, and of its level's deviations: each scale is itself
known from a few dozen days or a dozen weeks only, and so the tails are heavier than the middle (assumption; a scale
from 12 weeks has a deviation of 0.2)."""
MEAN_SHARE = 0.5
"""Where a level is a mean, how far paths are moved from having it as their median to having it as their mean: wholly,
and new bursts go uncovered (assumption, chosen on generated intermittent series)."""
Z80 = 1.2816
PEAK_STRETCH = 0.2
"""The largest hour of a month comes from a tail that few days have shown: its own tails are those of t with 5 degrees
of freedom (assumption, checked on generated series), which leaves the middle 80 % where it was."""


@dataclass(frozen=True, slots=True)
class Calibration:
    """Factors on the deviations of levels, of hours and of peaks, and by how many standard deviations the median of
    peaks is moved."""

    level: float = 1.0
    hour: float = 1.0
    peak: float = 1.0
    peak_shift: float = 0.0


@dataclass(frozen=True, slots=True)
class PathModel:
    """One series: point [hours], its error bank, belief about its level, weekly log levels [weeks] (what correlation
    is measured on), the requests an hour that no path exceeds (a multiple of what was ever seen, before growth) and the
    share of paths on which the service runs at all (forecast/stop.py)."""

    point: FloatArray
    bank: ErrorBank
    belief: LevelBelief
    levels: FloatArray
    ceiling: float
    calibration: Calibration = Calibration()
    mean: bool = False
    runs: float = 1.0


@dataclass(frozen=True, slots=True)
class Growth:
    """Factor on every hour [hours], and the standard deviation of its log, which one draw a path scales [hours].

    declared: the part of the deviation's square that is of declared growth [hours]; reached: the share of its
    saturation that growth has reached [hours], None without one: a path that grows faster saturates sooner.
    """

    factor: FloatArray
    deviation: FloatArray
    declared: FloatArray | float = 1.0
    reached: FloatArray | None = None

    def with_events(self, factor: FloatArray, deviation: FloatArray) -> Growth:
        """The same with what events do on top, which no saturation bounds."""
        square = self.deviation**2 + deviation**2
        part = np.divide(self.deviation**2, square, out=np.ones_like(square), where=square > 0.0)
        return Growth(self.factor * factor, np.sqrt(square), part, self.reached)

    def log(self, draws: FloatArray) -> FloatArray:
        """Log of the factor on every hour of each path, [paths, hours]; draws: standard normals [paths]."""
        strays = draws[:, None] * self.deviation
        if self.reached is None:
            return np.asarray(np.log(self.factor) + strays)
        # The logistic S f / (S - 1 + f) of a free factor f that strays by e^x, over its own without: e^x / (1 + r (e^x
        # - 1)), with r what f has reached of S.
        bound = np.log1p(self.reached * np.expm1(self.declared * strays))
        return np.asarray(np.log(self.factor) + strays - bound)


@dataclass(frozen=True, slots=True)
class Draws:
    """What all series share: calendar days and shifts [paths, days], growth and spread draws [paths], quantile of the
    parameter pair [paths]; and the correlated normals of each series' level [series, paths, 2 + 2 weeks]."""

    dates: IntArray
    quiet: BoolArray
    factor: FloatArray
    picked: IntArray
    shift: IntArray
    growth: FloatArray
    spread: FloatArray
    pair: FloatArray
    normals: FloatArray


def correlation(levels: list[FloatArray]) -> FloatArray:
    """Correlation of weekly changes of log levels across series, over common weeks, shrunk half-way to a stated 0.5
    (services of one company grow and fade together) or wholly where under four weeks are common; [series, series]."""
    count = len(levels)
    prior = 0.5 * np.eye(count) + 0.5
    if count == 1:
        return np.ones((1, 1))
    longest = max(len(one) for one in levels)
    changes = np.full((count, max(longest - 1, 1)), np.nan)
    for i, one in enumerate(levels):
        if len(one) > 1:
            changes[i, -(len(one) - 1) :] = np.diff(one)
    seen = ~np.isnan(changes)
    filled = np.where(seen, changes, 0.0)
    n = seen.astype(np.float64) @ seen.T.astype(np.float64)
    mine = filled**2 @ seen.T.astype(np.float64)
    product = filled @ filled.T
    with np.errstate(invalid="ignore", divide="ignore"):
        measured = product / np.sqrt(mine * mine.T)
    trust = np.where((n >= 4) & np.isfinite(measured), n / (n + 8.0), 0.0)
    mixed = trust * np.nan_to_num(measured) + (1.0 - trust) * prior
    # Correlations of few weeks need not make a positive semidefinite matrix: clip to the nearest one.
    values, vectors = np.linalg.eigh(mixed)
    fixed = (vectors * np.maximum(values, 1e-6)) @ vectors.T
    scale = 1.0 / np.sqrt(np.diag(fixed))
    return np.asarray(fixed * np.outer(scale, scale))


def shared_draws(models: list[PathModel], quiet: BoolArray, paths: int, rng: np.random.Generator) -> Draws:
    """One draw of calendar days, shifts, growth and level normals for all series; quiet: [days] of the horizon."""
    days = len(quiet)
    weeks = -(-days // 7)
    banks = [one.bank for one in models if len(one.bank.date)]
    dates, kinds = calendar(banks) if banks else (np.empty(0, np.int64), np.empty(0, np.bool_))
    uniform = rng.random((paths, days))
    root = np.linalg.cholesky(correlation([one.levels for one in models]))
    normals = rng.standard_normal((len(models), paths * (2 + 2 * weeks)))
    return Draws(
        dates=dates,
        quiet=kinds,
        factor=common_factor(banks, dates),
        picked=draw_days(kinds, quiet, uniform) if len(dates) else np.zeros((paths, days), np.int64),
        shift=rng.integers(0, 2 * MOST_SHIFT + 1, (paths, days)),
        growth=rng.standard_normal(paths),
        spread=rng.standard_normal(paths),
        pair=rng.random(paths),
        normals=(root @ normals).reshape(len(models), paths, 2 + 2 * weeks),
    )


def _errors(bank: ErrorBank, draws: Draws, quiet: BoolArray) -> Float32Array:
    """Standardised errors, [paths, days * 24]."""
    paths, days = draws.picked.shape
    if not len(bank.date):
        return np.zeros((paths, days * DAY), dtype=np.float32)
    rows = row_by_date(bank, draws.dates, draws.quiet, draws.factor)
    blocks = shifted_blocks(bank).astype(np.float32)
    z = blocks[rows[draws.picked], draws.shift]
    z *= bank.hour_scale.astype(np.float32)[quiet.astype(np.int64)]
    return np.asarray(z.reshape(paths, days * DAY))


def one_series(model: PathModel, draws: Draws, number: int, quiet: BoolArray, growth: Growth) -> Float32Array:
    """Paths of the series at position `number` of the draws, [paths, hours], float32, never negative."""
    hours = len(model.point)
    fit = model.calibration
    level = standard_levels(model.belief, draws.normals[number], draws.pair)
    level *= (fit.level * np.exp(LEVEL_DOUBT * draws.spread))[:, None]
    if model.mean:
        level = level - MEAN_SHARE * np.log(np.exp(np.clip(level, -4.0, 4.0)).mean(axis=0))
    by_hour = np.repeat(level, HOURS_PER_WEEK, axis=1)[:, :hours]
    mean = (model.point * np.exp(np.clip(by_hour + growth.log(draws.growth), -4.0, 4.0))).astype(np.float32)
    z = _errors(model.bank, draws, quiet)[:, :hours]
    # A slope learnt from next to nothing may be huge: what float32 holds is enough, the ceiling is below it.
    slope = min(model.bank.slope, 1e36 / max(float(mean.max(initial=0.0)), 1e-30))
    spread = np.sqrt(np.float32(min(model.bank.constant, 1e36)) + np.float32(min(slope, 1e36)) * mean)
    z *= spread
    z *= (fit.hour * np.exp(SPREAD_DOUBT * draws.spread[:, None])).astype(np.float32)
    path = np.square(np.maximum(np.sqrt(mean) + z, 0.0))
    top = (model.ceiling * growth.factor).astype(np.float32)
    np.minimum(path, top, out=path)
    move_peaks(path, fit.peak, fit.peak_shift)
    np.minimum(path, top, out=path)
    if model.runs < 1.0:
        # A generator of their own: the draws that all series share stay what they are.
        order = np.random.default_rng(number).permutation(len(path))
        path[order[round(model.runs * len(path)) :]] = 0.0
    return path


def peak_tail(score: FloatArray) -> FloatArray:
    """Scores of peaks beyond the middle 80 % stretched to Student's t with 5 degrees of freedom (within 4 %)."""
    return np.asarray(score * (1.0 + PEAK_STRETCH * np.maximum(np.abs(score) - Z80, 0.0)))


def move_peaks(path: Float32Array, scale: float, shift: float = 0.0) -> None:
    """Moves the largest hour of each month of each path, in place: its deviation from the median path's peak is scaled
    on logs, stretched in the tails, and moved by `shift` standard deviations; the hours near the peak follow in
    proportion, those below 60 % of it stay."""
    span = round(HOURS_PER_MONTH)
    for start in range(0, path.shape[1], span):
        part = path[:, start : start + span]
        peak = np.maximum(part.max(axis=1), 1e-30)
        log = np.log(peak).astype(np.float64)
        low, middle, high = np.quantile(log, [0.1, 0.5, 0.9])
        unit = max(float(high - low) / (2.0 * Z80), 1e-9)
        aim = unit * (scale * peak_tail(np.clip((log - middle) / unit, -4.0, 4.0)) + shift)
        move = np.expm1(np.clip(aim - (log - middle), -1.5, 1.5)).astype(np.float32)
        share = part / peak[:, None]
        share -= np.float32(0.6)
        np.maximum(share, 0.0, out=share)
        share *= (move / np.float32(0.4))[:, None]
        share += np.float32(1.0)
        part *= share


def simulate(
    models: list[PathModel], quiet: BoolArray, growth: list[Growth], paths: int, rng: np.random.Generator
) -> Iterator[Float32Array]:
    """Paths of every series in turn, each [paths, hours]: one at a time, so that thousands of series fit in memory."""
    draws = shared_draws(models, quiet, paths, rng)
    for number, model in enumerate(models):
        yield one_series(model, draws, number, quiet, growth[number])


def compound(hours: int, growth_per_month: float, sd_per_month: float, saturation: float | None = None) -> Growth:
    """Declared growth compounded monthly with its uncertainty; saturation: the multiple of today's demand that growth
    approaches and does not pass on any path (logistic), None for none."""
    months = np.arange(1, hours + 1) / HOURS_PER_MONTH
    free = (1.0 + growth_per_month) ** months
    deviation = np.asarray(sd_per_month * months)
    if saturation is None:
        return Growth(np.asarray(free), deviation)
    reached = free / (saturation - 1.0 + free)
    return Growth(saturation * reached if growth_per_month >= 0.0 else free, deviation, reached=reached)
