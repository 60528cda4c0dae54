"""`fleetcast forecast` on the embedded default: what it prints, says and keeps."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from configs.errors import InputError
from flows import forecast as command
from flows.write_forecast import write_forecast
from forecast.explain import in_words
from reports.forecast_page import decomposition


@pytest.fixture(scope="module")
def run() -> command.Run:
    return command.make("default", None)


def test_json_names_every_series_its_parts_and_sums(run: command.Run) -> None:
    document = json.loads(command.as_json(run, command.chosen(run, None)))
    assert len(document["series"]) == len(run.forecast.series)
    for one in document["series"]:
        middle = one["levels"].index(0.5)
        for part, total in zip(one["parts"], one["monthly_requests"], strict=True):
            whole = np.prod([part[name] for name in ("level", "season", "course", "events", "growth", "spread")])
            assert whole == pytest.approx(total[middle], rel=1e-6), "the parts make the median"
        own, naive, four = one["accuracy"]
        assert naive["value_added"] == pytest.approx(1.0 - own["wape"] / naive["wape"])
        assert own["worst_wape"] >= own["wape"]
        assert four["method"] == "four-week mean"
    assert {group["name"] for group in document["groups"]} >= {"all", "llm Llama-3.1-70B", "region us-east"}


def test_the_terminal_shows_history_fan_and_reasons(run: command.Run) -> None:
    out = io.StringIO()
    command.show(Console(file=out, width=120), run, command.chosen(run, "chat"))
    text = out.getvalue()
    assert all(len(line) <= 120 for line in text.splitlines())
    assert "━" in text
    assert "░" in text
    assert "at the level of the last four weeks" in text
    assert "seasonal naive" in text


def test_the_fan_is_drawn_to_scale(run: command.Run) -> None:
    one = command.chosen(run, "chat/us-east")[0]
    history = pd.Series(0.0, index=pd.date_range("2026-09-01", periods=56 * 24, freq="h", tz="UTC"))
    rows = command.fan_chart(history, one, 200).plain.splitlines()
    assert "━" in rows[command.CHART_ROWS - 1].split("│")[0], "a history of zeros lies on the ground"
    assert "━" not in rows[0].split("│")[0]
    assert "░" in rows[0].split("│")[1], "the highest quantile reaches the top"


def test_words_state_the_grade_and_the_yardsticks(run: command.Run) -> None:
    said = " ".join(in_words(run.forecast.series[0]))
    assert "grade " in said
    assert "four-week mean" in said


def test_the_page_holds_charts_parts_scores_and_reasons(run: command.Run, tmp_path: Path) -> None:
    one = replace(command.chosen(run, "chat/us-east")[0], reason="<b>steep & wide</b>")
    folder = write_forecast(run, [one], tmp_path)
    page = (folder / "forecast.html").read_text(encoding="utf-8")
    assert page.count("<svg ") == 4, "fan and busiest week, wide and narrow"
    for heading in ("What the median is made of", "Months, requests", "On history", "Coverage on history", "Sums"):
        assert heading in page
    assert "&lt;b&gt;steep &amp; wide" in page
    assert "<b>steep" not in page
    assert f"{one.monthly_total[-1, one.levels.index(0.5)]:,.0f}" in page
    assert f"{one.accuracy[0].worst_wape:.3f} from {one.accuracy[0].worst_from}" in page
    assert f"{one.accuracy[1].value_added:+.0%}" in page
    assert "documented synthetic workload" in page
    kept = json.loads((folder / "forecast.json").read_text(encoding="utf-8"))
    assert [each["series"] for each in kept["series"]] == [str(one.key)]


def test_the_parts_on_the_page_add_up_to_the_median(run: command.Run) -> None:
    for one in run.forecast.series:
        for j, row in enumerate(decomposition(one).rows):
            added = sum(float(cell.split(" ")[0].replace(",", "")) for cell in row[1:7])
            assert added == pytest.approx(one.monthly_total[j, one.levels.index(0.5)], abs=4.0)


def test_a_kept_forecast_can_be_scored(run: command.Run, tmp_path: Path) -> None:
    path = command.keep(run, tmp_path)
    assert command.scores(run, path) == [], "no hour of it has come yet"
    assert np.datetime64(run.forecast.issued_from.removesuffix("Z")) > np.datetime64("2026-01-01")


def test_an_unknown_series_is_named_with_those_there_are(run: command.Run) -> None:
    with pytest.raises(InputError, match="There are"):
        command.chosen(run, "nothing-like-it")
