"""Lines are the plan's cash and more, and belong to someone to the last cent."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from configs.costs import CostPolicy
from configs.slo import SuccessCriterion
from cost.attribution import attribute, bottleneck, shares
from cost.report import cost_report
from cost.services import cash_of
from data.cost_records import IDLE, CostReport, ResourceUse, UnitCost, Work
from data.costs import assumed, load_costs
from data.plan_records import Pool
from data.records import Configuration, SeriesKey, SloTarget, Source
from tests.cost.factory import Fleet, fleet

SLO = SloTarget(1.0, 0.05, 95.0)
POLICY = CostPolicy.model_validate(
    {
        "tenants": {"class-0": {"a": 0.3, "b": 0.3, "c": 0.4}},
        "products": {"class-1": "search"},
        "tools": {
            "class-0": [
                {"name": "web", "calls_per_request": 0.1, "usd_per_call": 0.01, "source": "test", "as_of": "2026-11"}
            ]
        },
    }
)


def report(
    one: Fleet, policy: CostPolicy = POLICY, slo: SloTarget = SLO, criterion: SuccessCriterion = "within_slo"
) -> CostReport:
    slos = dict.fromkeys((key.request_class for key in one.problem.demand.series), slo)
    success = dict.fromkeys(slos, criterion)
    weights = {use.configuration: 16e9 for use in one.uses}
    return cost_report(
        one.problem, one.plan, policy, one.work, one.uses, weights, {"H100-SXM": 700.0, "L40S": 350.0}, slos, success
    )


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**31 - 1))
def test_attribution_sums_to_the_bill_and_the_bill_holds_the_cash(seed: int) -> None:
    one = fleet(seed)
    made = report(one)
    for cost in one.plan.costs:
        assert cash_of(made.lines, cost.month) == pytest.approx(cost.cash_usd, rel=1e-9, abs=1e-9)
        bill = math.fsum(line.usd for line in made.lines if line.month == cost.month)
        owned = math.fsum(share.usd for share in made.attribution if share.month == cost.month)
        assert abs(owned - bill) <= 1e-9 * max(abs(bill), 1.0)
        idle = math.fsum(line.usd for line in made.lines if line.month == cost.month and line.purpose == IDLE)
        assert math.fsum(s.idle_usd for s in made.attribution if s.month == cost.month) == pytest.approx(idle, abs=1e-6)
    assert all(line.usd > 0 for line in made.lines)
    placed = [line for line in made.lines if line.item in ("pool start", "provider API")]
    assert len(placed) == len(one.plan.placed)
    assert {line.region for line in placed} <= set(one.problem.regions)


def test_what_no_place_is_known_of_is_a_line_of_all_regions() -> None:
    one = fleet(11)
    lost = replace(one, plan=replace(one.plan, placed=()))
    mine, theirs = report(lost), report(one)
    assert mine.usd == pytest.approx(theirs.usd, rel=1e-12)
    assert {x.region for x in mine.lines if x.item in ("pool start", "provider API")} == {"all regions"}


def test_expected_idle_is_the_plans() -> None:
    for seed in range(40):
        one = fleet(seed)
        if one.problem.held or not any(p.term_months for p in one.plan.purchases):
            continue
        made = report(one)
        for cost in one.plan.costs:
            idle = math.fsum(x.usd for x in made.lines if x.month == cost.month and x.purpose == IDLE)
            assert idle >= cost.idle_usd * (1 - 1e-9) or idle == pytest.approx(cost.committed_usd)


def test_every_reserve_idle_and_waste_is_a_line_of_its_own() -> None:
    made = report(fleet(11))
    purposes = {line.purpose for line in made.lines if line.item == "compute"}
    assert {
        "steady",
        "idle",
        "failed and retried",
        "failure (N+k)",
        "rollout",
        "canary",
        "warm",
        "zone",
        "region",
    } <= purposes
    items = {line.item for line in made.lines}
    assert items >= {
        "compute", "power and cooling", "storage", "network", "tool API", "observability", "evaluation", "engineering",
        "provider API",
    }  # fmt: skip
    assert all(
        line.source.as_of and line.region and line.currency == "USD" and line.amortisation for line in made.lines
    )


CHEAP = Configuration("m", "H100-SXM", "bf16", "bf16", 1, "vllm")


def _pool(replicas: int = 2) -> Pool:
    return Pool(CHEAP, "east", "2026-11", replicas, 0, 0, 1.0, 1.0)


def test_shares_follow_the_bottleneck_not_the_count() -> None:
    # Equal request counts. Out of compute: 0.3 against 0.1 s. Out of KV cache: 100 against 900 token-seconds.
    long, short = SeriesKey("m", "long", "east"), SeriesKey("m", "short", "east")
    work = (Work(long, "2026-11", 1000.0, 1, 1), Work(short, "2026-11", 1000.0, 1, 1))
    compute = (ResourceUse(CHEAP, "long", 0.2, 0.1, 100.0, 1e6), ResourceUse(CHEAP, "short", 0.05, 0.05, 900.0, 1e6))
    cache = tuple(replace(use, kv_capacity_tokens=1e2) for use in compute)
    for uses, wanted in ((compute, 0.75), (cache, 0.1)):
        by = {(use.configuration, use.request_class): use for use in uses}
        found = shares([_pool()], work, by, {"east": ("east",)})
        assert found["2026-11", "east", "H100-SXM", "m"]["m", "long"] == pytest.approx(wanted)
    assert bottleneck([(1.0, compute[0])]) == "compute"
    assert bottleneck([(1.0, cache[0])]) == "kv_cache"


@pytest.mark.parametrize(
    ("criterion", "slo", "share", "words"),
    [
        ("within_slo", SLO, 0.95, "counted at p95"),
        ("within_slo", replace(SLO, ttft_percentile=99.0, tpot_percentile=90.0), 0.90, "counted at p90"),
        ("within_slo", replace(SLO, e2e_percentile=50.0), 0.95, "counted at p95"),
        ("answered", SLO, 1.0, "answered, however late"),
        ("first_token", SLO, 1.0, "a first token, however late"),
    ],
)
def test_a_successful_task_is_counted_by_the_classs_own_criterion(
    criterion: SuccessCriterion, slo: SloTarget, share: float, words: str
) -> None:
    """A task costs what a request does over the share of requests that succeed; failures never do."""
    made = report(fleet(11), slo=slo, criterion=criterion)
    failed = load_costs().assumptions["failed_share"].value
    by_unit = {(one.request_class, one.unit): one for one in made.units}
    assert by_unit
    for (name, unit), one in by_unit.items():
        assert words in one.success_criterion
        if unit == "a successful task":
            assert one.usd == pytest.approx(by_unit[name, "a request"].usd / (share * (1.0 - failed)))


def test_a_reserve_is_shared_by_its_pool_and_a_tenant_pays_its_share() -> None:
    one = fleet(11)
    made = report(one)
    tenants = [s for s in made.attribution if s.request_class == "class-0"]
    assert {s.tenant for s in tenants} == {"a", "b", "c"}
    a, c = (math.fsum(s.usd for s in tenants if s.tenant == name) for name in "ac")
    assert c / a == pytest.approx(4 / 3)
    lone = replace(one.plan, pools=())
    nobody = attribute(made.lines, lone.pools, (), (), {}, CostPolicy())
    assert math.fsum(s.usd for s in nobody) == pytest.approx(made.usd)


@pytest.mark.parametrize("missing", ["as_of", "region", "llm", "success_criterion"])
def test_a_unit_cost_does_not_exist_without_its_context(missing: str) -> None:
    whole = {
        "unit": "a request", "usd": 1e-4, "as_of": "2026-11", "region": "east", "llm": "m", "units": 10.0,
        "success_criterion": "answered", "request_class": "chat", "period": "2026-11",
    }  # fmt: skip
    text = str(UnitCost(**whole))  # type: ignore[arg-type]
    assert all(str(whole[name]) in text for name in ("as_of", "region", "llm", "success_criterion"))
    for nothing in ("", "  ", None):
        with pytest.raises(ValueError, match=missing):
            UnitCost(**whole | {missing: nothing})  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="names no year"):
        UnitCost(**whole | {"as_of": "declared"})  # type: ignore[arg-type]
    with pytest.raises(TypeError):
        UnitCost(**{k: v for k, v in whole.items() if k != missing})  # type: ignore[arg-type]


def test_unit_costs_of_a_fleet_bought_at_declared_prices_alone_are_dated() -> None:
    one = fleet(11)
    declared = Source("contract", "declared")
    offers = tuple(replace(offer, source=declared) for offer in one.problem.offers)
    made = report(replace(one, problem=replace(one.problem, offers=offers)))
    assert {unit.as_of for unit in made.units} == {f"{one.plan.costs[0].month} (declared)"}


def test_unit_costs_multiply_back_to_the_bill() -> None:
    one = fleet(11)
    made = report(one)
    requests = [u for u in made.units if u.unit == "a request"]
    served = {(u.llm, u.request_class) for u in requests}
    owned = math.fsum(s.usd for s in made.attribution if (s.llm, s.request_class) in served)
    assert math.fsum(u.usd * u.units for u in requests) == pytest.approx(owned)
    for u in requests:
        tokens = [x for x in made.units if (x.llm, x.request_class) == (u.llm, u.request_class) and "tokens" in x.unit]
        assert not tokens or math.fsum(x.usd * x.units for x in tokens) == pytest.approx(u.usd * u.units)
        success = next(
            x for x in made.units if (x.llm, x.request_class) == (u.llm, u.request_class) and "success" in x.unit
        )
        assert success.usd == pytest.approx(u.usd / (0.95 * 0.995))


def test_assumptions_are_dated_and_replaceable() -> None:
    catalog = load_costs()
    assert all(one.source and one.as_of for one in catalog.assumptions.values())
    mine = CostPolicy.model_validate(
        {"assumptions": {"network_usd_per_gb": {"value": 0.02, "source": "contract", "as_of": "2026-10-01"}}}
    )
    value, unit, source = assumed(mine)["network_usd_per_gb"]
    assert (value, unit, source.as_of) == (0.02, "USD/GB", "2026-10-01")
    assert "scenario" in source.citation
