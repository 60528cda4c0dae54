"""The bar moves with the series of a step, not only from step to step."""

from __future__ import annotations

import pytest

from flows.progress import part


@pytest.mark.parametrize(("text", "done"), [("  series 25 of 100", 0.25), ("  series 3 of 3", 1.0), ("  reading", 0.0)])
def test_details_say_how_far_a_step_is(text: str, done: float) -> None:
    assert part(text) == done
