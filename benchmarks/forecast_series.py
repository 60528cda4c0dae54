"""Generated hourly series of many kinds, as a long frame for `benchmarks.forecast`.

    python -m benchmarks.forecast_series --families taxi,bike --seeds 400:402 --out FILE

Twenty-four weeks each, from a process that is written out here, so that what can be known of a series is known. Seeds
under 400 have been looked at while forecasts were chosen; score with others. Families of services, of a city and of
utilities are meant to be like what their names say in shape, noise, holidays and level; they are no measurements.
"""

from __future__ import annotations

import argparse
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

import numpy as np
import pandas as pd

from configs.traffic import Synthetic
from data.synthetic import hourly_requests
from forecast.calendar import holiday_hours

WEEKS = 24
WEEK = 168


@dataclass(frozen=True, slots=True)
class Clock:
    """The hours of a series: t since the start, day since the start, hour of the day, weekend, US holiday, calendar."""

    index: pd.DatetimeIndex
    t: np.ndarray
    day: np.ndarray
    hour: np.ndarray
    weekend: np.ndarray
    holiday: np.ndarray


Family = Callable[[np.random.Generator, Clock], np.ndarray]


def clock(rng: np.random.Generator) -> Clock:
    """Twenty-four weeks from a Monday in spring or summer of 2026."""
    t = np.arange(WEEKS * WEEK)
    start = pd.Timestamp("2026-03-02", tz="UTC") + pd.Timedelta(days=int(rng.integers(0, 20)) * 7)
    index = pd.date_range(start, periods=len(t), freq="h")
    return Clock(index, t, t // 24, t % 24, (t // 24) % 7 >= 5, holiday_hours(index, "US"))


def noise(rng: np.random.Generator, count: int, phi: float = 0.8) -> np.ndarray:
    """An autoregression of order one with variance 1."""
    step = rng.standard_normal(count)
    found = np.empty(count)
    found[0] = step[0]
    for i in range(1, count):
        found[i] = phi * found[i - 1] + np.sqrt(1.0 - phi**2) * step[i]
    return found


def days(rng: np.random.Generator, c: Clock, sd: float, phi: float = 0.5) -> np.ndarray:
    """A log-normal factor on each day."""
    return np.asarray(np.exp(sd * noise(rng, WEEKS * 7, phi))[c.day])


def weeks(rng: np.random.Generator, c: Clock, sd: float) -> np.ndarray:
    """A level that walks from week to week."""
    return np.asarray(np.exp(np.cumsum(rng.normal(0.0, sd, WEEKS))[c.t // WEEK]))


def wave(rng: np.random.Generator, c: Clock) -> np.ndarray:
    """A smooth day, lower at weekends."""
    depth, weekend, top = rng.uniform(0.3, 0.8), rng.uniform(0.4, 1.0), rng.integers(24)
    return (1.0 + depth * np.cos(2.0 * np.pi * (c.hour - top) / 24)) * np.where(c.weekend, weekend, 1.0)


def bump(hour: np.ndarray, at: float, width: float) -> np.ndarray:
    return np.asarray(np.exp(-((hour - at) ** 2) / width))


SERVICES = ("ar", "rw", "weekly", "growth", "heavy")


def service_parts(kind: str, rng: np.random.Generator, c: Clock) -> tuple[np.ndarray, np.ndarray]:
    """A smooth service: what is expected of every hour once the levels of all weeks are known, and the log of what
    comes over it. Its kind adds a walking level (rw), weeks that stray, a steady drift (growth), rare large hours
    (heavy)."""
    z, level = noise(rng, len(c.t)), np.zeros(len(c.t))
    if kind == "rw":
        level = np.repeat(np.cumsum(rng.normal(0.0, 0.05, WEEKS)), WEEK)
    if kind == "weekly":
        level = np.repeat(rng.normal(0.0, 0.1, WEEKS), WEEK)
    if kind == "growth":
        level = c.t / 730 * rng.uniform(-0.05, 0.1)
    if kind == "heavy":
        z = z + (rng.random(len(c.t)) < 0.01) * rng.exponential(4.0, len(c.t))
    return 1000.0 * wave(rng, c) * np.exp(level), 0.15 * z


def service(kind: str) -> Family:
    """The hours of a smooth service."""

    def family(rng: np.random.Generator, c: Clock) -> np.ndarray:
        expected, log = service_parts(kind, rng, c)
        return expected * np.exp(log)

    return family


def taxi(rng: np.random.Generator, c: Clock) -> np.ndarray:
    h = c.hour
    weekend = 0.75 + 0.25 * np.cos(2.0 * np.pi * (h - 22) / 24) + 0.35 * np.exp(-(((h - 1) % 24) ** 2) / 8)
    working = 0.35 + 0.5 * bump(h, 8.5, 5) + 0.75 * bump(h, 19, 14) + 0.3 * bump(h, 13, 12)
    found = 12000.0 * np.where(c.weekend, weekend, working) * weeks(rng, c, 0.012) * days(rng, c, 0.06)
    found *= np.exp(0.05 * noise(rng, len(c.t), 0.7))
    for storm in np.flatnonzero(rng.random(WEEKS * 7) < 0.006):
        found[c.day == storm] *= rng.uniform(0.3, 0.7)
    found[c.holiday] *= rng.uniform(0.55, 0.85)
    return found


def bike(rng: np.random.Generator, c: Clock) -> np.ndarray:
    h = c.hour
    working = 0.05 + 0.9 * bump(h, 8, 2.5) + 1.0 * bump(h, 17.5, 4) + 0.3 * bump(h, 13, 12)
    shape = np.where(c.weekend, 0.05 + 0.9 * bump(h, 14, 18), working)
    year = np.exp(0.5 * np.sin(2.0 * np.pi * (c.index.day_of_year.to_numpy() - 110) / 365))
    rain = np.where(rng.random(WEEKS * 7) < 0.2, rng.uniform(0.25, 0.8, WEEKS * 7), 1.0)[c.day]
    mean = 250.0 * shape * year * days(rng, c, 0.15, 0.6) * rain * np.exp(0.1 * noise(rng, len(c.t)))
    found = rng.poisson(mean).astype(float)
    return np.where(c.holiday, found * 0.6, found)


def pedestrian(rng: np.random.Generator, c: Clock) -> np.ndarray:
    h = c.hour
    weekend = 0.8 * bump(h, 15, 25) + 0.25 * np.exp(-(((h - 23) % 24) ** 2) / 10)
    working = 0.5 * bump(h, 8.3, 2) + 0.8 * bump(h, 13, 3) + 0.8 * bump(h, 17.3, 4)
    found = 1500.0 * (0.03 + np.where(c.weekend, weekend, working)) * days(rng, c, 0.1, 0.3)
    found *= np.exp(0.12 * noise(rng, len(c.t), 0.6))
    for fair in np.flatnonzero(rng.random(WEEKS * 7) < 0.03):
        start = fair * 24 + rng.integers(10, 20)
        found[start : start + rng.integers(2, 6)] *= rng.uniform(1.5, 4.0)
    found = np.rint(found)
    if rng.random() < 0.5:
        start = rng.integers(0, len(found) - 100)
        found[start : start + rng.integers(5, 90)] = np.nan
    return found


def llm(rng: np.random.Generator, c: Clock) -> np.ndarray:
    """Bursty requests of an LLM: a level that walks by the day, gamma hours, bursts of some hours."""
    n = len(c.t)
    mean = wave(rng, c) * rng.uniform(20.0, 300.0) * np.exp(np.cumsum(rng.normal(0.0, 0.05, WEEKS * 7))[c.day] * 0.5)
    k = rng.uniform(1.5, 6.0)
    found = rng.poisson(mean * rng.gamma(k, 1.0 / k, n) * np.exp(0.4 * noise(rng, n))).astype(float)
    for _ in range(rng.poisson(10)):
        start = rng.integers(0, n)
        found[start : start + rng.integers(2, 30)] += mean.mean() * rng.uniform(1.0, 6.0)
    return found


def intermittent(rng: np.random.Generator, c: Clock) -> np.ndarray:
    """Near nothing, and bursts of any size."""
    n = len(c.t)
    found = rng.poisson(rng.uniform(0.2, 3.0), n).astype(float) * (rng.random(n) < 0.4)
    for _ in range(rng.poisson(WEEKS * 1.5)):
        start, length = rng.integers(0, n), rng.integers(1, 20)
        part = found[start : start + length]
        part += rng.poisson(20.0 * (1.0 + rng.pareto(1.2)), len(part))
    return found


def client(rng: np.random.Generator, c: Clock) -> np.ndarray:
    """One client is half of the traffic, on and off for days."""
    mean = 800.0 * wave(rng, c)
    on = (noise(rng, WEEKS * 7, 0.85) > 0.0)[c.day]
    return mean * (0.6 + 0.8 * on) * np.exp(0.15 * noise(rng, len(c.t), 0.7))


def elec(rng: np.random.Generator, c: Clock) -> np.ndarray:
    """An electricity load: little noise, spells of weather, a year's course."""
    h = c.hour
    quiet = np.where(c.weekend | c.holiday, 0.1, 0.0) * np.where((h > 6) & (h < 20), 1.0, 0.4)
    shape = 1.0 + 0.18 * np.cos(2.0 * np.pi * (h - 15) / 24) + 0.08 * bump(h, 19, 5) - quiet
    depth, side = rng.uniform(0.05, 0.15), rng.choice([-1, 1])
    year = depth * side * np.cos(2.0 * np.pi * (c.index.day_of_year.to_numpy() - 20) / 365)
    weather = 0.05 * noise(rng, WEEKS * 7, 0.85)[c.day] * np.where((h > 7) & (h < 23), 1.0, 0.5)
    return 3e4 * shape * np.exp(year + weather + 0.012 * noise(rng, len(c.t), 0.9))


def call(rng: np.random.Generator, c: Clock) -> np.ndarray:
    """A call centre: closed at night, on Sundays and holidays, fuller on Mondays and in the first days of a month."""
    h = c.hour
    shape = np.where((h >= 8) & (h < 20), bump(h, 10.5, 8) + 0.8 * bump(h, 15, 9) + 0.1, 0.0)
    by_day = np.array([1.3, 1.05, 1.0, 0.98, 0.95, 0.35, 0.0])[c.day % 7]
    by_day = by_day * np.where(c.index.day.to_numpy() <= 5, 1.2, 1.0)
    mean = rng.uniform(40.0, 400.0) * shape * by_day * days(rng, c, 0.08, 0.4) * weeks(rng, c, 0.02)
    return rng.poisson(mean * np.where(c.holiday, 0.02, 1.0)).astype(float)


def web(rng: np.random.Generator, c: Clock) -> np.ndarray:
    """Page views: drift, spells, spikes that fade, a level shift in half of them, an outage in half of them."""
    n = len(c.t)
    mean = rng.uniform(200.0, 20000.0) * wave(rng, c) * np.exp(c.t / 730 * rng.uniform(-0.03, 0.05))
    mean *= np.exp(0.1 * noise(rng, n, 0.9) + 0.07 * noise(rng, WEEKS * 7, 0.5)[c.day])
    for _ in range(rng.poisson(4)):
        start = rng.integers(0, n)
        mean[start:] *= 1.0 + rng.uniform(0.3, 3.0) * np.exp(-np.arange(n - start) / rng.uniform(4.0, 30.0))
    if rng.random() < 0.5:
        mean[rng.integers(n // 5, n) :] *= np.exp(rng.choice([-1, 1]) * rng.uniform(0.2, 0.6))
    found = rng.poisson(mean).astype(float)
    if rng.random() < 0.5:
        start = rng.integers(0, n - 100)
        found[start : start + rng.integers(2, 30)] = 0.0
    return found


FAMILIES: dict[str, Family] = {
    **{kind: service(kind) for kind in SERVICES},
    "taxi": taxi, "bike": bike, "pedestrian": pedestrian, "elec": elec, "call": call,
    "llm": llm, "intermittent": intermittent, "client": client, "web": web,
}  # fmt: skip


def source(family: str, seed: int) -> np.random.Generator:
    """Where the draws of one series come from."""
    return np.random.default_rng([zlib.crc32(family.encode()), seed])


def generate(family: str, seed: int) -> pd.Series:
    """One series, hourly, NaN where nothing was observed; `product` is data/synthetic.py with settings drawn."""
    rng = source(family, seed)
    c = clock(rng)
    if family == "product":
        spec = Synthetic(
            first_day=date(2026, 3, 2), weeks=WEEKS, mean_requests_per_hour=float(rng.uniform(100, 40000)),
            weekend_ratio=float(rng.uniform(0.3, 0.9)), daily_amplitude=float(rng.uniform(0.3, 0.8)),
            growth_per_month=float(rng.uniform(-0.02, 0.06)), burstiness_cv=float(rng.uniform(0.1, 0.4)),
        )  # fmt: skip
        return hourly_requests(spec, seed)
    return pd.Series(np.maximum(FAMILIES[family](rng, c), 0.0), index=c.index)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    every = (*FAMILIES, "product")
    parser.add_argument("--families", default=",".join(every), help="of " + ", ".join(every))
    parser.add_argument("--seeds", default="400:402", help="FROM:TO, the last not included")
    parser.add_argument("--out", type=Path, required=True, help="CSV: series_id, ts, y")
    args = parser.parse_args()
    first, last = (int(part) for part in args.seeds.split(":"))
    wanted = args.families.split(",")
    unknown = sorted(set(wanted) - set(every))
    if unknown:
        parser.error(f"no such family: {', '.join(unknown)}")
    frames = [
        pd.DataFrame({"series_id": f"{family}-{seed}", "ts": one.index, "y": one.to_numpy()})
        for family in wanted
        for seed in range(first, last)
        for one in (generate(family, seed),)
    ]
    pd.concat(frames).dropna().to_csv(args.out, index=False)


if __name__ == "__main__":
    main()
