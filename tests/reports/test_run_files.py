"""What a run writes: valid, stable, self-contained, safe."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import fields, is_dataclass, replace
from datetime import date
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import altair as alt
import jsonschema
import pandas as pd
import pytest
from altair.utils.schemapi import SchemaValidationError

from data import archive
from data.history import DataNote
from data.plan_records import Exposure
from flows import steps
from flows.plan import with_sensitivity
from reports import charts
from reports.bundle import Changes, PlanBundle
from reports.layout import code
from reports.machine import SCHEMA_FILE, plan_document, plan_json, requests_in
from reports.page import banners, headline, render, risk_card
from reports.sensitivity_tables import decided_by, variable_words
from reports.standing import risk_words
from reports.write import write_run_files
from tests.flows.small import small_made
from tests.reports.test_scaling_page import pool


@pytest.fixture(scope="module")
def bundle() -> PlanBundle:
    return steps.bundle(small_made())


@pytest.fixture(scope="module")
def html(bundle: PlanBundle) -> str:
    return render(bundle)


def test_the_plan_document_fits_its_schema(bundle: PlanBundle) -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))
    jsonschema.Draft202012Validator.check_schema(schema)
    jsonschema.validate(plan_document(bundle), schema)


def test_the_plan_document_says_what_must_be_said(bundle: PlanBundle) -> None:
    document = plan_document(bundle)
    assert document["synthetic_traffic"] is True
    assert document["success_criteria"]["batch-summary"]["percentile"] == 95
    assert all(row["source"]["as_of"] for row in document["prices"])
    assert document["status"]["gap"] <= 0.02
    assert sum(row["gpus"] for row in document["pools"]) > 0


def test_no_clock_stands_in_the_plan(bundle: PlanBundle) -> None:
    later = replace(bundle, provenance=dict(bundle.provenance) | {"begun": "2030-01-01", "seconds": {"plan": 99.0}})
    assert plan_json(later) == plan_json(bundle)


def test_all_files_are_written(bundle: PlanBundle, tmp_path: Path) -> None:
    names = {path.name for path in write_run_files(bundle, tmp_path)}
    assert names == {path.name for path in tmp_path.iterdir()}
    pools = pd.read_parquet(tmp_path / "pools.parquet")
    assert pools["gpus"].sum() == sum(pool.gpus for pool in bundle.plan.pools)
    demand = pd.read_parquet(tmp_path / "demand.parquet")
    assert demand["rps"].sum() == pytest.approx(float(bundle.problem.demand.rps.sum()))


def test_the_page_is_self_contained(html: str) -> None:
    assert len(html) < 3_000_000
    assert "<script" not in html
    assert not re.search(r"""(?:src|href)\s*=\s*["'](?!#)""", html)
    assert "@import" not in html
    assert "url(" not in html.replace("url(#", "")


class _Outline(HTMLParser):
    """Headings in order, and table cells without a scope."""

    def __init__(self) -> None:
        super().__init__()
        self.levels: list[int] = []
        self.bad: list[str] = []
        self.captions = 0
        self.tables = 0

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if re.fullmatch(r"h[1-6]", tag):
            self.levels.append(int(tag[1]))
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if tag == "th" and "scope" not in dict(attrs):
            self.bad.append(str(attrs))


def test_the_page_is_readable_by_a_screen_reader(html: str) -> None:
    outline = _Outline()
    outline.feed(html)
    assert outline.levels[0] == 1
    assert outline.levels.count(1) == 1
    assert all(b - a <= 1 for a, b in zip(outline.levels, outline.levels[1:], strict=False)), "no level is skipped"
    assert outline.bad == []
    assert outline.tables == outline.captions > 5


