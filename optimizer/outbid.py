"""Pruning across GPUs: a configuration that another can always replace at no more cost is left out.

Exact, not a heuristic: a plan that uses the dearer one can be changed into one that does not, at no more cost and with
every reserve kept. Let a replica of c cost C_c, one of b C_b, and let s be the most replicas of b that carry what one
of c carries, over classes. A pool of c that is u > 0 replicas full costs at least (max(1, u) + k) C_c; a pool of b in
its place, opened and closed with it, at most (s u + 1 + k) C_b. So c is never needed if

    s <= 1 and C_b <= C_c                                  (replica for replica), or
    C_b s <= C_c and (s + 1 + k) C_b <= (1 + k) C_c        (by the bounds above).
"""

from __future__ import annotations

from collections.abc import Mapping

from data.plan_records import FleetProblem, Rejected, Reserves
from data.records import Capacity, Configuration, Excuse, Offer

Kept = Mapping[Configuration, list[Capacity]]


def outbid(problem: FleetProblem, kept: Kept, on_demand: Mapping[tuple[str, str], Offer]) -> list[Rejected]:
    """Configurations outbid in a region, with the excuse.

    b is priced on demand, c at its best price (commitments included), and b's quota must hold all that the region could
    ever be asked to serve. GPUs of commitments already held are never outbid, and nothing is where the exchange could
    matter otherwise: under a budget, a required on-demand share, spot, limits of a site, churn, minimum lots and volume
    discounts, any reserve but N+k, or where b is sold by the node (half-empty nodes are not worth their price).
    """
    if problem.budget_usd_per_month is not None or problem.on_demand_share_min > 0.0 or problem.rollout_surge > 0.0:
        return []
    if problem.reserves != Reserves() or problem.spot_share_max > 0.0:
        return []
    if problem.facilities or problem.churn_gpus_max is not None or problem.churn_usd_per_gpu > 0.0:
        return []
    if problem.volume_tiers or problem.minimum_gpus:
        return []
    k = problem.failures_per_pool
    found = []
    for region in problem.regions:
        best_usd: dict[str, float] = {}
        for offer in problem.offers:
            if offer.region == region:
                best_usd[offer.gpu] = min(offer.usd_per_gpu_h, best_usd.get(offer.gpu, offer.usd_per_gpu_h))
        held = {h.gpu for h in problem.held if h.region == region}
        ample = [
            one
            for one in kept
            if (region, one.gpu) in on_demand
            and (on_demand[region, one.gpu].gpus_per_node == 1 or not problem.whole_nodes)
            and _ample(problem, kept, one, region)
        ]
        for one, rows in kept.items():
            if one.gpu not in best_usd or one.gpu in held:
                continue
            mine = (best_usd[one.gpu] * one.gpus, one)
            for other in ample:
                theirs = (on_demand[region, other.gpu].usd_per_gpu_h * other.gpus, other)
                rates = {row.request_class: row.operating_rps for row in kept[other]}
                if other.llm != one.llm or any(row.request_class not in rates for row in rows):
                    continue
                s = max(row.operating_rps / rates[row.request_class] for row in rows)
                # Ties are broken by name, so that of two equals one stays.
                each = s <= 1.0 and theirs < mine
                pooled = s * theirs[0] <= mine[0] and (s + 1 + k) * theirs[0] <= (1 + k) * mine[0] and theirs < mine
                if each or pooled:
                    advice = f"{other.label} carries the same in {region} for no more, however it is loaded"
                    excuse = Excuse("outbid", theirs[0], mine[0], "USD/h a replica", advice)
                    found += [Rejected(one, row.request_class, excuse, region) for row in rows]
                    break
    return found


def _ample(problem: FleetProblem, kept: Kept, one: Configuration, region: str) -> bool:
    """Whether the quota of a configuration's GPU holds, at once, the largest load of every series the region may serve,
    each on the hungriest configuration of that GPU, reserves included."""
    limit = problem.quotas.get((region, one.gpu))
    if limit is None:
        return True
    gpus = 0.0
    for i, key in enumerate(problem.demand.series):
        if region not in problem.may_serve[key.region]:
            continue
        peak = float(problem.demand.rps[i].max()) * (1.0 + problem.rollout_surge)
        gpus += max(
            (
                (peak / row.operating_rps + 1.0 + problem.failures_per_pool) * candidate.gpus
                for candidate, rows in kept.items()
                if candidate.llm == key.llm and candidate.gpu == one.gpu
                for row in rows
                if row.request_class == key.request_class
            ),
            default=0.0,
        )
    return gpus <= limit
