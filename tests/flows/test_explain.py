"""`fleetcast explain`: what it prints is what the plan holds."""

from __future__ import annotations

import io
import json
from datetime import date

import jsonschema
import pytest
from rich.console import Console

from flows import steps
from flows.explain import as_json, routing, show
from reports.bundle import PlanBundle
from reports.machine import SCHEMA_FILE
from tests.flows.small import small_made

TODAY = date(2026, 11, 21)


@pytest.fixture(scope="module")
def bundle() -> PlanBundle:
    return steps.bundle(small_made())


def test_the_terminal_says_who_is_served_where_and_what_rules_cost(bundle: PlanBundle) -> None:
    month = bundle.problem.demand.months[0]
    out = io.StringIO()
    show(Console(file=out, width=160), bundle, month, TODAY)
    text = out.getvalue()
    assert f"Who is served where in {month}" in text
    assert "Short of capacity: " in text
    assert "Rests on: " in text
    for row in routing(bundle.problem, bundle.plan, month):
        assert row[0] in text
        assert row[1] in text
    assert {one.rule for one in bundle.plan.rule_prices} >= {"N+k"}
    for price in bundle.plan.rule_prices:
        assert price.rule in text
    for lost in {one.configuration.label for one in bundle.plan.rejected}:
        assert lost.split(" · ")[1] in text


def test_shares_of_a_series_add_up(bundle: PlanBundle) -> None:
    document = json.loads(as_json(bundle, TODAY))
    demand, s = bundle.problem.demand, bundle.plan.design_scenario
    short = {(one.series, one.month, one.block) for one in bundle.plan.shortfalls}
    for k, key in enumerate(demand.series):
        for m, month in enumerate(demand.months):
            for b, block in enumerate(demand.blocks):
                mine = [
                    row["rps"][block.name]
                    for row in document["routing"]
                    if tuple(row["series"].values()) == (key.llm, key.request_class, key.region)
                    and row["month"] == month
                ]
                if (key, month, block.name) not in short:
                    assert sum(mine) == pytest.approx(float(demand.rps[k, m, b, s]), rel=1e-6, abs=1e-3)


def test_the_schema_has_what_is_printed(bundle: PlanBundle) -> None:
    schema = json.loads(SCHEMA_FILE.read_text(encoding="utf-8"))["properties"]
    told = json.loads(as_json(bundle, TODAY))
    assert told.pop("short_of_capacity")
    assert {one["kind"] for one in told.pop("assumption_ages")} >= {"GPU prices", "cost assumptions"}
    for key, value in told.items():
        jsonschema.validate(value, schema[key])
