"""An ingested dataset is a traffic source like any other: as history, and through to a plan."""

from __future__ import annotations

from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from configs.errors import InputError
from configs.loading import LoadedScenario, load_scenario
from configs.mapping import LogMapping
from data.ingestion import ingest_files
from flows import steps
from tests.data.ingest_files import write_csv
from tests.flows.small import make, small_scenario


def scenario(folder: Path, match: dict[str, Any]) -> LoadedScenario:
    """The small scenario on a dataset: four weeks of hourly counts, and an hour of requests for their lengths."""
    rng = np.random.default_rng(11)
    hours = [(d, h, int(rng.poisson(9000 + 6000 * np.sin(h / 24 * 6.28))), 77) for d in range(28) for h in range(24)]
    counts = write_csv(folder / "counts.csv", ("day", "hour", "summary", "other"), hours)
    start = datetime(2026, 10, 20)
    log = [
        (
            start + timedelta(seconds=2 * i),
            int(rng.lognormal(6.5, 0.7)) + 1,
            int(rng.lognormal(4.5, 0.6)) + 1,
            128,
            "summary",
        )
        for i in range(1800)
    ]
    names = ("timestamp", "input_tokens", "output_tokens", "cached_tokens", "service")
    requests = write_csv(folder / "log.csv", names, log)
    answers = ingest_files([counts, requests], folder / "traffic", LogMapping(start=date(2026, 10, 24)))
    assert all(one.error is None for one in answers)
    raw = small_scenario()
    raw["traffic"]["series"][0] |= {
        "source": {"kind": "ingested", "dataset": "traffic", "match": match},
        "lengths": {"kind": "ingested", "dataset": "traffic", "match": match},
    }
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return load_scenario(path)


def test_a_dataset_becomes_a_history(tmp_path: Path) -> None:
    loaded = scenario(tmp_path, {"service": ["summary"]})
    history = steps.ingest(loaded, None)
    assert len(history.frame) == 28 * 24
    assert history.frame["requests"].mean() == pytest.approx(9000, rel=0.05)
    (sample,) = history.lengths.values()
    assert (sample.cached_tokens == np.minimum(128, sample.input_tokens - 1)).all()
    assert (sample.weight * sample.input_tokens).sum() == pytest.approx(np.exp(6.5 + 0.7**2 / 2), rel=0.1)
    said = " ".join(note.text for note in history.notes)
    assert "of input tokens count as cached" in said
    assert "engine metrics, which cover more hours" in said
    assert list(history.inputs) == ["dataset/traffic"]


def test_a_rule_that_matches_nothing_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="fleetcast describe"):
        steps.ingest(scenario(tmp_path, {"service": ["chat"]}), None)


@pytest.mark.slow
def test_a_dataset_is_planned(tmp_path: Path) -> None:
    made = make(scenario(tmp_path, {"service": ["summary"]}))
    assert made.plan.pools
    assert not made.plan.shortfalls
