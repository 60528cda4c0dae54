"""GPU hours as cost lines: every purchase option split by what its GPUs are for, idle commitments included.

Steady load and reserves are those of the plan's design scenario; amounts are the plan's expected cash, so that the
lines of a month sum to it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from data.cost_records import IDLE, STEADY, WASTED, CostLine
from data.costs import Assumed
from data.plan_records import FleetPlan, FleetProblem
from data.records import Offer, Source
from data.units import HOURS_PER_MONTH

HELD = Source("plan.commitments of the scenario, as declared", "declared")
AMORTISED = {
    "on_demand": "paid by the hour in the month of use",
    "spot": "paid by the hour in the month of use",
    "held": "monthly instalment of a commitment signed before the plan; sunk",
    "owned": "capital in equal monthly parts over its life, running cost included",
}


@dataclass(frozen=True, slots=True)
class Supply:
    """GPUs of one purchase in one month and what they cost in it."""

    option: str
    gpus: float
    usd: float
    usd_per_gpu_h: float
    provider: str
    source: Source
    amortisation: str
    commitment: str = ""


def _months_between(start: str, month: str) -> int:
    (a, b), (c, d) = (map(int, one.split("-")) for one in (start, month))
    return (c - a) * 12 + d - b


def _offer(problem: FleetProblem, region: str, gpu: str, option: str) -> Offer | None:
    found = [o for o in problem.offers if (o.region, o.gpu, o.option) == (region, gpu, option)]
    return min(found, key=lambda o: o.usd_per_gpu_h, default=None)


def supplies(problem: FleetProblem, plan: FleetPlan, month: str) -> dict[tuple[str, str], list[Supply]]:
    """(region, GPU) -> what was bought for it that runs in a month."""
    found: dict[tuple[str, str], list[Supply]] = {}
    for i, held in enumerate(problem.held):
        if month < held.expires:
            usd = held.gpus * held.usd_per_gpu_h * HOURS_PER_MONTH
            one = Supply("held", held.gpus, usd, held.usd_per_gpu_h, "held", HELD, AMORTISED["held"], f"held-{i + 1}")
            found.setdefault((held.region, held.gpu), []).append(one)
    for bought in plan.purchases:
        offer = _offer(problem, bought.region, bought.gpu, bought.option)
        source = offer.source if offer else HELD
        provider = f"{offer.provider}/{offer.provider_region}" if offer else "unknown"
        if bought.term_months == 0:
            if bought.month != month:
                continue
            amortised = AMORTISED.get(bought.option, AMORTISED["on_demand"])
            usd, name = bought.usd_in_horizon, ""
        else:
            if not 0 <= _months_between(bought.month, month) < bought.term_months:
                continue
            usd = bought.gpus * bought.usd_per_gpu_h * HOURS_PER_MONTH
            amortised = AMORTISED.get(
                bought.option, f"in equal monthly parts over {bought.term_months} months from {bought.month}"
            )
            name = f"{bought.option}-{bought.region}-{bought.gpu}-{bought.month}"
        price = bought.usd_per_gpu_h
        one = Supply(bought.option, bought.gpus, usd, price, provider, source, amortised, name)
        found.setdefault((bought.region, bought.gpu), []).append(one)
    return found


def idle_usd(
    supply: Mapping[tuple[str, str], Sequence[Supply]], used: Mapping[tuple[str, str], int], expected_usd: float
) -> dict[str, float]:
    """Commitment -> what it costs in hours that no replica uses.

    Held commitments are used first, then those bought. What the design scenario leaves free is idle; what the plan
    expects to stand idle on average beyond that (`expected_usd`, over commitments bought) is spread over what these
    cost otherwise.
    """
    idle: dict[str, float] = {}
    room: dict[str, float] = {}
    for g, ways in supply.items():
        left = float(used.get(g, 0))
        for kind in ("held", "bought"):
            mine = [one for one in ways if one.commitment and (one.option == "held") == (kind == "held")]
            gpus = math.fsum(one.gpus for one in mine)
            free = 1.0 - min(left, gpus) / gpus if gpus > 0 else 0.0
            for one in mine:
                idle[one.commitment] = idle.get(one.commitment, 0.0) + one.usd * free
                if kind == "bought":
                    room[one.commitment] = room.get(one.commitment, 0.0) + one.usd * (1.0 - free)
            left -= min(left, gpus)
    missing = expected_usd - math.fsum(idle[name] for name in room)
    total = math.fsum(room.values())
    if missing > 0.0 and total > 0.0:
        for name, usd in room.items():
            idle[name] += usd * min(missing / total, 1.0)
    return idle


def compute_lines(
    problem: FleetProblem, plan: FleetPlan, assumed: Assumed, tdp_w: Mapping[str, float]
) -> tuple[CostLine, ...]:
    """Compute, and power and cooling of owned hardware, for every month; tdp_w by GPU.

    Power is taken out of the price of owned hardware, which includes running costs, not added to it. Failed and
    retried work is the part of steady hours that the assumptions say is spent on it.
    """
    found: list[CostLine] = []
    for cost in plan.costs:
        uses: dict[tuple[str, str], dict[tuple[str, str], int]] = {}
        for pool in plan.pools:
            if pool.month != cost.month:
                continue
            mine = uses.setdefault((pool.region, pool.configuration.gpu), {})
            size, llm = pool.configuration.gpus, pool.configuration.llm
            for purpose, replicas in ({STEADY: pool.steady_replicas} | dict(pool.reserve)).items():
                if replicas:
                    mine[llm, purpose] = mine.get((llm, purpose), 0) + replicas * size
        supply = supplies(problem, plan, cost.month)
        idle = idle_usd(supply, {g: sum(mine.values()) for g, mine in uses.items()}, cost.idle_usd)
        for (region, gpu), ways in sorted(supply.items()):
            mine = uses.get((region, gpu), {})
            for one in ways:
                lists = _offer(problem, region, gpu, "on_demand")
                found += _split(one, cost.month, region, gpu, mine, idle, lists, assumed, tdp_w.get(gpu, 0.0))
    return tuple(found)


def _split(
    one: Supply, month: str, region: str, gpu: str, uses: Mapping[tuple[str, str], int], idle: Mapping[str, float],
    lists: Offer | None, assumed: Assumed, tdp_w: float,
) -> list[CostLine]:  # fmt: skip
    """Lines of one supply: idle, then what is used by LLM and purpose."""
    unused = min(idle.get(one.commitment, 0.0), one.usd) if one.commitment else 0.0
    gpus = sum(uses.values())
    parts: list[tuple[str, str, float]] = []
    if gpus == 0:
        # Hours of scenarios other than the design one, or a commitment that nothing runs on.
        parts.append(("", IDLE if one.commitment else STEADY, one.usd))
    else:
        wasted = assumed["retried_share"][0] + assumed["failed_share"][0]
        if unused > 0.0:
            parts.append(("", IDLE, unused))
        for (llm, purpose), n in sorted(uses.items()):
            usd = (one.usd - unused) * n / gpus
            if purpose == STEADY and wasted > 0.0:
                parts.append((llm, WASTED, usd * wasted))
                usd -= usd * wasted
            parts.append((llm, purpose, usd))
    price = lists.usd_per_gpu_h if lists and one.option not in ("owned",) else None
    lines = []
    for llm, purpose, usd in parts:
        if usd == 0.0:
            continue
        quantity = usd / one.usd_per_gpu_h
        line = CostLine(
            "compute", month, usd, region, one.source, one.amortisation, purpose, one.option, gpu, one.provider,
            one.commitment, llm, "", quantity, "GPU-hours",
            None if price is None or one.option == "on_demand" else price * quantity,
        )  # fmt: skip
        lines += _with_power(line, assumed, tdp_w) if one.option == "owned" else [line]
    return lines


def power_usd_per_gpu_h(assumed: Assumed, tdp_w: float) -> float:
    """Electricity and cooling of one GPU with its share of the server, US dollars an hour."""
    watts = tdp_w * assumed["mean_load_of_tdp"][0] * assumed["server_power_factor"][0]
    return watts / 1e3 * assumed["power_usage_effectiveness"][0] * assumed["electricity_usd_per_kwh"][0]


def _with_power(line: CostLine, assumed: Assumed, tdp_w: float) -> list[CostLine]:
    """An owned line with its power and cooling as a line of its own."""
    usd = min(line.quantity * power_usd_per_gpu_h(assumed, tdp_w), line.usd)
    source = assumed["electricity_usd_per_kwh"][2]
    power = replace(
        line, item="power and cooling", usd=usd, source=source, amortisation="paid in the month of use", list_usd=None
    )
    return [replace(line, usd=line.usd - usd), power] if usd > 0.0 else [line]
