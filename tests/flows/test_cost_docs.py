"""docs/costs.md is what its command prints, and says what the arithmetic of its sources gives."""

from __future__ import annotations

import re

import pytest

from flows.cost_page import page
from tests.conftest import REPOSITORY

KEPT = (REPOSITORY / "docs" / "costs.md").read_text(encoding="utf-8")
NUMBER = re.compile(r"[-+]?\d[\d,]*\.?\d*")


@pytest.mark.slow
def test_the_page_is_current() -> None:
    made = page()
    assert NUMBER.sub("#", made) == NUMBER.sub("#", KEPT), "run: python -m flows.cost_page > docs/costs.md"
    # Simulated knees may differ a little between CPUs.
    for mine, theirs in zip(NUMBER.findall(made), NUMBER.findall(KEPT), strict=True):
        a, b = (float(text.replace(",", "")) for text in (mine, theirs))
        assert abs(a - b) <= max(1.01 * 10 ** -len(mine.partition(".")[2]), 0.04 * abs(b))


def test_known_figures_are_on_it() -> None:
    # 0.7 x 1.65 x 8,760; 4 x 1.60 x 720 / 10; 22,500 / 25,500; 583,000 x 0.317.
    for text in ("10,118 USD", "460.8 million", "0.88 months", "against 184,811"):
        assert text in KEPT.replace("\n", " ")
    for section in ("Self-hosting 7B", "Self-hosting 70B", "Cost per million tokens", "Hidden monthly costs"):
        assert f"## {section}" in KEPT
    assert KEPT.count("It holds") >= 5
