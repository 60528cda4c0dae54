"""The command line as a shell and a person at a terminal meet it."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
import time
from pathlib import Path

import pytest
import yaml

from tests.conftest import REPOSITORY
from tests.flows.test_starter import azure_log

MAIN = "import sys; sys.argv[0] = 'fleetcast'; from flows.cli import main; main()"


def completed(words: str, at: int, environment: dict[str, str]) -> list[str]:
    """What a shell is offered for the word at a place."""
    told = environment | {"_FLEETCAST_COMPLETE": "complete_bash", "COMP_WORDS": words, "COMP_CWORD": str(at)}
    command = [sys.executable, "-c", MAIN]
    return subprocess.run(command, env=told, capture_output=True, text=True, timeout=60, check=True).stdout.split()


def test_the_shell_completes_commands_and_options(environment: dict[str, str]) -> None:
    assert completed("fleetcast re", 1, environment) == ["report", "replay", "reconcile", "review"]
    assert completed("fleetcast whatif --se", 2, environment) == ["--set", "--seconds"]
    assert completed("fleetcast nothing", 1, environment) == []


def typed(arguments: list[str], answers: list[str], folder: Path, environment: dict[str, str]) -> str:
    """What a terminal shows when a person answers each question as it comes."""
    child, terminal = pty.fork()
    if child == 0:
        os.chdir(folder)
        os.execve(sys.executable, [sys.executable, "-c", MAIN, *arguments], environment)
    seen, left, deadline = "", list(answers), time.monotonic() + 120.0
    while time.monotonic() < deadline:
        try:
            part = os.read(terminal, 4096).decode(errors="replace")
        except OSError:
            break
        seen += part
        if seen.rstrip(" ").endswith("]:") and left:
            os.write(terminal, (left.pop(0) + "\n").encode())
    os.waitpid(child, 0)
    assert left == [], seen
    return seen


@pytest.mark.slow
def test_init_asks_a_few_questions_at_a_terminal(tmp_path: Path, environment: dict[str, str]) -> None:
    told = environment | {"PYTHONPATH": str(REPOSITORY), "TERM": "xterm"}
    log = str(azure_log(tmp_path / "log.csv", 0.5))
    ingest = [sys.executable, "-c", MAIN, "ingest", log, "--out", "traffic"]
    subprocess.run(ingest, cwd=tmp_path, env=told, capture_output=True, timeout=120, check=True)
    answers = ["", "Llama-3.1-8B", "H100-SXM, L40S", "lambda/us-east-1,aws/us-east-1", "9000"]
    flags = ["--dataset", "traffic", "--llm", "Llama-3.1-8B", "--gpu", "H100-SXM", "--market", "lambda/us-east-1"]
    assert "Written: told.yaml" in typed(["init", *flags, "--out", "told.yaml"], [], tmp_path, told), "nothing is asked"
    seen = typed(["init", "--out", "asked.yaml"], answers, tmp_path, told)
    assert "Next: fleetcast plan --config asked.yaml" in seen
    written = yaml.safe_load((tmp_path / "asked.yaml").read_text(encoding="utf-8"))
    assert written["evaluate"]["gpus"] == ["H100-SXM", "L40S"]
    assert [one["provider"] for one in written["plan"]["regions"]["us-east"]["markets"]] == ["lambda", "aws"]
    assert written["plan"]["budget_usd_per_month"] == 9000
