"""Published facts of public traces, reproduced by our readers; and the plan of a real trace."""

from __future__ import annotations

from datetime import date
from pathlib import Path

import numpy as np
import pytest

from data.dataset import opened
from data.hourly import read_hourly_counts
from data.ingestion import ingest_files
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


def test_ingested_traces_reproduce_published_figures(reference: Path, tmp_path: Path) -> None:
    """Azure 2023 percentiles; Mooncake's conversation trace (FAST'25): 12,031 requests of 12,035 tokens in and 343 out
    on average, of whose blocks a cache without limit holds about 40 %."""
    traces = reference / "traces"
    want = {
        "AzureLLMInferenceTrace_conv.csv": ("azure", 19_366, [1020, 4083, 4142], [129, 451, 601]),
        "AzureLLMInferenceTrace_code.csv": ("azure", 8_819, [1469, 7303, 7436], [13, 90, 251]),
    }
    for name, (kind, rows, inputs, outputs) in want.items():
        (answer,) = ingest_files([traces / name], tmp_path / name)
        assert answer.source is not None
        assert (answer.source.format, answer.source.kept) == (kind, rows)
        with opened(tmp_path / name) as (_, connection):
            q = "quantile_cont({}, [0.5, 0.95, 0.99])"
            found = connection.execute(
                f"SELECT {q.format('input_tokens')}, {q.format('output_tokens')} FROM requests"
            ).fetchone()
        assert found is not None
        assert found[0] == pytest.approx(inputs, abs=1)
        assert found[1] == pytest.approx(outputs, abs=1)
    (answer,) = ingest_files([traces / "mooncake_conversation.jsonl.gz"], tmp_path / "mooncake")
    assert answer.source is not None
    assert (answer.source.format, answer.source.kept) == ("mooncake", 12_031)
    with opened(tmp_path / "mooncake") as (_, connection):
        means = connection.execute(
            "SELECT avg(input_tokens), avg(output_tokens), sum(cached_tokens) / sum(input_tokens) FROM requests"
        ).fetchone()
    assert means is not None
    assert means[0] == pytest.approx(12_035, abs=1)
    assert means[1] == pytest.approx(343, abs=1)
    assert means[2] == pytest.approx(0.40, abs=0.04)


def test_burstgpt_conversation_has_its_published_seasons(reference: Path) -> None:
    series = read_hourly_counts(reference / "traces" / "burstgpt_hourly.csv", "conversation", date(2026, 9, 30))
    values = series.requests.to_numpy()
    assert len(values) == 47 * 24
    assert autocorrelation(values, 24) == pytest.approx(0.78, abs=0.02)
    assert autocorrelation(values, 168) == pytest.approx(0.80, abs=0.06)
    weekend = series.requests.index.day_of_week >= 5
    assert values[weekend].mean() < 0.65 * values[~weekend].mean()
