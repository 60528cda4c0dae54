"""The page that explains the plan holds the formulation as the code has it."""

from __future__ import annotations

from pathlib import Path

from optimizer.reference import formulation, markdown, rewritten

PAGE = Path(__file__).parents[2] / "docs" / "fleet_plan.md"


def test_the_page_is_up_to_date() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert rewritten(page) == page, "run python -m optimizer.reference docs/fleet_plan.md"


def test_every_rule_has_its_mathematics() -> None:
    text = formulation()
    assert text.count("$$") >= 2 * 11
    assert ".. math::" not in text


def test_displayed_mathematics_becomes_markdown() -> None:
    assert markdown("A rule:\n\n.. math:: a\n          + b\n\nand more") == "A rule:\n\n$$\na\n+ b\n$$\n\nand more"
