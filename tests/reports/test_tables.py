"""Words that tables and the terminal share."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from reports.tables import method

SIMULATED = "continuous-batching simulation, 4 x {} requests, dealt to a pool's replicas in turn"


def told(*methods: str) -> str:
    capacities = [SimpleNamespace(method=text) for text in methods]
    bundle: Any = SimpleNamespace(problem=SimpleNamespace(capacities=capacities))
    return method(bundle)


def test_methods_that_differ_in_requests_alone_are_told_once() -> None:
    found = told(
        SIMULATED.format("4,000"), SIMULATED.format("1,000"), SIMULATED.format("1,000"), "steady-state estimate"
    )
    assert found == f"{SIMULATED.format('1,000 or 4 x 4,000')}, steady-state estimate"
    assert (
        told(f"{SIMULATED.format('1,000')}; derated to 90% by replay", SIMULATED.format("1,000")).count("simulation")
        == 2
    )
    assert told() == "no configuration serves"
