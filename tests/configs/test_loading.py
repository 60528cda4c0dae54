"""Scenario files: every mistake is named with file, key, expected and got."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from configs.errors import InputError
from configs.loading import embedded_scenarios, load_scenario
from configs.yaml_files import dump_yaml, load_yaml


def written(folder: Path, **changes: object) -> Path:
    """The default scenario with top-level keys replaced; a dotted key reaches inside."""
    raw = yaml.safe_load(embedded_scenarios()["default"].read_text(encoding="utf-8"))
    for dotted, value in changes.items():
        *parents, last = dotted.split("__")
        here = raw
        for part in parents:
            here = here[int(part)] if isinstance(here, list) else here[part]
        if value is ...:
            del here[last]
        else:
            here[last] = value
    path = folder / "scenario.yaml"
    path.write_text(yaml.safe_dump(raw), encoding="utf-8")
    return path


@pytest.mark.parametrize("name", sorted(embedded_scenarios()))
def test_every_embedded_scenario_loads(name: str) -> None:
    assert load_scenario(name).scenario.name == name


def test_the_default_needs_no_name() -> None:
    assert load_scenario(None).scenario == load_scenario("default").scenario


def test_a_scenario_is_frozen() -> None:
    scenario = load_scenario(None).scenario
    with pytest.raises(ValueError, match="frozen"):
        scenario.seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("changes", "fragments"),
    [
        (
            {"plan__failures_per_pol": 2},
            ["`plan.failures_per_pol` is not a known key", "did you mean `failures_per_pool`"],
        ),
        ({"evaluate__gpus": ...}, ["`evaluate.gpus` is missing"]),
        ({"seed": "soon"}, ["`seed`", "integer", "'soon'"]),
        ({"traffic__series__0__regions": {"us-east": 0.5}}, ["add up to 1", "0.5"]),
        ({"traffic__series__0__request_class": "nobody"}, ["'nobody'", "known: batch-summary, chat, code"]),
        ({"traffic__series__0__llm": "Qwen3-32B", "traffic__series__0__request_class": "code"}, ["merge them"]),
        ({"evaluate__llms": ["Llama-3.1-8B"]}, ["evaluate.llms does not"]),
        ({"traffic__series__0__volume_multiplier": -1}, ["volume_multiplier", "greater than 0", "-1"]),
        ({"plan__minimum_gpus": {"on_demand": 8}}, ["on_demand has no term"]),
        ({"plan__minimum_gpus": {"reserved_5y": 8}}, ["'reserved_5y', which is not bought", "reserved_1y"]),
        (
            {
                "plan__volume_discounts": [
                    {"option": "reserved_1y", "from_gpus": 8, "discount": 0.2},
                    {"option": "reserved_1y", "gpu": "H100-SXM", "from_gpus": 64, "discount": 0.1},
                ]
            },
            ["20% from 8 GPUs, but 10% from 64", "a larger order must save more"],
        ),
        ({"plan__regions__us-east__facility": {"pue": 1.3}}, ["limits nothing"]),
        ({"plan__regions__us-east__facility": {"power_kw": -5}}, ["power_kw", "greater than 0", "-5"]),
        ({"plan__churn": {"gpus_max": 1.5}}, ["churn.gpus_max", "1.5"]),
        ({"plan__may_serve": {"us-east": ["mars"]}}, ["'mars'", "known: eu-north, us-east"]),
        ({"traffic__classes__chat__slo__percentile": 100}, ["percentile", "less than 100", "100"]),
        ({"traffic__classes__chat__slo__tpot_percentile": 0}, ["tpot_percentile", "greater than 0"]),
        ({"traffic__classes__chat__slo__e2e_percentile": 90}, ["`e2e_s`, which is not given"]),
        ({"forecast__quantiles": [0.9, 0.5]}, ["must rise"]),
    ],
)
def test_a_wrong_key_or_value_is_named(tmp_path: Path, changes: dict[str, object], fragments: list[str]) -> None:
    path = written(tmp_path, **changes)
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    message = str(caught.value)
    assert str(path) in message
    for fragment in fragments:
        assert fragment in message


def test_every_problem_is_listed_at_once(tmp_path: Path) -> None:
    path = written(tmp_path, seed=-1, plan__failures_per_pool=-2)
    with pytest.raises(InputError, match="2 problems"):
        load_scenario(path)


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"name: a\nname: b\n", "line 2: expected valid YAML, got key 'name' is given twice"),
        (b"name: [a\n", "line 2"),
        (b"- 1\n- 2\n", "a mapping of keys, got list"),
        (b"", "a mapping of keys, got NoneType"),
        (b"name: \xff\xfe", "UTF-8 text, got byte 0xff"),
        (b"!!python/object/apply:os.system ['true']", "could not determine a constructor"),
    ],
)
def test_broken_files(tmp_path: Path, content: bytes, expected: str) -> None:
    path = tmp_path / "broken.yaml"
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        load_scenario(path)
    assert expected in str(caught.value)


def test_an_absent_scenario_lists_the_embedded_ones(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Embedded scenarios: burstgpt, default"):
        load_scenario(tmp_path / "nowhere.yaml")


def test_on_is_a_word_and_a_key(tmp_path: Path) -> None:
    path = tmp_path / "words.yaml"
    path.write_text("compute: {on: dask}\nyes: no\nbool: [true, False, TRUE, falsehood]\n", encoding="utf-8")
    assert load_yaml(path) == {
        "compute": {"on": "dask"}, "yes": "no", "bool": [True, False, True, "falsehood"],
    }  # fmt: skip
    path.write_text(dump_yaml({"on": "off", "flag": True, "text": "true"}), encoding="utf-8")
    assert load_yaml(path) == {"on": "off", "flag": True, "text": "true"}
