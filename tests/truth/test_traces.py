"""Published facts of public traces, reproduced by our readers; and the plan of a real trace."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from data.hourly import read_hourly_counts
from data.requests import read_requests
from data.workload import autocorrelation

pytestmark = pytest.mark.truth


@pytest.mark.parametrize(
    ("file", "rows", "inputs", "outputs"),
    [
        ("AzureLLMInferenceTrace_conv.csv", 19_366, (1020, 4083, 4142), (129, 451, 601)),
        ("AzureLLMInferenceTrace_code.csv", 8_819, (1469, 7303, 7436), (13, 90, 251)),
    ],
)
def test_azure_2023_percentiles(
    reference: Path, file: str, rows: int, inputs: tuple[int, ...], outputs: tuple[int, ...]
) -> None:
    table = read_requests(reference / "traces" / file, "TIMESTAMP", "ContextTokens", "GeneratedTokens", "UTC").frame
    assert len(table) == rows
    q = (0.5, 0.95, 0.99)
    assert np.quantile(table["input_tokens"], q) == pytest.approx(inputs, abs=1.0)
    assert np.quantile(table["output_tokens"], q) == pytest.approx(outputs, abs=1.0)


def test_burstgpt_conversation_has_its_published_seasons(reference: Path) -> None:
    series = read_hourly_counts(reference / "traces" / "burstgpt_hourly.csv", "conversation", date(2026, 9, 30))
    values = series.requests.to_numpy()
    assert len(values) == 47 * 24
    assert autocorrelation(values, 24) == pytest.approx(0.78, abs=0.02)
    assert autocorrelation(values, 168) == pytest.approx(0.80, abs=0.06)
    weekend = series.requests.index.day_of_week >= 5
    assert values[weekend].mean() < 0.65 * values[~weekend].mean()
