"""The cost assumptions of a scenario: its own where it states them, the catalog's elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from configs.costs import CostCatalog, CostPolicy
from configs.validation import validated
from configs.yaml_files import load_yaml
from data.records import Source

CATALOG = Path(__file__).parent / "catalog" / "costs.yaml"

Assumed = Mapping[str, tuple[float, str, Source]]
"""Name -> value, unit, source."""


def load_costs(path: Path = CATALOG) -> CostCatalog:
    """The catalog in `path`; InputError where a figure or its source is missing."""
    return validated(CostCatalog, load_yaml(path), str(path))


def assumed(policy: CostPolicy, catalog: CostCatalog | None = None) -> Assumed:
    """Every assumption with value, unit and source."""
    known = (catalog or load_costs()).assumptions
    found: dict[str, tuple[float, str, Source]] = {}
    for name, default in known.items():
        mine = policy.assumptions.get(name)
        if mine is None:
            words = {"list": "list price", "second_hand": "second-hand", "assumption": "assumption"}[default.quality]
            found[name] = (default.value, default.unit, Source(f"{default.source} ({words})", default.as_of))
        else:
            found[name] = (mine.value, default.unit, Source(f"{mine.source} (scenario)", mine.as_of))
    return found
