"""`fleetcast ingest`, `describe` and `generate` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from configs.errors import InputError
from flows.cli import app
from tests.data.ingest_files import AZURE, write_csv


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], catch_exceptions=True)
    if isinstance(result.exception, InputError):
        raise result.exception
    return result.exit_code, result.stdout


def test_from_a_file_to_a_description_and_a_generated_trace(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)
    seconds = np.sort(rng.integers(0, 7200, 3000))
    rows = [
        (f"2026-01-05 {10 + s // 3600}:{s // 60 % 60:02d}:{s % 60:02d}", int(rng.integers(1, 900)), 20) for s in seconds
    ]
    path = write_csv(tmp_path / "a.csv", AZURE, [*rows, ("never", 1, 1)])
    out = tmp_path / "traffic"
    code, text = call("ingest", path, "--out", out, "--label", "service=chat")
    assert code == 0
    assert "3,001 rows in = 3,000 kept + 0 repaired + 1 rejected" in text
    assert "timestamp: not a time that exists (ISO 8601, or a number of one unit)" in text
    code, text = call("ingest", path, tmp_path / "absent.csv", "--out", out, "--label", "service=chat", "--json")
    assert code == 2
    again, absent = json.loads(text)
    assert again["unchanged"]
    assert "no such file" in absent["error"]
    code, text = call("ingest", path, tmp_path / "absent.csv", "--out", out, "--label", "service=chat")
    assert "2 files: 1 read, 0 rows in" in text
    assert f"1 not read: {tmp_path / 'absent.csv'}" in text
    local = write_csv(tmp_path / "local.csv", AZURE, [("13/01/2026 10:00:00", 5, 5)] * 3)
    code, text = call("ingest", local, "--out", tmp_path / "other")
    assert "no row is kept" in text
    rules = tmp_path / "classes.yaml"
    rules.write_text("classes:\n  - {name: chat, match: {service: [chat]}}\n", encoding="utf-8")
    for extra in ((), ("--brief",)):
        code, text = call("describe", out, "--classes", rules, *extra)
        assert code == 0
        assert "chat: 3,000 requests" in text
    code, text = call("describe", out, "--json")
    assert json.loads(text)["classes"][0]["requests"] == 3000
    code, text = call(
        "generate", out, "--classes", rules, "--class", "chat", "--hours", 1, "--out", tmp_path / "g.parquet"
    )
    assert code == 0
    assert "requests a minute: agrees" in text
    with pytest.raises(InputError, match="one of chat, unmatched"):
        call("generate", out, "--classes", rules, "--class", "code", "--out", tmp_path / "g.parquet")
    with pytest.raises(InputError, match="NAME=VALUE"):
        call("ingest", path, "--out", out, "--label", "chat")
    with pytest.raises(InputError, match="an ingested dataset"):
        call("describe", tmp_path / "nowhere")
