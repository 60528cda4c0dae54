"""Capacity at the token lengths that are forecast, not at those of all history."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from data.forecast_records import Forecast
from data.history import TrafficHistory
from data.records import LengthSample


def _scaled(sample: LengthSample, ratios: dict[str, float]) -> LengthSample:
    inputs = np.maximum(np.rint(sample.input_tokens * ratios.get("input", 1.0)), 1).astype(np.int64)
    outputs = np.maximum(np.rint(sample.output_tokens * ratios.get("output", 1.0)), 1).astype(np.int64)
    share = sample.cached_tokens / np.maximum(sample.input_tokens, 1) * ratios.get("cached", 1.0)
    cached = np.minimum(np.floor(inputs * np.minimum(share, 1.0)), inputs - 1).astype(np.int64)
    return replace(sample, input_tokens=inputs, output_tokens=outputs, cached_tokens=cached)


def at_forecast_lengths(history: TrafficHistory, forecast: Forecast) -> TrafficHistory:
    """The history with every length sample moved to the forecast's mean of the last planned month, its shape kept.

    Classes whose lengths do not move, or have no token history, keep theirs.
    """
    ratios: dict[tuple[str, str], dict[str, float]] = {}
    for one in forecast.lengths:
        ratios.setdefault((one.llm, one.request_class), {})[one.side] = one.ratio
    if not ratios:
        return history
    lengths = {key: _scaled(sample, ratios.get(key, {})) for key, sample in history.lengths.items()}
    return replace(history, lengths=lengths)
