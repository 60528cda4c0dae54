"""The workbook: sums that are right, text that is never a formula."""

from __future__ import annotations

import re
import zipfile
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from data.history import DataNote
from flows import steps
from reports.bundle import PlanBundle
from reports.workbook import write_workbook
from tests.flows.small import small_made
from tests.reports.test_scaling_page import pool as scaled

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


def test_scaling_is_there_for_finance_and_operations(bundle: PlanBundle, tmp_path: Path) -> None:
    one = replace(scaled(), llm=EVIL[0], region=EVIL[3], chosen_kind=EVIL[1])
    cheap = replace(scaled(), chosen=replace(scaled().chosen, usd_per_day=40.0), fixed_usd_per_day=140.0)
    write_workbook(replace(bundle, scaling=(one, cheap)), tmp_path / "plan.xlsx")
    page = sheets(tmp_path / "plan.xlsx")["Scaling"]
    head, first, second = rows(tmp_path / "plan.xlsx", "Scaling")[:3]
    assert len(head) == len(first)
    told = dict(zip(head, first, strict=True))
    assert (told["LLM"], told["Region"], told["Policy"]) == (EVIL[0], EVIL[3], EVIL[1]), "texts, as they are"
    assert (told["Least replicas"], told["Most replicas"], told["Warm reserve"]) == (2.0, 14.0, 3.0)
    assert (told["Scale at"], told["Unit"]) == (33.0, "requests waiting and running")
    assert (told["Holds the SLO"], told["Reaction alone holds"]) == ("yes", "no")
    assert told["In SLO at worst, share"] == pytest.approx(0.98)
    assert (told["USD a day"], told["USD a day, all up"], told["Saved a day, USD"]) == (460.0, 3360.0, 2900.0)
    assert dict(zip(head, second, strict=True))["Saved a day, USD"] == 100.0
    sums = dict(re.findall(r"<f>(SUM\([A-Z]+\d+:[A-Z]+\d+\))</f><v>([^<]+)</v>", page))
    assert sorted(map(float, sums.values())) == [500.0, 3000.0, 3500.0]
    assert "<hyperlink" not in page


def test_the_scaling_sheet_names_what_does_not_scale(bundle: PlanBundle, tmp_path: Path) -> None:
    pool = bundle.plan.pools[0]
    text = f"{pool.configuration.label} in {pool.region}: stands by for a region's loss"
    write_workbook(replace(bundle, scaling=(scaled(),), unscaled=(text, "of another plan")), tmp_path / "plan.xlsx")
    _, _, standing, other = rows(tmp_path / "plan.xlsx", "Scaling")[:4]
    one = pool.configuration
    told = [one.llm, one.gpu, one.precision, float(one.gpus), pool.region]
    assert standing == [*told, "not scaled: stands by for a region's loss"]
    assert other == ["not scaled: of another plan"]


def rows(path: Path, title: str) -> list[list[str | float]]:
    """Cells of a sheet as they are read back: texts and numbers."""
    with zipfile.ZipFile(path) as book:
        texts = re.findall(r"<si><t[^>]*>(.*?)</t></si>", book.read("xl/sharedStrings.xml").decode(), re.S)
    found = []
    for row in re.findall(r"<row [^>]*>(.*?)</row>", sheets(path)[title], re.S):
        cells = re.findall(r"<c [^>]*?(t=\"s\")?><v>([^<]+)</v></c>", row)
        found.append([unescape(texts[int(value)]) if text else float(value) for text, value in cells])
    return found


def test_equal_plans_are_equal_files(bundle: PlanBundle, tmp_path: Path) -> None:
    for name in ("a.xlsx", "b.xlsx"):
        write_workbook(bundle, tmp_path / name)
    assert (tmp_path / "a.xlsx").read_bytes() == (tmp_path / "b.xlsx").read_bytes()
