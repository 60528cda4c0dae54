"""Waterfalls are drawn from what they say, and the page escapes what it shows."""

from __future__ import annotations

from reports.reconciliation import Section, Step, reconciliation_page, waterfall, waterfall_frame

STEPS = (Step("volume", -20.0, True), Step("price", 5.0, True), Step("goodput", 0.0, False))


def test_bars_hang_where_the_one_before_ends() -> None:
    frame = waterfall_frame(100.0, 85.0, STEPS)
    assert frame["label"].tolist() == ["planned", "volume", "price", "actual"]
    assert frame["start"].tolist() == [0.0, 100.0, 80.0, 0.0]
    assert frame["end"].tolist() == [100.0, 80.0, 85.0, 85.0]
    assert frame["kind"].tolist() == ["total", "less", "more", "total"]


def test_the_picture_names_the_largest_cause_and_the_page_escapes() -> None:
    picture = waterfall("cost of 2026-11", "USD", 100.0, 85.0, STEPS, "against the bill")
    assert picture.title == "Cost of 2026-11: 85 USD against 100 planned; the largest cause is volume (-20)"
    assert picture.caption == "against the bill; not measured: goodput"
    assert "volume" in picture.wide
    page = reconciliation_page("T", "L", [picture], [Section("S", ("a", "b"), (("<b>", "+1,5 %"),))], ["n & m"])
    assert "&lt;b&gt;" in page
    assert "n &amp; m" in page
    assert page.count("<svg") == 2


def test_columns_of_numbers_are_told_from_text() -> None:
    section = Section("S", ("name", "n", "share", "empty"), (("a 1", "1,234", "+5.1%", ""), ("b", "-2.5", "", "")))
    assert section.numeric == {1, 2}
