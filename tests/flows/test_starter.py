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
from data.ingested import ingested_hours, ingested_lengths
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


def mixed_log(path: Path, hours: int = 72) -> Path:
    """Three requests an hour to another LLM in the EU for each to Llama-3.1-8B in the US."""
    start = datetime(2026, 10, 5)
    rows = ["timestamp,prompt_tokens,completion_tokens,model,region"]
    for i in range(hours * 4):
        llm, region = ("gpt-4o", "eu") if i % 4 else ("meta-llama/Llama-3.1-8B-Instruct", "us")
        rows.append(f"{(start + timedelta(minutes=15 * i)).isoformat()}Z,{100 + i % 7},{20 + i % 5},{llm},{region}")
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_of_a_log_of_several_llms_the_one_that_is_asked_for_is_planned(
    answers: Callable[[float], Answers], tmp_path: Path
) -> None:
    ingest.run([str(mixed_log(tmp_path / "mixed.csv"))], tmp_path / "mixed", None, None, None, [])
    told = write(replace(answers(3.0), dataset=tmp_path / "mixed"), tmp_path / "mine.yaml")
    (series,) = load_scenario(tmp_path / "mine.yaml").scenario.traffic.series
    assert isinstance(series.source, Ingested)
    hours, _, _ = ingested_hours(series.source, tmp_path, None, "all")
    assert hours.mean() == pytest.approx(1.0)
    assert series.lengths.match == series.source.match
    assert "meta-llama/Llama-3.1-8B-Instruct (25%) are planned, those to gpt-4o (75%) are not" in told
    assert "They came from" not in told, "those that are planned came from one region"


def test_a_log_of_other_llms_is_planned_whole_and_says_so(answers: Callable[[float], Answers], tmp_path: Path) -> None:
    ingest.run([str(mixed_log(tmp_path / "mixed.csv"))], tmp_path / "mixed", None, None, None, [])
    told = write(replace(answers(3.0), dataset=tmp_path / "mixed", llm="Llama-3.1-70B"), tmp_path / "all.yaml")
    (series,) = load_scenario(tmp_path / "all.yaml").scenario.traffic.series
    assert isinstance(series.source, Ingested)
    assert series.source.match is None
    assert "gpt-4o (75%), meta-llama/Llama-3.1-8B-Instruct (25%), are planned for Llama-3.1-70B" in told
    assert "eu (75%), us (25%): all are taken as us-east" in told


def test_rare_requests_keep_their_rate_and_one_tells_none(answers: Callable[[float], Answers], tmp_path: Path) -> None:
    for name, count in (("few", 5), ("one", 1)):
        rows = [f"2026-11-01T{4 * i:02d}:10:00Z,100,10" for i in range(count)]
        path = tmp_path / f"{name}.csv"
        path.write_text("\n".join(["timestamp,prompt_tokens,completion_tokens", *rows]) + "\n", encoding="utf-8")
        ingest.run([str(path)], tmp_path / name, None, None, None, [])
    write(replace(answers(3.0), dataset=tmp_path / "few"), tmp_path / "few.yaml")
    (series,) = load_scenario(tmp_path / "few.yaml").scenario.traffic.series
    assert isinstance(series.source, Synthetic)
    assert series.source.mean_requests_per_hour == pytest.approx(5 / 17, rel=0.25)
    with pytest.raises(InputError, match=r"at least 5 requests .* got 1"):
        write(replace(answers(3.0), dataset=tmp_path / "one"), tmp_path / "one.yaml")
    assert not (tmp_path / "one.yaml").exists()


def test_figures_are_written_whole(answers: Callable[[float], Answers], tmp_path: Path) -> None:
    write(replace(answers(3.0), budget_usd_per_month=1234567.0, volume=1234567.5), tmp_path / "my.yaml")
    scenario = load_scenario(tmp_path / "my.yaml").scenario
    assert scenario.plan.budget_usd_per_month == 1234567.0
    assert scenario.traffic.series[0].volume_multiplier == 1234567.5


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
