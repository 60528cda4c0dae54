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
from reports.page import banners
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


def test_a_dataset_that_names_tenants_says_whose_its_requests_were(tmp_path: Path) -> None:
    start = datetime(2026, 10, 20)
    names = ("timestamp", "input_tokens", "output_tokens", "service", "tenant")
    log = [
        (start + timedelta(minutes=20 * i), 100, 10, "summary", ("acme", "acme", "zeta", "")[i % 4])
        for i in range(72 * 3)
    ]
    loaded = scenario(tmp_path, {"service": ["summary"]})
    assert not steps.ingest(loaded, None).tenants, "rows without a tenant are nobody's"
    more = write_csv(tmp_path / "whose.csv", names, log)
    assert ingest_files([more], tmp_path / "traffic", LogMapping())[0].error is None
    (whose,) = steps.ingest(loaded, None).tenants.values()
    assert whose.tenants == ("acme", "unnamed", "zeta")
    assert whose.first_day == "2026-10-20"
    assert whose.requests[1:].tolist() == [[36.0, 18.0, 18.0]] * 2
    assert whose.requests[0].tolist() == [36.0, 18.0 + 1800.0, 18.0]


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


RULES: dict[str, Any] = {
    "unmatched": "rest",
    "classes": [
        {"name": "summary", "match": {"service": ["summary"]}, "priority": 10,
         "slo": {"ttft_s": 4.0, "tpot_s": 0.08, "e2e_s": 60.0, "percentile": 95}},
        {"name": "episodes", "match": {"service": ["episodes"]},
         "slo": {"ttft_s": 15.0, "tpot_s": 0.1, "percentile": 90}},
    ],
}  # fmt: skip


def scenario_by_rules(folder: Path) -> LoadedScenario:
    """Two classes of one dataset by rules: one with a daily rhythm, one in episodes; and a third unplanned."""
    rng = np.random.default_rng(5)
    hours = []
    for d in range(42):
        busy = rng.random() < 0.15
        for h in range(24):
            calm = rng.poisson(9000 + 6000 * np.sin(h / 24 * 6.28))
            episode = rng.poisson(rng.gamma(0.5, 60_000)) if busy and rng.random() < 0.4 else rng.poisson(3)
            hours.append((d, h, int(calm), int(episode), 100))
    counts = write_csv(folder / "counts.csv", ("day", "hour", "summary", "episodes", "probe"), hours)
    start = datetime(2026, 11, 1)
    log = [
        (
            start + timedelta(seconds=i),
            int(rng.lognormal(6.5 + i % 2, 0.7)) + 1,
            int(rng.lognormal(4.5, 0.6)) + 1,
            ("summary", "episodes")[i % 2],
        )
        for i in range(3600)
    ]
    requests = write_csv(folder / "log.csv", ("timestamp", "input_tokens", "output_tokens", "service"), log)
    answers = ingest_files([counts, requests], folder / "traffic", LogMapping(start=date(2026, 9, 27)))
    assert all(one.error is None for one in answers)
    raw = small_scenario()
    sources = {
        "source": {"kind": "ingested", "dataset": "traffic"},
        "lengths": {"kind": "ingested", "dataset": "traffic"},
    }
    both = [raw["traffic"]["series"][0] | sources | {"request_class": name} for name in ("summary", "episodes")]
    raw["traffic"] = {"class_rules": "classes.yaml", "series": both}
    (folder / "classes.yaml").write_text(yaml.safe_dump(RULES), encoding="utf-8")
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return load_scenario(path)


def test_classes_come_from_their_rules(tmp_path: Path) -> None:
    history = steps.ingest(scenario_by_rules(tmp_path), None)
    by_class = history.frame.groupby("request_class")["requests"]
    assert set(by_class.groups) == {"summary", "episodes"}
    assert by_class.get_group("summary").mean() == pytest.approx(9000, rel=0.02)
    inputs = {name: float((one.weight * one.input_tokens).sum()) for (_, name), one in history.lengths.items()}
    assert inputs["episodes"] / inputs["summary"] == pytest.approx(np.e, rel=0.1)
    warned = {note.where: note.text for note in history.notes if note.severity == "warning" and "/" in note.where}
    assert warned["traffic/rest"].endswith("of the dataset's requests are of this class, which no series plans")
    (episodes,) = (text for where, text in warned.items() if where.endswith("/episodes"))
    assert episodes.startswith("erratic: hourly index of dispersion")
    assert "draws whole days of this class's own past" in episodes
    assert not any(where.endswith("/summary") for where in warned)


@pytest.mark.slow
def test_classes_of_a_dataset_are_planned(tmp_path: Path) -> None:
    """The class that cannot be forecast gets the fallback that the note announces, and the rules' SLOs and ranks."""
    made = make(scenario_by_rules(tmp_path))
    assert made.plan.pools
    forecasts = {one.key.request_class: one for one in made.forecast.series}
    assert forecasts["episodes"].grade == "D"
    assert "quantiles are those of its own past days" in forecasts["episodes"].reason
    assert forecasts["summary"].grade in ("A", "B")
    (said,) = (text for text in banners(steps.bundle(made)) if "graded D" in text)
    assert said.startswith("The forecast of Llama-3.1-8B/episodes/us-east is graded D")
    slos = {row.request_class: (row.slo.ttft_s, row.slo.e2e_s, row.slo.percentile) for row in made.capacity.rows}
    assert slos == {"summary": (4.0, 60.0, 95.0), "episodes": (15.0, None, 90.0)}
    assert made.problem.shed_usd_per_request == {"summary": 10.0, "episodes": 1.0}
