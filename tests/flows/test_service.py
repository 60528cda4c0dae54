"""Deployments point at flows that exist with parameters they take; what-if parameters are checked by the schema."""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import Any

import pytest
from prefect import Flow

from configs.loading import load_scenario
from configs.yaml_files import load_yaml
from flows.service import RUNS_URL, artifact_key, link_artifact, what_if
from tests.conftest import REPOSITORY
from tests.flows.small import small_scenario

DEPLOYMENTS: list[dict[str, Any]] = load_yaml(REPOSITORY / "prefect.yaml")["deployments"]


def flow_of(deployment: dict[str, Any]) -> Flow[..., Any]:
    # By module, not by file: Prefect puts a file's folder on the path, where flows/trace.py would hide Python's own.
    module, name = deployment["entrypoint"].rsplit(".", 1)
    found = getattr(importlib.import_module(module), name)
    assert isinstance(found, Flow)
    return found


@pytest.mark.parametrize("deployment", DEPLOYMENTS, ids=lambda one: str(one["name"]))
def test_a_deployment_runs_a_flow_with_parameters_it_takes_one_at_a_time(deployment: dict[str, Any]) -> None:
    schema = flow_of(deployment).parameters
    given = set(deployment.get("parameters", {}))
    assert given <= set(schema.properties)
    assert set(schema.required) <= given | {"scenario", "scenarios"}
    assert deployment["concurrency_limit"]["limit"] == 1
    assert deployment["enforce_parameter_schema"] is True


def test_the_schedule_is_monthly_and_weekly() -> None:
    crons = {one["name"]: one.get("schedules", [{}])[0].get("cron") for one in DEPLOYMENTS}
    assert crons == {"monthly": "0 6 1 * *", "weekly": "0 7 * * 1", "what-if": None, "what-ifs": None}


def test_what_if_takes_a_scenario_and_refuses_what_is_none() -> None:
    definitions = what_if.parameters.model_dump()["definitions"]
    assert definitions["Scenario"]["additionalProperties"] is False, "a server can refuse unknown keys at submission"
    good = small_scenario()
    assert what_if.validate_parameters({"scenario": good})["scenario"].name == "small"
    for bad in (good | {"sed": 1}, good | {"seed": -1}, good | {"traffic": {}}):
        with pytest.raises(Exception, match=r"sed|seed|traffic"):
            what_if.validate_parameters({"scenario": bad})


def test_a_scenario_survives_its_way_through_a_file(tmp_path: Path) -> None:
    scenario = load_scenario(None).scenario
    path = tmp_path / "x.yaml"
    path.write_text(scenario.model_dump_json(indent=2), encoding="utf-8")
    assert load_scenario(str(path)).scenario == scenario


def test_artifact_keys_are_what_prefect_accepts() -> None:
    assert artifact_key("My_Scenario.2", "cost") == "my-scenario-2-cost"


def test_links_lead_to_the_web_server_that_shows_the_runs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    told: list[dict[str, str]] = []
    monkeypatch.setattr("flows.service.create_link_artifact", lambda **given: told.append(given))
    page = tmp_path / "run-1" / "report.html"
    link_artifact(page, "key")
    monkeypatch.setenv(RUNS_URL, "https://plans.example/runs/")
    link_artifact(page, "key")
    assert [one["link"] for one in told] == [page.as_uri(), "https://plans.example/runs/run-1/report.html"]
