"""The workbook: sums that are right, text that is never a formula."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from pathlib import Path

import pytest

from data.history import DataNote
from flows import steps
from reports.bundle import PlanBundle
from reports.workbook import write_workbook
from tests.flows.small import small_made

EVIL = ('=HYPERLINK("http://x","y")', "+1+1", "-2", "@SUM(A1)", "http://evil.example", "\t=1")


@pytest.fixture(scope="module")
def bundle() -> PlanBundle:
    return steps.bundle(small_made())


def sheets(path: Path) -> dict[str, str]:
    """The XML of every sheet by its title."""
    with zipfile.ZipFile(path) as book:
        titles = re.findall(r'<sheet name="([^"]+)"', book.read("xl/workbook.xml").decode())
        return {title: book.read(f"xl/worksheets/sheet{i}.xml").decode() for i, title in enumerate(titles, 1)}


def test_sums_are_those_of_the_plan(bundle: PlanBundle, tmp_path: Path) -> None:
    write_workbook(bundle, tmp_path / "plan.xlsx")
    found = sheets(tmp_path / "plan.xlsx")
    assert list(found)[:4] == ["Decision", "Orders", "Purchases", "Cost by month"]
    cash = re.search(r"<f>SUM\(G2:G\d+\)</f><v>([^<]+)</v>", found["Cost by month"])
    assert cash is not None
    assert float(cash[1]) == pytest.approx(sum(one.cash_usd for one in bundle.plan.costs))


def test_text_is_never_a_formula_or_a_link(bundle: PlanBundle, tmp_path: Path) -> None:
    history = replace(bundle.history, notes=tuple(DataNote("warning", text, text) for text in EVIL))
    write_workbook(replace(bundle, name="=1+1", history=history), tmp_path / "plan.xlsx")
    found = sheets(tmp_path / "plan.xlsx")
    formulas = [text for one in found.values() for text in re.findall(r"<f>([^<]*)</f>", one)]
    assert formulas
    assert all(re.fullmatch(r"SUM\([A-Z]\d+:[A-Z]\d+\)", text) for text in formulas)
    assert not any("<hyperlink" in one for one in found.values())
    with zipfile.ZipFile(tmp_path / "plan.xlsx") as book:
        assert "@SUM(A1)" in book.read("xl/sharedStrings.xml").decode()


def test_equal_plans_are_equal_files(bundle: PlanBundle, tmp_path: Path) -> None:
    for name in ("a.xlsx", "b.xlsx"):
        write_workbook(bundle, tmp_path / name)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
