"""What made a run: inputs by hash, versions, seed, device, durations."""

from __future__ import annotations

import hashlib
import json
import platform
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from data.own_catalog import FOLDER, own_files

PACKAGES = ("fleetcast", "jax", "jaxlib", "pyomo", "highspy", "statsmodels", "pandas", "numpy", "prefect")
ROOMS = ("configs", "data", "forecast", "models", "optimizer", "reconcile", "reports", "flows")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb") as handle:
        return hashlib.file_digest(handle, "sha256").hexdigest()


def versions() -> dict[str, str]:
    """Version of Python and of every package that can change a number."""
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        found[name] = metadata.version(name)
    return found


def catalog_hashes() -> dict[str, str]:
    """SHA-256 of every catalog file, by name: a changed price or coefficient changes the fingerprint."""
    product = {f"catalog/{path.name}": file_sha256(path) for path in sorted(FOLDER.glob("*.yaml"))}
    return product | {f"own catalog/{path.name}": file_sha256(path) for path in own_files()}


def fingerprint(scenario: Mapping[str, Any], inputs: Mapping[str, str], packages: Mapping[str, str]) -> str:
    """Twelve hexadecimal digits that are equal exactly when scenario, inputs and versions are."""
    text = json.dumps([scenario, dict(inputs), dict(packages)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:12]


@cache
def source_sha256() -> str:
    """One hash over every Python file of the product: which code it was, installed or in a checkout."""
    import data

    root = Path(data.__file__).parent.parent
    digest = hashlib.sha256()
    for room in ROOMS:
        for path in sorted((root / room).rglob("*.py")):
            digest.update(f"{path.relative_to(root).as_posix()}\0{file_sha256(path)}\n".encode())
    return digest.hexdigest()
