"""A renumbered matrix is that of a declaration of its own, and plans found with it are those found without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pytest

from configs.sensitivity import SensitivityPolicy, Spread
from cost.fixed_fleet import fixed_fleet
from data.plan_records import ApiOffer, Facility, FleetProblem, Reserves, VolumeTier, lead_months
from data.records import Offer
from data.spreads import spreads
from flows import resolve
from flows.resolve import WORTH, planner
from flows.switching import Side, differs, search
from flows.worlds import World, changed, worlds_at
from optimizer.again import Replanned, in_step, replan, stencil
from optimizer.blocks import thinned
from optimizer.merge import merge
from optimizer.renumber import renumbered, same_as_declared
from optimizer.solve import solve
from tests.optimizer.factory import HERE
from tests.optimizer.test_strategy import drawn

BASE = {
    "volume": 1.0, "growth": 0.0, "output_length": 1.0, "cache_hit": 0.0, "llm_mix": 0.0, "quality_routing": 0.0,
    "goodput": 1.0, "prices": 1.0, "spot_availability": 0.9, "lead_time": 0.0,
}  # fmt: skip


def world(problem: FleetProblem, seed: int, **fixed: float) -> FleetProblem:
    """A random world of a problem, every variable away from its base."""
    rng = np.random.default_rng(seed)
    values = BASE | {
        "volume": float(rng.uniform(0.6, 1.7)), "growth": float(rng.uniform(-0.03, 0.05)),
        "goodput": float(rng.uniform(0.7, 1.2)), "prices": float(rng.uniform(0.7, 1.4)),
        "spot_availability": float(rng.uniform(0.5, 0.99)), "lead_time": float(rng.integers(0, 3)),
        "llm_mix": float(rng.uniform(-0.3, 0.3)),
    } | fixed  # fmt: skip
    llms = sorted({key.llm for key in problem.demand.series})
    slow = {
        (row.configuration.llm, row.request_class): float(rng.uniform(0.7, 1.6)) / values["goodput"]
        for row in sorted(problem.capacities, key=lambda row: (row.configuration, row.request_class))
    }
    return changed(problem, World(values, slow, (llms[0], llms[-1]) if len(llms) > 1 else None))


def with_spot(problem: FleetProblem) -> FleetProblem:
    """Spot offers beside every one on demand, and an API for every class."""
    spot = tuple(
        Offer(o.region, o.gpu, "spot", o.usd_per_gpu_h * 0.4, 0, o.provider, o.provider_region, HERE)
        for o in problem.offers
        if o.option == "on_demand"
    )
    api = {(key.llm, key.request_class): ApiOffer(0.01, 20.0) for key in problem.demand.series}
    return replace(problem, offers=problem.offers + spot, api=api, spot_share_max=0.4, spot_interrupted_share=0.1)


RULES: Mapping[str, Mapping[str, object]] = {
    "plain": {},
    "N+1, tail": {"cvar_weight": 0.3},
    "budget": {"budget_usd_per_month": 4e5, "on_demand_share_min": 0.1},
    "reserves": {
        "reserves": Reserves(
            canary_share=0.1, maintenance_share=0.1, warm_share=0.05, zone_loss=True, region_loss=True
        ),
        "rollout_surge": 0.1,
    },
    "sites, churn, lots": {
        "facilities": {"r": Facility(9000.0, 1.3, {"A": 700.0, "B": 450.0}, 2.0, 16)},
        "churn_gpus_max": 9, "churn_usd_per_gpu": 40.0, "minimum_gpus": {"reserved_1y": 3},
        "volume_tiers": (VolumeTier("reserved_1y", 6, 0.1), VolumeTier("reserved_1y", 10, 0.2)),
        "commitment_lead_time_months": 1,
    },
    "nodes, lead time": {"whole_nodes": True, "commitment_lead_time_months": 1},
}  # fmt: skip


def test_an_offers_own_lead_time_moves_with_the_world() -> None:
    given = drawn(2, 3, 3, commitment_lead_time_months=1)
    terms = [one for one in given.offers if one.term_months]
    offers = tuple(replace(one, lead_time_months=2) if one is terms[0] else one for one in given.offers)
    given = replace(given, offers=offers)
    others = [world(given, i, lead_time=float(i)) for i in range(3)]
    at = next(i for i, one in enumerate(offers) if one.lead_time_months is not None)
    assert [lead_months(one, one.offers[at]) for one in others] == [2, 3, 4]
    ready = stencil(given, others)
    assert in_step(ready, given)
    assert all(in_step(ready, one) for one in others)


@pytest.mark.parametrize("rules", RULES)
@pytest.mark.parametrize("spot", [False, True])
def test_new_numbers_are_those_of_a_new_declaration(rules: str, spot: bool) -> None:
    for seed in range(3):
        given = drawn(seed, 3, 3, **RULES[rules])  # type: ignore[arg-type]
        given = with_spot(given) if spot else given
        others = [world(given, 10 * seed + i) for i in range(3)]
        ready = stencil(given, others)
        assert in_step(ready, given)
        assert all(in_step(ready, one) for one in others)


def test_wrong_numbers_are_noticed() -> None:
    given = drawn(1, 3, 3)
    other = world(given, 5)
    ready = stencil(given, [other])
    slim = thinned(merge(other)[0], list(ready.kept))
    _, matrix = renumbered(ready.known, slim)
    assert same_as_declared(ready.known, slim, matrix)
    for name in ("cost", "row_upper", "upper"):
        values = getattr(matrix, name).copy()
        at = np.flatnonzero(np.isfinite(values) & (values != 0))[0]
        values[at] *= 1.001
        assert not same_as_declared(ready.known, slim, replace(matrix, **{name: values}))
    A = matrix.A.copy()
    A.data[0] *= 1.001
    assert not same_as_declared(ready.known, slim, replace(matrix, A=A))


@pytest.mark.slow
def test_the_same_answer_as_from_a_new_declaration_and_as_the_long_search() -> None:
    worse = []
    for seed in range(4):
        given = drawn(seed, 3, 3)
        plan = solve(given)
        pools = frozenset(p for p in stencil(given).known.frame.sets.pools for q in plan.pools
                          if (p.region, p.configuration) == (q.region, q.configuration))  # fmt: skip
        others = [world(given, 10 * seed + i, lead_time=0.0) for i in range(3)]
        ready = stencil(given, others)
        for one in others:
            found, anew = replan(ready, one, pools), replan(stencil(one, [one, *others]), one, pools)
            assert found is not None
            assert anew is not None
            assert found.usd == pytest.approx(anew.usd, rel=0.02)
            assert found.bound_usd == pytest.approx(anew.bound_usd, rel=1e-6)
            proven = solve(replace(one, time_limit_s=20.0))
            assert found.bound_usd <= proven.stats.objective_usd * (1 + 1e-6)
            assert found.usd >= proven.stats.bound_usd * (1 - 1e-6)
            worse.append(found.usd / proven.stats.objective_usd - 1)
    assert np.median(worse) < 0.02
    assert max(worse) < 0.1


def test_commitments_that_are_kept_are_kept() -> None:
    given = drawn(2, 3, 3)
    plan = solve(given)
    ready = stencil(given)
    pools = {p for p in ready.known.frame.sets.pools for q in plan.pools
             if (p.region, p.configuration) == (q.region, q.configuration)}  # fmt: skip
    free = replan(ready, given, pools)
    assert free is not None
    held = replan(ready, given, free.pools, free.lots)
    more = replan(ready, given, free.pools, {(0, 0): 7})
    assert held is not None
    assert more is not None
    assert held.lots == free.lots
    assert held.usd == pytest.approx(free.usd, rel=0.02)
    assert more.lots == {(0, 0): 7}
    assert more.bound_usd >= free.bound_usd - 1e-6


def test_requests_that_change_their_llm_are_not_lost() -> None:
    given = drawn(3, 3, 3)
    other = changed(given, World(BASE | {"quality_routing": 0.25, "llm_mix": 0.2}, {}, ("m", "n")))
    hours = np.array([block.hours for block in given.demand.blocks])

    def volume(problem: FleetProblem, llm: str) -> float:
        mine = [k for k, key in enumerate(problem.demand.series) if key.llm == llm]
        return float(np.einsum("kmbs,b,s->", problem.demand.rps[mine], hours, problem.demand.probabilities))

    # A fifth chooses the other LLM; a quarter of the rest is sent there by the router.
    assert volume(other, "m") == pytest.approx(0.8 * 0.75 * volume(given, "m"))
    assert volume(other, "m") + volume(other, "n") == pytest.approx(volume(given, "m") + volume(given, "n"))
    nowhere = changed(given, World(BASE | {"quality_routing": 0.25}, {}, None))
    assert (nowhere.demand.rps == given.demand.rps).all()


def test_a_switch_is_where_the_decision_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    given = drawn(0, 2, 2)
    plan = solve(given)
    fleet = fixed_fleet(given, plan, {})
    wide = spreads(SensitivityPolicy()) | {"volume": Spread(low=0.2, base=1.0, high=4.0, source="test", as_of="2026")}
    values = [1.0 + 3.0 * i / 16 for i in range(17)]
    side = Side("volume", 1.0, 4.0, tuple(worlds_at(fleet, wide, [{"volume": value} for value in values])))
    mine = planner(given, plan, [side.steps[0], side.steps[-1]])
    assert mine.ready is not None
    monkeypatch.setattr(resolve, "_mine", [mine])
    base = mine.plan(side.steps[0])
    assert base is not None
    whole = search(map, [side], base)
    found = whole.switches
    # Four times the requests do not fit in the 12 GPUs of A that its quota allows.
    assert found
    assert whole.whole
    # Stopped after the end and one value between, the switch is known to half the way.
    (less, *_) = search(map, [side], base, most=5).switches
    assert abs(less.first_other - less.last_same) == pytest.approx(1.5)
    assert min(less.last_same, less.first_other) <= found[0].value <= max(less.last_same, less.first_other)

    def decided(value: float) -> Replanned:
        world = side.steps[values.index(value)]
        kept, anew = mine.plan(world, base.lots, base.pools), mine.plan(world)
        assert anew is not None
        return anew if kept is None or kept.usd - anew.usd > WORTH * anew.usd else base

    for one in found:
        assert not differs(base, decided(one.last_same), one.aspect)
        assert differs(base, decided(one.first_other), one.aspect)
        assert one.first_other - one.last_same == pytest.approx(3.0 / 16)
        assert one.keep_usd > 0.0
