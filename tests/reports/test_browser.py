"""The report as a reader sees it in Chromium: on a desk, on a telephone, in the dark, on paper, by a screen reader."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest

from data.curve_records import (
    AdmissionLimits,
    ClassTimes,
    CurvePoint,
    Percentile3,
    ScalingSignal,
    ServiceCurve,
)
from data.records import SloTarget
from flows import steps
from flows.plan import with_sensitivity
from reports.bundle import Changes
from reports.page import render
from tests.flows.small import small_made
from tests.reports.browser import Page, browser, chromium
from tests.reports.test_scaling_page import pool as scaled

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(chromium() is None, reason="no Chromium on the PATH; set CHROMIUM"),
]
AXE = Path(__file__).parent / "axe" / "axe.min.js"
"""axe-core 4.14.1 (MPL-2.0), as published."""
SECTIONS = [
    "decision", "demand", "capacity", "fleet", "service", "scaling", "cost", "answers", "assumptions", "provenance",
]  # fmt: skip


def curve(made: steps.Made) -> ServiceCurve:
    """A service curve with round numbers."""
    one = made.plan.pools[0].configuration
    slo = SloTarget(2.0, 0.06, 95.0)
    times = ClassTimes("chat", Percentile3(0.2, 0.5, 0.9), Percentile3(0.02, 0.04, 0.05), Percentile3(3, 5, 9), 0.99)
    points = tuple(
        CurvePoint(load, load, load, 0.0, 0.0, 0.1, 9.0, 0.3, 0.0, 0.5, 1.0, (times,)) for load in (1.0, 4.0, 8.0, 10.0)
    )
    limits = AdmissionLimits(64, 16, 80, 90_000, 4.0)
    signal = ScalingSignal("requests waiting", "requests", 2.0, 9.0, 3.0)
    return ServiceCurve(
        one, {"chat": slo}, {"chat": 1.0}, 8.0, 0.02, "TTFT", 6.8, points, limits, 6.5, 0.01, 300.0, (signal,), (),
        "simulated", "fitted",
    )  # fmt: skip


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every section and every kind of picture: sensitivity, curves, a pool that scales and one that does not hold."""
    made = small_made()
    told = Changes("small-1", ("cost of 2026-12: 1 -> 2 USD (+100.0%)", "why: history until later"))
    whole = replace(steps.bundle(made), curves=(curve(made),), changes=told, unscaled=("<i>one</i>: no curve",))
    whole = replace(whole, scaling=(scaled(), replace(scaled(False, False), region="<b>north</b>")))
    path = tmp_path_factory.mktemp("report") / "report.html"
    moved = with_sensitivity(whole, date(2026, 11, 21))
    assert moved.sensitivity is not None
    # Decisions of different risk, so that risk is drawn against cost.
    options = tuple(replace(one, short=0.02 * i) for i, one in enumerate(moved.sensitivity.options))
    moved = replace(moved, sensitivity=replace(moved.sensitivity, options=options))
    path.write_text(render(moved), encoding="utf-8")
    return path


@pytest.fixture
def page() -> Iterator[Page]:
    with browser() as one:
        yield one


@pytest.mark.parametrize("width", [390, 1280])
def test_every_section_is_seen_and_nothing_is_asked_of_the_network(page: Page, report: Path, width: int) -> None:
    page.open(report, width)
    boxes = page.ask(
        "[...document.querySelectorAll('section')].map(s => { const r = s.getBoundingClientRect();"
        " const h = s.querySelector('h2').getBoundingClientRect();"
        " return [s.id, r.width, r.height, h.left, h.right, h.height, s.innerText.length] })"
    )
    assert [box[0] for box in boxes] == SECTIONS
    for name, wide, high, left, right, heading, letters in boxes:
        assert wide > 0.8 * min(width, 1040), name
        assert high > 60, name
        assert 0 <= left < right <= width, name
        assert heading > 10, name
        assert letters > 40, name
    assert page.ask("document.documentElement.scrollWidth") <= width
    pictures = page.ask(
        "[...document.querySelectorAll('figure')].map(f => [...f.querySelectorAll('svg')]"
        ".map(s => s.getBoundingClientRect().width).filter(w => w > 0))"
    )
    assert len(pictures) >= 12
    assert all(len(drawn) == 1 and 200 < drawn[0] <= width for drawn in pictures), pictures
    asked = [e["params"]["request"]["url"] for e in page.events if e["method"] == "Network.requestWillBeSent"]
    assert asked == [report.resolve().as_uri()]
    loud = [e for e in page.events if e["method"] in ("Runtime.exceptionThrown", "Log.entryAdded")]
    loud += [e for e in page.events if e["method"] == "Runtime.consoleAPICalled"]
    assert loud == []


MEDIA = {"light": ("screen", "light"), "dark": ("screen", "dark"), "print": ("print", "light")}


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("media", MEDIA)
def test_axe_finds_no_barrier(page: Page, report: Path, width: int, media: str) -> None:
    shown, scheme = MEDIA[media]
    page.open(report, width, dark=scheme == "dark")
    features = [{"name": "prefers-color-scheme", "value": scheme}]
    page.call("Emulation.setEmulatedMedia", media=shown, features=features)
    page.ask("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.ask(AXE.read_text(encoding="utf-8") + ";0")
    found = json.loads(page.ask("axe.run().then(r => JSON.stringify([r.passes, r.violations]))"))
    passed = {one["id"] for one in found[0]}
    assert {"color-contrast", "landmark-one-main", "heading-order", "html-has-lang"} <= passed, "axe has run its checks"
    assert len(passed) > 15
    told = [(one["id"], one["help"], [node["html"][:200] for node in one["nodes"][:3]]) for one in found[1]]
    assert told == []


def test_axe_tells_a_barrier_where_there_is_one(page: Page, report: Path) -> None:
    page.open(report, 1280)
    page.ask("document.querySelector('.cards dt').style.color = '#eee'")
    page.ask(AXE.read_text(encoding="utf-8") + ";0")
    assert "color-contrast" in page.ask("axe.run().then(r => r.violations.map(v => v.id).join())")


def test_it_prints_on_pages_without_what_is_for_the_screen(page: Page, report: Path) -> None:
    page.open(report, 1280)
    page.call("Emulation.setEmulatedMedia", media="print")
    assert page.ask("getComputedStyle(document.querySelector('nav')).display") == "none"
    assert page.ask("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    printed = page.call("Page.printToPDF", preferCSSPageSize=False)
    assert len(printed["data"]) > 20_000


def test_the_first_screen_has_the_decision(page: Page, report: Path) -> None:
    page.open(report, 1280, height=800)
    seen = page.ask(
        "[...document.querySelectorAll('h1, .cards dt, #decision table tbody tr:first-child')]"
        ".filter(e => e.getBoundingClientRect().bottom <= 800).map(e => e.innerText)"
    )
    text = " ".join(seen)
    for needed in ("GPUs for", "Cash of the horizon", "Risk of shortfall", "First order due", "Runs out first"):
        assert needed in text
    assert any(word in text for word in ("buy now", "rent", "defer")), "the first line of what to do"
