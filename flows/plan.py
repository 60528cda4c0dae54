"""The monthly plan as a Prefect flow: a handful of tasks over plain functions (flows/steps.py)."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import TypeVar, cast

from prefect import flow, task
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from configs.loading import load_scenario
from flows import steps
from flows.corrections import in_force
from flows.ledger import open_ledger, record_plan, since_the_last, unique_id
from flows.lengths import at_forecast_lengths
from flows.progress import Stopwatch, report
from flows.run_folder import whole_folder

# No result is cached: a cache key over task source alone goes stale when domain code changes, and every step is
# recomputed in seconds.
_task = task(cache_policy=NO_CACHE, persist_result=False, log_prints=False)

ingest_task = _task(steps.ingest)
forecast_task = _task(steps.forecast)
evaluate_task = _task(steps.evaluate)
optimize_task = _task(steps.optimize)
check_task = _task(steps.check)
write_task = _task(steps.write)


T = TypeVar("T")


def opaque(value: T) -> T:
    """The value, quoted: Prefect hands it on without walking through frames and records to look for futures."""
    return cast(T, quote(value))


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
    watch = Stopwatch()
    loaded = load_scenario(config)
    where = None if data_folder is None else Path(data_folder)
    begun = datetime.now(UTC)
    # Opened first: a ledger that cannot be used is told before minutes of work, not after.
    ledger = open_ledger()
    corrections = in_force(ledger, loaded.scenario.name)

    report("reading traffic")
    with watch.step("ingest"):
        observed = ingest_task(opaque(loaded), where)
        history = corrections.history(observed)
    report("forecasting demand")
    with watch.step("forecast"):
        demand = corrections.forecast(forecast_task(opaque(loaded.scenario), opaque(history)))
    report("evaluating configurations")
    with watch.step("evaluate"):
        # Capacity is for the lengths that are coming, not for those that were.
        ahead = at_forecast_lengths(history, demand)
        capacity = corrections.capacity(evaluate_task(opaque(loaded.scenario), opaque(ahead), loaded.base))
    report("planning the fleet")
    with watch.step("plan"):
        problem, plan = optimize_task(opaque(loaded.scenario), opaque(demand), opaque(capacity))
    report("replaying the plan")
    with watch.step("replay"):
        planned = steps.Planned(capacity, problem, plan)
        planned, replayed = check_task(
            opaque(loaded.scenario), opaque(ahead), opaque(demand), opaque(planned), loaded.base
        )
    report("writing the report")
    made = steps.Made(loaded, history, demand, planned.capacity, planned.problem, planned.plan, replayed, watch, begun)
    final = Path(out) / unique_id(f"{loaded.scenario.name}-{begun:%Y%m%dT%H%M%SZ}-{steps.run_fingerprint(made)}")
    with whole_folder(final) as scratch:
        bundle = since_the_last(ledger, steps.bundle(made), corrections)
        write_task(opaque(made), scratch, opaque(bundle))
        # Before the folder gets its name: a run folder that can be seen is one that the ledger knows.
        record_plan(ledger, made, bundle, scratch, final.name, observed)
    return steps.Finished(final, bundle)
