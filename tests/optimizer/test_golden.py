"""Objective and size of the model, pinned (tests/optimizer/golden.py says how to make the goldens again)."""

from __future__ import annotations

import json

import pytest

from tests.optimizer.golden import FILE, cases, measured

GOLDEN = json.loads(FILE.read_text(encoding="utf-8"))


def test_every_golden_has_a_case() -> None:
    assert set(GOLDEN) == set(cases())


@pytest.mark.parametrize("name", GOLDEN)
def test_the_model_is_what_it_was(name: str) -> None:
    found, want = measured(cases()[name]), GOLDEN[name]
    sizes = ("columns", "rows", "integers")
    assert {key: found[key] for key in sizes} == {key: want[key] for key in sizes}
    assert found["objective"] == pytest.approx(want["objective"], rel=1e-6)
    assert found["relaxation"] == pytest.approx(want["relaxation"], rel=1e-6)
