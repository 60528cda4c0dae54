"""Mélange's own two-bucket example: never dearer than its slice formulation, whose answers are enumerated here."""

from __future__ import annotations

from itertools import product
from math import ceil

import numpy as np
import pytest

from benchmarks.fleet_melange import EXAMPLE_RPS, EXAMPLE_SHARES, EXAMPLE_USD, fleet
from optimizer.solve import solve


def cheapest_by_slices(wanted: np.ndarray, slices: int) -> float:
    """Its formulation by enumeration: each of a bucket's equal slices goes wholly to one GPU type."""
    rates = {gpu: np.ravel(table) for gpu, table in EXAMPLE_RPS.items()}
    best = float("inf")
    for split in product(range(slices + 1), repeat=len(wanted)):
        share = np.array(split) / slices
        loads = {"A10G": (share * wanted / rates["A10G"]).sum(), "A100": ((1 - share) * wanted / rates["A100"]).sum()}
        best = min(best, sum(ceil(load - 1e-9) * EXAMPLE_USD[gpu] for gpu, load in loads.items()))
    return best


@pytest.mark.parametrize("rate", [1.0, 4.0, 16.0, 37.0])
def test_never_dearer_than_the_published_formulation(rate: float) -> None:
    wanted = np.ravel(EXAMPLE_SHARES) * rate
    rps = {gpu: np.array(table) for gpu, table in EXAMPLE_RPS.items()}
    plan = solve(fleet(EXAMPLE_USD, rps, wanted, 20.0))
    usd_per_h = sum(cost.on_demand_usd for cost in plan.costs) / 730.0
    assert plan.stats.status == "optimal"
    assert plan.shortfalls == ()
    assert usd_per_h <= cheapest_by_slices(wanted, 1) + 1e-6
    assert usd_per_h <= cheapest_by_slices(wanted, 4) + 1e-6
    # Continuous routing is the limit of ever finer slices.
    assert usd_per_h <= cheapest_by_slices(wanted, 8) + 1e-6
