"""`fleetcast autoscale`, on one configuration and on a run folder, as people run it."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from dataclasses import replace
from datetime import date
from html import escape
from pathlib import Path
from typing import Any

import pytest
import yaml
from rich.console import Console

from configs.errors import InputError
from configs.reporting import ReportPolicy
from data.scaling_file import read_scaling, scaling_document, scaling_json
from flows import steps
from flows.autoscale import autoscale_run
from flows.emit import emit_run, manifests
from flows.plan_scaling import with_scaling
from flows.pool_curves import curves_of
from flows.scaling_pools import asked_configuration, pools_of, read_plan
from flows.show_autoscale import show_autoscale
from reports.machine import plan_document
from tests.flows.conftest import Run
from tests.flows.small import small_made, small_scenario
from tests.reports.test_manifests import check

Write = Callable[[dict[str, Any]], Path]


def test_a_folder_without_a_plan_and_both_or_neither_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"plan\.json"):
        read_plan(tmp_path)
    (tmp_path / "plan.json").write_text('{"schema": "other/9"}', encoding="utf-8")
    with pytest.raises(InputError, match="schema fleetcast"):
        read_plan(tmp_path)
    with pytest.raises(InputError, match="classes of one LLM"):
        asked_configuration("default", "H100-SXM", "fp8", 1, ("chat", "code"))
    with pytest.raises(InputError, match="chat, code"):
        asked_configuration("default", "H100-SXM", "fp8", 1, ("nothing",))


def with_standby(made: steps.Made) -> steps.Made:
    """The made plan with a pool in another region that stands by for the loss of the first."""
    pool = made.plan.pools[0]
    west = replace(
        pool, region="us-west", peak_rps=0.0, steady_replicas=0, failure_replicas=1, rollout_replicas=0,
        failover_replicas=4,
    )  # fmt: skip
    return replace(made, plan=replace(made.plan, pools=(*made.plan.pools, west)))


def test_a_pool_that_stands_by_for_a_lost_region_is_named_not_scaled(tmp_path: Path) -> None:
    made = with_standby(small_made())
    folder = tmp_path / "run"
    folder.mkdir()
    bundle = with_scaling(steps.bundle(made))
    pool = made.plan.pools[0]
    told = f"{pool.configuration.label} in us-west: stands by for a region's loss; replicas stand as planned"
    assert told in bundle.unscaled
    assert not any("us-west" in text and "curve" in text for text in bundle.unscaled)
    steps.write(made, folder, bundle)
    plan = read_plan(folder)
    assert {one.region for one in pools_of(plan, None)} == {pool.region}
    assert escape(told, quote=False).replace("'", "&#39;") in (folder / "report.html").read_text(encoding="utf-8")
    # A month in which it carries load makes it a pool that scales, in the replicas of that month.
    busy = dict(plan["pools"][-1]) | {"month": "2027-09", "peak_rps": 3.0, "replicas": 2}
    (west,) = [one for one in pools_of(plan | {"pools": [*plan["pools"], busy]}, None) if one.region == "us-west"]
    assert (west.peak_rps, west.max_replicas) == (3.0, 2)
    told = json.loads(manifests(folder, None)["index.json"])["notes"]
    assert any(": not scaled: stands by for a region's loss" in text for text in told)
    assert any(": not scaled: no scaler was written" in text for text in told)


@pytest.mark.slow
def test_every_pool_of_a_run_is_scaled(tmp_path: Path) -> None:
    made = with_standby(small_made())
    folder = tmp_path / "run"
    folder.mkdir()
    bundle = steps.bundle(made)
    none = with_scaling(bundle)
    assert none.scaling == ()
    assert sum("curve was not drawn" in text for text in none.unscaled) == len(none.unscaled) - 1
    assert len(none.unscaled) == len(pools_of(plan_document(bundle), None)) + 1
    drawn = bundle.scenario.model_copy(update={"report": ReportPolicy()})
    planned = steps.Planned(made.capacity, made.problem, made.plan)
    bundle = replace(bundle, scenario=drawn, curves=curves_of(drawn, made.history, planned))
    bundle = with_scaling(bundle)
    (standing,) = bundle.unscaled
    steps.write(made, folder, bundle)
    brief = {(one.configuration, one.region): one for one in bundle.scaling}
    assert scaling_document(read_scaling(folder / "scaling.json")) == scaling_document(bundle.scaling)
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert all(escape(one.statement, quote=False).replace("'", "&#39;") in page for one in bundle.scaling)
    # Two signals are enough here, and a third of the work.
    raw = yaml.safe_load((folder / "scenario.yaml").read_text(encoding="utf-8"))
    raw["autoscaling"] = {"signals": ["concurrency", "rate"]}
    (folder / "scenario.yaml").write_text(yaml.safe_dump(raw), encoding="utf-8")
    found = autoscale_run(folder, None, ())
    pools = found.pools
    assert found.unscaled == (standing,)
    plan = read_plan(folder)
    assert [(one.configuration.gpu, one.region) for one in pools] == [
        (one.configuration.gpu, one.region) for one in pools_of(plan, None)
    ]
    for pool in pools:
        most = max(one["replicas"] for one in plan["pools"] if one["configuration"]["gpu"] == pool.configuration.gpu)
        policy = pool.chosen.policy
        assert 1 <= policy.min_replicas <= policy.max_replicas == most
        assert {kind.name for kind in pool.kinds} >= {"reaction", "lower threshold"}
        assert pool.facts.saturation_rps >= pool.facts.knee_rps > pool.facts.operating_rps
        assert pool.chosen.usd_per_day <= pool.fixed_usd_per_day * 1.01 or policy.standby_nodes
        plain = pool.kinds[0].best
        # What the plan found briefly is no cheaper than what the whole search finds, and says the same of reaction.
        within = brief[pool.configuration, pool.region]
        assert within.kinds[0].best.holds == plain.holds
        assert not within.chosen.holds or pool.chosen.usd_per_day <= 1.02 * within.chosen.usd_per_day
        assert within.policies < pool.policies
        assert ("cannot hold" in pool.statement) == (not plain.holds)
        if not plain.holds:
            assert "short of capacity for" in pool.statement
    text = scaling_json(pools, found.unscaled)
    assert json.loads(text) == scaling_document(pools, [standing])
    console = Console(width=180, record=True, file=io.StringIO())
    show_autoscale(console, pools, date(2026, 11, 21), found.unscaled)
    printed = console.export_text(clear=False)
    assert f"Not scaled: {standing}" in printed
    assert "Short of capacity: on " in printed
    assert "start-up times up to 20 days old (2026-11)" in printed
    # The same folder and its scaling as manifests; another plan's scaling is refused.
    (tmp_path / "scaling.json").write_text(text, encoding="utf-8")
    written = emit_run(folder, tmp_path / "scaling.json", tmp_path / "k8s")
    assert {name.split("/")[1] for name in written if "/" in name} - {"standby"} == {
        "deployment",
        "hpa",
        "keda",
        "kserve",
        "plain",
    }
    again = manifests(folder, tmp_path / "scaling.json")
    assert {name: (tmp_path / "k8s" / name).read_text(encoding="utf-8") for name in written} == again
    for name in written:
        for one in yaml.safe_load_all(again[name]) if name.endswith(".yaml") else ():
            check(one)
    scaled = [yaml.safe_load(again[name]) for name in written if "/keda/" in name]
    assert sorted(one["spec"]["maxReplicaCount"] for one in scaled) == sorted(
        pool.chosen.policy.max_replicas for pool in pools
    )
    document = scaling_document(pools)
    document["pools"][0]["region"] = "elsewhere"
    (tmp_path / "other.json").write_text(json.dumps(document), encoding="utf-8")
    with pytest.raises(InputError, match="elsewhere"):
        manifests(folder, tmp_path / "other.json")
    # The plan's own scaling is the default.
    own = [yaml.safe_load(text) for name, text in manifests(folder, None).items() if "/keda/" in name]
    assert sorted(one["spec"]["minReplicaCount"] for one in own) == sorted(
        one.chosen.policy.min_replicas for one in bundle.scaling
    )
    # Without scaling, replicas stand as planned and nothing scales them.
    (folder / "scaling.json").unlink()
    plain = manifests(folder, None)
    assert "not scaled: no scaler was written" in plain["index.json"]
    assert not any("/keda/" in name for name in plain)
    workloads = [yaml.safe_load(text.split("---\n")[0]) for name, text in plain.items() if "/deployment/" in name]
    assert sorted(one["spec"]["replicas"] for one in workloads) == sorted(
        [one.max_replicas for one in pools_of(plan, None)] + [5]
    )


@pytest.mark.slow
def test_one_configuration_from_the_command_line(fleetcast: Run, write_scenario: Write, tmp_path: Path) -> None:
    config = write_scenario(small_scenario() | {"autoscaling": {"signals": ["rate"]}})
    arguments = [
        "--config",
        str(config),
        "--gpu",
        "H100-SXM",
        "--precision",
        "fp8",
        "--class",
        "batch-summary",
        "--peak",
        "30",
    ]
    done = fleetcast("autoscale", *arguments, "--json", "--out", "scaling.json", timeout_s=600)
    assert done.returncode in (0, 3), done.stderr
    (pool,) = json.loads(done.stdout)["pools"]
    assert (tmp_path / "scaling.json").read_text(encoding="utf-8") == done.stdout
    assert pool["chosen"]["policy"]["max_replicas"] >= 2
    assert pool["statement"]
    assert (done.returncode == 0) == pool["chosen"]["holds"]
    neither = fleetcast("autoscale")
    assert (neither.returncode, neither.stdout) == (2, "")
    assert "run folder, or --gpu" in neither.stderr
