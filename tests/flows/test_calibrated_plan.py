"""A calibration named in a scenario moves the plan, its replay and every other answer, and is on the run's record."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.catalog_schema import CatalogSource, Correction, CorrectionFile
from configs.loading import load_scenario
from configs.yaml_files import dump_yaml
from data.archive import load, save
from data.records import SloTarget
from flows import curve, size, steps, sweep
from models.replay import replay
from reports.bundle import PlanBundle
from tests.flows.small import make, small_made, small_scenario

pytestmark = pytest.mark.slow
SLO = SloTarget(2.0, 0.06, 95.0)


def calibration(folder: Path, **changes: Any) -> Path:
    """A file in which Llama-3.1-8B on an H100 decodes 40 % slower than its tables say."""
    one = Correction(
        llm="Llama-3.1-8B", gpu="H100-SXM", engine="vllm", precision="bf16", tensor_parallel=1, points=5,
        error_before=0.3, verdict="good", source=CatalogSource(citation="made here", as_of="2026-11"),
    )  # fmt: skip
    kinds = [one.model_copy(update={"precision": precision} | changes) for precision in ("bf16", "fp8", "int4")]
    path = folder / "mine.yaml"
    path.write_text(dump_yaml(CorrectionFile(corrections=tuple(kinds)).model_dump(mode="json")), encoding="utf-8")
    return path


@pytest.mark.parametrize("changes", [{"device": 0.4}, {"bandwidth": 0.7, "overhead": 1.4}])
def test_size_sweep_and_curve_take_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, float]
) -> None:
    path = calibration(tmp_path, **changes)
    sized = size.Question("Llama-3.1-8B", "H100-SXM", "bf16", 1, "vllm", 200, 300, SLO)
    plain, slower = (size.examine(replace(sized, calibration=files)) for files in ((), (path,)))
    assert slower.capacity.provenance == "calibrated"
    assert slower.capacity.knee_rps < 0.9 * plain.capacity.knee_rps
    assert slower.times is not None
    assert plain.times is not None
    # At the hundreds that fit at once both wait for the host, which neither file slows.
    assert slower.times.step_s > 1.05 * plain.times.step_s
    grid = sweep.Grid(
        ["Llama-3.1-8B"], ["H100-SXM"], ["bf16"], [1], [1], "vllm", "bf16", [500], [100], 4, 2.0, 0.06
    )  # fmt: skip
    fast, slow = (sweep.run(replace(grid, calibration=files)).front[-1] for files in ((), (path,)))
    assert slow.tpot_s > 1.2 * fast.tpot_s
    assert slow.provenance == "calibrated"
    asked = curve.CurveQuestion("H100-SXM", "bf16", 1, "vllm", None, (), "Llama-3.1-8B", 200, 300, SLO, 0.01, 300.0)
    # What the curve would be simulated with.
    monkeypatch.setattr(curve, "service_curve", lambda question, _: question)
    before, after = (curve.examine(replace(asked, calibration=files)).curve for files in ((), (path,)))
    assert after.cost.linear_s[0, 0] > 1.2 * before.cost.linear_s[0, 0]  # type: ignore[union-attr]
    assert (before.provenance, after.provenance) == ("fitted", "calibrated")  # type: ignore[union-attr]


def test_what_the_file_was_not_measured_with_is_told(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    files = (calibration(tmp_path, device=0.4, kv_precision="bf16"),)
    grid = sweep.Grid(
        ["Llama-3.1-8B"], ["H100-SXM"], ["bf16"], [1], [1], "vllm", "fp8", [500], [100], 4, 2.0, 0.06,
        calibration=files,
    )  # fmt: skip
    assert {point.provenance for point in sweep.run(grid).front} == {"fitted"}
    assert "with a KV cache in fp8 over 1 pipeline stage is not calibrated" in caplog.text
    asked = size.Question("Llama-3.1-8B", "H100-SXM", "bf16", 1, "vllm", 200, 300, SLO, kv_precision="fp8")
    told = size.examine(replace(asked, calibration=files))
    assert told.capacity.provenance == "fitted"
    assert any("is not calibrated" in note for note in told.notes)


def test_a_scenarios_plan_replay_and_fingerprint_follow_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    raw = small_scenario()
    raw["evaluate"] |= {"calibration": [calibration(tmp_path, device=0.4).name]}
    file = tmp_path / "scenario.yaml"
    file.write_text(yaml.safe_dump(raw), encoding="utf-8")
    replayed_with = []

    def watched(*arguments: Any, **named: Any) -> Any:
        replayed_with.append(arguments[4].corrections)
        return replay(*arguments, **named)

    plain = small_made()
    monkeypatch.setattr("flows.check_plan.replay", watched)
    made = make(load_scenario(file))
    slower = {row.configuration: row for row in made.capacity.rows}
    for row in plain.capacity.rows:
        if row.excuse is None and row.configuration.gpu == "H100-SXM" and row.method.startswith("continuous"):
            assert slower[row.configuration].provenance == "calibrated"
            assert slower[row.configuration].knee_rps < row.knee_rps
        if row.configuration.gpu != "H100-SXM":
            assert slower[row.configuration].provenance == row.provenance
    # Were the replay not calibrated, it would find more than the plan asks of its replicas.
    assert replayed_with
    assert all(len(corrections) == 3 for corrections in replayed_with)
    assert steps.run_fingerprint(made) != steps.run_fingerprint(plain)
    before = steps.run_fingerprint(made)
    calibration(tmp_path, device=0.41)
    assert steps.run_fingerprint(made) != before
    assert "calibration/mine.yaml" in steps.catalogs(made.loaded)
    # A run that is opened later still knows: `fleetcast replay` needs no file beside it.
    whole = steps.bundle(made)
    save(whole, tmp_path / "run.zip")
    assert load(PlanBundle, tmp_path / "run.zip").calibration == whole.calibration
    assert len(whole.calibration) == 3
