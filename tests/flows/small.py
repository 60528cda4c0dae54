"""A small scenario, planned once per test process by the plain functions, without Prefect."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from configs.loading import LoadedScenario, embedded_scenarios, load_scenario
from flows import steps
from flows.progress import Stopwatch


def small_scenario() -> dict[str, Any]:
    """The default scenario cut to one class, one region, one month and two GPU types."""
    raw: dict[str, Any] = yaml.safe_load(embedded_scenarios()["default"].read_text(encoding="utf-8"))
    raw["name"] = "small"
    raw["traffic"]["series"] = [raw["traffic"]["series"][2]]
    raw["traffic"]["classes"] = {"batch-summary": raw["traffic"]["classes"]["batch-summary"] | {"protected": True}}
    raw["forecast"] |= {"horizon_months": 1, "scenarios": 3}
    raw["evaluate"] |= {
        "llms": ["Llama-3.1-8B"],
        "gpus": ["A100-80GB-SXM", "H100-SXM"],
        "tensor_parallel": [1, 2],
    }
    raw["report"] = {"service_curves": 0}
    raw["plan"]["regions"] = {"us-east": raw["plan"]["regions"]["us-east"]}
    return raw


def make(loaded: LoadedScenario, data_folder: Path | None = None) -> steps.Made:
    """All steps but writing."""
    watch = Stopwatch()
    with watch.step("ingest"):
        history = steps.ingest(loaded, data_folder)
    with watch.step("forecast"):
        demand = steps.forecast(loaded.scenario, history)
    with watch.step("evaluate"):
        capacity = steps.evaluate(loaded.scenario, history, loaded.base)
    with watch.step("plan"):
        problem, plan = steps.optimize(loaded.scenario, demand, capacity)
    with watch.step("replay"):
        planned = steps.Planned(capacity, problem, plan)
        planned, replayed = steps.check(loaded.scenario, history, demand, planned, loaded.base)
    return steps.Made(
        loaded, history, demand, planned.capacity, planned.problem, planned.plan, replayed, watch,
        datetime(2026, 11, 21, tzinfo=UTC),
    )  # fmt: skip


@cache
def small_made() -> steps.Made:
    """The small scenario, made."""
    with tempfile.NamedTemporaryFile("w", suffix=".yaml", delete=False, encoding="utf-8") as handle:
        yaml.safe_dump(small_scenario(), handle)
    return make(load_scenario(handle.name))
