"""The tutorial, executed as it is written."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from tests.docs.test_docs import tutorial
from tests.flows.conftest import Run
from tests.flows.test_starter import azure_log

TRACE = "AzureLLMInferenceTrace_conv.csv"


def follow(fleetcast: Run, folder: Path) -> dict[str, str]:
    """Every command of the tutorial in its order; what each said, by command."""
    said = {}
    for words in tutorial():
        done = fleetcast(*words, timeout_s=400)
        assert done.returncode == 0, f"{words}: {done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        said[" ".join(words[:2])] = done.stdout
    (run,) = (folder / "runs").iterdir()
    assert f"{run.name}/report.html" in said["plan --config"].replace("\n", "")
    assert {"report.html", "plan.xlsx", "plan.json", "pools.parquet"} <= {path.name for path in run.iterdir()}
    assert (run / "report.html").stat().st_size < 3_000_000
    plan = json.loads((run / "plan.json").read_text(encoding="utf-8"))
    assert plan["pools"]
    assert plan["synthetic_traffic"] is True, "a trace of an hour is not forecast from"
    assert run.name in said["trace"].replace("\n", "")
    return said


@pytest.mark.slow
def test_the_tutorial_works_with_a_log_like_azures(fleetcast: Run, tmp_path: Path, environment: dict[str, str]) -> None:
    environment["FLEETCAST_LEDGER"] = f"sqlite:///{tmp_path}/ledger.sqlite"
    azure_log(tmp_path / TRACE, hours=0.97, per_hour=2000)
    said = follow(fleetcast, tmp_path)
    told = json.loads(said["whatif --set"])
    assert told["after"]["cash_usd"] >= told["before"]["cash_usd"], "two failures cost no less than one"


@pytest.mark.truth
@pytest.mark.slow
def test_the_tutorial_works_with_azures_trace(
    fleetcast: Run, tmp_path: Path, environment: dict[str, str], reference: Path
) -> None:
    environment["FLEETCAST_LEDGER"] = f"sqlite:///{tmp_path}/ledger.sqlite"
    shutil.copyfile(reference / "traces" / TRACE, tmp_path / TRACE)
    said = follow(fleetcast, tmp_path)
    assert "19,366 rows in = 19,366 kept" in said["ingest " + TRACE]
