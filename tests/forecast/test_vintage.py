"""Vintages: what was issued, unchanged, and its score once hours have come."""

from __future__ import annotations

import gzip
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from configs.errors import InputError
from configs.forecasting import ForecastPolicy
from data.forecast_records import Forecast, SeriesForecast
from data.records import Demand, SeriesKey
from forecast.vintage import read_vintage, score_vintage, write_vintage

KEY = SeriesKey("m", "chat", "r")
HOURS = pd.date_range("2026-12-01", periods=31 * 24, freq="h")


def issued() -> Forecast:
    middle = np.full((len(HOURS), 1), 100.0)
    series = SeriesForecast(
        key=KEY, hours=HOURS.to_numpy(), levels=(0.1, 0.5, 0.9), hourly=middle * [0.9, 1.0, 1.1], months=("2026-12",),
        monthly_total=np.array([[70_000.0, 74_400.0, 79_000.0]]), monthly_peak_hour=np.array([[105.0, 110.0, 120.0]]),
        method="x", grade="A", reason="", accuracy=(),
    )  # fmt: skip
    demand = Demand((KEY,), ("2026-12",), (), np.ones(1), np.ones((1, 1, 0, 1)))
    return Forecast((series,), demand, "2026-11-30T23:00Z")


def frame(values: np.ndarray) -> pd.DataFrame:
    index = HOURS.tz_localize("UTC")[: len(values)]
    return pd.DataFrame({"llm": "m", "request_class": "chat", "region": "r", "ts": index, "requests": values})


def test_the_same_forecast_is_one_read_only_file(tmp_path: Path) -> None:
    policy = ForecastPolicy().model_dump(mode="json")
    first, second = (write_vintage(issued(), 1, policy, {"f": "0" * 64}, tmp_path) for _ in range(2))
    assert first == second
    assert not first.stat().st_mode & 0o222
    found = read_vintage(first)
    assert found["policy"] == policy
    assert found["inputs"] == {"f": "0" * 64}
    assert found["series"][0]["hourly"][5] == [90.0, 100.0, 110.0]
    assert write_vintage(issued(), 2, policy, {}, tmp_path) != first


def test_an_altered_vintage_is_refused(tmp_path: Path) -> None:
    path = write_vintage(issued(), 1, {}, {}, tmp_path)
    path.chmod(0o644)
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes()).replace(b"110.0", b"111.0")))
    with pytest.raises(InputError, match="its name was made from"):
        read_vintage(path)


@pytest.mark.parametrize("at", [0, 12, 40, 200, -12])
def test_a_damaged_vintage_is_refused(tmp_path: Path, at: int) -> None:
    path = write_vintage(issued(), 1, {}, {}, tmp_path)
    whole = path.read_bytes()
    path.chmod(0o644)
    for damaged in (whole[:at], whole[:at] + b"\xff\xff" + whole[at:][2:], whole[: at // 2] + b"\x00" * 40):
        path.write_bytes(damaged)
        with pytest.raises(InputError):
            read_vintage(path)
    path.write_bytes(gzip.compress(b"[]"))
    with pytest.raises(InputError, match="a JSON list"):
        read_vintage(path)


def test_scores_are_those_of_the_hours_that_came(tmp_path: Path) -> None:
    vintage = read_vintage(write_vintage(issued(), 1, {}, {}, tmp_path))
    actual = np.full(len(HOURS), 100.0)
    actual[: len(HOURS) // 4] = 112.0
    (score,) = score_vintage(vintage, frame(actual))
    assert score.wape == pytest.approx(0.25 * 12.0 / 103.0)
    assert score.bias == pytest.approx(100.0 / 103.0 - 1.0)
    assert score.hour_coverage == {"0.1-0.9": pytest.approx(0.75)}
    assert score.total_coverage == {"0.1-0.9": 1.0}
    assert score.peak_coverage == {"0.1-0.9": 1.0}
    (early,) = score_vintage(vintage, frame(actual[:100]))
    assert (early.hours, early.months) == (100, 0)
    assert score_vintage(vintage, frame(actual).assign(region="elsewhere")) == []
