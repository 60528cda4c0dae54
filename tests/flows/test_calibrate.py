"""`fleetcast calibrate`: recovers a known change, judges itself, and its file moves every other answer."""

from __future__ import annotations

import csv
import json
import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from configs.catalog_schema import CorrectionFile
from configs.errors import InputError
from configs.yaml_files import dump_yaml
from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from flows.calibrate import Asked, Fitted, as_json, fit, read_tests, write
from flows.cli import app
from models.corrections import nearest
from models.observe import LoadTest, observe
from tests.conftest import REPOSITORY
from tests.data.engine_metrics import Load, export, steady

ONE = Configuration("Llama-3.1-8B", "L40S", "bf16", "bf16", 1, "vllm")
LOADS = [(1.0, 200.0), (4.0, 1000.0), (16.0, 2000.0), (32.0, 500.0), (48.0, 200.0), (8.0, 3000.0)]
TRUTH = (0.08, 0.6e-3, 30e-6, 0.15)


def predicted(corrections: bool, path: Path | None = None) -> np.ndarray:
    """TPOT of LOADS by the kernels, uncorrected or by the file's corrections."""
    tests = [LoadTest(n, inputs, 200.0, 1.0) for n, inputs in LOADS]
    catalog = load_coefficients(calibration=(path,) if path else ())
    assert bool(catalog.corrections) == corrections
    found = observe(ONE, tests, load_llms(), load_gpus(), find_engine("vllm"), catalog, corrected=corrections)
    return found.decode_s + found.interference_s


def measured(path: Path, noise: float = 0.0) -> Path:
    tests = [LoadTest(n, inputs, 200.0, 1.0) for n, inputs in LOADS]
    base = observe(ONE, tests, load_llms(), load_gpus(), find_engine("vllm"), load_coefficients())
    device, host, each, prefill = TRUTH
    tpot = (1 + device) * base.decode_s + host + each * base.batch + (1 + prefill) * base.interference_s
    tpot = tpot * np.exp(noise * np.random.default_rng(5).standard_normal(len(tpot)))
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["concurrency", "input_tokens", "output_tokens", "tpot_ms"])
        writer.writerows([n, inputs, 200, 1e3 * t] for (n, inputs), t in zip(LOADS, tpot, strict=True))
    return path


def ask(runs: Path) -> Fitted:
    return fit(Asked("Llama-3.1-8B", "L40S", "bf16", 1, "vllm", "bf16", runs))


def test_it_explains_its_own_measurements(tmp_path: Path) -> None:
    found = ask(measured(tmp_path / "runs.csv"))
    assert found.usable
    assert found.correction.error_before > 0.1
    assert found.correction.error_held_out is not None
    assert found.correction.error_held_out < 0.03
    assert json.loads(as_json(found))["points"] == 6


def test_the_file_moves_the_kernels_to_what_was_measured(tmp_path: Path) -> None:
    runs = measured(tmp_path / "runs.csv")
    write(ask(runs), tmp_path / "calibration.yaml")
    truth = np.array([t.tpot_s for t in read_tests(runs)])
    before, after = predicted(False), predicted(True, tmp_path / "calibration.yaml")
    assert np.abs(before / truth - 1).mean() > 0.1
    assert np.abs(after / truth - 1).mean() < 0.05


def test_a_file_keeps_others_and_replaces_its_own(tmp_path: Path) -> None:
    path, runs = tmp_path / "calibration.yaml", measured(tmp_path / "runs.csv")
    write(ask(runs), path)
    other = fit(Asked("Llama-3.1-8B", "L40S", "fp8", 1, "vllm", "bf16", runs))
    write(other, path)
    write(ask(runs), path)
    known = load_coefficients(calibration=(path,)).corrections
    assert sorted(one.precision for one in known) == ["bf16", "fp8"]
    with pytest.raises(InputError, match="one correction"):
        load_coefficients(calibration=(path, path))


def test_a_file_tells_caches_apart_and_one_that_does_not_gives_way(tmp_path: Path) -> None:
    path, runs = tmp_path / "calibration.yaml", measured(tmp_path / "runs.csv")
    mine = ask(runs)
    assert (mine.correction.kv_precision, mine.correction.pipeline_parallel) == ("bf16", 1)
    # As files were written before: neither is said, and every cache is served.
    old = mine.correction.model_copy(update={"kv_precision": None, "pipeline_parallel": None})
    text = dump_yaml(CorrectionFile(corrections=(old,)).model_dump(mode="json", exclude_none=True))
    assert "kv_precision" not in text
    path.write_text(text, encoding="utf-8")
    eight = replace(ONE, kv_precision="fp8")
    assert nearest(load_coefficients(calibration=(path,)).corrections, eight) == old
    write(mine, path)
    known = load_coefficients(calibration=(path,)).corrections
    assert known == (mine.correction,)
    assert nearest(known, eight) is None
    write(fit(Asked("Llama-3.1-8B", "L40S", "bf16", 1, "vllm", "fp8", runs)), path)
    known = load_coefficients(calibration=(path,)).corrections
    assert sorted(str(one.kv_precision) for one in known) == ["bf16", "fp8"]


def test_runs_that_do_not_belong_together_are_poor(tmp_path: Path) -> None:
    found = ask(measured(tmp_path / "runs.csv", noise=0.8))
    assert not found.usable
    assert found.correction.verdict.startswith("poor")


