"""Where pool starts and API calls of a plan fall: by region, LLM, and GPU or class. Together they are its costs."""

from __future__ import annotations

from typing import Any

from data.plan_records import PlacedCost
from data.records import Demand
from data.units import SECONDS_PER_HOUR
from optimizer.extract import number
from optimizer.frame import Frame
from optimizer.merge import Members


def placed_costs(frame: Frame, model: Any, whole: Demand, members: Members) -> tuple[PlacedCost, ...]:
    """Expected over the demand scenarios. frame, model: solved; whole: the merged demand with every block.

    API calls of series that were planned as one are told apart by their demand.
    """
    return (*_starts(frame, model), *_calls(frame, model, whole, members))


def _starts(frame: Frame, model: Any) -> list[PlacedCost]:
    problem, pi = frame.problem, frame.problem.demand.probabilities
    each, churn = problem.pool_start_usd, problem.churn_usd_per_gpu
    sums: dict[tuple[str, str, str, str], tuple[float, int]] = {}
    for m, month in enumerate(problem.demand.months):
        for p, pool in enumerate(frame.sets.pools):
            begun = round(number(model.start[m, p]))
            usd = each * begun
            if churn > 0.0 and m > 0 and frame.churning:
                usd += churn * sum(
                    float(pi[s]) * pool.configuration.gpus
                    * (number(model.started_replicas[m, p, s]) + number(model.stopped_replicas[m, p, s]))
                    for s in frame.S
                )  # fmt: skip
            if usd > 0.0:
                key = (month, pool.region, pool.configuration.llm, pool.configuration.gpu)
                before = sums.get(key, (0.0, 0))
                sums[key] = (before[0] + usd, before[1] + begun)
    return [
        PlacedCost("pool start", month, region, llm, usd, gpu=gpu, quantity=float(begun))
        for (month, region, llm, gpu), (usd, begun) in sums.items()
    ]


def _calls(frame: Frame, model: Any, whole: Demand, members: Members) -> list[PlacedCost]:
    problem, demand = frame.problem, frame.problem.demand
    places = [[block.name for block in whole.blocks].index(block.name) for block in demand.blocks]
    requests: dict[tuple[int, int, int], float] = {}
    for m, k, b, s in model.api:
        sent = number(model.api[m, k, b, s])
        if sent <= 0.0:
            continue
        count = float(demand.probabilities[s]) * demand.blocks[b].hours * SECONDS_PER_HOUR * sent
        parts = [float(rps[m, places[b], s]) for _, rps in members[demand.series[k]]]
        total = sum(parts)
        for i, part in enumerate(parts):
            requests[m, k, i] = requests.get((m, k, i), 0.0) + count * part / total
    found = []
    for (m, k, i), count in sorted(requests.items()):
        key = members[demand.series[k]][i][0]
        usd = count * problem.api[key.llm, key.request_class].usd_per_request
        if usd > 0.0:
            found.append(
                PlacedCost(
                    "provider API", demand.months[m], key.region, key.llm, usd, request_class=key.request_class,
                    quantity=count,
                )
            )  # fmt: skip
    return found
