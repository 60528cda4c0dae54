"""The memory of every configuration that a plan runs."""

from __future__ import annotations

from configs.catalog_schema import CoefficientCatalog
from configs.schema import Scenario
from data.catalog import find_engine, find_gpu, find_llm
from data.history import TrafficHistory
from data.memory_records import MemoryBreakdown
from data.plan_records import FleetPlan
from models.size import size


def memory_of(
    scenario: Scenario, history: TrafficHistory, plan: FleetPlan, coefficients: CoefficientCatalog
) -> tuple[MemoryBreakdown, ...]:
    """One breakdown a configuration of the plan, at the mean request of the classes it serves."""
    policy, engine = scenario.evaluate, find_engine(scenario.evaluate.engine)
    tokens: dict[str, list[float]] = {}
    for (llm, _), sample in history.lengths.items():
        mean = float((sample.weight * (sample.input_tokens + sample.output_tokens)).sum() / sample.weight.sum())
        tokens.setdefault(find_llm(llm).name, []).append(mean)
    found = []
    for one in sorted({pool.configuration for pool in plan.pools}):
        means = tokens[one.llm]
        found.append(
            size(
                one, {one.llm: find_llm(one.llm)}, {one.gpu: find_gpu(one.gpu)}, engine, coefficients,
                sum(means) / len(means), policy.headroom, policy.gpu_memory_utilization,
            )
        )  # fmt: skip
    return tuple(found)
