"""What all tests share: where the reference material lies, and deterministic property tests."""

from __future__ import annotations

import os
from pathlib import Path

# One BLAS thread, set before numpy is loaded: matrices are small, and threads only spin against other test processes.
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "ci", derandomize=True, deadline=None, suppress_health_check=[HealthCheck.too_slow], max_examples=50
)
settings.load_profile("ci")

REPOSITORY = Path(__file__).resolve().parent.parent


def reference_folder() -> Path:
    """The folder of outside measurements: $FLEETCAST_REFERENCE, or `shared` beside the checkout."""
    return Path(os.environ.get("FLEETCAST_REFERENCE", REPOSITORY.parent / "shared"))


@pytest.fixture(scope="session")
def reference() -> Path:
    """Reference traces and measurements; tests that need them are skipped, with the reason, where absent."""
    folder = reference_folder()
    if not (folder / "traces").is_dir():
        pytest.skip(f"reference material not found in {folder}; set FLEETCAST_REFERENCE")
    return folder
