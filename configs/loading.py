"""Scenario files: found, read, checked."""

from __future__ import annotations

from dataclasses import dataclass
from importlib import resources
from pathlib import Path
from typing import Any

from configs.classes import load_classes
from configs.errors import InputError
from configs.schema import Scenario
from configs.validation import validated
from configs.yaml_files import load_yaml

DEFAULT_SCENARIO = "default"


@dataclass(frozen=True, slots=True)
class LoadedScenario:
    """A scenario, the file it came from and the folder that its relative paths start at."""

    scenario: Scenario
    file: Path
    base: Path


def embedded_scenarios() -> dict[str, Path]:
    """Scenarios shipped with the package, by name."""
    folder = Path(str(resources.files("configs"))) / "scenarios"
    return {path.stem: path for path in sorted(folder.glob("*.yaml"))}


def load_scenario(file_or_name: str | Path | None) -> LoadedScenario:
    """A scenario from a file, or an embedded one by name; None is the embedded default.

    Raises InputError where the file is absent, is not YAML or does not fit the schema.
    """
    shipped = embedded_scenarios()
    name = DEFAULT_SCENARIO if file_or_name is None else str(file_or_name)
    path = Path(name)
    if name in shipped and not path.is_file():
        path = shipped[name]
    elif not path.exists():
        raise InputError(
            name,
            "a scenario file or the name of an embedded scenario",
            "neither",
            f"Embedded scenarios: {', '.join(shipped)}.",
        )
    base = path.resolve().parent
    scenario = validated(Scenario, _with_rules(load_yaml(path), base), str(path))
    return LoadedScenario(scenario, path, base)


def _with_rules(raw: Any, base: Path) -> Any:
    """The scenario with the class rules written out that it names by file."""
    traffic = raw.get("traffic") if isinstance(raw, dict) else None
    if not isinstance(traffic, dict) or not isinstance(named := traffic.get("class_rules"), str):
        return raw
    rules = load_classes(base / named)
    return {**raw, "traffic": {**traffic, "class_rules": rules.model_dump(mode="json")}}
