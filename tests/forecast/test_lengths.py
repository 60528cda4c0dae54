"""Token lengths that drift move the forecast's lengths, and with them the samples that capacity is computed from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from data.history import TrafficHistory
from data.records import LengthSample
from flows.lengths import at_forecast_lengths
from forecast.lengths import length_forecasts
from forecast.portfolio import forecast, horizon
from forecast.scenarios import whole_months
from tests.forecast.test_portfolio import POLICY

TS = pd.date_range("2026-08-03", periods=10 * 168, freq="h", tz="UTC")
MONTHS = whole_months(horizon(TS[-1], 2))


def frame(inputs: np.ndarray) -> pd.DataFrame:
    requests = 100.0 + 50.0 * np.cos(2 * np.pi * TS.hour.to_numpy() / 24)
    return pd.DataFrame(
        {
            "llm": "m", "request_class": "chat", "region": "r", "ts": TS, "requests": requests,
            "input_tokens": requests * inputs, "output_tokens": requests * 100.0, "observed": True,
        }
    )  # fmt: skip


def test_constant_lengths_are_no_series() -> None:
    assert length_forecasts(frame(np.full(len(TS), 1000.0)), MONTHS, (0.1, 0.5, 0.9), 0) == ()


def test_a_drift_carries_on_from_where_it_has_come() -> None:
    """Prompts that shrank from 1,200 to 300 tokens: next month is planned near 300, not at the mean of history."""
    drift = 1200.0 * (0.25) ** (np.arange(len(TS)) / len(TS))
    (found,) = length_forecasts(frame(drift), MONTHS, (0.1, 0.5, 0.9), 0)
    assert found.side == "input"
    assert found.monthly_mean[-1, 1] == pytest.approx(320.0, rel=0.1)
    assert found.monthly_mean[-1, 0] < 0.9 * found.monthly_mean[-1, 1] < found.monthly_mean[-1, 2]
    assert found.ratio < 0.6


def test_samples_move_by_the_ratio() -> None:
    drift = 1200.0 * (0.25) ** (np.arange(len(TS)) / len(TS))
    sample = LengthSample(np.array([400, 800]), np.array([50, 60]), np.array([200, 0]), np.array([0.5, 0.5]), "x")
    history = TrafficHistory(frame(drift), {("m", "chat"): sample, ("m", "other"): sample}, (), {})
    found = forecast(history, POLICY, 1)
    moved = at_forecast_lengths(history, found)
    ratio = found.lengths[0].ratio
    assert moved.lengths["m", "chat"].input_tokens.tolist() == [round(400 * ratio), round(800 * ratio)]
    assert moved.lengths["m", "chat"].output_tokens.tolist() == [50, 60]
    assert moved.lengths["m", "chat"].cached_tokens[0] == int(round(400 * ratio) * 0.5)
    assert moved.lengths["m", "other"].input_tokens.tolist() == [400, 800]
    assert any("input tokens a request" in note for note in found.notes)
