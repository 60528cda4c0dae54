"""Everything one run knows: what reports are made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from configs.catalog_schema import Correction
from configs.schema import Scenario
from data.cost_records import CostReport
from data.curve_records import ServiceCurve
from data.forecast_records import Forecast
from data.history import TrafficHistory
from data.memory_records import MemoryBreakdown
from data.plan_records import FleetPlan, FleetProblem
from data.records import CapacityTable
from data.replay_records import Replay
from data.scaling_records import PoolScaling
from data.sensitivity_records import Sensitivity
from data.workload import WorkloadStatistics


@dataclass(frozen=True, slots=True)
class Changes:
    """What a plan says otherwise than the one before it, and why; since is the run before, empty for a first plan."""

    since: str = ""
    lines: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PlanBundle:
    """One run, whole. provenance holds inputs, catalogs, versions, fingerprint (stable) and begun, seconds, device
    (not); volume_multipliers maps "LLM/class" to the declared scaling of its history."""

    name: str
    description: str
    seed: int
    synthetic: bool
    history: TrafficHistory
    workload: tuple[WorkloadStatistics, ...]
    forecast: Forecast
    capacity: CapacityTable
    problem: FleetProblem
    plan: FleetPlan
    replay: Replay
    costs: CostReport
    volume_multipliers: Mapping[str, float]
    provenance: Mapping[str, Any]
    scenario: Scenario
    memory: tuple[MemoryBreakdown, ...] = ()
    """Of every configuration in the plan, at the mean request."""
    curves: tuple[ServiceCurve, ...] = ()
    """Of the configurations with the most GPUs, for the classes mixed as on their largest pool."""
    calibration: tuple[Correction, ...] = ()
    """What the scenario's calibration files change about step times."""
    sensitivity: Sensitivity | None = None
    """How cost and risk move with the assumptions; None where there is no plan to move."""
    scaling: tuple[PoolScaling, ...] = ()
    """How every pool whose configuration has a curve is scaled."""
    unscaled: tuple[str, ...] = ()
    """Pools that were not scaled, with the reason."""
    changes: Changes = field(default_factory=Changes)
    reconciled: str = ""
    """When what was planned was last set against what happened; empty: never."""

    @property
    def unserved(self) -> tuple[str, ...]:
        """Names of protected series that are short in a scenario the plan promised to serve."""
        found = {str(s.series) for s in self.plan.shortfalls if self.problem.protected[s.series.request_class]}
        return tuple(sorted(found))

    @property
    def exposed(self) -> Mapping[str, tuple[str, ...]]:
        """Region -> names of protected series that its loss would leave short, though the plan promised to carry it."""
        found: dict[str, set[str]] = {}
        for one in self.plan.exposures:
            found.setdefault(one.lost_region, set()).add(str(one.series))
        return {region: tuple(sorted(names)) for region, names in sorted(found.items())}

    @property
    def broken(self) -> tuple[str, ...]:
        """Promises to protected series that the plan breaks, in words."""
        found = [f"{', '.join(self.unserved)} cannot be served in full"] if self.unserved else []
        found += [f"the loss of {lost} leaves {', '.join(names)} short" for lost, names in self.exposed.items()]
        return tuple(found)

    @property
    def infeasible(self) -> bool:
        """Whether no plan was found, or one that breaks a promise to protected series: to serve their demand, or to
        carry it when a region is lost."""
        return self.plan.stats.status not in ("optimal", "feasible") or bool(self.broken)
