"""Everything around the GPUs as cost lines: storage, network, APIs, observability, evaluation, people, pool starts."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

from configs.costs import CostPolicy
from data.cost_records import CostLine, Work
from data.costs import Assumed
from data.plan_records import FleetPlan, MonthCost
from data.records import Configuration, Source
from data.units import GB

PLANNED = Source("plan.pool_start_usd of the scenario", "declared")
API = Source("plan.api of the scenario", "declared")
MONTHLY = "paid in the month of use"
ALL_REGIONS = "all regions"


def service_lines(
    plan: FleetPlan,
    work: Sequence[Work],
    assumed: Assumed,
    policy: CostPolicy,
    weight_bytes: Mapping[Configuration, float],
) -> tuple[CostLine, ...]:
    """Lines of every month; weight_bytes of a whole replica."""
    found: list[CostLine] = []
    for cost in plan.costs:
        mine = [one for one in work if one.month == cost.month and one.requests > 0]
        found += _storage(plan, cost.month, mine, assumed, weight_bytes)
        for one in mine:
            found += _by_class(one, assumed, policy)
        found += _people_and_tools(plan, cost.month, mine, assumed)
        found += _placed(plan, cost)
    return tuple(line for line in found if line.usd != 0.0)


def _placed(plan: FleetPlan, cost: MonthCost) -> list[CostLine]:
    """Pool starts and API calls of a month, each where it falls; what the plan does not place is everybody's."""
    kinds = (
        ("pool start", cost.start_usd, PLANNED, "in the month it is done", "pools"),
        ("provider API", cost.api_usd, API, "paid by the request", "requests"),
    )
    found = []
    for item, usd, source, amortised, unit in kinds:
        mine = [one for one in plan.placed if (one.item, one.month) == (item, cost.month)]
        found += [
            CostLine(
                item, cost.month, one.usd, one.region, source, amortised, gpu=one.gpu, llm=one.llm,
                request_class=one.request_class, quantity=one.quantity, unit=unit,
            )
            for one in mine
        ]  # fmt: skip
        left = usd - math.fsum(one.usd for one in mine)
        if abs(left) > 1e-9 * max(usd, 1.0):
            found.append(CostLine(item, cost.month, left, ALL_REGIONS, source, amortised, quantity=1.0, unit="months"))
    return found


def _storage(
    plan: FleetPlan, month: str, work: Sequence[Work], assumed: Assumed, weight_bytes: Mapping[Configuration, float]
) -> list[CostLine]:
    price, _, source = assumed["storage_usd_per_gb_month"]
    copies = assumed["weight_copies_per_replica"][0]
    kept: dict[tuple[str, str], float] = {}
    for pool in plan.pools:
        if pool.month == month:
            size = pool.replicas * weight_bytes.get(pool.configuration, 0.0) * copies
            key = (pool.region, pool.configuration.llm)
            kept[key] = kept.get(key, 0.0) + size / GB
    lines = [
        CostLine("storage", month, gb * price, region, source, MONTHLY, llm=llm, quantity=gb, unit="GB-months")
        for (region, llm), gb in sorted(kept.items())
    ]
    each, months = assumed["log_bytes_per_token"][0], assumed["log_months"][0]
    for one in work:
        gb = one.requests * (one.input_tokens + one.output_tokens) * each * months / GB
        lines.append(
            CostLine(
                "storage", month, gb * price, one.series.region, source, MONTHLY, llm=one.series.llm,
                request_class=one.series.request_class, quantity=gb, unit="GB-months",
            )
        )  # fmt: skip
    return lines


def _by_class(one: Work, assumed: Assumed, policy: CostPolicy) -> list[CostLine]:
    """What grows with the requests of a series: network, traces and logs, tool APIs."""

    def line(item: str, usd: float, source: Source, quantity: float, unit: str) -> CostLine:
        return CostLine(
            item, one.month, usd, one.series.region, source, MONTHLY, llm=one.series.llm,
            request_class=one.series.request_class, quantity=quantity, unit=unit,
        )  # fmt: skip

    sent = one.requests * one.output_tokens * assumed["wire_bytes_per_output_token"][0] / GB
    network, seen = assumed["network_usd_per_gb"], assumed["observability_usd_per_gb"]
    traced = one.requests * assumed["observability_bytes_per_request"][0] / GB
    found = [
        line("network", sent * network[0], network[2], sent, "GB"),
        line("observability", traced * seen[0], seen[2], traced, "GB"),
    ]
    for tool in policy.tools.get(one.series.request_class, ()):
        calls = one.requests * tool.calls_per_request
        source = Source(f"{tool.name}: {tool.source}", tool.as_of)
        found.append(line("tool API", calls * tool.usd_per_call, source, calls, "calls"))
    return found


def _people_and_tools(plan: FleetPlan, month: str, work: Sequence[Work], assumed: Assumed) -> list[CostLine]:
    """What the service needs as a whole."""
    gpus = sum(pool.gpus for pool in plan.pools if pool.month == month)
    llms = {one.series.llm for one in work}
    agent, judge = assumed["observability_usd_per_gpu_month"], assumed["evaluation_usd_per_llm_month"]
    wage = assumed["engineering_usd_per_fte_month"]
    people = assumed["engineering_fte"][0] + assumed["engineering_fte_per_100_gpus"][0] * gpus / 100
    found = [
        CostLine(
            "observability", month, gpus * agent[0], ALL_REGIONS, agent[2], MONTHLY, quantity=gpus, unit="GPU-months"
        ),
        CostLine(
            "engineering", month, people * wage[0], ALL_REGIONS, wage[2], MONTHLY, quantity=people, unit="FTE-months"
        ),
    ]
    found += [
        CostLine(
            "evaluation", month, judge[0], ALL_REGIONS, judge[2], MONTHLY, llm=llm, quantity=1.0, unit="LLM-months"
        )
        for llm in sorted(llms)
    ]
    return found


def cash_of(lines: Sequence[CostLine], month: str) -> float:
    """The part of a month's lines that the plan's own cash holds: compute, power, pool starts and API calls."""
    planned = ("compute", "power and cooling", "pool start", "provider API")
    return math.fsum(line.usd for line in lines if line.month == month and line.item in planned)
