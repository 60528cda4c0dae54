"""From a recorded plan and files of what happened to errors, causes, corrections, and the plan that uses them."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console

from configs.errors import InputError
from data.history import TenantDays
from data.ledger import read
from data.ledger.connect import Ledger
from data.ledger.records import Vintage
from flows import service, steps
from flows.changes import compare, explained, settings_moved
from flows.corrections import decide, in_force
from flows.ledger import URL, open_ledger, record_plan, vintages
from flows.reconcile import Reconciled, document, reconcile_files
from flows.show_reconcile import show_corrections, show_reconciliation, write_reconciliation
from reconcile.expected import expected
from tests.flows.small import small_made

SHARE = 0.7
"""Production did this much of the volume that was forecast."""


@pytest.fixture
def ledger(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Ledger:
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path}/ledger.sqlite")
    folder = tmp_path / "run"
    folder.mkdir()
    made = small_made()
    bundle = steps.write(made, folder)
    opened = open_ledger()
    record_plan(opened, made, bundle, folder, "small-1", made.history)
    return opened


def said() -> Vintage:
    return vintages("x", small_made())[0]


def actuals(folder: Path, days: int, share: float = SHARE) -> Path:
    """Hours of production: a share of what was said, requests half as long as assumed, a tenth of the prompt cached."""
    one = said()
    rows = ["ts,llm,request_class,region,requests,input_tokens,output_tokens,cached_tokens"]
    sample = small_made().history.lengths[one.key.llm, one.key.request_class]
    given = 0.5 * float((sample.weight * sample.input_tokens).sum())
    made = float((sample.weight * sample.output_tokens).sum())
    rng = np.random.default_rng(1)
    volume = expected(one)
    for hour in range(24 * days):
        requests = share * volume[hour] * rng.gamma(400, 1 / 400)
        tokens = f"{requests * given:.3f},{requests * made:.3f},{requests * given * 0.1:.3f}"
        stamp = one.first_hour + np.timedelta64(hour, "h")
        rows.append(f"{stamp}:00Z,{one.key.llm},{one.key.request_class},{one.key.region},{requests:.6f},{tokens}")
    path = folder / "actuals.csv"
    path.write_text("\n".join(rows) + "\n", encoding="utf-8")
    return path


def test_errors_are_found_attributed_and_recorded(ledger: Ledger, tmp_path: Path) -> None:
    made = small_made()
    month = made.plan.costs[0].month
    file = actuals(tmp_path, len(said().hourly) // 24)
    bill = tmp_path / "bill.csv"
    planned = made.plan.costs[0].cash_usd
    bill_head = "ChargePeriodStart,ChargeCategory,EffectiveCost,BillingCurrency"
    bill.write_text(f"{bill_head}\n{month}-01T00:00:00Z,Usage,{planned * 0.8},USD\n", encoding="utf-8")
    pool = made.plan.pools[0].configuration
    row = next(r for r in made.capacity.rows if r.configuration == pool)
    goodput = tmp_path / "goodput.csv"
    head = "llm,gpu,precision,tensor_parallel,request_class,measured_rps,available"
    what = f"{pool.llm},{pool.gpu},{pool.precision},{pool.tensor_parallel},{row.request_class}"
    goodput.write_text(f"{head}\n{what},{row.knee_rps * 0.9},0.99\n", encoding="utf-8")
    found = reconcile_files(ledger, None, file, bill, goodput)
    (one,) = found.errors.series
    assert one.vintages[0].hourly.bias == pytest.approx(1 / SHARE - 1, abs=0.01)
    assert one.drift.severity == "alarm"
    assert found.alarming
    (cost,) = [fall for fall in found.waterfalls if fall.what == f"cost of {month}"]
    amounts = {bar.cause: bar.amount for bar in cost.bars}
    assert round(100 * (cost.planned + sum(amounts.values()))) == round(100 * cost.actual)
    assert cost.actual == pytest.approx(0.8 * planned, abs=0.01)
    assert amounts["volume"] < 0
    assert amounts["mix and length"] < 0
    assert amounts["goodput"] > 0
    assert amounts["availability"] > 0
    assert [bar.cause for bar in cost.bars if not bar.measured] == ["price"]
    kinds = {line.correction.kind: line.correction for line in read.corrections(ledger)}
    assert kinds["level"].values["factor"] == pytest.approx(SHARE, abs=0.01)
    assert kinds["lengths"].values == {"input_tokens": pytest.approx(0.5, abs=0.01)}
    assert kinds["cache"].values == {"cache_hit": pytest.approx(0.1, abs=0.01)}
    assert kinds["goodput"].values == {"goodput": pytest.approx(0.9)}
    recorded = read.find_run(ledger, found.run_id)
    assert json.loads(read.content(ledger, recorded.entries["result", "reconciliation.json"])) == document(found)
    assert read.verify(ledger) == ()
    console = Console(width=120, record=True, file=(tmp_path / "out").open("w"))
    show_reconciliation(console, found)
    text = console.export_text()
    assert "Proposed" in text
    assert "above what came" in text
    assert "alarm: " in text
    assert f"cost of {month}: billed {0.8 * planned:,.0f} USD" in text
    written = write_reconciliation(found, tmp_path / "runs")
    page = (written / "reconciliation.html").read_text(encoding="utf-8")
    assert page.count("<figure") == len(found.waterfalls)
    assert page.count("<svg") == 2 * len(found.waterfalls)
    assert "availability" in page
    assert json.loads((written / "reconciliation.json").read_text(encoding="utf-8")) == document(found)
    assert "stale" in text


def test_a_series_that_sends_nothing_is_told_and_what_to_do(ledger: Ledger, tmp_path: Path) -> None:
    found = reconcile_files(ledger, None, actuals(tmp_path, 25, 0.0))
    assert found.proposals == {}
    assert found.alarming
    (text,) = [text for text in found.notes if "sent nothing" in text]
    assert "over 25 days" in text
    console = Console(width=160, record=True, file=(tmp_path / "out").open("w"))
    show_reconciliation(console, found)
    shown = console.export_text()
    assert "sends nothing of what was said over 25 days" in shown
    assert "nan" not in shown
    assert "inf" not in shown
    page = (write_reconciliation(found, tmp_path / "runs") / "reconciliation.html").read_text(encoding="utf-8")
    assert "sent nothing" in page


def test_a_column_of_no_tokens_proposes_no_lengths_of_zero(ledger: Ledger, tmp_path: Path) -> None:
    file = actuals(tmp_path, 8)
    head, *rows = file.read_text(encoding="utf-8").splitlines()
    cut = [",".join([*(cells := row.split(","))[:6], "0", cells[7]]) for row in rows]
    file.write_text("\n".join([head, *cut]) + "\n", encoding="utf-8")
    found = reconcile_files(ledger, None, file)
    (lengths,) = [one for one in found.proposals.values() if one.kind == "lengths"]
    assert lengths.values == {"input_tokens": pytest.approx(0.5, abs=0.01)}
    assert [text for text in found.notes if "output tokens of" in text and "taken as not given" in text]


def test_a_file_that_names_tenants_says_whose_miss_it_was(ledger: Ledger, tmp_path: Path) -> None:
    one = said()
    rows = ["ts,llm,request_class,region,tenant,requests"]
    volume = expected(one)
    for hour in range(24):
        stamp, labels = one.first_hour + np.timedelta64(hour, "h"), f"{one.key.llm},{one.key.request_class}"
        rows += [
            f"{stamp}:00Z,{labels},{one.key.region},{tenant},{share * volume[hour]:.6f}"
            for tenant, share in (("acme", 0.9), ("zeta", 0.3))
        ]
    file = tmp_path / "tenants.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = reconcile_files(ledger, None, file)
    assert {one.tenant for one in found.tenants} == {"acme", "zeta"}
    (group,) = [one for one in found.errors.groups if one.dimension == "all"]
    assert group.members.bias == pytest.approx(1 / 1.2 - 1, abs=1e-3)
    console = Console(width=160, record=True, file=(tmp_path / "out").open("w"))
    show_reconciliation(console, found)
    assert "no share known" in console.export_text()
    page = (write_reconciliation(found, tmp_path / "runs") / "reconciliation.html").read_text(encoding="utf-8")
    assert "acme" in page


def test_a_tenant_that_was_forecast_is_scored_without_any_share_declared(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path}/tenants.sqlite")
    made = small_made()
    one = said()
    weeks = np.tile([[0.75, 0.25]], (12 * 7, 1)) * 1000.0
    part = one.key.llm, one.key.request_class
    told = replace(made.history, tenants={part: TenantDays(("acme", "zeta"), "2026-06-01", weeks)})
    demand = steps.forecast(made.loaded.scenario, told)
    assert demand.series[0].hourly.tobytes() == made.forecast.series[0].hourly.tobytes()
    made = replace(made, history=told, forecast=demand)
    (tmp_path / "run").mkdir()
    bundle = steps.write(made, tmp_path / "run")
    opened = open_ledger()
    record_plan(opened, made, bundle, tmp_path / "run", "tenants-1", made.history)
    rows = ["ts,llm,request_class,region,tenant,requests"]
    for hour, requests in enumerate(expected(one)):
        stamp, labels = one.first_hour + np.timedelta64(hour, "h"), f"{one.key.llm},{one.key.request_class}"
        for tenant, share in (("acme", 0.75), ("zeta", 0.5)):
            rows.append(f"{stamp}:00Z,{labels},{one.key.region},{tenant},{share * requests:.6f}")
    file = tmp_path / "tenants.csv"
    file.write_text("\n".join(rows) + "\n", encoding="utf-8")
    found = reconcile_files(opened, None, file)
    misses = {row.tenant: row for row in found.tenants}
    assert misses["acme"].miss == pytest.approx(0.0, abs=1e-3 * misses["acme"].planned)
    assert misses["zeta"].actual == pytest.approx(2.0 * misses["zeta"].planned, rel=1e-2)
    months = {row.tenant: row for row in found.tenant_months}
    assert all(months["acme"].inside.values())
    assert not any(months["zeta"].inside.values())
    console = Console(width=160, record=True, file=(tmp_path / "out").open("w"))
    show_reconciliation(console, found)
    assert "Months of tenants" in console.export_text()
    kept = read.find_run(opened, found.run_id).entries["result", "reconciliation.json"]
    assert json.loads(read.content(opened, kept))["tenant_months"]


def test_a_second_reconciliation_of_the_same_file_proposes_nothing_twice(ledger: Ledger, tmp_path: Path) -> None:
    file = actuals(tmp_path, 10)
    first = reconcile_files(ledger, "small", file)
    again = reconcile_files(ledger, "small", file)
    assert first.proposals.keys() == again.proposals.keys()
    assert len(read.corrections(ledger)) == len(first.proposals)


def test_accepted_corrections_change_the_next_plan_and_it_says_so(ledger: Ledger, tmp_path: Path) -> None:
    found = reconcile_files(ledger, None, actuals(tmp_path, 10))
    level = next(key for key, one in found.proposals.items() if one.kind == "level")
    assert in_force(ledger, "small").lines == ()
    with pytest.raises(InputError, match="--by NAME"):
        decide(ledger, [level[:8]], True, "", "")
    decide(ledger, [level[:8]], True, "ada", "seen it")
    used = in_force(ledger, "small")
    assert [line.id for line in used.lines] == [level]
    made = small_made()
    corrected = used.history(made.history)
    assert f"correction/{level}" in corrected.inputs
    since = np.datetime64(used.corrections[0].since, "h")
    assert since == said().first_hour, "all of this history lies before the change"
    before, after = made.history.frame["requests"].sum(), corrected.frame["requests"].sum()
    assert after / before == pytest.approx(SHARE, abs=0.01)
    show_corrections(Console(width=120), decide(ledger, (), None, "", ""))
    decide(ledger, [level], False, "bob", "a holiday")
    assert in_force(ledger, "small").lines == ()


def level_of(found: Reconciled) -> str:
    (key,) = [key for key, one in found.proposals.items() if one.kind == "level"]
    return key


def test_one_plan_reconciled_week_after_week_is_corrected_once(ledger: Ledger, tmp_path: Path) -> None:
    weekly = [level_of(reconcile_files(ledger, None, actuals(tmp_path, days))) for days in (8, 15, 22)]
    assert len(set(weekly)) == 3
    console = Console(width=160, record=True, file=(tmp_path / "open").open("w"))
    show_corrections(console, decide(ledger, (), None, "", ""))
    assert f"{weekly[2]} would supersede, once accepted, {weekly[0]}, {weekly[1]}." in console.export_text()
    decide(ledger, weekly, True, "ada", "every Monday")
    used = in_force(ledger, "small")
    assert [line.id for line in used.lines] == weekly[-1:]
    made = small_made()
    corrected = used.history(made.history)
    share = corrected.frame["requests"].sum() / made.history.frame["requests"].sum()
    assert share == pytest.approx(SHARE, abs=0.01)
    console = Console(width=160, record=True, file=(tmp_path / "out").open("w"))
    show_corrections(console, decide(ledger, (), None, "", ""))
    shown = console.export_text()
    assert f"{weekly[2]} supersedes {weekly[0]}, {weekly[1]}." in shown
    assert shown.count("accepted by ada, superseded") == 2

    # The next plan is made with it. Were production at 0.7 of what that one says, too, that would come on top.
    (tmp_path / "again").mkdir()
    made = replace(made, history=corrected)
    bundle = steps.write(made, tmp_path / "again")
    record_plan(ledger, made, bundle, tmp_path / "again", "small-2", small_made().history)
    next_level = level_of(reconcile_files(ledger, None, actuals(tmp_path, 22)))
    assert next_level not in weekly
    decide(ledger, [next_level], True, "ada", "")
    used = in_force(ledger, "small")
    assert [line.id for line in used.lines] == [weekly[-1], next_level]
    share = used.history(made.history).frame["requests"].sum() / made.history.frame["requests"].sum()
    assert share == pytest.approx(SHARE**2, abs=0.02)


def test_lengths_measured_week_after_week_are_corrected_once(ledger: Ledger, tmp_path: Path) -> None:
    for days in (8, 15):
        found = reconcile_files(ledger, None, actuals(tmp_path, days))
        decide(ledger, [key for key, one in found.proposals.items() if one.kind == "lengths"], True, "ada", "")
    (line,) = in_force(ledger, "small").lines
    assert line.correction.values == {"input_tokens": pytest.approx(0.5, abs=0.01)}


def test_several_corrections_are_reviewed_at_once_or_not_at_all(ledger: Ledger, tmp_path: Path) -> None:
    found = reconcile_files(ledger, None, actuals(tmp_path, 10))
    first, second = list(found.proposals)[:2]
    with pytest.raises(InputError, match="'nothing'"):
        decide(ledger, [first, "nothing"], True, "ada", "")
    assert in_force(ledger, "small").lines == ()
    assert {line.id for line in decide(ledger, [first, second, first[:8]], True, "ada", "")} == {first, second}
    assert {line.id for line in in_force(ledger, "small").lines} == {first, second}


def test_what_cannot_be_reconciled_is_named(ledger: Ledger, tmp_path: Path) -> None:
    file = actuals(tmp_path, 2)
    with pytest.raises(InputError, match="plans of: small"):
        reconcile_files(ledger, "other", file)
    counts = tmp_path / "counts.csv"
    counts.write_text("day,hour,chat\n0,0,1\n", encoding="utf-8")
    with pytest.raises(InputError, match="Export a long CSV"):
        reconcile_files(ledger, None, counts)
    with pytest.raises(InputError, match="'nothing'"):
        decide(ledger, ["nothing"], True, "ada", "")


def test_what_changed_is_told_with_its_reasons() -> None:
    pool = {"configuration": {"gpu": "H100", "llm": "a"}, "region": "us", "month": "2026-12", "gpus": 10}
    price = {"gpu": "H100", "region": "us", "option": "on_demand", "usd_per_gpu_h": 3.0}
    demand = {
        "series": {"llm": "a", "request_class": "chat", "region": "us"}, "months": ["2026-12"],
        "levels": [0.5], "monthly_requests": [[1000.0]],
    }  # fmt: skip
    before = {
        "costs": [{"month": "2026-11", "cash_usd": 5.0}, {"month": "2026-12", "cash_usd": 100.0}], "pools": [pool],
        "forecast": [demand], "prices": [price], "fingerprint": "x", "history_until": "October",
    }  # fmt: skip
    after = before | {
        "costs": [{"month": "2026-12", "cash_usd": 80.0}], "pools": [pool | {"gpus": 8}], "fingerprint": "y",
        "forecast": [demand | {"monthly_requests": [[800.0]]}], "prices": [price | {"usd_per_gpu_h": 2.5}],
        "history_until": "November",
    }  # fmt: skip
    assert compare(before, after, ("correction 1: level",)) == (
        "cost of 2026-12: 100 -> 80 USD (-20.0%)",
        "fleet of 2026-12: H100 for a in us: 10 -> 8 GPUs",
        "why: median demand of a/chat/us in 2026-12: 1,000 -> 800 requests (-20.0%)",
        "why: price of H100 us on_demand: 3 -> 2.5 USD/GPU-h",
        "why: history until November, was October",
        "why: correction 1: level",
    )
    assert compare(before, before, ()) == ()


def test_settings_are_named_as_a_user_writes_them() -> None:
    before = {
        "name": "a", "plan": {"budget_usd_per_month": None, "gpus": ["H100"], "at": {"us": {"H100": 8}}},
        "traffic": {"series": [{"llm": "a", "weight": 1.0}]}, "compute": {"on": "here"},
    }  # fmt: skip
    after = {
        "name": "b", "plan": {"budget_usd_per_month": 140000.0, "gpus": ["H100", "L4"], "at": {"us": {}}},
        "traffic": {"series": [{"llm": "a", "weight": 2.5}]}, "compute": {"on": "dask"},
    }  # fmt: skip
    assert settings_moved(before, before) == ()
    assert settings_moved(before, after) == (
        "setting plan.budget_usd_per_month: none -> 140,000",
        "setting plan.gpus: ['H100'] -> ['H100', 'L4']",
        "setting plan.at.us.H100: 8 -> none",
        "setting traffic.series.0.weight: 1 -> 2.5",
    )
    many = {"plan": {f"key{i}": i for i in range(12)}}
    assert settings_moved({}, many)[-1] == "4 more settings"


def test_a_change_without_a_cause_in_the_figures_is_given_one() -> None:
    one = {"fingerprint": "a", "status": {"gap": 0.012}}
    moved = ("cost of 2026-12: 1 -> 2 USD (+100.0%)",)
    assert explained(one, one, moved)[1] == (
        "why: nothing that goes in; both plans are proven within 1.2% of the least cost, no closer"
    )
    assert "fleetcast trace" in explained(one, one | {"fingerprint": "b"}, moved)[1]
    assert explained(one, one, ()) == ()
    assert explained(one, one, (*moved, "why: price")) == (*moved, "why: price")


def test_hours_short_and_drift_are_events_with_what_is_short(
    ledger: Ledger, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[tuple[str, str, dict[str, object]]] = []
    for name in ("create_table_artifact", "create_markdown_artifact", "link_artifact"):
        monkeypatch.setattr(service, name, lambda *_, **__: None)
    monkeypatch.setattr(service, "_emit", lambda *event: told.append(event))
    # The plan begins in December, two weeks into what was forecast.
    found = reconcile_files(ledger, None, actuals(tmp_path, 25, 6.0))
    assert sum(one.short_hours for one in found.capacity) > 0
    service.publish_reconciliation(found, tmp_path)
    events = {event: (scenario, payload) for event, scenario, payload in told}
    assert set(events) == {service.DRIFT, service.PRODUCTION_SHORT}
    scenario, payload = events[service.PRODUCTION_SHORT]
    assert scenario == found.scenario
    assert payload["short"] == [f"{one.llm} {one.month}" for one in found.capacity if one.short_hours]
    # Production as it was said is no event.
    told.clear()
    service.publish_reconciliation(reconcile_files(ledger, None, actuals(tmp_path, 25, 1.0)), tmp_path)
    assert service.PRODUCTION_SHORT not in {event for event, *_ in told}