def test_the_page_answers_first_what_is_asked_first(bundle: PlanBundle, html: str) -> None:
    text = re.sub(r"<[^>]+>", " ", html)
    assert headline(bundle) in text
    assert "documented synthetic workload, not a measured one" in text
    for section in ("Decision", "Demand", "Fleet", "Cost", "Assumptions and provenance"):
        assert section in text
    assert "seasonal naive" in text
    assert "USD a thousand requests" in text


def test_a_broken_failover_is_said_in_every_answer_and_exits_as_no_plan(bundle: PlanBundle) -> None:
    one = bundle
    key, month = one.problem.demand.series[0], one.problem.demand.months[0]
    bare = (Exposure(key, month, "us-west", "peak", 3.0, "the quota of A in us-east is used up", "raise it"),)
    short = replace(one, plan=replace(one.plan, exposures=bare))
    said = f"the loss of us-west leaves {key} short"
    assert (one.infeasible, short.infeasible) == (False, True)
    assert short.broken == (said,)
    assert said in headline(short)
    assert any(said in text for text in banners(short))
    assert said in risk_card(short)[2]
    assert said in risk_words(short)
    told = plan_document(short)["exposures"]
    assert [(row["lost_region"], row["worst_rps"]) for row in told] == [("us-west", 3.0)]
    jsonschema.validate(plan_document(short), json.loads(SCHEMA_FILE.read_text(encoding="utf-8")))
    assert "Protected demand that the loss of a region would leave unserved" in render(short)


def test_user_strings_cannot_inject(bundle: PlanBundle) -> None:
    evil = "<script>alert(1)</script>"
    history = replace(bundle.history, notes=(DataNote("warning", evil, evil),))
    page = render(replace(bundle, description=evil, history=history))
    assert "<script" not in page
    assert "&lt;script&gt;" in page


def test_every_chart_is_valid_vega_lite(bundle: PlanBundle, monkeypatch: pytest.MonkeyPatch) -> None:
    whole = replace(with_sensitivity(bundle, date(2026, 11, 21)), scaling=(pool(),))
    monkeypatch.setattr(charts, "CHECKED", True)
    assert render(whole).count("<figure>") > 8
    broken = alt.Chart(pd.DataFrame({"a": [1]})).mark_bar().encode(x="a:Q")
    broken.mark = "sausage"
    with pytest.raises(SchemaValidationError):
        charts.as_spec(broken)


EVIL = "\"><img src=x onerror='alert(1)'><script>alert(2)</script>{{ 7*7 }}=1+1"


def renamed(value: Any, old: str, new: str) -> Any:
    """The same records with a text in another place's name, wherever it stands; what users declared stays."""
    if isinstance(value, str):
        return value.replace(old, new)
    if isinstance(value, pd.DataFrame):
        return value.assign(**{name: value[name].map(lambda one: renamed(one, old, new)) for name in value})
    if is_dataclass(value) and not isinstance(value, type):
        return replace(value, **{one.name: renamed(getattr(value, one.name), old, new) for one in fields(value)})
    if isinstance(value, Mapping):
        return {renamed(key, old, new): renamed(one, old, new) for key, one in value.items()}
    if isinstance(value, tuple):
        return tuple(renamed(one, old, new) for one in value)
    return value


