"""What changed: offers that are new, sections that are added; and what runs are called."""

from __future__ import annotations

from pathlib import Path

import pytest

from flows.changes import compare, settings_moved
from flows.ledger import unique_id
from flows.recall import run_folder
from reports.fleet_tables import used_words
from reports.write import ARCHIVE
from tests.flows.conftest import Run

PLAN = {"costs": [], "pools": [], "forecast": [], "fingerprint": "x", "history_until": "October"}


def test_an_offer_that_is_new_has_no_price_before() -> None:
    owned = {"gpu": "H100", "region": "colo", "option": "owned", "usd_per_gpu_h": 1.2}
    without, there = PLAN | {"prices": []}, PLAN | {"prices": [owned]}
    assert compare(without, there, ()) == ("why: price of H100 colo owned: not offered -> 1.2 USD/GPU-h",)
    assert compare(there, without, ()) == ("why: price of H100 colo owned: 1.2 -> not offered USD/GPU-h",)


def test_a_section_that_is_added_is_told_by_what_it_says() -> None:
    before, after = {"plan": {"owned": []}}, {"plan": {"owned": [{"gpu": "H100", "region": "colo"}]}}
    assert settings_moved(before, after) == (
        "setting plan.owned.0.gpu: none -> H100", "setting plan.owned.0.region: none -> colo",
    )  # fmt: skip
    assert settings_moved(after, before)[0] == "setting plan.owned.0.gpu: H100 -> none"


def test_a_run_of_any_scenario_name_is_one_folder_and_is_found_again(tmp_path: Path) -> None:
    name = unique_id("team/chat:v1-20261122")
    assert name.startswith("team-chat-v1-20261122-")
    (tmp_path / name).mkdir()
    (tmp_path / name / ARCHIVE).touch()
    assert run_folder(None, tmp_path).name == name


def test_a_commitment_that_ends_before_the_plan_has_no_use_to_state() -> None:
    assert (used_words(0.25), used_words(float("nan"))) == ("25%", "-")


@pytest.mark.slow
def test_commands_that_lack_something_say_what(fleetcast: Run) -> None:
    done = fleetcast("trace", "--number", "costs.0.cash_usd")
    assert done.returncode == 2
    assert "the run whose number it is" in done.stderr
