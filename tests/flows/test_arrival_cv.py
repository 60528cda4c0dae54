"""Bursty arrivals, as the scenario states them, in sizing, curves and the replay of the plan."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.loading import load_scenario
from data.records import SloTarget
from flows import check_plan, curve
from models.replay import replay
from tests.flows.small import make, small_scenario

SLO = SloTarget(1.0, 0.05, 95.0)
ASKED = curve.CurveQuestion("H100-SXM", "bf16", 1, "vllm", None, (), "Llama-3.1-8B", 500, 100, SLO, 0.01, 300.0)


@pytest.mark.slow
def test_bursty_arrivals_lower_what_a_plan_promises_and_are_replayed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = small_scenario()
    raw["traffic"]["classes"]["batch-summary"]["slo"] = {"ttft_s": 1.0, "tpot_s": 0.05, "percentile": 95}
    plain = tmp_path / "plain.yaml"
    plain.write_text(yaml.safe_dump(raw), encoding="utf-8")
    raw["evaluate"]["arrival_cv"] = 3.0
    bursty = tmp_path / "bursty.yaml"
    bursty.write_text(yaml.safe_dump(raw), encoding="utf-8")
    seen = []

    def watched(*arguments: Any, **named: Any) -> Any:
        seen.append(named["cv"])
        return replay(*arguments, **named)

    monkeypatch.setattr(check_plan, "replay", watched)
    tables = [make(load_scenario(str(path))).capacity for path in (plain, bursty)]
    assert set(seen) == {1.0, 3.0}
    best = [max(row.knee_rps / row.configuration.gpus for row in table.rows) for table in tables]
    assert best[1] < 0.95 * best[0]


def test_a_curve_takes_the_scenarios_variation_unless_told_otherwise(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    raw = small_scenario()
    raw["evaluate"]["arrival_cv"] = 2.0
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    monkeypatch.setattr(curve, "service_curve", lambda asked, _: asked)

    def variation(**changes: Any) -> float:
        found: Any = curve.examine(replace(ASKED, **changes)).curve
        return float(found.cv)

    assert variation() == 1.0
    assert variation(config=str(file), classes=("batch-summary",), llm=None) == 2.0
    assert variation(config=str(file), classes=("batch-summary",), llm=None, arrival_cv=1.5) == 1.5
