"""Sensitivity of a real run: read back from its folder, priced like its plan, shown, drawn and planned anew."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pytest
from jinja2 import Environment, FileSystemLoader, StrictUndefined

import reports
from configs.errors import InputError
from configs.sensitivity import SensitivityPolicy
from cost.draws import points
from cost.fixed_fleet import fixed_fleet
from cost.reprice import reprice
from cost.sensitivity import PLAN
from data.sensitivity_file import read_sensitivity, sensitivity_json
from data.sensitivity_records import Switch, Switching
from data.spreads import spreads
from flows import steps
from flows.rebuilt import Rebuilt, read_run
from flows.regret import later, matrix
from flows.resolve import same
from flows.sensitivity import Examined, examine_run
from flows.switching import Tried, differs, main_places
from flows.worlds import World, changed
from optimizer.again import Replanned
from reports.decision_charts import regret_picture, switching_picture
from reports.sensitivity_charts import LEAST_RISK, MOST_RISK, sensitivity_pictures
from reports.sensitivity_files import write_sensitivity
from reports.sensitivity_tables import headline, sensitivity_tables
from tests.flows.small import small_made

MACROS = (
    "{% macro table(caption, head, rows, numeric=[]) %}<table><caption>{{ caption }}</caption>{{ head|length }}"
    "{% for row in rows %}{% for cell in row %}<td>{{ cell }}</td>{% endfor %}{% endfor %}</table>{% endmacro %}"
    "{% macro figure(p) %}<figure>{{ p.title }}{{ p.wide|safe }}</figure>{% endmacro %}"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Rebuilt:
    folder = tmp_path_factory.mktemp("run")
    steps.write(small_made(), folder)
    return read_run(folder)


@pytest.fixture(scope="module")
def found(run: Rebuilt) -> Examined:
    return examine_run(run, date(2026, 11, 21), samples=300)


def test_a_run_reads_back_as_it_was(run: Rebuilt) -> None:
    made = small_made()
    assert run.problem.demand.series == made.problem.demand.series
    assert np.allclose(run.problem.demand.rps, made.problem.demand.rps)
    assert run.problem.offers == made.problem.offers
    assert run.problem.quotas == made.problem.quotas
    assert [p.replicas for p in run.plan.pools] == [p.replicas for p in made.plan.pools]
    assert [replace(p, usd_in_horizon=0.0) for p in run.plan.purchases] == [
        replace(p, usd_in_horizon=0.0) for p in made.plan.purchases
    ]
    rates = {(r.configuration, r.request_class): r.operating_rps for r in made.problem.capacities}
    assert {(r.configuration, r.request_class): r.operating_rps for r in run.problem.capacities} == pytest.approx(rates)


def test_the_base_costs_what_the_plan_says(run: Rebuilt) -> None:
    fleet = fixed_fleet(run.problem, run.plan, run.mixes)
    draws = points(spreads(run.scenario.sensitivity), run.problem.demand.probabilities, [{}])
    priced = reprice(fleet, PLAN, draws)
    # Fractions of GPUs instead of whole replicas in each scenario: a little less, by no more than a replica.
    planned = np.array(small_made().plan.scenario_usd)
    replica = 730 * max(o.usd_per_gpu_h for o in run.problem.offers) * 2
    assert (priced.cash <= planned + 1e-6).all()
    assert (planned - priced.cash <= replica).all()
    assert not priced.short.any()


@pytest.mark.slow
def test_the_answer_is_shown_drawn_and_written(found: Examined, tmp_path: Path) -> None:
    answer = found.answer
    environment = Environment(
        loader=FileSystemLoader(Path(reports.__file__).parent / "templates"), undefined=StrictUndefined, autoescape=True
    )
    page = environment.from_string(MACROS + "{% include '_sensitivity.html.j2' %}").render(
        sensitivity=sensitivity_tables(answer), sensitivity_pictures=sensitivity_pictures(answer)
    )
    assert page.count("<caption>") == 6
    assert page.count("<figure>") >= 3
    assert page.count("<svg") >= 3
    commits = any(not lot.sunk for lot in found.fleet.lots)
    for text in ("output length", "wait one month" if commits else "the plan", "least regret"):
        assert text in page + headline(answer)
    write_sensitivity(answer, tmp_path / "out", date(2026, 11, 21))
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert {"sensitivity.json", "sensitivity.html", "tornado.svg", "fan_1.svg"} <= names
    mine = next(one.short for one in answer.options if one.name == "the plan")
    risks = [one.short for one in answer.options if one.short <= max(MOST_RISK, 2.0 * mine)]
    assert ("frontier.svg" in names) == (max(risks) - min(risks) >= LEAST_RISK), "drawn where there is a risk to weigh"
    for one in names - {"sensitivity.json", "sensitivity.html"}:
        # A picture on its own names its colours; bands in a page's variable would not be seen.
        svg = (tmp_path / "out" / one).read_text(encoding="utf-8")
        assert "currentColor" not in svg
        assert "var(" not in svg
    again = read_sensitivity(tmp_path / "out" / "sensitivity.json")
    assert sensitivity_json(again) == sensitivity_json(answer)
    assert "a protected class in" in (tmp_path / "out" / "sensitivity.html").read_text(encoding="utf-8")
    document = json.loads(sensitivity_json(answer))
    assert document["samples"] == 300
    assert len(document["bars"]) == 10
    assert document["ages"]


def test_another_world_is_another_problem(found: Examined, run: Rebuilt) -> None:
    values = {name: one.base for name, one in spreads(run.scenario.sensitivity).items()}
    key = ("Llama-3.1-8B", "batch-summary")
    other = changed(run.problem, World(values | {"volume": 2.0, "lead_time": 2.0, "prices": 1.5}, {key: 1.25}))
    assert np.allclose(other.demand.rps, 2.0 * run.problem.demand.rps)
    assert other.commitment_lead_time_months == run.problem.commitment_lead_time_months + 2
    rate = run.problem.capacities[0].operating_rps
    assert other.capacities[0].operating_rps == pytest.approx(rate / 1.25)
    for mine, theirs in zip(run.problem.offers, other.offers, strict=True):
        assert theirs.usd_per_gpu_h == pytest.approx(mine.usd_per_gpu_h * (1.0 if mine.term_months else 1.5))


def test_what_is_not_possible_is_said_and_no_number(found: Examined, tmp_path: Path) -> None:
    made = matrix(["a", "b"], ["x"], [[float("inf")], [14.0]], [[float("inf")], [13.0]], [12.0], ["", ""], 0.0)
    assert made.least == "b"
    answer = replace(found.answer, regrets=made)
    assert sensitivity_tables(answer)["regrets"][0][1:3] == ("not possible", "not possible")
    (tmp_path / "it.json").write_text(sensitivity_json(answer), encoding="utf-8")
    again = read_sensitivity(tmp_path / "it.json")
    assert sensitivity_tables(again)["regrets"] == sensitivity_tables(answer)["regrets"]
    # What is not possible has no bar, and where nothing is regretted nothing is drawn.
    assert regret_picture(made) is None
    drawn = regret_picture(matrix(["a", "b"], ["x"], [[10.0], [14.0]], [[9.0], [13.0]], [8.0], ["", ""], 0.1))
    assert drawn is not None
    assert drawn.wide.count("<svg") == 1
    assert json.loads(sensitivity_json(answer), parse_constant=pytest.fail)["regrets"]["usd"] == [[None], [14.0]]


def test_regrets_by_hand() -> None:
    usd = [[10.0, 30.0], [14.0, 22.0], [12.0, 20.0]]
    bounds = [[9.0, 26.0], [10.5, 19.0], [9.5, 19.5]]
    found = matrix(["a", "b", "c"], ["x", "y"], usd, bounds, [9.0, 18.0], ["", "", ""], 0.0)
    assert found.regret == ((0.0, 10.0), (4.0, 2.0), (2.0, 0.0))
    assert found.least == "c"
    # The best of x costs 10 at most, b's commitments 10.5 at least; of y 20 and 19, which says nothing.
    assert found.proven == ((0.0, 6.0), (0.5, 0.0), (0.0, 0.0))
    assert found.possible == ((1.0, 12.0), (5.0, 4.0), (3.0, 2.0))
    assert found.relaxed == ((0.0, 7.0), (1.5, 0.0), (0.5, 0.5))
    assert found.least_relaxed == "c"
    assert later({(0, 0): 3, (1, 5): 2}, 6) == {(0, 1): 3}


def test_how_sure_a_difference_is_follows_from_bounds() -> None:
    def plan(usd: float, bound: float) -> Replanned:
        return Replanned(usd, bound, {}, {}, {}, frozenset())

    anew = plan(100.0, 95.0)
    # Kept costs 101 at least, or 96 where relaxations say 95 anew, or the same by relaxations.
    for kept, sure, other in (
        (plan(104.0, 101.0), "proven", True), (plan(104.0, 96.0), "likely", True),
        (plan(104.0, 95.1), "within the gap", True), (plan(100.2, 95.1), "within the gap", False),
        (None, "proven", True),
    ):  # fmt: skip
        tried = Tried(kept, anew)
        assert tried.sure == sure
        assert (tried.other is anew) == other


def test_switches_are_drawn_by_how_sure_they_are() -> None:
    one = Switch("prices", 1.0, 0.8, "purchases", 0.925, 0.912, "4 A", "nothing", 10.0, "proven")
    drawn = switching_picture(Switching((one,), ("lead_time",), 5, 0.1))
    assert drawn is not None
    assert drawn.title == "prices changes the decision first: purchases at 0.919"
    assert "No change with lead time." in drawn.caption
    assert "0.919" in drawn.wide
    assert switching_picture(Switching((), ("prices",), 5, 0.1)) is None


def test_where_an_llm_runs_is_where_its_gpus_are() -> None:
    one = Replanned(1.0, 1.0, {}, {"A": 10}, {("m", "r", "A"): 90.0, ("m", "q", "B"): 10.0}, frozenset())
    two = Replanned(1.0, 1.0, {}, {"A": 10}, {("m", "r", "A"): 70.0, ("m", "q", "A"): 30.0}, frozenset())
    assert main_places(one, 1) == {"m": {"r"}}
    assert main_places(two, 1) == {"m": {"r", "q"}}
    assert not differs(one, two, "GPU types")
    assert differs(one, two, "placement")
    assert not differs(one, two, "purchases")


def test_decisions_are_alike_within_a_tenth() -> None:
    assert same({"a": 100}, {"a": 95})
    assert not same({"a": 100}, {"a": 80})
    assert not same({"a": 10}, {"b": 10})
    assert same({}, {})


def test_what_is_no_run_folder_is_told(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="run folder"):
        read_run(tmp_path)


@pytest.mark.slow
def test_draws_planned_anew(run: Rebuilt) -> None:
    answer = examine_run(run, date(2026, 11, 21), samples=200, resolves=6).answer
    assert answer.resolved is not None
    assert answer.resolved.solves == 6
    assert sum(share for _, share in answer.resolved.decisions) == pytest.approx(1.0)
    assert 0.0 <= answer.resolved.changed <= 1.0
    assert answer.resolved.gap_median <= answer.resolved.gap_most
    # Noise aside: what is proven is worthwhile, and that is a change; relaxations never gain by keeping lots.
    r = answer.resolved
    assert r.proven <= r.worthwhile <= r.changed
    assert len(r.keeping_usd) == 6
    assert all(usd >= -1e-6 * r.base_usd for usd in r.keeping_usd)
    # The base, planned in the same way, is no better than what the plan's own search has proven, nor far from it.
    assert answer.resolved.base_usd >= run.plan.stats.bound_usd * (1 - 1e-6)
    assert answer.resolved.base_usd <= run.plan.stats.objective_usd * 1.05
    assert answer.stochastic_usd is not None


@pytest.mark.slow
def test_switches_and_regrets_are_told_together(run: Rebuilt) -> None:
    wide = SensitivityPolicy.model_validate(
        {"variables": {"volume": {"low": 0.3, "base": 1.0, "high": 3.0, "source": "test", "as_of": "2026"}}}
    )
    scenario = run.scenario.model_copy(update={"sensitivity": wide})
    answer = examine_run(
        replace(run, scenario=scenario), date(2026, 11, 21), samples=50, switches=True, regret=True
    ).answer
    found = answer.switching
    assert found is not None
    assert {one.variable for one in found.switches} | set(found.steady) == set(spreads(wide))
    assert {one.variable for one in found.switches}.isdisjoint(found.steady)
    for one in found.switches:
        assert found.whole
        assert abs(one.first_other - one.last_same) == pytest.approx(abs(one.end - one.base) / 16)
        assert one.sure in ("proven", "likely", "within the gap")
        assert min(one.base, one.end) <= one.value <= max(one.base, one.end)
        assert one.before != one.after
    regrets = answer.regrets
    assert regrets is not None
    rows = sensitivity_tables(answer)
    assert len(rows["switches"]) == len(found.switches)
    assert len(rows["regrets"]) == len(regrets.candidates)
    assert all(len(row) == len(rows["regret_head"][0]) for row in rows["regrets"])
    assert set(regrets.scenarios) == {"best", "base", "worst"}
    for j in range(len(regrets.scenarios)):
        assert min(row[j] for row in regrets.regret) == 0.0
    largest = {name: max(row) for name, row in zip(regrets.candidates, regrets.regret, strict=True)}
    assert largest[regrets.least] == min(largest.values())
    assert "the plan" in regrets.candidates[0]
    for row, proven, possible in zip(regrets.regret, regrets.proven, regrets.possible, strict=True):
        for usd, sure, most in zip(row, proven, possible, strict=True):
            assert 0.0 <= sure <= usd + 1e-6 <= most + 2e-6
