"""The load-test benchmark scores what it can of a folder, and names the rest."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.loadtests import main, precision_of, read
from tests.data.loadtests.factory import truth, vllm, written

KNOWN = "meta-llama/Llama-3.1-8B"


def folder_of(folder: Path, *models: str) -> Path:
    folder.mkdir()
    for i, model in enumerate(models):
        written(folder, vllm(truth(seed=i)).replace('"model_id": "m"', f'"model_id": "{model}"'), f"{i}.json")
    return folder


def ask(folder: Path, *more: str) -> int:
    return main(["--files", str(folder), "--gpu", "H100-SXM", "--json", *more])


def test_a_damaged_file_of_a_folder_is_named_and_the_others_are_read(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = folder_of(tmp_path / "runs", KNOWN)
    damaged = written(folder, '{"model_id": ', "torn.json")
    written(folder, "[1, 2]", "other.json")
    (test,) = read([folder])
    assert [Path(name).name for name in test.files] == ["0.json"]
    said = capsys.readouterr().err
    assert said.count("left out") == 1
    assert "torn.json" in said
    assert ask(damaged) == 2
    (folder / "0.json").unlink()
    assert ask(folder) == 2
    assert "torn.json" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--llm", "no-such-llm"], "no-such-llm"),
        (["--gpu", "no-such-gpu"], "no-such-gpu"),
        (["--precision", "float3"], "float3"),
        (["--files", "absent.json"], "absent.json"),
    ],
)
def test_what_is_not_known_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str], said: str
) -> None:
    assert ask(folder_of(tmp_path / "runs", KNOWN), *more) == 2
    told = capsys.readouterr()
    assert not told.out
    assert "expected" in told.err
    assert said in told.err


@pytest.mark.slow
def test_an_unknown_model_is_named_and_the_others_are_scored(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert ask(folder_of(tmp_path / "runs", "who/knows", KNOWN), "--precision", "FP8-block") == 0
    told = capsys.readouterr()
    (found,) = json.loads(told.out, parse_constant=lambda name: pytest.fail(name))
    assert found["model"] == KNOWN
    assert "who/knows" in told.err
    assert "FP8-block: scored with" in told.err


def test_precisions_have_the_spellings_of_measured_runs() -> None:
    spelt = {"nvfp4": "fp4", "fp8_block": "fp8", "W4A16": "int4", "bfloat16": "bf16", "fp8-e4m3": "fp8", "fp3": "fp3"}
    assert {text: precision_of(text) for text in spelt} == spelt
    for name in ("bf16", "fp8", "int8", "int4", "fp4"):
        assert precision_of(name) == name
