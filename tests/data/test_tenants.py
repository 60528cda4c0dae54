"""Requests by day and tenant, from a dataset."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import numpy as np

from configs.traffic import Ingested
from data.tenants import tenant_days
from tests.data.ingest_files import one, write_csv


def test_a_stray_is_no_day_of_a_tenant(tmp_path: Path) -> None:
    """One request a year off would be the last day, and a year of empty weeks before it."""
    header = ("timestamp", "input_tokens", "output_tokens", "tenant")
    start = datetime(2026, 1, 5)
    rows = [(start + timedelta(hours=h), 10, 10, "acme" if h % 4 else "zeta") for h in range(14 * 24)]
    one(tmp_path / "out", write_csv(tmp_path / "a.csv", header, [*rows, (datetime(2027, 1, 5), 10, 10, "zeta")]))
    found = tenant_days(Ingested(kind="ingested", dataset="out"), tmp_path, None, "all")
    assert found is not None
    assert (found.tenants, found.first_day) == (("acme", "zeta"), "2026-01-05")
    assert np.array_equal(found.requests, np.tile([18.0, 6.0], (14, 1)))
