"""`fleetcast autoscale`: how every pool of a plan, or one configuration, is scaled, and where reacting is too late."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from configs.errors import InputError
from configs.loading import LoadedScenario, load_scenario
from data.ingest import load_history
from data.load_traces import Load
from data.plain import configuration_of
from data.records import Configuration
from data.scaling_records import PoolScaling
from flows.progress import report
from flows.scaling_loads import read_traces
from flows.scaling_pool import scale_pool
from flows.scaling_pools import PoolAsk, one_pool, pools_of, read_plan, standing_by, unscaled
from flows.scaling_replica import Replica, replica


@dataclass(frozen=True, slots=True)
class Autoscaled:
    """The pools that scale, and those that do not, with the reason."""

    pools: tuple[PoolScaling, ...]
    unscaled: tuple[str, ...] = ()


def autoscale_run(run: Path, config: str | None, traces: Sequence[Path], data_folder: Path | None = None) -> Autoscaled:
    """Every pool of a run folder that carries load. config: the scenario, where the one in the folder names files
    relative to a place that it is no longer in. Raises InputError for what cannot be read."""
    plan = read_plan(run)
    kept = run / "scenario.yaml"
    loaded = load_scenario(config if config is not None else str(kept))
    demand = run / "demand.parquet"
    scenarios = pd.read_parquet(demand) if demand.is_file() else None
    asks = pools_of(plan, loaded.scenario.autoscaling.max_replicas, scenarios)
    left = unscaled(standing_by(plan))
    if not asks and not left:
        raise InputError(str(run), "a plan with pools", "none", "See `plan.json`, status.")
    pools = _scale(loaded, asks, read_traces(loaded, traces), data_folder, _company(run / "capacity.parquet"))
    return Autoscaled(pools, left)


def _company(path: Path) -> dict[tuple[Configuration, str], int]:
    """Replicas of the pool that a configuration's capacity for a class counts on, by a run's file; nothing of a run
    that has none or is older than such pools."""
    frame = pd.read_parquet(path) if path.is_file() else pd.DataFrame()
    if "pool_replicas" not in frame:
        return {}
    return {
        (configuration_of({str(name): value for name, value in raw.items()}), str(raw["request_class"])): int(
            raw["pool_replicas"]
        )
        for raw in frame[frame["excuse"].isna()].to_dict("records")
    }


def autoscale_one(
    config: str | None,
    one: Configuration,
    classes: Sequence[str],
    peak_rps: float,
    traces: Sequence[Path],
    data_folder: Path | None = None,
) -> Autoscaled:
    """One configuration under classes of a scenario at a peak."""
    loaded = load_scenario(config)
    history = load_history(loaded.scenario.traffic, loaded.base, data_folder, loaded.scenario.seed)
    known = replica(loaded, history, one, classes)
    report("choosing how the pool scales")
    ask = one_pool(loaded.scenario, known.capacity.configuration, classes, peak_rps, known.facts.operating_rps)
    return Autoscaled((scale_pool(loaded.scenario, history, ask, known, read_traces(loaded, traces)),))


def _scale(
    loaded: LoadedScenario,
    asks: Sequence[PoolAsk],
    traces: Sequence[Load],
    data_folder: Path | None,
    together: Mapping[tuple[Configuration, str], int],
) -> tuple[PoolScaling, ...]:
    history = load_history(loaded.scenario.traffic, loaded.base, data_folder, loaded.scenario.seed)
    curves: dict[tuple[Configuration, tuple[str, ...]], Replica] = {}
    found = []
    report("choosing how pools scale")
    for number, ask in enumerate(asks, start=1):
        report(f"  pool {number} of {len(asks)}: {ask.configuration.label} in {ask.region}")
        key = (ask.configuration, ask.request_classes)
        if key not in curves:
            many = min((together.get((ask.configuration, name), 1) for name in ask.request_classes), default=1)
            curves[key] = replica(loaded, history, ask.configuration, ask.request_classes, many)
        found.append(scale_pool(loaded.scenario, history, ask, curves[key], traces))
    return tuple(found)
