"""One replica of a pool: its service curve under its classes, as the autoscaler needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from configs.errors import InputError
from configs.loading import LoadedScenario
from configs.schema import Scenario
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.curve_records import ServiceCurve
from data.history import TrafficHistory
from data.records import Capacity, Configuration
from data.scaling_records import ReplicaFacts, StartUp
from data.slo import slo_target
from flows.replica_curve import replica_curve, start_up
from models.autoscaler.facts import replica_facts
from models.evaluate import evaluate
from models.simulator.load import ClassLoad


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of a configuration under its classes: facts for the scaler, start-up, promise, method."""

    facts: ReplicaFacts
    start_up: StartUp
    promise: float
    capacity: Capacity
    method: str


def replica(
    loaded: LoadedScenario, history: TrafficHistory, one: Configuration, classes: Sequence[str], together: int = 1
) -> Replica:
    """The service curve of one of `together` replicas under its classes. Raises InputError where it cannot serve
    them."""
    scenario = loaded.scenario
    llm, gpu, engine = find_llm(one.llm), find_gpu(one.gpu), find_engine(one.engine)
    policy = scenario.evaluate.model_copy(
        update={
            "llms": (one.llm,),
            "gpus": (one.gpu,),
            "precisions": (one.precision,),
            "kv_precision": one.kv_precision,
            "tensor_parallel": (one.tensor_parallel,),
            "pipeline_parallel": (one.pipeline_parallel,),
            "expert_parallel": (one.expert_parallel > 1,),
            "attention_data_parallel": (one.attention_data_parallel,),
            "engine": one.engine,
            "max_num_seqs": one.max_num_seqs or None,
            "max_num_batched_tokens": one.max_num_batched_tokens or None,
        }
    )
    mix = _mix(scenario, history, one.llm, classes)
    coefficients = load_coefficients(calibration=tuple(loaded.base / name for name in policy.calibration))
    lengths = {(llm.name, part.name): part.lengths for part in mix}
    table = evaluate([llm], [gpu], engine, coefficients, policy, lengths, {part.name: part.slo for part in mix})
    excused = [row for row in table.rows if row.excuse is not None]
    if excused:
        raise InputError(one.label, "a configuration that serves its classes", str(excused[0].excuse), "See `size`.")
    rows = {row.request_class: replace(row, pool_replicas=together) for row in table.rows}
    curve = replica_curve(scenario, rows, mix, loaded.base)
    if curve is None:
        raise InputError(one.label, "a configuration that serves its classes", "the SLO breaks", "See `curve`.")
    return of_curve(scenario, history, curve, table.rows[0])


def of_curve(scenario: Scenario, history: TrafficHistory, curve: ServiceCurve, row: Capacity) -> Replica:
    """The replica of a service curve that is there already; row: its line of the capacity table."""
    samples = {name: history.lengths[curve.configuration.llm, name] for name in curve.shares}
    prompt = sum(
        share * float(np.average(samples[name].input_tokens, weights=samples[name].weight))
        for name, share in curve.shares.items()
    )
    policy = scenario.autoscaling
    promise = policy.attainment or min(min(slo.percentiles) for slo in curve.slos.values()) / 100.0
    method = f"{curve.method}, step time {curve.provenance}"
    return Replica(replica_facts(curve, prompt), start_up(policy, row), promise, row, method)


def _mix(scenario: Scenario, history: TrafficHistory, llm: str, classes: Sequence[str]) -> tuple[ClassLoad, ...]:
    """The classes in the shares of their history."""
    frame = history.frame
    found = []
    for name in classes:
        declared = scenario.traffic.classes.get(name)
        sample = history.lengths.get((llm, name))
        if declared is None or sample is None:
            known = ", ".join(sorted(other for of, other in history.lengths if of == llm)) or "none"
            raise InputError(f"class {name!r}", f"a class with traffic of {llm} ({known})", "another", "Correct it.")
        rate = float(frame.loc[(frame["llm"] == llm) & (frame["request_class"] == name), "requests"].sum())
        slo = declared.slo
        found.append(ClassLoad(name, rate, sample, slo_target(slo)))
    return tuple(found)
