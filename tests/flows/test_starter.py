"""Starter scenarios: valid, honest about their traffic, and safe from what names hold."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputError
from configs.loading import load_scenario
from configs.traffic import Ingested, IngestedLengths, Synthetic
from data.ingested import ingested_lengths
from flows import ingest
from flows.starter import Answers, write


def azure_log(path: Path, hours: float, per_hour: int = 60) -> Path:
    """A request log in Azure's columns."""
    rng = np.random.default_rng(7)
    start = datetime(2026, 10, 5)
    rows = ["TIMESTAMP,ContextTokens,GeneratedTokens"]
    for i in range(int(hours * per_hour)):
        ts = start + timedelta(hours=i / per_hour)
        rows.append(f"{ts:%Y-%m-%d %H:%M:%S.%f}0,{rng.integers(50, 2000)},{rng.integers(5, 300)}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


@pytest.fixture
def answers(tmp_path: Path) -> Callable[[float], Answers]:
    def made(hours: float) -> Answers:
        ingest.run([str(azure_log(tmp_path / "log.csv", hours))], tmp_path / "traffic", None, None, None, [])
        return Answers(
            tmp_path / "traffic", "Llama-3.1-8B", "chat", ("H100-SXM",), ("lambda/us-east-1",), "us-east", 2.0, 0.06, 3,
            None, None, 1.0,
        )  # fmt: skip

    return made


def test_a_long_log_is_forecast_from(answers: Callable[[float], Answers], tmp_path: Path) -> None:
    write(answers(80.0), tmp_path / "my.yaml")
    (series,) = load_scenario(tmp_path / "my.yaml").scenario.traffic.series
    assert isinstance(series.source, Ingested)


def test_a_short_log_gives_its_mean_and_its_lengths_and_says_so(
    answers: Callable[[float], Answers], tmp_path: Path
) -> None:
    told = write(answers(3.0), tmp_path / "my.yaml")
    (series,) = load_scenario(tmp_path / "my.yaml").scenario.traffic.series
    assert isinstance(series.source, Synthetic)
    assert series.source.mean_requests_per_hour == pytest.approx(60.0, rel=0.05)
    assert series.lengths.kind == "ingested"
    assert "synthetic" in told
    assert told in (tmp_path / "my.yaml").read_text(encoding="utf-8").replace("\n      # ", " ")


def test_counts_without_tokens_take_lengths_that_are_there_and_say_so(
    answers: Callable[[float], Answers], tmp_path: Path
) -> None:
    counts = tmp_path / "counts.csv"
    hours = [f"{hour // 24},{hour % 24},{40 + hour % 24},5,{45 + hour % 24}" for hour in range(20 * 24)]
    counts.write_text("\n".join(["day,hour,conversation,api,all", *hours]) + "\n", encoding="utf-8")
    ingest.run([str(counts)], tmp_path / "counted", None, None, None, [])
    told = write(replace(answers(3.0), dataset=tmp_path / "counted"), tmp_path / "my.yaml")
    (series,) = load_scenario(tmp_path / "my.yaml").scenario.traffic.series
    assert (series.source.kind, series.lengths.kind) == ("ingested", "file")
    assert "no token lengths" in told
    with pytest.raises(InputError, match="token lengths"):
        ingested_lengths(IngestedLengths(dataset="counted"), tmp_path, None, "all", 0.0, 0)


@pytest.mark.parametrize("name", ["x: {a: 1}", 'a"\nplan: {}', "yes", "{}", "- a"])
def test_names_cannot_inject(answers: Callable[[float], Answers], tmp_path: Path, name: str) -> None:
    given = replace(answers(3.0), request_class=name, region=name)
    try:
        write(given, tmp_path / "my.yaml")
    except InputError:
        assert not (tmp_path / "my.yaml").exists()
        return
    scenario = load_scenario(tmp_path / "my.yaml").scenario
    assert list(scenario.traffic.classes) == [name]
    assert list(scenario.plan.regions) == [name]


def test_unknown_names_are_refused_with_what_is_known(answers: Callable[[float], Answers], tmp_path: Path) -> None:
    good = answers(3.0)
    for wrong, fragment in (
        (replace(good, markets=("lambda/moon",)), "lambda/us-east-1"),
        (replace(good, gpus=("H1000",)), "H100"),
        (replace(good, llm="Lama"), "Lama"),
        (replace(good, dataset=tmp_path / "nothing"), "nothing"),
    ):
        with pytest.raises(InputError) as told:
            write(wrong, tmp_path / "my.yaml")
        assert fragment in str(told.value)
        assert not (tmp_path / "my.yaml").exists()
    (tmp_path / "my.yaml").write_text("mine", encoding="utf-8")
    with pytest.raises(InputError, match="Name another"):
        write(good, tmp_path / "my.yaml")
