"""The steps of a plan as plain functions: everything the flow does, testable without Prefect."""

from __future__ import annotations

import shutil
from dataclasses import dataclass, replace
from datetime import datetime
from pathlib import Path
from typing import Any

import pandas as pd

from configs.loading import LoadedScenario
from configs.schema import Scenario
from configs.traffic import Synthetic
from cost.focus import focus_rows, write_focus
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.forecast_records import Forecast
from data.frames import KEYS
from data.history import TrafficHistory
from data.ingest import load_history
from data.plan_records import FleetPlan, FleetProblem, LastPool
from data.records import CapacityTable
from data.replay_records import Replay
from data.slo import slo_target
from data.units import SECONDS_PER_HOUR
from data.workload import describe
from flows import provenance
from flows.check_plan import check as check_plan
from flows.costs import full_cost
from flows.lengths import at_forecast_lengths
from flows.memory import memory_of
from flows.problem import fleet_problem
from flows.progress import Stopwatch, report
from forecast import portfolio
from forecast.parallel import Spread
from forecast.tenants import tenant_forecasts
from models import evaluate as kernels
from models.corrections import passed_over
from models.service import simulated
from optimizer.sample import sample_check
from optimizer.solve import solve
from reports.bundle import PlanBundle
from reports.write import write_run_files

FRESH_SERIES = 100
"""Most series for which a plan is tried on fresh scenarios: thousands of paths of each are drawn and kept meanwhile."""


@dataclass(frozen=True, slots=True)
class Made:
    """Everything one run has made, before it is written."""

    loaded: LoadedScenario
    history: TrafficHistory
    forecast: Forecast
    capacity: CapacityTable
    problem: FleetProblem
    plan: FleetPlan
    replay: Replay
    watch: Stopwatch
    begun: datetime


@dataclass(frozen=True, slots=True)
class Planned:
    """A plan, the question it answers, and the capacities it was made with."""

    capacity: CapacityTable
    problem: FleetProblem
    plan: FleetPlan


@dataclass(frozen=True, slots=True)
class Finished:
    """A written run: its folder and what it says."""

    folder: Path
    bundle: PlanBundle


def ingest(loaded: LoadedScenario, data_folder: Path | None) -> TrafficHistory:
    """The traffic history of a scenario."""
    scenario = loaded.scenario
    return load_history(scenario.traffic, loaded.base, data_folder, scenario.seed)


def forecast(scenario: Scenario, history: TrafficHistory, spread: Spread | None = None) -> Forecast:
    """Quantiles and demand scenarios; `spread` prepares series elsewhere."""
    few = len(history.frame.groupby(KEYS)) <= FRESH_SERIES
    fresh = scenario.plan.fresh_scenarios if few else 0
    found = portfolio.forecast(history, scenario.forecast, scenario.seed, report, fresh, spread=spread)
    return replace(found, tenants=tenant_forecasts(history.tenants, found.series, scenario.seed))


def evaluate(scenario: Scenario, history: TrafficHistory, base: Path = Path()) -> CapacityTable:
    """Capacity of every configuration for every class: simulated where there is traffic, estimated elsewhere (LLMs
    that have no traffic of a class are evaluated with its lengths too, so that the table answers what another LLM
    would take). Calibration files of the policy start at `base`."""
    policy = scenario.evaluate
    classes = scenario.traffic.classes
    slos = {name: slo_target(one.slo) for name, one in classes.items()}
    by_class = {name: sample for (_, name), sample in history.lengths.items()}
    lengths = {
        (find_llm(llm).name, name): history.lengths.get((llm, name), sample)
        for llm in policy.llms
        for name, sample in by_class.items()
    }
    llms = [find_llm(name) for name in policy.llms]
    gpus = [find_gpu(name) for name in policy.gpus]
    engine = find_engine(policy.engine)
    coefficients = load_coefficients(calibration=calibration_files(scenario, base))
    table = kernels.evaluate(llms, gpus, engine, coefficients, policy, lengths, slos)
    for text in passed_over(coefficients.corrections, (row.configuration for row in table.rows)):
        report(f"  {text}")
    report("  simulating what can serve")
    return simulated(
        table,
        {(find_llm(one.llm).name, one.request_class) for one in scenario.traffic.series},
        {llm.name: llm for llm in llms},
        {gpu.name: gpu for gpu in gpus},
        engine,
        coefficients,
        lengths,
        policy.operating_point,
        seed=scenario.seed,
        cv=policy.arrival_cv,
        pool_rps=smallest_pool_rps(history),
        routing=policy.routing,
    )


