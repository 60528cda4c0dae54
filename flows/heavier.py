"""How much more of a replica requests take when answers are longer or the cache hits otherwise: asked of the kernels.

The capacity of every configuration that runs is estimated again at other lengths, with everything that follows from
them: compute, KV room, batch, latencies against the SLO. What changes is a ratio of two estimates, so their common
error cancels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from configs.catalog_schema import CoefficientCatalog
from configs.schema import Scenario
from data.catalog import find_engine, find_gpu, find_llm
from data.cost_records import Slower
from data.plan_records import FleetPlan
from data.records import Configuration, LengthSample, SloTarget
from models.evaluate import evaluate

LONGER = (0.5, 0.7, 1.0, 1.5, 2.5)
"""Factors on output lengths at which capacity is estimated."""
HITS = (-0.3, 0.0, 0.3)
"""Shares of the input added to what the cache holds."""
NOT_AT_ALL = 10.0
"""How much more a request takes where a configuration can no longer serve its class within the SLO."""

Lengths = Mapping[tuple[str, str], LengthSample]


def moved(sample: LengthSample, longer: float, hit: float) -> LengthSample:
    """A sample with outputs scaled, and a share of the input more in the cache."""
    outputs = np.maximum(np.rint(sample.output_tokens * longer), 1).astype(np.int64)
    cached = np.clip(sample.cached_tokens + hit * sample.input_tokens, 0, np.maximum(sample.input_tokens - 1, 0))
    return replace(sample, output_tokens=outputs, cached_tokens=np.floor(cached).astype(np.int64))


def slower(
    scenario: Scenario, plan: FleetPlan, lengths: Lengths, slos: Mapping[str, SloTarget],
    coefficients: CoefficientCatalog,
) -> dict[tuple[str, str], Slower]:  # fmt: skip
    """(LLM, class) -> how a request's share of a replica grows, over the configurations that run it, by their GPUs."""
    gpus: dict[Configuration, int] = {}
    for pool in plan.pools:
        gpus[pool.configuration] = gpus.get(pool.configuration, 0) + pool.gpus
    if not gpus:
        return {}
    names = sorted({one.llm for one in gpus}), sorted({one.gpu for one in gpus})
    mine = {key: sample for key, sample in lengths.items() if key[0] in names[0]}
    policy = scenario.evaluate.model_copy(update={"llms": tuple(names[0]), "gpus": tuple(names[1])})
    llms, kinds = [find_llm(name) for name in names[0]], [find_gpu(name) for name in names[1]]
    engine = find_engine(policy.engine)

    def knees(longer: float, hit: float) -> dict[tuple[Configuration, str], float]:
        there = {key: moved(sample, longer, hit) for key, sample in mine.items()}
        table = evaluate(llms, kinds, engine, coefficients, policy, there, slos)
        return {(row.configuration, row.request_class): row.knee_rps for row in table.feasible()}

    base = knees(1.0, 0.0)
    at = {point: knees(*point) for point in {*((x, 0.0) for x in LONGER), *((1.0, h) for h in HITS)}}

    def over(point: tuple[float, float], key: tuple[str, str]) -> float:
        held = [(n, base[one, key[1]], at[point].get((one, key[1]), 0.0)) for one, n in gpus.items()
                if one.llm == key[0] and base.get((one, key[1]), 0.0) > 0.0]  # fmt: skip
        total = sum(n for n, _, _ in held)
        if not total:
            return 1.0
        return sum(n * min(was / now if now > 0.0 else NOT_AT_ALL, NOT_AT_ALL) for n, was, now in held) / total

    return {
        key: Slower(
            LONGER, tuple(over((x, 0.0), key) for x in LONGER), HITS, tuple(over((1.0, h), key) for h in HITS)
        )
        for key in mine
    }  # fmt: skip
