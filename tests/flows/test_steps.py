"""The pipeline end to end by its plain functions, on the embedded default."""

from __future__ import annotations

import asyncio
import json

import pytest
from prefect.client.schemas.objects import State, StateType

from configs.loading import load_scenario
from flows import steps
from flows.changes import pools_in
from flows.plan import may_pass
from reports.machine import plan_json
from tests.flows.small import make, small_made


def test_the_same_inputs_give_the_same_bytes() -> None:
    one = small_made()
    two = make(one.loaded)
    assert plan_json(steps.bundle(one)) == plan_json(steps.bundle(two))


@pytest.mark.slow
def test_the_embedded_default_is_planned_and_serves_everything_it_promised() -> None:
    made = make(load_scenario(None))
    bundle = steps.bundle(made)
    assert not bundle.infeasible
    # Whether the gap asked for is reached within the time limit depends on the machine.
    assert made.plan.stats.status in ("optimal", "feasible")
    assert made.plan.stats.gap <= 0.05
    grid = {row.configuration for row in made.capacity.rows}
    assert len(grid) == 3 * 6 * 3 * 4
    demand, s = made.problem.demand, made.plan.design_scenario
    for m, month in enumerate(demand.months):
        carried: dict[str, float] = {}
        for pool in made.plan.pools:
            if pool.month == month:
                assert pool.failure_replicas == 1
                rate = pool.steady_replicas * pool.operating_rps_per_replica
                carried[pool.configuration.llm] = carried.get(pool.configuration.llm, 0.0) + rate
        for llm, rps in carried.items():
            wanted = sum(
                demand.rps[i, m, 0, s]
                for i, key in enumerate(demand.series)
                if key.llm == llm and made.problem.protected[key.request_class]
            )
            assert rps >= wanted - 1e-3
    for (region, gpu), limit in made.problem.quotas.items():
        for month in demand.months:
            used = sum(
                p.gpus for p in made.plan.pools if (p.region, p.configuration.gpu, p.month) == (region, gpu, month)
            )
            assert used <= limit
    assert set(bundle.provenance["versions"]) >= {"jax", "highspy", "pyomo", "statsmodels"}
    assert len(bundle.provenance["fingerprint"]) == 12


def test_a_search_can_start_from_a_written_plan() -> None:
    made = small_made()
    found = pools_in(json.loads(plan_json(steps.bundle(made))))
    assert {(one.configuration, one.region, one.month) for one in found} == {
        (pool.configuration, pool.region, pool.month) for pool in made.plan.pools
    }


@pytest.mark.parametrize(("error", "again"), [(ConnectionResetError("share"), True), (ValueError("wrong"), False)])
def test_only_what_may_be_there_a_moment_later_is_tried_again(error: Exception, again: bool) -> None:
    failed = State[None](type=StateType.FAILED, data=error)
    assert asyncio.run(may_pass(None, None, failed)) is again
