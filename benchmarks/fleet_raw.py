"""The fleet model written straight into highspy: what the declared model is timed against, and checked against.

Covers what the benchmark's instances use: routing, N+k pools, openings, commitments, on-demand levels, quotas, shed
load; no budget, no CVaR. The mathematics is that of the rules in `optimizer`.
"""

from __future__ import annotations

import math
import time
from collections import defaultdict
from dataclasses import dataclass
from typing import Any

import highspy
import numpy as np

from data.plan_records import FleetProblem
from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR
from optimizer.commitments import commitment_usd
from optimizer.cost import USD_SCALE, shed_usd
from optimizer.frame import Frame, active
from optimizer.sets import build_sets


@dataclass(frozen=True, slots=True)
class RawResult:
    """Size, seconds, plan and bound of the raw model; objective and bound in US dollars."""

    columns: int
    rows: int
    integers: int
    build_s: float
    solve_s: float
    objective_usd: float
    bound_usd: float

    @property
    def gap(self) -> float:
        return (self.objective_usd - self.bound_usd) / max(abs(self.objective_usd), 1e-9)


def build(frame: Frame) -> Any:
    """A highspy model of a problem over its sets, one Python call a column and a row."""
    problem, sets = frame.problem, frame.sets
    h = highspy.Highs()
    h.setOptionValue("output_flag", False)
    demand, k = problem.demand, problem.failures_per_pool
    P, K, G = sets.pools, demand.series, sorted(sets.supply)
    M, B, S = range(len(demand.months)), range(len(demand.blocks)), range(len(demand.probabilities))
    pi = demand.probabilities
    integer, inf = highspy.HighsVarType.kInteger, highspy.kHighsInf
    into: dict[Any, list[Any]] = defaultdict(list)
    for i, key in enumerate(K):
        for p in sets.serves[key]:
            into[p].append((i, key))

    buy, out = {}, defaultdict(list)
    for o, offer in enumerate(sets.commitments):
        for start in frame.starts(o):
            usd = commitment_usd(problem, offer.usd_per_gpu_h, offer.term_months, start)
            buy[o, start] = h.addVariable(0, inf, USD_SCALE * usd * frame.unit(offer), integer)
    seconds = [block.hours * SECONDS_PER_HOUR for block in demand.blocks]
    unit: dict[tuple[str, str], int] = {}
    hourly, opened, begun, flow, shed, replicas = {}, {}, {}, {}, {}, {}
    for m in M:
        for g in G:
            offer = sets.on_demand.get(g)
            for s in S:
                if offer is None:
                    continue
                unit[g] = frame.unit(offer)
                usd = USD_SCALE * offer.usd_per_gpu_h * HOURS_PER_MONTH * float(pi[s]) * unit[g]
                kind = integer if unit[g] > 1 else highspy.HighsVarType.kContinuous
                hourly[g, m, s] = h.addVariable(0, inf, usd, kind)
        for p in P:
            opened[p, m] = h.addVariable(0, 1, 1e-4, integer)
            begun[p, m] = h.addVariable(0, 1, USD_SCALE * problem.pool_start_usd)
            for s in S:
                replicas[p, m, s] = h.addVariable(0, inf, 0, integer)
        for s in S:
            for i, key in enumerate(K):
                for b in B:
                    for p in sets.serves[key]:
                        flow[key, p, m, b, s] = h.addVariable(0, inf, 0)
                    usd = USD_SCALE * shed_usd(frame, i, s) * seconds[b] * float(pi[s])
                    shed[key, m, b, s] = h.addVariable(0, inf, usd)
    ordered = bool((np.diff(demand.rps.max(axis=2), axis=2) >= -1e-9).all())
    by_supply = {g: [p for p in P if (p.region, p.configuration.gpu) == g] for g in G}
    for o, offer in enumerate(sets.commitments):
        out[offer.region, offer.gpu].append((o, offer))
    for m in M:
        for p in P:
            before = [opened[p, m - 1]] if m else []
            h.addConstr(h.qsum([begun[p, m], -1.0 * opened[p, m], *before]) >= 0)
            most = sum(float(demand.rps[i, m].max()) / sets.rate[p, key.request_class] for i, key in into[p])
            for s in S:
                h.addConstr(replicas[p, m, s] - (math.ceil(most) + k) * opened[p, m] <= 0)
                h.addConstr(replicas[p, m, s] - (k + 1) * opened[p, m] >= 0)
                if s and ordered:
                    h.addConstr(replicas[p, m, s] - replicas[p, m, s - 1] >= 0)
                for b in B:
                    load = [(1 / sets.rate[p, key.request_class]) * flow[key, p, m, b, s] for _, key in into[p]]
                    h.addConstr(h.qsum([*load, k * opened[p, m], -1.0 * replicas[p, m, s]]) <= 0)
        for s in S:
            for i, key in enumerate(K):
                for b in B:
                    served = [flow[key, p, m, b, s] for p in sets.serves[key]]
                    h.addConstr(h.qsum([*served, shed[key, m, b, s]]) == float(demand.rps[i, m, b, s]))
            for g in G:
                owned = [
                    float(frame.unit(f)) * buy[o, start]
                    for o, f in out[g]
                    for start in frame.starts(o)
                    if active(start, m, f.term_months)
                ]
                rented = [float(unit[g]) * hourly[g, m, s]] if g in unit else []
                if by_supply[g]:
                    used = [p.configuration.gpus * replicas[p, m, s] for p in by_supply[g]]
                    h.addConstr(h.qsum([*used, *(-1.0 * x for x in owned), *(-1.0 * x for x in rented)]) <= 0)
                limit = problem.quotas.get(g)
                if limit is not None:
                    h.addConstr(h.qsum([*owned, *rented]) <= limit)
    return h


def solve_raw(problem: FleetProblem, gap: float, time_limit_s: float) -> RawResult:
    """Builds and solves, on one thread."""
    start = time.perf_counter()
    h = build(Frame(problem, build_sets(problem)))
    built = time.perf_counter()
    for name, value in (("mip_rel_gap", gap), ("time_limit", time_limit_s), ("threads", 1)):
        h.setOptionValue(name, value)
    h.run()
    info, lp = h.getInfo(), h.getLp()
    return RawResult(
        columns=lp.num_col_,
        rows=lp.num_row_,
        integers=sum(kind == highspy.HighsVarType.kInteger for kind in lp.integrality_),
        build_s=built - start,
        solve_s=time.perf_counter() - built,
        objective_usd=info.objective_function_value / USD_SCALE,
        bound_usd=info.mip_dual_bound / USD_SCALE,
    )