def test_a_poor_correction_that_is_named_is_used_with_a_warning(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    good, poor = ask(measured(tmp_path / "runs.csv")), ask(measured(tmp_path / "runs.csv", noise=0.8))
    for name, found, warnings in (("good.yaml", good, 0), ("poor.yaml", poor, 1)):
        write(found, tmp_path / name)
        for _ in range(2):
            assert load_coefficients(calibration=(tmp_path / name,)).corrections == (found.correction,)
        said = [record.getMessage() for record in caplog.records]
        assert len(said) == warnings
    assert "poor.yaml" in said[0]
    assert "Llama-3.1-8B / L40S / vllm / bf16 / 1" in said[0]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("concurrency,input_tokens\n1,2\n", "no output_tokens, tpot_ms"),
        ("concurrency,input_tokens,output_tokens,tpot_ms\n", "one load test"),
        ("concurrency,input_tokens,output_tokens,tpot_ms\n1,2,3,4\n1,2,zero,4\n", "line 3, output_tokens.*'zero'"),
        ("concurrency,input_tokens,output_tokens,tpot_ms\n1,2,3,-4\n", "line 2, tpot_ms.*'-4'"),
    ],
)
def test_wrong_files_name_line_and_column(tmp_path: Path, text: str, said: str) -> None:
    path = tmp_path / "runs.csv"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(InputError, match=said):
        ask(path)


def test_other_columns_names_and_missing_files(tmp_path: Path) -> None:
    path = tmp_path / "runs.csv"
    path.write_text("batch_size,isl,osl,silicon_tpot_ms\n4,1000,200,20\n", encoding="utf-8")
    (test,) = read_tests(path)
    assert (test.concurrency, test.tpot_s) == (4.0, 0.02)
    with pytest.raises(InputError, match="no such file"):
        read_tests(tmp_path / "none.csv")


def test_the_nearest_parallelism_lends_its_correction(tmp_path: Path) -> None:
    path, runs = tmp_path / "calibration.yaml", measured(tmp_path / "runs.csv")
    for tp in (1, 4):
        write(fit(Asked("Llama-3.1-8B", "L40S", "bf16", tp, "vllm", "bf16", runs)), path)
    known = load_coefficients(calibration=(path,)).corrections
    chosen = [nearest(known, replace(ONE, tensor_parallel=tp)) for tp in (1, 2, 4, 8)]
    assert [c.tensor_parallel for c in chosen if c is not None] == [1, 1, 4, 4]
    assert nearest(known, replace(ONE, precision="fp8")) is None


def day(path: Path, noise: float = 0.0, one: Configuration = ONE) -> Path:
    """Metrics of an engine as TRUTH says, over windows of LOADS, each twice."""
    steps = [LoadTest(n, inputs, 200.0, 1.0) for n, inputs in LOADS if n > 1.0] * 2
    base = observe(one, steps, load_llms(), load_gpus(), find_engine("vllm"), load_coefficients())
    device, host, each, prefill = TRUTH
    tpot = (1 + device) * base.decode_s + host + each * base.batch + (1 + prefill) * base.interference_s
    tpot = tpot * np.exp(noise * np.random.default_rng(5).standard_normal(len(tpot)))
    loads = [Load(t.concurrency, t.input_tokens, t.output_tokens, float(s)) for t, s in zip(steps, tpot, strict=True)]
    return export(path, steady(loads))


def test_production_metrics_move_the_kernels_alike(tmp_path: Path) -> None:
    asked = Asked("Llama-3.1-8B", "L40S", "bf16", 1, "vllm", "bf16", metrics=(day(tmp_path / "metrics.json"),))
    found = fit(asked)
    assert found.usable
    assert found.correction.error_held_out is not None
    assert found.correction.error_held_out < 0.05 < found.correction.error_before
    assert "production metrics: 10 windows of 300 s in metrics.json, 2026-01-05" in found.correction.source.citation
    told = json.loads(as_json(found))
    assert (told["windows"]["kept"], told["windows"]["rejected"]) == (10, {})
    write(found, tmp_path / "calibration.yaml")
    by_tests = predicted(True, tmp_path / "calibration.yaml")
    write(ask(measured(tmp_path / "runs.csv")), tmp_path / "calibration.yaml")
    assert by_tests == pytest.approx(predicted(True, tmp_path / "calibration.yaml"), rel=0.05)


def test_metrics_that_do_not_belong_together_are_poor(tmp_path: Path) -> None:
    asked = Asked("Llama-3.1-8B", "L40S", "bf16", 1, "vllm", "bf16", metrics=(day(tmp_path / "m.json", noise=0.8),))
    found = fit(asked)
    assert not found.usable
    assert json.loads(as_json(found))["usable"] is False


def test_what_was_measured_must_be_named_once_and_fit_the_engine(tmp_path: Path) -> None:
    asked = Asked("Llama-3.1-8B", "L40S", "bf16", 1, "vllm", "bf16", None, (day(tmp_path / "m.json"),))
    with pytest.raises(InputError, match="neither"):
        fit(replace(asked, metrics=()))
    with pytest.raises(InputError, match="both"):
        fit(replace(asked, runs=tmp_path / "runs.csv"))
    with pytest.raises(InputError, match="vllm, whose metrics these are"):
        fit(replace(asked, engine="sglang"))
    with pytest.raises(InputError, match="no whole window"):
        fit(replace(asked, window_s=30_000.0))
    with pytest.raises(InputError, match="windows: mixes loads"):
        fit(replace(asked, window_s=1000.0))


def test_the_commands_of_the_guide_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / "docs" / "howto" / "calibrate.md").read_text(encoding="utf-8")
    lines = re.findall(r"^    fleetcast (calibrate .*)$", text, re.M)
    assert {word for line in lines for word in ("--runs", "--metrics") if word in line} == {"--runs", "--metrics"}
    measured(tmp_path / "runs.csv")
    day(tmp_path / "metrics.json")
    monkeypatch.chdir(tmp_path)
    for line in lines:
        done = CliRunner().invoke(app, shlex.split(line))
        assert "Verdict" in done.output, f"{line}: {done.output}{done.exception!r}"
