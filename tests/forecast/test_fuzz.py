"""Ten thousand awful histories: no NaN, nothing negative, nothing exploding, and every degradation named."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from configs.forecasting import ForecastPolicy
from data.frames import HISTORY
from data.history import TrafficHistory
from forecast.portfolio import forecast

KINDS = ("zeros", "constant", "spike", "gaps", "huge", "tiny", "shift", "late start", "early end", "bursts", "few")
LENGTHS = (20, 24, 30, 100, 168, 300, 500, 700, 1200)
LAST = pd.Timestamp("2026-10-31 23:00", tz="UTC")


def awful(rng: np.random.Generator) -> np.ndarray:
    hours = int(rng.choice(LENGTHS))
    values = rng.poisson(rng.choice([0.05, 1.0, 50.0]), hours).astype(float)
    for kind in rng.choice(KINDS, 2, replace=False):
        match kind:
            case "zeros":
                values[:] = 0.0
            case "constant":
                values[:] = rng.choice([1e-9, 7.0, 1e12])
            case "spike":
                values[rng.integers(hours)] = 1e12
            case "gaps":
                values[rng.random(hours) < rng.choice([0.1, 0.5, 0.9])] = np.nan
            case "huge":
                values *= 1e12
            case "tiny":
                values *= 1e-12
            case "shift":
                values[hours // 2 :] *= 100.0
            case "late start":
                values[: hours // 2] = np.nan
            case "early end":
                values[-hours // 3 :] = np.nan
            case "bursts":
                values += (rng.random(hours) < 0.02) * rng.pareto(0.7, hours) * 100.0
            case "few":
                values[20:] = np.nan
    return values


def fuzzed(seed: int, count: int) -> tuple[TrafficHistory, dict[str, np.ndarray]]:
    rng = np.random.default_rng(seed)
    made = {f"c{i:04d}": awful(rng) for i in range(count)}
    frames = []
    for name, values in made.items():
        ts = pd.date_range(end=LAST, periods=len(values), freq="h").as_unit("us")
        frames.append(
            pd.DataFrame(
                {
                    "llm": "m", "request_class": name, "region": "r", "ts": ts, "requests": values,
                    "input_tokens": values, "output_tokens": values, "observed": ~np.isnan(values),
                }
            )
        )  # fmt: skip
    return TrafficHistory(HISTORY.validate(pd.concat(frames, ignore_index=True)), {}, (), {}), made


def check(seed: int, count: int) -> None:
    history, made = fuzzed(seed, count)
    policy = ForecastPolicy(horizon_months=1, backtest_windows=2, paths=50, workers=1)
    found = forecast(history, policy, seed)
    assert len(found.series) == count, "no series is lost"
    assert np.isfinite(found.demand.rps).all()
    assert (found.demand.rps >= 0.0).all()
    for one in found.series:
        values = made[one.key.request_class]
        seen = values[~np.isnan(values)]
        top = 4.0 * float(seen.max(initial=0.0)) * 1.001 + 1e-30
        for array in (one.hourly, one.monthly_peak_hour):
            assert np.isfinite(array).all(), one.key
            assert (array >= 0.0).all(), one.key
            # Four times the largest hour, plus the declared doubt of growth, which is none here.
            assert array.max() <= top, one.key
        assert np.isfinite(one.monthly_total).all()
        assert one.reason
        # What could not be done is said: the product never falls back in silence.
        if len(seen) < 24 or len(values) < 4 * 168:
            assert one.degradations, (one.key, one.method)
        if len(seen) < 168 or not (seen > 0.0).any():
            assert one.grade == "D", one.key


def test_forty_awful_series() -> None:
    check(1, 40)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(100, 120))
def test_ten_thousand_awful_series(seed: int) -> None:
    check(seed, 500)
