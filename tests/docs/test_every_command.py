"""One grammar: what holds of every command, each walked through; and that nothing is left undocumented.

These lists are made here from the code, not by the generator of the pages, so that a generator that forgets is caught.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any, get_args

import pytest
from pydantic import BaseModel
from typer.testing import CliRunner

from configs.errors import InputError
from configs.schema import Scenario
from flows.cli import app
from tests.conftest import REPOSITORY
from tests.docs.test_docs import DOCS, GROUP
from tests.flows.test_shell import MAIN

ASKED_FOR = {
    "plan", "ingest", "forecast", "size", "sweep", "curve", "calibrate", "replay", "whatif", "reconcile", "backtest",
    "report", "trace", "doctor", "init",
}  # fmt: skip
"""What a capacity planner expects to find; there may be more."""


def test_the_commands_are_there() -> None:
    assert set(GROUP.commands) >= ASKED_FOR
    assert len(GROUP.commands) > len(ASKED_FOR)


@pytest.mark.parametrize("name", sorted(GROUP.commands))
def test_help_has_an_example_that_parses(name: str) -> None:
    told = CliRunner().invoke(app, [name, "--help"])
    assert told.exit_code == 0
    assert "--json" in told.output
    examples = re.findall(r"`(fleetcast [^`]+)`", " ".join((GROUP.commands[name].epilog or "").split()))
    assert examples
    for example in examples:
        _, command, *words = shlex.split(example)
        assert command == name
        GROUP.commands[name].make_context(name, words)
    assert f"fleetcast {name}" in " ".join(told.output.split()), "the example is shown"


def type_name(option: Any) -> str:
    """What an option's value is, whatever of it may be repeated or left out."""
    annotation = option.type_descriptor.annotation
    return str(get_args(annotation)[0] if get_args(annotation) else annotation)


def test_an_option_means_the_same_wherever_it_stands() -> None:
    kinds: dict[str, dict[str, set[str]]] = {}
    for name, command in GROUP.commands.items():
        for one in command.params:
            if one.param_type_name != "option":
                continue
            longs = [flag for flag in one.opts if flag.startswith("--")]
            assert longs, f"{name} {one.name} has no long form"
            assert all(re.fullmatch(r"--[a-z][a-z0-9-]*", flag) for flag in longs), (name, longs)
            kinds.setdefault(longs[0], {}).setdefault(type_name(one), set()).add(name)
    assert len(kinds["--json"][str(bool)]) == len(GROUP.commands)
    mixed = {flag: found for flag, found in kinds.items() if len(found) > 1}
    # Whole tokens of a request asked for, and mean tokens where metrics lack them.
    assert set(mixed) <= {"--input"}, mixed


WRONG: dict[str, list[str]] = {
    "autoscale": [],
    "backtest": ["--config", "nowhere.yaml"],
    "breakeven": ["--llm", "Lama-3.1-8B", "--gpu", "H100-SXM"],
    "calibrate": ["--llm", "Llama-3.1-8B", "--gpu", "L40S"],
    "curve": ["--gpu", "H100-SXM", "--class", "nothing"],
    "describe": ["nowhere"],
    "emit": ["nowhere"],
    "explain": ["nowhere"],
    "forecast": ["--config", "nowhere.yaml"],
    "generate": ["nowhere", "--out", "day.parquet"],
    "ingest": ["--out", "traffic", "nowhere*.csv"],
    "init": ["--llm", "Llama-3.1-8B", "--json"],
    "ledger": ["--copy-to", "mysql://here/x"],
    "loadtest": ["nowhere.json"],
    "plan": ["--config", "nowhere.yaml"],
    "reconcile": ["--actuals", "nowhere.csv"],
    "replay": ["nowhere"],
    "report": ["nowhere"],
    "review": ["nothing", "--accept", "--by", "ada"],
    "sensitivity": ["nowhere"],
    "size": ["--llm", "Llama-3.1-8B", "--gpu", "H101"],
    "sweep": ["--llm", "Llama-3.1-8B", "--gpu", "H100-SXM", "--price", "H100-SXM"],
    "trace": ["nothing"],
    "whatif": [],
}
"""A mistake for every command; `doctor` takes nothing that could be wrong."""


def test_there_is_a_mistake_for_every_command() -> None:
    assert set(WRONG) == set(GROUP.commands) - {"doctor"}


@pytest.mark.parametrize("name", sorted(WRONG))
def test_a_mistake_is_answered_with_the_next_step(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("FLEETCAST_LEDGER", f"sqlite:///{tmp_path}/ledger.sqlite")
    told = CliRunner().invoke(app, [name, *WRONG[name]])
    error = told.exception
    assert isinstance(error, InputError), (told.output, error)
    assert all((error.where, error.expected, error.got))
    assert re.match(r"[A-Z`].*\S", error.fix), error.fix


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_completes_every_command(shell: str) -> None:
    told = (
        os.environ
        | {"PYTHONPATH": str(REPOSITORY)}
        | {"_FLEETCAST_COMPLETE": f"complete_{shell}", "_TYPER_COMPLETE_ARGS": "fleetcast "}
    )
    told |= {"COMP_WORDS": "fleetcast ", "COMP_CWORD": "1", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    command = [sys.executable, "-c", MAIN]
    said = subprocess.run(command, env=told, capture_output=True, text=True, timeout=60, check=True).stdout
    assert {name for name in GROUP.commands if re.search(rf"(?<![\w-]){name}(?![\w-])", said)} == set(GROUP.commands)


def sections(model: type[BaseModel], seen: dict[str, type[BaseModel]]) -> dict[str, type[BaseModel]]:
    """Every section of a scenario by its name, those in lists, mappings and unions too."""

    def inside(annotation: Any) -> None:
        if isinstance(annotation, type) and issubclass(annotation, BaseModel):
            sections(annotation, seen)
        for part in get_args(annotation):
            inside(part)

    if model.__name__ not in seen:
        seen[model.__name__] = model
        for field in model.model_fields.values():
            inside(field.annotation)
    return seen


def test_every_key_of_every_section_is_documented_with_its_meaning() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    chapters = {text.split("\n", 1)[0].strip(): text for text in page.split("\n## ")[1:]}
    found = sections(Scenario, {})
    assert set(chapters) == set(found)
    assert len(found) > 30
    missing = []
    for name, model in found.items():
        rows = {row[0]: row for row in re.findall(r"^\| `(\w+)` \|(.*)\| (.*) \|$", chapters[name], re.M)}
        missing += [f"{name}.{key}" for key in model.model_fields if key not in rows or not rows[key][2].strip()]
    assert missing == []


def test_every_record_is_in_the_reference_with_a_sentence() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    records = 0
    missing = []
    for room in ("configs", "cost", "data", "forecast", "models", "optimizer", "reconcile", "reports", "flows"):
        for path in sorted((REPOSITORY / room).rglob("*.py")):
            module = ".".join(path.relative_to(REPOSITORY).with_suffix("").parts)
            for node in ast.parse(path.read_text(encoding="utf-8")).body:
                if not isinstance(node, ast.ClassDef) or node.name.startswith("_"):
                    continue
                records += 1
                chapter = page.partition(f"\n### {module}\n")[2].partition("\n### ")[0]
                if f"`{node.name}`" not in chapter:
                    missing.append(f"{module}.{node.name}")
                elif not ast.get_docstring(node):
                    missing.append(f"{module}.{node.name} says nothing")
    assert records > 200
    assert missing == []
