"""The command line: exit codes, messages, silence for pipes, nothing half-written."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.flows.conftest import Run
from tests.flows.small import small_scenario

Write = Callable[[dict[str, Any]], Path]


def test_a_plan_is_one_whole_folder_and_json_goes_to_standard_output_alone(
    fleetcast: Run, write_scenario: Write, tmp_path: Path
) -> None:
    done = fleetcast("plan", "--json", "--config", str(write_scenario(small_scenario())))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    (folder,) = (tmp_path / "runs").iterdir()
    names = {path.name for path in folder.iterdir()}
    assert {"report.html", "plan.json", "provenance.json", "scenario.yaml"} <= names
    assert any(name.endswith(".parquet") for name in names)
    assert json.loads(done.stdout) == json.loads((folder / "plan.json").read_text(encoding="utf-8"))
    provenance = json.loads((folder / "provenance.json").read_text(encoding="utf-8"))
    assert provenance["versions"]["jax"]
    assert set(provenance["seconds"]) >= {"ingest", "forecast", "evaluate", "plan"}
    assert provenance["inputs"]


@pytest.mark.parametrize(
    ("change", "fragment"),
    [
        ({"sed": 1}, "did you mean `seed`?"),
        ({"seed": -1}, "greater than or equal to 0"),
    ],
)
def test_bad_input_ends_with_2_and_says_what_to_change(
    fleetcast: Run, write_scenario: Write, tmp_path: Path, change: dict[str, Any], fragment: str
) -> None:
    path = write_scenario(small_scenario() | change)
    done = fleetcast("plan", "--config", str(path))
    assert done.returncode == 2
    assert fragment in done.stderr
    assert str(path) in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr + done.stdout
    assert not (tmp_path / "runs").exists()


@pytest.mark.slow
def test_demand_that_cannot_be_served_ends_with_3_and_says_why(
    fleetcast: Run, write_scenario: Write, tmp_path: Path
) -> None:
    raw = small_scenario()
    raw["plan"]["regions"]["us-east"]["gpu_quota"] = {"A100-80GB-SXM": 1, "H100-SXM": 0}
    done = fleetcast("plan", "--config", str(write_scenario(raw)))
    assert done.returncode == 3, done.stdout + done.stderr
    assert "batch-summary" in done.stdout
    assert "quota" in done.stdout.lower()
    (folder,) = (tmp_path / "runs").iterdir()
    assert folder.name in done.stdout, "an infeasible plan is a result: it is written, and its report is named"
    assert done.stderr == ""


def test_an_unknown_option_ends_with_2(fleetcast: Run) -> None:
    done = fleetcast("plan", "--confg", "x")
    assert done.returncode == 2
    assert "--config" in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("after_s", [1.0, 4.0, 12.0])
def test_ctrl_c_leaves_nothing_half_written(
    write_scenario: Write, tmp_path: Path, environment: dict[str, str], after_s: float
) -> None:
    path = write_scenario(small_scenario())
    process = subprocess.Popen(
        [sys.executable, "-m", "flows.cli", "plan", "--config", str(path)],
        cwd=tmp_path,
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    time.sleep(after_s)
    process.send_signal(signal.SIGINT)
    _, errors = process.communicate(timeout=120)
    assert process.returncode in (0, 130, -signal.SIGINT), errors
    # A run folder is there whole (the signal came after it appeared) or not at all; never a scratch folder.
    left = list((tmp_path / "runs").iterdir()) if (tmp_path / "runs").exists() else []
    assert len(left) <= 1
    for folder in left:
        assert not folder.name.startswith(".")
        assert {"report.html", "plan.json", "provenance.json"} <= {path.name for path in folder.iterdir()}
    assert "Traceback" not in errors
