"""Whose a cost is: by resource-seconds at the bottleneck, never by request count.

A pool is out of compute or out of KV cache first; what its classes hold of that resource is how its hours are theirs.
Reserves and common services are shared in proportion to what each owns already, and so is what stands idle; the three
are kept apart, and together they are the bill.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from configs.costs import CostPolicy
from data.cost_records import IDLE, STEADY, WASTED, AttributedCost, CostLine, ResourceUse, Work
from data.plan_records import Pool
from data.records import Configuration

Owner = tuple[str, str]
"""LLM and request class."""
NOBODY: Owner = ("unattributed", "unattributed")


@dataclass(slots=True)
class _Account:
    direct: list[float] = field(default_factory=list)
    shared: list[float] = field(default_factory=list)
    idle: list[float] = field(default_factory=list)


def bottleneck(uses: Sequence[tuple[float, ResourceUse]]) -> str:
    """Which resource of a replica the given rates (requests/s each) use more of: `compute` or `kv_cache`."""
    compute = math.fsum(rate * use.compute_s for rate, use in uses)
    cache = math.fsum(rate * use.kv_s for rate, use in uses)
    return "kv_cache" if cache > compute else "compute"


def shares(
    pools: Sequence[Pool], work: Sequence[Work], uses: Mapping[tuple[Configuration, str], ResourceUse],
    may_serve: Mapping[str, tuple[str, ...]],
) -> dict[tuple[str, str, str, str], dict[Owner, float]]:  # fmt: skip
    """(month, region, GPU, LLM) -> owner -> share, summing to 1: resource-seconds of each class in the pools there,
    weighted by the pools' steady GPUs."""
    found: dict[tuple[str, str, str, str], dict[Owner, float]] = {}
    for pool in pools:
        here = [
            (one.requests, uses[pool.configuration, one.series.request_class], one.series.request_class)
            for one in work
            if one.month == pool.month
            and one.series.llm == pool.configuration.llm
            and pool.region in may_serve.get(one.series.region, (one.series.region,))
            and (pool.configuration, one.series.request_class) in uses
        ]
        resource = bottleneck([(rate, use) for rate, use, _ in here])
        held: dict[str, float] = {}
        for rate, use, name in here:
            held[name] = held.get(name, 0.0) + rate * (use.kv_s if resource == "kv_cache" else use.compute_s)
        total = math.fsum(held.values())
        if total <= 0.0:
            continue
        key = (pool.month, pool.region, pool.configuration.gpu, pool.configuration.llm)
        mine = found.setdefault(key, {})
        weight = max(pool.steady_replicas, 1) * pool.configuration.gpus
        for name, seconds in held.items():
            owner = (pool.configuration.llm, name)
            mine[owner] = mine.get(owner, 0.0) + weight * seconds / total
    return {key: _normal(mine) for key, mine in found.items()}


def attribute(
    lines: Sequence[CostLine],
    pools: Sequence[Pool],
    work: Sequence[Work],
    uses: Sequence[ResourceUse],
    may_serve: Mapping[str, tuple[str, ...]],
    policy: CostPolicy,
) -> tuple[AttributedCost, ...]:
    """Every line divided among products, tenants, LLMs and classes; sums to the lines."""
    by_place = shares(pools, work, {(use.configuration, use.request_class): use for use in uses}, may_serve)
    books: dict[str, dict[Owner, _Account]] = {}
    later: list[CostLine] = []
    for line in lines:
        month = books.setdefault(line.month, {})
        owners = _owners(line, by_place)
        if owners is None or line.purpose not in ("", STEADY, WASTED):
            later.append(line)
            continue
        for owner, share in owners.items():
            month.setdefault(owner, _Account()).direct.append(line.usd * share)
    direct = {
        month: _normal({owner: math.fsum(account.direct) for owner, account in mine.items()})
        for month, mine in books.items()
    }
    for line in later:
        # A reserve belongs to the classes of the pool it stands in; the rest to all, as they own.
        owners = _owners(line, by_place) or direct[line.month] or {NOBODY: 1.0}
        for owner, share in owners.items():
            account = books[line.month].setdefault(owner, _Account())
            (account.idle if line.purpose == IDLE else account.shared).append(line.usd * share)
    return tuple(
        one
        for month, mine in sorted(books.items())
        for owner, account in sorted(mine.items())
        for one in _divided(month, owner, account, policy)
    )


def _owners(
    line: CostLine, by_place: Mapping[tuple[str, str, str, str], Mapping[Owner, float]]
) -> Mapping[Owner, float] | None:
    """Owners that a line names or whose work it is; None where it is everybody's."""
    if line.llm and line.request_class:
        return {(line.llm, line.request_class): 1.0}
    if not line.llm:
        return None
    here = by_place.get((line.month, line.region, line.gpu, line.llm))
    if here is not None:
        return here
    # Not of one pool (weights on disk, evaluation): the LLM's classes, as they use its pools everywhere.
    mine: dict[Owner, float] = {}
    for (month, _, _, llm), owners in by_place.items():
        if (month, llm) == (line.month, line.llm):
            for owner, share in owners.items():
                mine[owner] = mine.get(owner, 0.0) + share
    return _normal(mine) or None


def _divided(month: str, owner: Owner, account: _Account, policy: CostPolicy) -> list[AttributedCost]:
    """One owner's account by tenant."""
    llm, name = owner
    tenants = policy.tenants.get(name) or {"all": 1.0}
    product = policy.products.get(name, name)
    direct, shared, idle = (math.fsum(part) for part in (account.direct, account.shared, account.idle))
    total = math.fsum(tenants.values())
    return [
        AttributedCost(
            product, tenant, llm, name, month, direct * share / total, shared * share / total, idle * share / total
        )
        for tenant, share in sorted(tenants.items())
        if share > 0.0
    ]


def _normal(weights: Mapping[Owner, float]) -> dict[Owner, float]:
    """Weights as shares of their sum; empty where there is nothing to weigh."""
    total = math.fsum(weights.values())
    return {owner: weight / total for owner, weight in weights.items()} if total > 0.0 else {}
