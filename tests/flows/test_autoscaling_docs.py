"""docs/autoscaling.md: its commands parse, its configuration is valid, its figures and words are the code's."""

from __future__ import annotations

import re
import shlex

import pytest
import typer
import yaml

from configs.autoscaling import AutoscalingPolicy
from configs.validation import validated
from data.scaling_records import SIGNALS, StartUp
from flows.cli import app
from models.autoscaler.facts import followed_growth_per_min
from models.autoscaler.grid import KINDS
from tests.conftest import REPOSITORY
from tests.reports.test_manifests import CALM

TEXT = (REPOSITORY / "docs" / "autoscaling.md").read_text(encoding="utf-8")
COMMANDS = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_its_commands_parse() -> None:
    lines = [line.strip() for line in TEXT.splitlines() if line.startswith("    fleetcast ")]
    assert {line.split()[1] for line in lines} == {"autoscale", "emit", "report"}
    for line in lines:
        _, name, *arguments = shlex.split(line)
        assert COMMANDS[name].make_context(name, arguments).params


@pytest.mark.parametrize("name", ["autoscale", "emit"])
def test_every_option_is_named(name: str) -> None:
    options = {text for one in COMMANDS[name].params for text in one.opts if text.startswith("--")} - {"--help"}
    assert {text for text in options if f"{text}`" not in TEXT and f"{text} " not in TEXT} <= {"--json"}


def test_its_configuration_is_valid_and_its_defaults_are_those_of_the_schema() -> None:
    (block,) = re.findall(r"```yaml\n(.*?)```", TEXT, re.S)
    given = validated(AutoscalingPolicy, yaml.safe_load(block)["autoscaling"], "docs")
    assert given.start_up == AutoscalingPolicy().start_up
    assert given.burst == AutoscalingPolicy().burst


def test_kinds_and_signals_are_those_of_the_grid() -> None:
    rows = dict(re.findall(r"^\| `([a-z ]+)` \| (.*?) \|$", TEXT, re.M))
    assert {name: rows[name] for name in KINDS} == KINDS
    assert all(f"`{signal}`" in TEXT for signal in SIGNALS if signal != "none")


def test_folders_are_those_that_are_written() -> None:
    written = {path.split("/")[1] for path in CALM if "/" in path}
    assert all(f"| `{folder}` |" in TEXT for folder in written)
    assert all(f"`{path}`" in TEXT for path in CALM if "/" not in path)


def test_the_growth_that_is_followed() -> None:
    policy = AutoscalingPolicy().start_up
    start = StartUp(policy.node_s, policy.image_s, 72.0, policy.warm_up_s)
    (share, minutes, growth) = re.findall(
        r"At (\d+) % of the knee and ([\d.]+) minutes to ready that is ([\d.]+) %", TEXT
    )[0]
    assert round(start.cold_s / 60.0, 1) == float(minutes)
    assert round(followed_growth_per_min(float(share) / 100.0, start, 0.0) * 100.0, 1) == float(growth)
