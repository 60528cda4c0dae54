"""The configuration page is what the schema says, and every key is in it."""

from __future__ import annotations

from configs.planning import PlanPolicy
from configs.reference import markdown
from tests.conftest import REPOSITORY


def test_the_page_is_current() -> None:
    page = (REPOSITORY / "docs" / "configuration.md").read_text(encoding="utf-8")
    assert page == markdown(), "run: python -m configs.reference > docs/configuration.md"


def test_every_planning_key_is_documented() -> None:
    page = markdown()
    for key in PlanPolicy.model_fields:
        assert f"| `{key}` |" in page
