"""`fleetcast loadtest`: result files in, doubts, a calibration and a picture out."""

from __future__ import annotations

import io
import json
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from configs.errors import InputError
from data.catalog import find_engine, load_coefficients
from data.loadtests.read import read_load_tests
from flows.loadtest import Answer, Question, as_json, curve, examine, headline, write
from flows.show_loadtest import show_load_tests
from models.loadtest_coefficients import Factors, corrected, correction
from models.step_cost import step_cost
from tests.data.loadtests.factory import Truth, truth, vllm, written
from tests.flows.conftest import Run
from tests.models.loadtest_factory import GPU, LLM, served


def ask(*files: Path, gpu: str | None = None, llm: str | None = None, precision: str = "bf16") -> Answer:
    question = Question(llm, gpu, precision, "bf16", 1, "vllm", None, 0, 64)
    (answer,) = examine(read_load_tests(files), question)
    return answer


def saved(folder: Path) -> list[Path]:
    """Two runs of a known server as `vllm bench serve` saves them."""
    paths = []
    for rate in (3.0, 15.0):
        rows = served(Factors(0.85, 0.95, 2.0, 0.02), rate, n=60, seed=int(rate)).rows
        assert rows is not None
        t = Truth(rows.start_s, rows.input_tokens.astype(int), rows.output_tokens.astype(int), rows.ttft_s, rows.e2e_s)
        text = vllm(t).replace('"model_id": "m"', f'"model_id": "meta-llama/{LLM.name}"')
        text = text.replace('"request_rate": 4.0', f'"request_rate": {rate}')
        paths.append(written(folder, text, f"{rate}.json"))
    return paths


def no_constants(name: str) -> None:
    raise AssertionError(name)


def test_files_are_checked_without_a_gpu_and_json_is_strict(tmp_path: Path) -> None:
    answer = ask(written(tmp_path, vllm(truth(failed=4))))
    (found,) = json.loads(as_json([answer]), parse_constant=no_constants)
    assert found["points"][0]["requests_failed"] == 4
    assert {f["kind"] for f in found["findings"]} >= {"failures"}
    assert found["fit"] is None


@pytest.mark.slow
def test_the_command_prints_json_alone_or_tables(fleetcast: Run, tmp_path: Path) -> None:
    path = str(written(tmp_path, vllm(truth(failed=4))))
    done = fleetcast("loadtest", path, "--json")
    assert (done.returncode, done.stderr) == (0, "")
    assert json.loads(done.stdout, parse_constant=no_constants)[0]["fit"] is None
    done = fleetcast("loadtest", path)
    assert done.returncode == 0
    assert "failures" in done.stdout


@pytest.mark.slow
def test_a_damaged_file_ends_with_2(fleetcast: Run, tmp_path: Path) -> None:
    done = fleetcast("loadtest", str(written(tmp_path, "{")))
    assert done.returncode == 2
    assert "result.json" in done.stderr.replace("\n", "")
    assert "Traceback" not in done.stderr + done.stdout


@pytest.mark.slow
def test_a_fit_is_written_as_picture_and_calibration(tmp_path: Path) -> None:
    answer = ask(*saved(tmp_path), gpu=GPU.name)
    assert answer.fit is not None
    assert answer.setup is not None
    assert answer.fit.errors["after"]["tpot"] < 0.05
    out = tmp_path / "out"
    names = {path.name for path in write([answer], out)}
    assert names == {"loadtest.json", "service_curve.svg", "service_curve.png", "calibration.yaml"}
    assert (out / "service_curve.png").read_bytes().startswith(b"\x89PNG")
    # The file is one that scenarios name: with it the kernels predict what the fit predicts.
    written_ = load_coefficients(calibration=(out / "calibration.yaml",))
    (one,) = written_.corrections
    assert (one.compute, one.overhead) == (answer.fit.factors.compute, answer.fit.factors.overhead)
    assert (one.points, one.verdict) == (2, answer.fit.verdict)
    assert (one.kv_precision, one.pipeline_parallel) == (answer.setup.configuration.kv_precision, 1)
    fitted = corrected(load_coefficients(), correction(answer.setup.configuration, answer.fit.factors))
    costs = [
        step_cost([answer.setup.configuration], {LLM.name: LLM}, {GPU.name: GPU}, find_engine("vllm"), catalog, [320.0])
        for catalog in (written_, fitted, load_coefficients())
    ]
    np.testing.assert_allclose(costs[0].linear_s, costs[1].linear_s, rtol=1e-6)
    assert not np.allclose(costs[0].linear_s, costs[2].linear_s, rtol=0.02)
    assert json.loads((out / "loadtest.json").read_text(encoding="utf-8"))[0]["fit"]["verdict"] == answer.fit.verdict
    screen = io.StringIO()
    show_load_tests(Console(file=screen, width=120), [answer], [out / "loadtest.json"])
    for text in (headline(answer)[:40], "Service curve, ms", "overhead", "Verdict:", "15 req/s", "loadtest.json"):
        assert text in screen.getvalue()
    points = curve(answer.fit)
    assert len(points) == 4
    assert all(not math.isnan(p.measured_ms) and p.calibrated_ms > 0 for p in points)
    # A poor fit is shown, and corrects nothing.
    poor = replace(answer, fit=replace(answer.fit, verdict="poor: held-out error 30% of TPOT"))
    names = {path.name for path in write([poor], tmp_path / "poor")}
    assert names == {"loadtest.json", "service_curve.svg", "service_curve.png"}
    assert [json.loads(as_json([one]))[0]["fit"]["usable"] for one in (answer, poor)] == [True, False]
    assert "No calibration written" not in screen.getvalue()
    show_load_tests(Console(file=screen, width=120), [poor], [])
    assert "No calibration written" in screen.getvalue()


def test_another_llm_than_the_files_name_is_noted(tmp_path: Path) -> None:
    t = truth(200)
    fast = Truth(t.start, t.inputs, t.outputs, t.ttft, t.ttft + 1e-3 * t.outputs)
    text = vllm(fast).replace('"model_id": "m"', '"model_id": "meta-llama/Llama-3.2-3B-Instruct"')
    answer = ask(written(tmp_path, text), gpu=GPU.name, llm=LLM.name)
    assert any("the files name meta-llama/Llama-3.2-3B-Instruct" in note for note in answer.notes)


def test_implausible_points_are_not_fitted(tmp_path: Path) -> None:
    t = truth(200)
    fast = Truth(t.start, t.inputs, t.outputs, t.ttft, t.ttft + 1e-3 * t.outputs)
    answer = ask(written(tmp_path, vllm(fast)), gpu=GPU.name, llm=LLM.name)
    assert answer.fit is None
    assert {f.kind for f in answer.findings if f.severity == "impossible"} == {"tpot_below_bandwidth"}
    assert any("cannot have served" in note for note in answer.notes)
    assert json.loads(as_json([answer]))[0]["fit"] is None


def test_names_that_are_not_known_are_errors(tmp_path: Path) -> None:
    path = written(tmp_path, vllm(truth()))
    with pytest.raises(InputError, match="LLM 'm'"):
        ask(path, gpu=GPU.name)
    with pytest.raises(InputError, match="GPU 'H9'"):
        ask(path, gpu="H9", llm=LLM.name)
    with pytest.raises(InputError, match="precisions"):
        ask(path, gpu=GPU.name, llm=LLM.name, precision="fp3")
