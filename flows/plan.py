"""The monthly plan as a Prefect flow: a handful of tasks over plain functions (flows/steps.py)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from datetime import UTC, date, datetime
from functools import wraps
from pathlib import Path
from typing import Any, TypeVar

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State

from configs.loading import LoadedScenario, load_scenario
from configs.schema import Scenario
from data.curve_records import ServiceCurve
from data.forecast_records import Forecast
from data.history import TrafficHistory
from data.plan_records import FleetPlan, FleetProblem, LastPool
from data.records import CapacityTable
from data.replay_records import Replay
from data.scenario_names import check_names
from flows import steps
from flows.changes import last_pools
from flows.corrections import in_force
from flows.ledger import open_ledger, record_plan, since_the_last, unique_id
from flows.lengths import at_forecast_lengths
from flows.plan_scaling import with_scaling
from flows.pool_curves import curves_of
from flows.progress import Stopwatch, report
from flows.rebuilt import Rebuilt
from flows.run_folder import whole_folder
from flows.sensitivity import examine_run
from flows.spread import one_server, opaque, runner, series_on_cluster
from reports.bundle import PlanBundle

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Steps:
    """The steps of a plan: as plain functions, or as tasks that Prefect shows, times and counts."""

    ingest: Callable[[LoadedScenario, Path | None], TrafficHistory]
    forecast: Callable[[Scenario, TrafficHistory], Forecast]
    evaluate: Callable[[Scenario, TrafficHistory, Path], CapacityTable]
    optimize: Callable[[Scenario, Forecast, CapacityTable, tuple[LastPool, ...]], tuple[FleetProblem, FleetPlan]]
    check: Callable[[Scenario, TrafficHistory, Forecast, steps.Planned, Path], tuple[steps.Planned, Replay]]
    draw: Callable[[Scenario, TrafficHistory, steps.Planned, Path], tuple[ServiceCurve, ...]]
    write: Callable[[steps.Made, Path, PlanBundle], object]


async def may_pass(_task: object, _run: object, state: State[Any]) -> bool:
    """Whether a step failed of something outside that may come back."""
    return isinstance(await state.aresult(raise_on_failure=False), OSError)


def as_task(step: Callable[..., T], retries: int = 0) -> Callable[..., T]:
    """A step as a Prefect task. No result is cached: a cache key over task source alone goes stale when domain code
    changes, and every step is recomputed in seconds. Only what may be there a moment later is tried again (a file share
    or a network that is away): the rest would fail in the same way."""
    made = task(
        cache_policy=NO_CACHE,
        persist_result=False,
        log_prints=False,
        retries=retries,
        retry_delay_seconds=10,
        retry_condition_fn=may_pass,
    )(step)

    @wraps(step)
    def call(*given: Any) -> T:
        return made(*(opaque(one) for one in given))

    return call


PLAIN = Steps(steps.ingest, steps.forecast, steps.evaluate, steps.optimize, steps.check, curves_of, steps.write)
TASKS = Steps(as_task(PLAIN.ingest, retries=2), *(as_task(getattr(PLAIN, one.name)) for one in fields(Steps)[1:]))


@flow(name="fleetcast-plan", validate_parameters=False, persist_result=False)
def plan_flow(
    config: str | None = None,
    out: str = "runs",
    data_folder: str | None = None,
) -> steps.Finished:
    """Ingest, forecast, evaluate, plan and write one run folder below `out`.

    config: a scenario file, the name of an embedded scenario, or None for the default. data_folder: where public
    traces lie for machines without a network. Raises InputError on bad input; nothing is left behind then.
    """
    loaded = load_scenario(config)
    return plan_by(
        replace(TASKS, forecast=on_cluster) if loaded.scenario.compute.on == "dask" else TASKS, loaded, out, data_folder
    )


def on_cluster(scenario: Scenario, history: TrafficHistory) -> Forecast:
    """The forecast with its series prepared by the running flow's task runner."""
    return steps.forecast(scenario, history, series_on_cluster)


def plan_by(do: Steps, loaded: LoadedScenario, out: str, data_folder: str | None) -> steps.Finished:
    """A plan from its scenario to its run folder, recorded in the ledger, by these steps."""
    check_names(loaded.scenario)
    watch = Stopwatch()
    where = None if data_folder is None else Path(data_folder)
    begun = datetime.now(UTC)
    # Opened first: a ledger that cannot be used is told before minutes of work, not after.
    ledger = open_ledger()
    corrections = in_force(ledger, loaded.scenario.name)

    report("reading traffic")
    with watch.step("ingest"):
        observed = do.ingest(loaded, where)
        history = corrections.history(observed)
    report("forecasting demand")
    with watch.step("forecast"):
        demand = corrections.forecast(do.forecast(loaded.scenario, history))
    report("evaluating configurations")
    with watch.step("evaluate"):
        # Capacity is for the lengths that are coming, not for those that were.
        ahead = at_forecast_lengths(history, demand)
        capacity = corrections.capacity(do.evaluate(loaded.scenario, ahead, loaded.base))
    report("planning the fleet")
    with watch.step("plan"):
        last = last_pools(ledger, loaded.scenario.name) if loaded.scenario.plan.warm_start else ()
        problem, plan = do.optimize(loaded.scenario, demand, capacity, last)
    report("replaying the plan")
    with watch.step("replay"):
        planned = steps.Planned(capacity, problem, plan)
        planned, replayed = do.check(loaded.scenario, ahead, demand, planned, loaded.base)
    report("drawing service curves")
    with watch.step("curves"):
        curves = do.draw(loaded.scenario, ahead, planned, loaded.base)
    made = steps.Made(loaded, history, demand, planned.capacity, planned.problem, planned.plan, replayed, watch, begun)
    bundle = replace(steps.bundle(made), curves=curves)
    report("choosing how pools scale")
    bundle = with_scaling(bundle)
    report("writing the report")
    final = Path(out) / unique_id(f"{loaded.scenario.name}-{begun:%Y%m%dT%H%M%SZ}-{steps.run_fingerprint(made)}")
    with whole_folder(final) as scratch:
        bundle = since_the_last(ledger, with_sensitivity(bundle, begun.date()), corrections)
        do.write(made, scratch, bundle)
        # Before the folder gets its name: a run folder that can be seen is one that the ledger knows.
        record_plan(ledger, made, bundle, scratch, final.name, observed)
    return steps.Finished(final, bundle)


def with_sensitivity(bundle: PlanBundle, today: date) -> PlanBundle:
    """The bundle with its plan re-priced over draws of what it assumes; as it is where there is no plan."""
    if not bundle.plan.pools:
        return bundle
    run = Rebuilt(bundle.scenario, bundle.problem, bundle.plan, dict(bundle.costs.mixes))
    return replace(bundle, sensitivity=examine_run(run, today).answer)


def plan(config: str | None = None, out: str = "runs", data_folder: str | None = None) -> steps.Finished:
    """The flow, run where the scenario's `compute` says."""
    compute = load_scenario(config).scenario.compute
    if compute.on == "here":
        return plan_flow(config, out, data_folder)
    with one_server():
        return plan_flow.with_options(task_runner=runner(compute))(config, out, data_folder)
