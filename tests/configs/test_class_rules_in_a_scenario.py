"""Class rules in a scenario: what they fill in, and what contradicts them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from configs.errors import InputError
from configs.loading import embedded_scenarios, load_scenario
from configs.schema import Scenario
from configs.traffic import Traffic

SLO = {"ttft_s": 1.0, "tpot_s": 0.05, "e2e_s": 20.0, "percentile": 99.0}
RULES: dict[str, Any] = {
    "unmatched": "rest",
    "classes": [
        {"name": "chat", "match": {"service": ["chat"]}, "slo": SLO, "priority": 5},
        {"name": "batch", "match": {"service": ["batch"]}, "slo": SLO},
    ],
}


def scenario(
    folder: Path, classes: dict[str, Any] | None = None, rules: dict[str, Any] | None = None, **series: Any
) -> Scenario:
    """Two series on one dataset, by the rules in a file."""
    raw = yaml.safe_load(embedded_scenarios()["default"].read_text(encoding="utf-8"))
    one = {
        "llm": "Llama-3.1-8B",
        "source": {"kind": "ingested", "dataset": "d"},
        "lengths": {"kind": "ingested", "dataset": "d"},
        "regions": {"us-east": 1.0},
    }
    both = [one | {"request_class": "chat"} | series, one | {"request_class": "batch"}]
    raw["traffic"] = {"class_rules": "rules.yaml", "series": both} | ({"classes": classes} if classes else {})
    (folder / "rules.yaml").write_text(yaml.safe_dump(rules or RULES), encoding="utf-8")
    (folder / "scenario.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    return load_scenario(folder / "scenario.yaml").scenario


def test_rules_give_promises_and_ranks(tmp_path: Path) -> None:
    traffic = scenario(tmp_path).traffic
    assert traffic.classes["chat"].slo.model_dump(exclude_none=True) == SLO
    assert {name: one.shed_usd_per_request for name, one in traffic.classes.items()} == {"chat": 10.0, "batch": 1.0}
    assert Traffic.model_validate(traffic.model_dump(mode="json")) == traffic


def test_a_rules_criterion_of_success_reaches_the_costs(tmp_path: Path) -> None:
    """What neither states is that the SLO holds; what both state must be the same."""
    rules = {**RULES, "classes": [RULES["classes"][0] | {"success": "answered"}, RULES["classes"][1]]}
    classes = scenario(tmp_path, rules=rules).traffic.classes
    assert {name: one.success for name, one in classes.items()} == {"chat": "answered", "batch": "within_slo"}
    stated = scenario(tmp_path, {"batch": {"success": "first_token"}}).traffic.classes
    assert stated["batch"].success == "first_token"
    with pytest.raises(InputError, match="succeeds when within_slo in `classes` and when answered in its"):
        scenario(tmp_path, {"chat": {"success": "within_slo"}}, rules)


def test_what_is_stated_stays(tmp_path: Path) -> None:
    stated = {"chat": {"shed_usd_per_request": 3.0, "protected": False}}
    chat = scenario(tmp_path, stated).traffic.classes["chat"]
    assert (chat.shed_usd_per_request, chat.protected, chat.slo.e2e_s) == (3.0, False, 20.0)


@pytest.mark.parametrize(
    ("classes", "series", "said"),
    [
        ({"chat": {"shed_usd_per_request": 0.5}}, {}, "it would be shed first"),
        ({"chat": {"slo": {"ttft_s": 2.0, "tpot_s": 0.05}}}, {}, "one SLO in `classes` and another in its rule"),
        ({"x": {"slo": SLO}}, {"request_class": "x"}, "`class_rules` has no class 'x'"),
        (None, {"request_class": "batch", "llm": "Qwen3-32B"}, "its requests would count twice"),
        (
            None,
            {"source": {"kind": "ingested", "dataset": "d", "match": {"service": ["chat"]}}},
            "says 'service', which the rule of its class says already",
        ),
    ],
)
def test_contradictions_are_named(
    tmp_path: Path, classes: dict[str, Any] | None, series: dict[str, Any], said: str
) -> None:
    with pytest.raises(InputError) as caught:
        scenario(tmp_path, classes, **series)
    assert said in str(caught.value)


def test_a_rules_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    scenario(tmp_path)
    (tmp_path / "rules.yaml").unlink()
    with pytest.raises(InputError, match=r"rules\.yaml"):
        load_scenario(tmp_path / "scenario.yaml")
