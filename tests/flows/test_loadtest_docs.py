"""docs/loadtests.md names every option and every finding, and its commands parse."""

from __future__ import annotations

import re
import shlex

import typer

from flows.cli import app
from tests.conftest import REPOSITORY

TEXT = (REPOSITORY / "docs" / "loadtests.md").read_text(encoding="utf-8")
COMMAND = typer.main.get_command(app).commands["loadtest"]  # type: ignore[attr-defined]


def test_its_commands_parse() -> None:
    lines = [line.strip() for line in TEXT.splitlines() if line.startswith("    fleetcast loadtest")]
    assert len(lines) >= 3
    for line in lines:
        context = COMMAND.make_context("loadtest", shlex.split(line)[2:])
        assert context.params["files"]


def test_every_option_is_named() -> None:
    options = {name for parameter in COMMAND.params for name in parameter.opts if name.startswith("--")} - {"--help"}
    assert {name for name in options if f"{name}`" not in TEXT and f"{name} " not in TEXT} == set()


def test_every_finding_is_explained() -> None:
    source = (REPOSITORY / "models" / "loadtest_checks.py").read_text(encoding="utf-8")
    kinds = set(re.findall(r'Finding\(\s*"(\w+)"', source))
    assert len(kinds) >= 18
    explained = {kind for row in re.findall(r"^\| (`.*?) \|", TEXT, re.M) for kind in re.findall(r"`(\w+)`", row)}
    factors = {"compute", "bandwidth", "overhead", "request_s"}
    assert explained - factors == kinds
