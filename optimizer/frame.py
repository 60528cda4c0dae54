"""The indices every rule of the model runs over, worked out once.

k demand series (LLM, class, origin), p pool (configuration, serving region), g supply (region, GPU), o commitment
offer, m month, b block, s scenario with probability pi_s. The month comes first in every index that has one: columns
of one month belong together, which is what the solve strategy cuts along.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from data.plan_records import FleetProblem, lead_months
from data.records import Offer
from data.units import HOURS_PER_MONTH
from optimizer.sets import PoolKey, Sets


@dataclass(frozen=True)
class Frame:
    """A problem, its sets, and what follows from both; k and p are positions, g is (region, GPU)."""

    problem: FleetProblem
    sets: Sets

    @cached_property
    def K(self) -> range:
        return range(len(self.problem.demand.series))

    @cached_property
    def P(self) -> range:
        return range(len(self.sets.pools))

    @cached_property
    def G(self) -> list[tuple[str, str]]:
        return sorted(self.sets.supply)

    @cached_property
    def M(self) -> range:
        return range(len(self.problem.demand.months))

    @cached_property
    def B(self) -> range:
        return range(len(self.problem.demand.blocks))

    @cached_property
    def S(self) -> range:
        return range(len(self.problem.demand.probabilities))

    @cached_property
    def promised(self) -> range:
        """Scenarios in which protected classes are promised service."""
        return range(self.sets.design + 1)

    @cached_property
    def serving(self) -> list[list[int]]:
        """k -> pools that may carry it."""
        at = {pool: p for p, pool in enumerate(self.sets.pools)}
        return [[at[pool] for pool in self.sets.serves[key]] for key in self.problem.demand.series]

    @cached_property
    def into(self) -> list[list[tuple[int, float]]]:
        """p -> series it may carry, with requests/s of one replica."""
        found: list[list[tuple[int, float]]] = [[] for _ in self.P]
        for k, pools in enumerate(self.serving):
            name = self.problem.demand.series[k].request_class
            for p in pools:
                found[p].append((k, self.sets.rate[self.sets.pools[p], name]))
        return found

    @cached_property
    def protected(self) -> list[bool]:
        """k -> whether its class is."""
        return [self.problem.protected[key.request_class] for key in self.problem.demand.series]

    @cached_property
    def on(self) -> dict[tuple[str, str], list[int]]:
        """g -> pools that run on it."""
        found: dict[tuple[str, str], list[int]] = {g: [] for g in self.G}
        for p, pool in enumerate(self.sets.pools):
            found[supply_of(pool)].append(p)
        return found

    @cached_property
    def ordered(self) -> bool:
        """Whether every series' peak grows with the scenario."""
        peaks = self.problem.demand.rps.max(axis=2)
        return bool((np.diff(peaks, axis=2) >= -1e-9).all())

    @cached_property
    def most(self) -> list[list[int]]:
        """p, m -> replicas a pool could ever use: all it may serve at once with every reserve, within its quota."""
        problem, held = self.problem, self.problem.reserves
        surge = 1.0 + problem.rollout_surge + held.warm_share
        idle = min(held.canary_share + held.maintenance_share, 0.9)
        spread = held.zones / (held.zones - 1) if held.zone_loss and held.zones > 1 else 1.0
        found = []
        for p, pool in enumerate(self.sets.pools):
            limit = problem.quotas.get(supply_of(pool))
            # One more than the quota holds, so that the quota's own row is what binds and has the price.
            cap = math.inf if limit is None else max(limit, self._held(pool)) // pool.configuration.gpus + 1
            row = []
            for m in self.M:
                load = sum(float(problem.demand.rps[k, m].max()) / rate for k, rate in self.into[p])
                whole = math.ceil(load * max(surge, spread)) + problem.failures_per_pool + 2 * (idle > 0)
                row.append(int(min(math.ceil(whole / (1.0 - idle)) + (spread > 1.0), cap)))
            # Where change is limited or costs, a month may run what another needs.
            found.append([max(row)] * len(row) if self.churning and row else row)
        return found

    @cached_property
    def churning(self) -> bool:
        """Whether churn is limited or costs anything."""
        return self.problem.churn_gpus_max is not None or self.problem.churn_usd_per_gpu > 0.0

    @cached_property
    def useful(self) -> dict[tuple[str, str], int]:
        """g -> GPUs that all its pools together could ever use in a month."""
        size = [pool.configuration.gpus for pool in self.sets.pools]
        return {g: max(sum(self.most[p][m] * size[p] for p in self.on[g]) for m in self.M) for g in self.G}

    @cached_property
    def areas(self) -> tuple[list[int], list[int]]:
        """k and p -> the area they belong to: series and pools that share nothing but GPUs are in different ones."""
        of = list(self.K)

        def root(k: int) -> int:
            while of[k] != k:
                k = of[k]
            return k

        together = [[k for k, _ in found] for found in self.into]
        by_api: dict[tuple[str, str], list[int]] = {}
        for k, key in enumerate(self.problem.demand.series):
            if (key.llm, key.request_class) in self.problem.api:
                by_api.setdefault((key.llm, key.request_class), []).append(k)
        for ks in (*together, *by_api.values()):
            for k in ks[1:]:
                of[root(k)] = root(ks[0])
        names = {one: i for i, one in enumerate(sorted({root(k) for k in self.K}))}
        series = [names[root(k)] for k in self.K]
        return series, [series[found[0][0]] for found in self.into]

    @cached_property
    def last(self) -> list[set[int]]:
        """m -> pools that the plan before ran in that month, or in its last one; empty without such a plan."""
        at = {pool: p for p, pool in enumerate(self.sets.pools)}
        by_month: dict[str, set[int]] = {}
        for one in self.problem.last:
            p = at.get(PoolKey(one.region, one.configuration))
            by_month.setdefault(one.month, set()).update(() if p is None else (p,))
        if not by_month:
            return [set() for _ in self.M]
        return [by_month.get(month, by_month[max(by_month)]) for month in self.problem.demand.months]

    def _held(self, pool: PoolKey) -> int:
        return sum(h.gpus for h in self.problem.held if (h.region, h.gpu) == supply_of(pool))

    def unit(self, offer: Offer) -> int:
        """GPUs of the smallest lot of an offer."""
        return offer.gpus_per_node if self.problem.whole_nodes else 1

    def starts(self, o: int) -> range:
        """Months in which a commitment of offer o ordered now or later can start: after its lead time."""
        lead = lead_months(self.problem, self.sets.commitments[o])
        return range(min(lead, len(self.M)), len(self.M))


def supply_of(pool: PoolKey) -> tuple[str, str]:
    """The (region, GPU) a pool runs on."""
    return pool.region, pool.configuration.gpu


def active(start: int, month: int, term: int) -> bool:
    """Whether a commitment that starts in month `start` is still running in `month`."""
    return start <= month < start + term


def held_gpus(problem: FleetProblem, region: str, gpu: str, month: str) -> int:
    """GPUs of commitments already held that still run in a month."""
    return sum(h.gpus for h in problem.held if (h.region, h.gpu) == (region, gpu) and month < h.expires)


def held_usd(problem: FleetProblem, month: int) -> float:
    """What commitments already held cost in a month."""
    label = problem.demand.months[month]
    return float(sum(h.gpus * h.usd_per_gpu_h * HOURS_PER_MONTH for h in problem.held if label < h.expires))
