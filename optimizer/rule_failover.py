"""What a simpler rule adds for the loss of a region: replicas where what is lost goes, cheapest place first."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from optimizer.frame import Frame, supply_of
from optimizer.reserves import failover_routes

Counts = dict[tuple[int, int, int], int]
"""(month, pool, scenario) -> replicas."""


def with_failover(
    frame: Frame, counts: Mapping[tuple[int, int, int], int], gpus: set[str],
    room: Callable[[int, tuple[str, str]], float], usd: Callable[[int, int], float], least: int,
) -> Counts:  # fmt: skip
    """Replicas of a rule, [month, pool, promised scenario], with those added that carry the protected demand of every
    block when any one region is lost, on these GPU types.

    room(m, g): GPUs of a supply that can be had in a month; usd(k, p): price of a request of a series on a pool; least:
    replicas of a pool that is opened for failover alone. What is there is filled before anything is added.
    """
    found = dict(counts)
    lost_routes: dict[int, list[tuple[int, list[int]]]] = {}
    for k, r, left in failover_routes(frame):
        lost_routes.setdefault(r, []).append((k, [p for p in left if frame.sets.pools[p].configuration.gpu in gpus]))
    rates = [dict(one) for one in frame.into]
    size = [pool.configuration.gpus for pool in frame.sets.pools]
    for m in frame.M:
        most = {g: room(m, g) for g in frame.G}
        for s in frame.promised:
            taken = {g: sum(found.get((m, p, s), 0) * size[p] for p in frame.on[g]) for g in frame.G}
            for routes in lost_routes.values():
                for b in frame.B:
                    free = {p: float(found.get((m, p, s), 0)) for p in frame.P}
                    for k, left in routes:
                        wanted = float(frame.problem.demand.rps[k, m, b, s])
                        cheapest = sorted(left, key=lambda p: (usd(k, p), p))
                        for p in cheapest:
                            here = min(wanted, free[p] * rates[p][k])
                            free[p] -= here / rates[p][k]
                            wanted -= here
                        for p in cheapest:
                            g = supply_of(frame.sets.pools[p])
                            while wanted > 1e-9:
                                now = found.get((m, p, s), 0)
                                more = 1 if now else least
                                if taken[g] + more * size[p] > most[g] or now + more > frame.most[p][m]:
                                    break
                                found[m, p, s] = now + more
                                taken[g] += more * size[p]
                                here = min(wanted, more * rates[p][k])
                                free[p] += more - here / rates[p][k]
                                wanted -= here
    return found