class _Tags(HTMLParser):
    """Elements and attributes as a browser would see them."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: set[str] = set()
        self.attributes: set[str] = set()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.add(tag)
        self.attributes |= {name for name, _ in attrs}


def test_a_hostile_name_is_text_in_every_section_and_picture(bundle: PlanBundle) -> None:
    scaling = (replace(pool(), region="us-east"),)
    whole = replace(with_sensitivity(bundle, date(2026, 11, 21)), scaling=scaling, unscaled=("us-east: no curve",))
    places = render(whole).count("us-east")
    found = renamed(whole, "us-east", EVIL)
    page = render(found)
    tags = _Tags()
    tags.feed(page)
    assert tags.seen.isdisjoint({"script", "img"})
    assert not [name for name in tags.attributes if name.startswith("on")]
    assert page.count("{{ 7*7 }}=1+1") > max(places // 2, 20), "the name is shown, as text"


def test_what_can_change_the_plan_is_drawn_and_answered(bundle: PlanBundle, tmp_path: Path) -> None:
    moved = with_sensitivity(bundle, date(2026, 11, 21))
    assert moved.sensitivity is not None
    page = render(moved)
    assert "What can change it" in page
    largest = max(moved.sensitivity.bars, key=lambda one: one.swing_usd)
    assert f"{largest.low_usd:,.0f} to {largest.high_usd:,.0f} USD" in page
    outline = _Outline()
    outline.feed(page)
    assert outline.bad == []
    assert outline.tables == outline.captions
    archive.save(moved, tmp_path / "run.zip")
    assert archive.load(PlanBundle, tmp_path / "run.zip").sensitivity == moved.sensitivity


def test_requests_are_those_of_the_forecast(bundle: PlanBundle) -> None:
    median = sum(one.monthly_total[0, one.levels.index(0.5)] for one in bundle.forecast.series)
    assert requests_in(bundle, 0) == pytest.approx(median, rel=0.1)


def test_the_page_says_what_changed_beside_why(bundle: PlanBundle) -> None:
    lines = ("cost of 2026-12: 1 -> 2 USD (+100.0%)", *(f"fleet {i}" for i in range(9)), "why: setting <b>: 1 -> 2")
    page = render(replace(bundle, changes=Changes("run-1", lines)))
    lead = page[page.index('<p class="lead">') : page.index("<nav")]
    assert "Since the plan before: cost of 2026-12: 1 -&gt; 2 USD (+100.0%); setting &lt;b&gt;: 1 -&gt; 2." in lead
    what, why = page.index("<h4>What changed</h4>"), page.index("<h4>Why</h4>")
    assert what < page.index("<li>fleet 0</li>") < page.index("<summary>2 more</summary>") < why
    assert why < page.index("<li>setting &lt;b&gt;: 1 -&gt; 2</li>")
    same = render(replace(bundle, changes=Changes("run-1", ())))
    assert "Nothing changed since the plan before." in same
    assert "<h4>" not in same


def test_a_month_above_its_budget_is_said_first(bundle: PlanBundle) -> None:
    (cost,) = bundle.plan.costs
    tight = replace(bundle, problem=replace(bundle.problem, budget_usd_per_month=cost.cash_usd - 100.0))
    assert any("passes the budget" in text and "by at most 100:" in text for text in banners(tight))
    wide = replace(bundle, problem=replace(bundle.problem, budget_usd_per_month=cost.cash_usd))
    assert not any("budget" in text for text in banners(wide))


def test_variables_that_change_the_decision_are_named_with_what_they_change_it_to(bundle: PlanBundle) -> None:
    whole = with_sensitivity(bundle, date(2026, 11, 21)).sensitivity
    assert whole is not None
    first, *others = whole.bars
    moved = replace(first, decides=True, low=0.8, low_best="wait one month", high=1.2, high_best="the plan")
    text = decided_by(replace(whole, bars=(moved, *(replace(one, decides=False) for one in others))))
    name = variable_words(first.variable)
    assert f"{name} (at 0.8, its 5 % value, wait one month is best; at 1.2, its 95 % value, the plan)" in text
    assert variable_words(others[0].variable) in text.split("not the decision:")[1]
    none = decided_by(replace(whole, bars=tuple(replace(one, decides=False) for one in whole.bars)))
    assert none.startswith("No variable alone")
    page = render(replace(bundle, sensitivity=replace(whole, bars=(moved, *others))))
    assert page.count("The decision changes with") == 2, "beside the tornado and in the seventh answer"


def test_backticks_are_code_and_never_markup() -> None:
    assert code("run `fleetcast <x>` & wait") == "run <code>fleetcast &lt;x&gt;</code> &amp; wait"
    assert code("one ` alone") == "one ` alone"
