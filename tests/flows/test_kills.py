"""kill -9 at random moments of plan and reconcile flows: nothing corrupt, lost or doubled, no folder unknown."""

from __future__ import annotations

import os
import pickle
import subprocess
import sys
from pathlib import Path

import pytest

from flows import steps
from tests.conftest import REPOSITORY
from tests.data.ledger.conftest import url as url
from tests.flows.small import small_made
from tests.flows.test_reconcile import actuals


@pytest.mark.slow
def test_two_hundred_kills_of_plans_and_reconciliations(url: str, tmp_path: Path) -> None:
    made = small_made()
    (tmp_path / "run").mkdir()
    bundle = steps.write(made, tmp_path / "run")
    (tmp_path / "made.pickle").write_bytes(pickle.dumps((made, bundle)))
    actuals(tmp_path, 10)
    done = subprocess.run(
        [sys.executable, "-m", "tests.flows.nursery", str(tmp_path), "200", "1"],
        cwd=REPOSITORY,
        env=os.environ | {"FLEETCAST_LEDGER": url, "OPENBLAS_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=3000,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 20, "the kills came before anything was recorded"
