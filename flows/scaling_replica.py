"""One replica of a pool: its service curve under its classes, as the autoscaler needs it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from configs.autoscaling import AutoscalingPolicy
from configs.errors import InputError
from configs.loading import LoadedScenario
from configs.schema import Scenario
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients
from data.history import TrafficHistory
from data.records import Capacity, Configuration
from data.scaling_records import ReplicaFacts, StartUp
from data.slo import slo_target
from data.units import GB
from models.autoscaler.facts import replica_facts
from models.curve import Asked, service_curve
from models.evaluate import evaluate
from models.simulator.engine import engine_limits
from models.simulator.load import ClassLoad
from models.step_cost import step_cost

REQUESTS, SEEDS = 1000, 4


@dataclass(frozen=True, slots=True)
class Replica:
    """One replica of a configuration under its classes: facts for the scaler, start-up, promise, method."""

    facts: ReplicaFacts
    start_up: StartUp
    promise: float
    capacity: Capacity
    method: str


def replica(loaded: LoadedScenario, history: TrafficHistory, one: Configuration, classes: Sequence[str]) -> Replica:
    """The replica's service curve under its classes. Raises InputError where it cannot serve them."""
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
            "engine": one.engine,
        }
    )
    mix = _mix(scenario, history, one.llm, classes)
    coefficients = load_coefficients(calibration=tuple(loaded.base / name for name in policy.calibration))
    lengths = {(llm.name, part.name): part.lengths for part in mix}
    table = evaluate([llm], [gpu], engine, coefficients, policy, lengths, {part.name: part.slo for part in mix})
    excused = [row for row in table.rows if row.excuse is not None]
    if excused:
        raise InputError(one.label, "a configuration that serves its classes", str(excused[0].excuse), "See `size`.")
    rows = {row.request_class: row for row in table.rows}
    row = table.rows[0]
    total = sum(part.share for part in mix)
    means = [_means(part) for part in mix]
    context = sum(part.share / total * (prompt + out / 2) for part, (prompt, out) in zip(mix, means, strict=True))
    served = row.configuration
    limits = engine_limits(engine, served.max_num_seqs, served.max_num_batched_tokens, row.kv_capacity_tokens)
    start = _start_up(scenario.autoscaling, row)
    curve = service_curve(
        Asked(
            row.configuration,
            step_cost([row.configuration], {llm.name: llm}, {gpu.name: gpu}, engine, coefficients, [context]),
            limits,
            mix,
            total / sum(part.share / rows[part.name].knee_rps for part in mix),
            row.provenance,
            policy.operating_point,
            time_to_ready_s=start.cold_s,
            requests=REQUESTS,
            seeds=SEEDS,
            seed=scenario.seed,
            cv=policy.arrival_cv,
            gains=False,
        )
    )
    if curve is None:
        raise InputError(one.label, "a configuration that serves its classes", "the SLO breaks", "See `curve`.")
    promise = scenario.autoscaling.attainment or min(min(part.slo.percentiles) for part in mix) / 100.0
    prompt = sum(part.share / total * mean for part, (mean, _) in zip(mix, means, strict=True))
    return Replica(replica_facts(curve, prompt), start, promise, row, f"{curve.method}, step time {curve.provenance}")


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


def _means(part: ClassLoad) -> tuple[float, float]:
    """Mean prompt and output tokens."""
    weight = part.lengths.weight / part.lengths.weight.sum()
    return float((weight * part.lengths.input_tokens).sum()), float((weight * part.lengths.output_tokens).sum())


def _start_up(policy: AutoscalingPolicy, row: Capacity) -> StartUp:
    """Seconds by part; weights by their bytes and the declared rate."""
    parts = policy.start_up
    weights_s = row.weight_bytes_per_gpu * row.configuration.gpus / (parts.weights_gb_per_s * GB)
    return StartUp(parts.node_s, parts.image_s, weights_s, parts.warm_up_s, parts.drain_s)
