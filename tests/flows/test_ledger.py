"""A plan is recorded whole, and every number of it leads back to what made it."""

from __future__ import annotations

import json
from datetime import date
from pathlib import Path

import numpy as np
import pytest

from configs.errors import InputError
from data.ages import age_days
from data.ledger import read
from data.ledger.connect import Ledger
from data.ledger.content import sha256
from data.ledger.records import Vintage
from flows import steps
from flows.ledger import URL, open_ledger, record_plan
from flows.trace import trace, trace_json
from tests.flows.small import small_made


@pytest.fixture
def recorded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Ledger, str, Path]:
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path}/ledger.sqlite")
    folder = tmp_path / "run"
    folder.mkdir()
    made = small_made()
    bundle = steps.write(made, folder)
    ledger = open_ledger()
    return ledger, record_plan(ledger, made, bundle, folder, "small-1", made.history), folder


def test_the_ledger_holds_every_file_forecast_and_input_of_a_plan(recorded: tuple[Ledger, str, Path]) -> None:
    ledger, run_id, folder = recorded
    run = read.find_run(ledger, run_id)
    for path in folder.iterdir():
        assert read.content(ledger, run.entries["file", path.name]) == path.read_bytes()
    made = small_made()
    for one in made.forecast.series:
        ((_, (vintage,), actual),) = [x for x in read.said_and_done(ledger, "small") if x[0] == one.key]
        assert np.array_equal(vintage.hourly, one.hourly)
        assert actual is not None
        assert actual.end == vintage.first_hour
    roles = {role for role, _ in run.entries}
    assert roles >= {"config", "input", "catalog", "code", "price", "assumption", "service_curve", "scenarios", "file"}
    assert read.verify(ledger) == ()


def test_a_price_leads_to_the_offer_with_its_source_and_the_catalog_file(recorded: tuple[Ledger, str, Path]) -> None:
    ledger, run_id, _ = recorded
    found = trace(ledger, run_id, "purchases.0.usd_per_gpu_h")
    bought = small_made().plan.purchases[0]
    assert found.value == pytest.approx(bought.usd_per_gpu_h)
    (price,) = [one for one in found.origins if one.role == "price"]
    (offer,) = [
        o
        for o in small_made().problem.offers
        if (o.gpu, o.region, o.option) == (bought.gpu, bought.region, bought.option)
    ]
    assert offer.source.citation in price.detail
    assert offer.source.as_of in price.detail
    catalog = Path(__file__).parents[2] / "data" / "catalog" / "prices.yaml"
    assert sha256(catalog.read_bytes()) in {o.sha256 for o in found.origins if o.role == "catalog"}
    assert [o.name for o in found.origins if o.role == "gpu"] == [bought.gpu]
    assert json.loads(trace_json(found))["run"]["id"] == run_id
    (vintage,) = [one for one in found.origins if one.role == "forecast"]
    hourly = Vintage.unpacked(run_id, small_made().forecast.series[0].key, read.content(ledger, vintage.sha256)).hourly
    assert np.array_equal(hourly, small_made().forecast.series[0].hourly)


def test_a_place_that_is_not_in_the_plan_is_answered_with_what_is(recorded: tuple[Ledger, str, Path]) -> None:
    ledger, run_id, _ = recorded
    with pytest.raises(InputError, match="purchases"):
        trace(ledger, run_id, "purchase.0")
    with pytest.raises(InputError, match="0 to 0"):
        trace(ledger, run_id, "costs.7")


@pytest.mark.parametrize(
    ("as_of", "days"), [("2026-11-20", 1), ("2026-10", 51), ("2026", 324), ("unknown", None), ("2026-1-x", None)]
)
def test_ages_of_assumptions(as_of: str, days: int | None) -> None:
    assert age_days(as_of, date(2026, 11, 21)) == days
