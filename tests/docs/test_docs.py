"""The documentation is complete, current, and what it shows works."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from typing import Any

import pytest
import yaml
from typer.core import TyperGroup

from configs.loading import embedded_scenarios
from configs.schema import Scenario
from configs.validation import validated
from flows import reference
from tests.conftest import REPOSITORY

DOCS = REPOSITORY / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
GROUP: TyperGroup = reference.command_line()
GENERATE = "run: python -m flows.reference"


def lines_of(text: str) -> Iterator[str]:
    """Command lines in a page: indented or after a prompt, without comments and optional parts."""
    for found in re.finditer(r"^(?: {3,}|\$ +| *\$ )(?:\./run|fleetcast) (.+)$", text, re.M):
        yield re.sub(r"\s+#.*$", "", found[1]).strip()


def command_lines() -> list[tuple[str, str]]:
    texts = {path.name: path.read_text(encoding="utf-8") for path in [*PAGES, REPOSITORY / "README.md"]}
    return [(name, line) for name, text in texts.items() for line in lines_of(text) if name != "commands.md"]


@pytest.mark.parametrize("name", ["commands.md", "sources.md", "configuration.md"])
def test_generated_pages_are_current(name: str) -> None:
    assert (DOCS / name).read_text(encoding="utf-8") == reference.PAGES[name]().rstrip() + "\n", GENERATE


def test_every_command_and_option_is_documented_with_an_example() -> None:
    page = (DOCS / "commands.md").read_text(encoding="utf-8")
    for name, command in GROUP.commands.items():
        assert f"\n## {name}\n" in page, GENERATE
        assert command.epilog, f"{name} has no example in its --help"
        assert command.help, name
        for parameter in command.params:
            assert parameter.name == "help" or getattr(parameter, "help", ""), f"{name} {parameter.name} has no help"


def test_every_command_speaks_json() -> None:
    without = [n for n, c in GROUP.commands.items() if not any("--json" in p.opts for p in c.params)]
    assert without == []


def test_every_record_and_module_is_in_the_reference() -> None:
    page = (DOCS / "api.md").read_text(encoding="utf-8")
    missing = [f"{module}.{name}" for module, name in reference.records() if f"`{name}`" not in page]
    missing += [module for module, _ in reference.records() if f"### {module}\n" not in page]
    assert missing == [], GENERATE


def test_the_mathematics_has_every_constraint_of_the_model() -> None:
    page = (DOCS / "mathematics.md").read_text(encoding="utf-8")
    for path in reference.modules("optimizer/*"):
        assert f"`optimizer/{path.name}`" in page, GENERATE
    assert page.count("$$") >= 10
    assert ".. math" not in page


def test_commands_in_the_pages_parse() -> None:
    found = command_lines()
    assert len(found) > 25
    broken = []
    for name, line in found:
        words = shlex.split(line.replace("[", "").replace("]", ""))
        if words[0] in ("test", "lint"):
            continue
        if words[0] not in GROUP.commands:
            broken.append(f"{name}: {line}: no such command")
            continue
        try:
            GROUP.commands[words[0]].make_context(words[0], words[1:])
        except Exception as error:  # noqa: BLE001
            broken.append(f"{name}: {line}: {error}")
    assert broken == []


def merged(base: Any, part: Any) -> Any:
    if isinstance(base, dict) and isinstance(part, dict):
        return base | {key: merged(base.get(key), value) for key, value in part.items()}
    return part


def yaml_parts() -> list[Any]:
    pages = sorted((DOCS / "howto").glob("*.md"))
    return [
        pytest.param(found[1], id=f"{path.stem}-{i}")
        for path in pages
        for i, found in enumerate(re.finditer(r"```yaml\n(?!# own/)(.*?)```", path.read_text(encoding="utf-8"), re.S))
    ]


@pytest.mark.parametrize("text", yaml_parts())
def test_configuration_in_the_pages_is_valid(text: str) -> None:
    base = yaml.safe_load(embedded_scenarios()["default"].read_text(encoding="utf-8"))
    part = yaml.safe_load(text)
    assert validated(Scenario, merged(base, part), "page") is not None


def test_links_between_the_pages_lead_somewhere() -> None:
    for path in [*PAGES, REPOSITORY / "README.md"]:
        for target in re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8")):
            if not target.startswith(("http", "mailto")):
                assert (path.parent / target).exists(), f"{path.name} -> {target}"


def test_configuration_keys_named_in_the_how_tos_exist() -> None:
    page = (DOCS / "configuration.md").read_text(encoding="utf-8")
    assert {name for name in Scenario.model_fields if f"| `{name}` |" not in page} == set()


def tutorial() -> list[list[str]]:
    text = (DOCS / "tutorial.md").read_text(encoding="utf-8")
    return [shlex.split(line) for block in re.findall(r"```console\n(.*?)```", text, re.S) for line in lines_of(block)]


def test_the_tutorial_leads_from_a_log_to_a_decision() -> None:
    names = [words[0] for words in tutorial()]
    assert names == ["doctor", "ingest", "describe", "init", "plan", "whatif", "whatif", "trace", "trace"]
