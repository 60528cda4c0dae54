"""Accuracy against measured serving runs that no coefficient was fitted to, and the benchmark as a tool."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from benchmarks import step_time

pytestmark = pytest.mark.truth


def scores(capsys: pytest.CaptureFixture[str], *arguments: str) -> Any:
    assert step_time.main([*arguments, "--json"]) == 0
    found: Any = json.loads(capsys.readouterr().out)
    return found


def test_tpot_of_public_runs(reference: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found = scores(capsys, "--runs", str(reference / "measured" / "serving_runs.csv"), "--calibrate", "4")
    assert found["tpot"]["by_kind"]["dense"]["n"] == 393
    assert found["tpot"]["by_kind"]["dense"]["mape_percent"] <= 12.0
    assert found["tpot"]["by_kind"]["moe"]["mape_percent"] <= 25.0
    assert found["tpot_leave_one_gpu_out"]["by_kind"]["dense"]["mape_percent"] <= 12.0
    assert max(scores["mape_percent"] for scores in found["tpot"]["by_llm"].values()) <= 25.0
    for kind in ("dense", "moe"):
        assert found["tpot_calibrated"]["by_kind"][kind]["mape_percent"] <= 8.0


def test_prefill_of_long_prompts_is_the_ttft_of_few_clients(
    reference: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    found = scores(capsys, "--runs", str(reference / "measured" / "serving_runs.csv"))
    assert found["ttft_at_batch_4_or_less"]["prompts_of_4000_or_more"]["by_kind"]["dense"]["mape_percent"] <= 10.0


def test_unknown_rows_are_counted_and_named(
    reference: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    lines = (reference / "measured" / "serving_runs.csv").read_text(encoding="utf-8").splitlines()[:4]
    strange = (
        lines[1].replace("h100_sxm,fp8", "tpu_v9,fp8"),
        lines[2].replace("Qwen/Qwen3-235B-A22B-FP8,h100", "x/y,h100"),
    )
    path = tmp_path / "runs.csv"
    path.write_text("\n".join([lines[0], *strange, lines[3]]), encoding="utf-8")
    found = scores(capsys, "--runs", str(path))
    assert found["runs"] == 1
    assert found["left_out"] == 2
    assert set(found["left_out_because"]) == {"unknown GPU 'tpu_v9'", "unknown LLM 'x/y'"}
