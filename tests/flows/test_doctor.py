"""Doctor says what is wrong and what to do about it."""

from __future__ import annotations

import json
from datetime import date, timedelta
from pathlib import Path

import pytest

from data.prices import load_prices
from flows import doctor
from flows.ledger import URL

TODAY = date(2026, 11, 21)


@pytest.fixture(autouse=True)
def apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(URL, f"sqlite:///{tmp_path}/ledger.sqlite")
    monkeypatch.setattr(doctor, "STATE", tmp_path / "state")


def by_name(today: date = TODAY) -> dict[str, doctor.Check]:
    return {one.name: one for one in doctor.examine(today)}


def test_a_sound_environment_has_no_failure_and_every_warning_a_next_step() -> None:
    found = by_name()
    assert {"python", "device", "solver", "ledger", "prices", "GPUs", "LLMs", "report", "traces"} <= found.keys()
    assert [one for one in found.values() if one.status == "fail"] == []
    assert all(one.next_step for one in found.values() if one.status == "warn")
    assert json.loads(doctor.as_json(found.values()))[0]["name"] == "python"


def test_prices_grow_stale() -> None:
    youngest = max(one.as_of for one in load_prices().sources.values() if len(one.as_of) == 10)
    fresh = by_name(date.fromisoformat(youngest))["prices"].found
    later = by_name(date.fromisoformat(youngest) + timedelta(days=400))["prices"]
    assert later.status == "warn"
    assert "youngest 400 days old" in later.found
    assert "youngest 0 days old" in fresh


def test_a_broken_ledger_and_a_missing_trace_folder_are_failures_with_a_next_step(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv(URL, "mysql://nowhere")
    monkeypatch.setenv("FLEETCAST_DATA", "/no/such/folder")
    found = by_name()
    assert (found["ledger"].status, found["traces"].status) == ("fail", "fail")
    assert "FLEETCAST_LEDGER" in found["ledger"].next_step
    assert "FLEETCAST_DATA" in found["traces"].next_step
    assert found["solver"].status == "ok", "one failure does not hide the rest"
