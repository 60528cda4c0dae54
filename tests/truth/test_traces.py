"""Published facts of public traces, reproduced by our readers; and the plan of a real trace."""

from __future__ import annotations

from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from configs.classes import ClassRule, ClassRules
from configs.mapping import LogMapping
from configs.matching import Match
from data.class_traces import fit_class, read_class
from data.dataset import opened
from data.fitted import STEADY, Fitted, fit
from data.generated import generate, numbers
from data.hourly import read_hourly_counts
from data.ingestion import ingest_files
from data.records import FloatArray
from data.requests import read_requests
from data.statistics.describe import describe_dataset
from data.statistics.two_sample import compare, compare_hours
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


def test_an_erratic_class_is_told_from_a_seasonal_one(reference: Path, tmp_path: Path) -> None:
    """BurstGPT: the api class has an hourly index of dispersion in the thousands and no daily rhythm."""
    ingest_files([reference / "traces" / "burstgpt_hourly.csv"], tmp_path, LogMapping(start=date(2026, 9, 30)))
    names = ("conversation", "api")
    rules = ClassRules(classes=tuple(ClassRule(name=name, match=Match(service=(name,))) for name in names))
    conversation, api = describe_dataset(tmp_path, rules).classes
    assert conversation.quality.verdict == "forecastable"
    assert conversation.arrivals.autocorrelation_24h == pytest.approx(0.78, abs=0.02)
    assert conversation.arrivals.autocorrelation_168h == pytest.approx(0.80, abs=0.06)
    assert api.quality.verdict == "erratic"
    assert api.arrivals.rates[0].dispersion == pytest.approx(5900, rel=0.2)
    assert api.arrivals.autocorrelation_24h == pytest.approx(0.06, abs=0.02)


TRACES = ("AzureLLMInferenceTrace_conv.csv", "AzureLLMInferenceTrace_code.csv", "mooncake_conversation.jsonl.gz")


@pytest.mark.parametrize("name", TRACES)
def test_the_fitted_generator_passes_a_two_sample_check(reference: Path, tmp_path: Path, name: str) -> None:
    ingest_files([reference / "traces" / name], tmp_path)
    with opened(tmp_path) as (_, connection):
        trace = read_class(connection, ClassRules(unmatched="all"), "all")
    fitted = fit(trace)
    for seed in range(5):
        made = generate(fitted, fitted.first_min, fitted.minutes, seed)
        assert [one.aspect for one in compare(trace, made) if not one.agrees] == []


def test_the_two_sample_check_finds_what_a_generator_misses(reference: Path, tmp_path: Path) -> None:
    """Azure's code trace comes in clusters of tenths of a second: arrivals spread evenly over its minutes do not pass,
    nor does a steady rate."""
    ingest_files([reference / "traces" / "AzureLLMInferenceTrace_code.csv"], tmp_path)
    with opened(tmp_path) as (_, connection):
        trace = read_class(connection, ClassRules(unmatched="all"), "all")
    fitted = fit(trace)
    for worse, aspect in (
        (replace(fitted, patterns=None), "gaps"),
        (replace(fitted, minute=STEADY, profile=np.full(1, fitted.profile.mean())), "requests a minute"),
    ):
        made = generate(worse, fitted.first_min, fitted.minutes, 1)
        assert aspect in [one.aspect for one in compare(trace, made) if not one.agrees]


@pytest.mark.parametrize("name", ["conversation", "api"])
def test_the_generator_fitted_to_hours_passes_a_two_sample_check(reference: Path, tmp_path: Path, name: str) -> None:
    """BurstGPT by the hour; a generator without the week, or without the episodes, does not pass."""
    ingest_files([reference / "traces" / "burstgpt_hourly.csv"], tmp_path, LogMapping(start=date(2026, 9, 30)))
    rules = ClassRules(classes=(ClassRule(name=name, match=Match(service=(name,))),))
    with opened(tmp_path) as (_, connection):
        found = fit_class(connection, rules, name, 0)

    def hours(fitted: Fitted, seed: int) -> FloatArray:
        made = numbers(fitted, fitted.first_min, fitted.minutes, np.random.default_rng(seed))
        return made.reshape(-1, 60).sum(axis=1).astype(np.float64)

    for seed in range(5):
        differs = [one.aspect for one in compare_hours(found.hours, hours(found.fitted, seed)) if not one.agrees]
        assert differs == []
    flat = np.full(1440, found.fitted.profile.mean())
    worse = replace(found.fitted, profile=flat) if name == "conversation" else replace(found.fitted, hour=STEADY)
    assert any(not one.agrees for one in compare_hours(found.hours, hours(worse, 1)))


def test_burstgpt_conversation_has_its_published_seasons(reference: Path) -> None:
    series = read_hourly_counts(reference / "traces" / "burstgpt_hourly.csv", "conversation", date(2026, 9, 30))
    values = series.requests.to_numpy()
    assert len(values) == 47 * 24
    assert autocorrelation(values, 24) == pytest.approx(0.78, abs=0.02)
    assert autocorrelation(values, 168) == pytest.approx(0.80, abs=0.06)
    weekend = series.requests.index.day_of_week >= 5
    assert values[weekend].mean() < 0.65 * values[~weekend].mean()
