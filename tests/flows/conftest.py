"""A small scenario, and the command line as a person or a pipeline would run it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.conftest import REPOSITORY

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def write_scenario(tmp_path: Path) -> Callable[[dict[str, Any]], Path]:
    """Writes a scenario file into the test's folder."""

    def write(raw: dict[str, Any]) -> Path:
        path = tmp_path / "scenario.yaml"
        path.write_text(yaml.safe_dump(raw), encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def state_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One Prefect home and one JAX cache for all command-line tests of a session."""
    return tmp_path_factory.mktemp("state")


@pytest.fixture
def environment(state_folder: Path) -> dict[str, str]:
    return os.environ | {"FLEETCAST_STATE": str(state_folder), "PYTHONPATH": str(REPOSITORY), "COLUMNS": "120"}


@pytest.fixture
def fleetcast(tmp_path: Path, environment: dict[str, str]) -> Run:
    """Runs `fleetcast ...` in the test's folder; output captured, so not a terminal."""

    def run(*arguments: str, timeout_s: float = 240) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "flows.cli", *arguments],
            cwd=tmp_path,
            env=environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    return run
