"""The steps of a plan as plain functions: everything the flow does, testable without Prefect."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from configs.loading import LoadedScenario
from configs.schema import Scenario
from data.catalog import find_engine, find_gpu, find_llm
from data.forecast_records import Forecast
from data.history import TrafficHistory
from data.ingest import load_history
from data.plan_records import FleetPlan, FleetProblem
from data.records import CapacityTable, SloTarget
from data.workload import describe
from flows.problem import fleet_problem
from flows.progress import Stopwatch, report
from flows.provenance import catalog_hashes, file_sha256, fingerprint, versions
from forecast.portfolio import forecast as forecast_demand
from models.evaluate import evaluate as evaluate_capacity
from optimizer.solve import solve
from reports.bundle import PlanBundle
from reports.write import write_run_files


@dataclass(frozen=True, slots=True)
class Made:
    """Everything one run has made, before it is written."""

    loaded: LoadedScenario
    history: TrafficHistory
    forecast: Forecast
    capacity: CapacityTable
    problem: FleetProblem
    plan: FleetPlan
    watch: Stopwatch
    begun: datetime


@dataclass(frozen=True, slots=True)
class Finished:
    """A written run: its folder and what the command line shows of it."""

    folder: Path
    bundle: PlanBundle

    @property
    def infeasible(self) -> bool:
        """Whether no plan exists that serves every protected class."""
        problem, plan = self.bundle.problem, self.bundle.plan
        return plan.stats.status in ("infeasible", "no_solution", "error") or any(
            problem.protected[short.series.request_class] for short in plan.shortfalls
        )
