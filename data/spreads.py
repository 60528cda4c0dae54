"""Ranges of a scenario's variables: its own where it states them, the catalog's elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from configs.sensitivity import SensitivityPolicy, Spread, SpreadCatalog
from configs.validation import validated
from configs.yaml_files import load_yaml

CATALOG = Path(__file__).parent / "catalog" / "sensitivity.yaml"


def spreads(policy: SensitivityPolicy, path: Path = CATALOG) -> Mapping[str, Spread]:
    """Every variable's range."""
    catalog = validated(SpreadCatalog, load_yaml(path), str(path))
    return {str(name): one for name, one in (catalog.variables | policy.variables).items()}
