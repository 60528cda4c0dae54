"""What the loss of another region brings to the pools that are left, as situations to replay."""

from __future__ import annotations

from collections.abc import Mapping

from data.plan_records import Pool
from data.records import Configuration
from data.replay_records import Situation
from flows.check_plan import pool_mix
from models.simulator.load import Mix
from optimizer.failover import Failover, after_region_loss
from reports.bundle import PlanBundle

MORE = 1e-6
"""Share of its own load above which a pool's load after a loss is more than before."""


def failovers(bundle: PlanBundle) -> dict[tuple[Configuration, str], list[tuple[Pool, Situation]]]:
    """By place, the loss of every other region that brings a pool more of some protected class than it had, in the
    month in which something finds no room, else in which it brings most a replica. Pools that carry nothing but then
    are among them."""
    plan, problem = bundle.plan, bundle.problem
    found: dict[tuple[Configuration, str, str], tuple[Pool, Mapping[str, float], str]] = {}
    for month in dict.fromkeys(pool.month for pool in plan.pools):
        for lost in problem.regions:
            after = after_region_loss(problem, plan.pools, month, lost)
            for pool, coming in after.carried.items():
                unserved = unserved_words(after, pool)
                own = {part.name: part.share for part in mix_in(bundle, pool)} if pool.peak_rps > 0.0 else {}
                if not unserved and all(rps <= own.get(name, 0.0) * (1.0 + MORE) for name, rps in coming.items()):
                    continue
                key = (pool.configuration, pool.region, lost)
                other = found.get(key)
                if other is None or _worth(pool, coming, unserved) > _worth(*other):
                    found[key] = pool, coming, unserved
    kept = bundle.scenario.plan.reserves.region_loss
    places: dict[tuple[Configuration, str], list[tuple[Pool, Situation]]] = {}
    for (one, region, lost), (pool, coming, unserved) in found.items():
        situation = Situation(f"{lost} lost", coming=coming, kept=kept, protected_alone=True, unserved=unserved)
        places.setdefault((one, region), []).append((pool, situation))
    return places


def mix_in(bundle: PlanBundle, pool: Pool) -> Mix:
    """What a pool serves, in its month."""
    return pool_mix(bundle.scenario, bundle.history, bundle.capacity, bundle.problem, bundle.plan.routes, pool)


def _worth(pool: Pool, coming: Mapping[str, float], unserved: str) -> tuple[bool, float]:
    """Months in order of how much they show: something finds no room, then what comes a replica."""
    return bool(unserved), sum(coming.values()) / pool.replicas


def unserved_words(after: Failover, pool: Pool) -> str:
    """In words what of a pool's LLM no pool has room for; empty where all of it is carried."""
    short = {key: rps for key, rps in after.unserved.items() if key.llm == pool.configuration.llm}
    names = ", ".join(str(key) for key in sorted(short, key=str))
    return f"{sum(short.values()):,.3g} req/s of {names} find no room" if short else ""
