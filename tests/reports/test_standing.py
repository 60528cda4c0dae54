"""What stands under every answer: ages by hand, shortage from where it is known."""

from __future__ import annotations

import math
from dataclasses import replace
from datetime import date

from data.ages import age_days, ages_of
from data.plan_records import ApiOffer
from data.scenario_records import SampleCheck
from flows import steps
from reports.decision import shortfall_risk
from reports.standing import ages_words, of_plan
from tests.flows.small import small_made

TODAY = date(2026, 11, 21)


def test_the_oldest_of_every_kind_is_named_and_undated_ones_are_counted() -> None:
    dated = [
        ("price", "2026-11-01"), ("range", "declared"), ("price", "2025"), ("price", "undated"), ("mix", "2026-11")
    ]  # fmt: skip
    price, spread, mix = ages_of(dated, TODAY)
    assert (price.count, price.oldest_days, price.oldest, price.undated) == (3, 689, "2025", 1)
    assert (spread.oldest_days, spread.undated) == (None, 1)
    assert ages_words((price, spread, mix)) == (
        "price up to 689 days old (2025), 1 of 3 undated; range undated; mix up to 20 days old (2026-11)"
    )
    assert age_days("2026-13", TODAY) is None


def test_a_plan_that_was_tried_on_fresh_scenarios_says_so_and_another_counts_its_own() -> None:
    bundle = steps.bundle(small_made())
    sample = SampleCheck(1000, 1.0, 1.0, 1.0, 1.0, 1.0, 1.0, 0.05, 0.08, 0.02, 1.0, 0.14, 0.0, "")
    tried = of_plan(replace(bundle, plan=replace(bundle.plan, sample=sample)), TODAY)
    assert tried.short.startswith("protected load is lost in 2.0% of months of 1,000 fresh scenarios, 0.14 h a month")
    own = of_plan(replace(bundle, plan=replace(bundle.plan, sample=None)), TODAY)
    assert own.short.startswith("the peak passes all capacity in 0% of the plan's demand scenarios")
    pools = tuple(replace(one, steady_replicas=0, failure_replicas=0) for one in bundle.plan.pools)
    less = of_plan(replace(bundle, plan=replace(bundle.plan, sample=None, pools=pools)), TODAY)
    assert "passes all capacity in 100%" in less.short
    assert {one.kind for one in own.ages} == {"GPU prices", "request mixes", "GPU figures", "cost assumptions"}


def test_what_an_api_may_take_is_no_shortfall_and_what_is_beyond_its_limit_is() -> None:
    bundle = steps.bundle(small_made())
    series = bundle.problem.demand.series
    pools = tuple(replace(one, steady_replicas=0, failure_replicas=0) for one in bundle.plan.pools)
    peak = float(bundle.problem.demand.rps[:, :, 0, :].sum(axis=0).max())

    def risk(limit: float, name: str = series[0].request_class) -> tuple[float, float]:
        api = {(series[0].llm, name): ApiOffer(0.001, limit)}
        given = replace(bundle, problem=replace(bundle.problem, api=api), plan=replace(bundle.plan, pools=pools))
        return shortfall_risk(given)

    assert risk(math.inf) == risk(1.01 * peak) == (0.0, 0.0)
    assert risk(math.inf, "another class") == risk(0.0) == (1.0, 1.0)
    # The largest scenario alone passes a limit just below it.
    largest = float(bundle.problem.demand.probabilities[-1])
    assert risk(0.999 * peak) == (largest, largest)