def smallest_pool_rps(history: TrafficHistory) -> dict[tuple[str, str], float]:
    """Requests/s in a busy hour (p95) of the last four weeks, by LLM and class, of the region that asks least: its pool
    is the smallest, and rates are of a configuration wherever it stands."""
    frame = history.frame
    last = frame[frame["ts"] > frame["ts"].max() - pd.Timedelta(weeks=4)]
    # An LLM may go by several names.
    known = last.assign(llm=last["llm"].map({name: find_llm(name).name for name in last["llm"].unique()}))
    hourly = known.groupby(["llm", "request_class", "region", "ts"])["requests"].sum(min_count=1)
    busy = hourly.groupby(level=["llm", "request_class", "region"]).quantile(0.95) / SECONDS_PER_HOUR
    least = busy.groupby(level=["llm", "request_class"]).min().dropna()
    return {(str(llm), str(name)): float(rps) for (llm, name), rps in least.items()}


def optimize(
    scenario: Scenario, demand: Forecast, capacity: CapacityTable, last: tuple[LastPool, ...] = ()
) -> tuple[FleetProblem, FleetPlan]:
    """The fleet problem and its plan; the search starts from the pools of the last plan, where given."""
    problem = replace(fleet_problem(scenario, demand, capacity), last=last)
    return problem, solve(problem, report)


def calibration_files(scenario: Scenario, base: Path) -> tuple[Path, ...]:
    """The calibration files that a scenario in the folder `base` names."""
    return tuple(base / name for name in scenario.evaluate.calibration)


def catalogs(loaded: LoadedScenario) -> dict[str, str]:
    """SHA-256 of every catalog file and of the calibration files that the scenario names."""
    files = zip(loaded.scenario.evaluate.calibration, calibration_files(loaded.scenario, loaded.base), strict=True)
    return provenance.catalog_hashes() | {f"calibration/{name}": provenance.file_sha256(path) for name, path in files}


def check(
    scenario: Scenario, history: TrafficHistory, demand: Forecast, planned: Planned, base: Path = Path()
) -> tuple[Planned, Replay]:
    """The plan replayed with the same calibration, and planned again where a pool misses its SLO."""
    coefficients = load_coefficients(calibration=calibration_files(scenario, base))
    capacity, problem, plan, replayed = check_plan(
        scenario, history, demand, planned.capacity, planned.problem, planned.plan, coefficients
    )
    if demand.fresh is not None:
        report(f"  trying the plan in {len(demand.fresh.probabilities):,} fresh scenarios")
        plan = replace(plan, sample=sample_check(problem, plan, demand.fresh))
    return Planned(capacity, problem, plan), replayed


def run_fingerprint(made: Made) -> str:
    """Equal for equal scenario, inputs, catalogs and versions; part of the run folder's name."""
    inputs = dict(made.history.inputs) | catalogs(made.loaded)
    return provenance.fingerprint(
        made.loaded.scenario.model_dump(mode="json", exclude={"compute"}), inputs, provenance.versions()
    )


def bundle(made: Made) -> PlanBundle:
    """What the reports are made from."""
    scenario = made.loaded.scenario
    coefficients = load_coefficients(calibration=calibration_files(scenario, made.loaded.base))
    series = scenario.traffic.series
    record: dict[str, Any] = {
        "fingerprint": run_fingerprint(made),
        "scenario_file": made.loaded.file.name,
        "scenario_sha256": provenance.file_sha256(made.loaded.file),
        "inputs": dict(made.history.inputs),
        "catalogs": catalogs(made.loaded),
        "versions": provenance.versions(),
        "seed": scenario.seed,
        "device": made.capacity.device,
        "begun": made.begun.isoformat(timespec="seconds"),
        "seconds": {name: round(value, 3) for name, value in made.watch.seconds.items()}
        | {"plan.build": round(made.plan.stats.build_s, 3), "plan.solve": round(made.plan.stats.solve_s, 3)},
    }
    return PlanBundle(
        name=scenario.name,
        description=scenario.description,
        seed=scenario.seed,
        synthetic=any(isinstance(one.source, Synthetic) for one in series),
        history=made.history,
        workload=describe(made.history),
        # Fresh scenarios were tried, and are drawn again from the seed.
        forecast=replace(made.forecast, fresh=None),
        capacity=made.capacity,
        problem=made.problem,
        plan=made.plan,
        replay=made.replay,
        costs=full_cost(
            scenario,
            made.problem,
            made.plan,
            made.capacity,
            at_forecast_lengths(made.history, made.forecast).lengths,
            coefficients,
        ),
        volume_multipliers={
            f"{one.llm}/{one.request_class}": one.volume_multiplier for one in series if one.volume_multiplier != 1.0
        },
        provenance=record,
        scenario=scenario,
        memory=memory_of(scenario, made.history, made.plan, coefficients),
        calibration=coefficients.corrections,
    )


def write(made: Made, folder: Path, whole: PlanBundle | None = None) -> PlanBundle:
    """All files of the run, and the scenario as it was given; whole: the bundle where it is made already."""
    whole = whole or bundle(made)
    write_run_files(whole, folder)
    write_focus(focus_rows(whole.costs.lines, whole.name), folder)
    shutil.copyfile(made.loaded.file, folder / "scenario.yaml")
    return whole
