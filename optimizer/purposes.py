"""What each replica of a pool is for: steady load first, then the reserves in a stated order."""

from __future__ import annotations

import math

from data.plan_records import FleetProblem


def purposes(problem: FleetProblem, count: int, load: float, protected_load: float) -> dict[str, int]:
    """Replicas of a pool by purpose, adding up to count; load is in replicas.

    Each reserve is named for as many whole replicas as it asks for, in the order N+k, canary, maintenance, rollout,
    warm, zone; a replica that serves two purposes at once is named for the first. With reserves called on one at a
    time (`max`) the largest is named in full and the others for nothing they do not add. What is left beyond the load
    is there for the loss of a region where that is planned for, and is rounding of shared supply otherwise, which
    serves.
    """
    held, names = problem.reserves, ("failure", "canary", "maintenance", "rollout", "warm", "zone", "region")
    steady = min(math.ceil(load - 1e-6), count)
    spare = count - steady
    asked = {
        "failure": problem.failures_per_pool,
        "canary": math.ceil(held.canary_share * count - 1e-9),
        "maintenance": math.ceil(held.maintenance_share * count - 1e-9),
        "rollout": math.ceil(problem.rollout_surge * load - 1e-6),
        "warm": math.ceil(held.warm_share * load - 1e-6),
    }
    found = dict.fromkeys(names, 0)
    for name, wanted in asked.items():
        already = sum(found.values())
        found[name] = min(wanted if held.together == "sum" else max(wanted - already, 0), spare - already)
    if held.zone_loss and held.zones > 1:
        lost = math.ceil(count / held.zones - 1e-9)
        need = math.ceil(protected_load - 1e-6) + lost - steady - sum(found.values())
        found["zone"] = max(min(need, spare - sum(found.values())), 0)
    rest = spare - sum(found.values())
    if held.region_loss:
        found["region"] = rest
        rest = 0
    return {"steady": steady + rest} | found
