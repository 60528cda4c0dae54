"""Why a simulated configuration serves nothing: the limit that binds, with its own value and target."""

from __future__ import annotations

import numpy as np
import pytest

from data.records import SloTarget
from models.service import broken_limit
from models.simulator.knee import PRESSURE, Knees

SLO = SloTarget(2.0, 0.05, 95.0, e2e_s=8.0)


def knees(binding: str) -> Knees:
    """A lane without a knee: TTFT 3 s, TPOT 10 ms (within its limit), 9 s to the end, 4 % of iterations over-full."""
    at = {"ttft_s": 3.0, "tpot_s": 0.01, "e2e_s": 9.0, "kv_pressure": 0.04, "broken_rps": 0.25}
    rest = ("knee_rps", "band", "by_seed_rps", "operating_rps", "running", "kv_share", "output_tokens_per_s")
    figures = {name: np.array([value]) for name, value in (at | dict.fromkeys(rest, 0.0)).items()}
    return Knees(binding=(binding,), **figures)


@pytest.mark.parametrize(
    ("binding", "limit", "needed", "available"),
    [
        ("ttft", "TTFT", 3.0, 2.0),
        ("tpot", "TPOT", 0.01, 0.05),
        ("e2e", "end to end", 9.0, 8.0),
        ("kv_cache", "KV cache", 0.04, PRESSURE),
        ("throughput", "throughput", 0.25, 0.0),
    ],
)
def test_the_limit_that_binds_is_named_with_its_value(
    binding: str, limit: str, needed: float, available: float
) -> None:
    excuse = broken_limit(SLO, knees(binding), 0)
    assert (excuse.limit, excuse.needed, excuse.available) == (limit, needed, available)
    assert "in simulation" in excuse.advice
