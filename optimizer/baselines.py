"""What simpler rules would pay on the same problem: rounding up, cheapest goodput first, one GPU type.

Each rule makes a point of the same model (replicas, openings, routing), with every reserve the plan keeps and a
provider's API for what finds no place; commitments and hours are then bought for it as cheaply as they can be, so that
only the choice of hardware differs. Where regions may be lost, or an API may take what a GPU is too dear for, a rule of
thumb would be no fair rival: one GPU type is then planned like the whole, from the rule's point on. Points are also
offered to the search as plans, which makes the plan never worse than any of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

import numpy as np

from data.records import FloatArray
from optimizer.frame import Frame, held_gpus, supply_of
from optimizer.matrix import Declared, Matrix, run
from optimizer.parts import fixed_but
from optimizer.rule_failover import Counts, with_failover

Flow = dict[tuple[int, int, int, int, int], float]
"""(month, series, pool, block, scenario) -> requests/s."""
OF_POOL = {"flow": 2, "back": 3, "replicas": 1, "open": 1, "start": 1, "canary": 1, "maintenance": 1, "zone": 1}
"""Variables of a pool -> where the pool is in their index."""
FIXED = ("replicas", "open", "flow", "shed", "api", "canary", "maintenance", "zone")


@dataclass(frozen=True, slots=True)
class Point:
    """A named point, whole columns of the model; objective in the model's units. weighs_api: whether an API was weighed
    against GPUs for all it may take, not for what finds no place alone."""

    name: str
    x: FloatArray
    objective: float
    weighs_api: bool = False


def needed(frame: Frame, load: float, protected_load: float) -> int:
    """Fewest replicas of an open pool that carry a load with every reserve of the pool itself."""
    problem, held = frame.problem, frame.problem.reserves
    k, kappa, omega = problem.failures_per_pool, problem.rollout_surge, held.warm_share
    n = k + 1
    while True:
        aside = [k, kappa * load, omega * load, math.ceil(held.canary_share * n - 1e-9),
                 math.ceil(held.maintenance_share * n - 1e-9)]  # fmt: skip
        enough = load + (max(aside) if held.together == "max" else sum(aside)) <= n + 1e-9
        if held.zone_loss and held.zones > 1:
            enough = enough and protected_load + math.ceil(n / held.zones - 1e-9) <= n + 1e-9
        if enough:
            return n
        n += 1


def holds(matrix: Matrix, x: FloatArray) -> bool:
    """Whether a point keeps every row, to a part in a million."""
    value = matrix.A @ x
    slack = 1e-6 * (1.0 + np.abs(value))
    return bool(((value >= matrix.row_lower - slack) & (value <= matrix.row_upper + slack)).all())


class _Columns:
    """Where each variable's column is."""

    def __init__(self, declared: Declared) -> None:
        self.at: dict[tuple[str, object], int] = {
            (variable.parent_component().local_name, variable.index()): i
            for i, variable in enumerate(declared.variables)
        }

    def put(self, x: FloatArray, name: str, index: tuple[object, ...], value: float) -> None:
        column = self.at.get((name, index))
        if column is not None:
            x[column] = value


def _overflow(frame: Frame, columns: _Columns, x: FloatArray, m: int, b: int, s: int, short: dict[int, float]) -> None:
    """What no pool carries, by series: bought from an API up to its limit, then shed."""
    problem, series = frame.problem, frame.problem.demand.series
    left = {pair: one.rps_max for pair, one in problem.api.items()}
    for k, rps in short.items():
        pair = (series[k].llm, series[k].request_class)
        bought = min(rps, left.get(pair, 0.0))
        if bought > 0.0:
            left[pair] -= bought
            columns.put(x, "api", (m, k, b, s), bought)
        columns.put(x, "shed", (m, k, b, s), rps - bought)


def _point(frame: Frame, columns: _Columns, flow: Flow, size: int, gpus: set[str]) -> FloatArray:
    """The operation that carries given flows, also when a region is lost where that is promised, on these GPU types:
    whole replicas, openings, what is bought from an API or shed."""
    x = np.zeros(size)
    problem, held = frame.problem, frame.problem.reserves
    served: dict[tuple[int, int, int, int], float] = {}
    load: dict[tuple[int, int, int, int], list[float]] = {}
    rates = [dict(found) for found in frame.into]
    for (m, k, p, b, s), value in flow.items():
        columns.put(x, "flow", (m, k, p, b, s), value)
        served[m, k, b, s] = served.get((m, k, b, s), 0.0) + value
        both = load.setdefault((m, p, b, s), [0.0, 0.0])
        both[0] += value / rates[p][k]
        both[1] += value / rates[p][k] * frame.protected[k]
    counts: Counts = {}
    for m in frame.M:
        for b in frame.B:
            for s in frame.S:
                short = {k: float(problem.demand.rps[k, m, b, s]) - served.get((m, k, b, s), 0.0) for k in frame.K}
                _overflow(frame, columns, x, m, b, s, {k: max(rps, 0.0) for k, rps in short.items()})
        for p in frame.P:
            for s in frame.S:
                found = [load.get((m, p, b, s), [0.0, 0.0]) for b in frame.B]
                worst = (max(one[0] for one in found), max(one[1] for one in found))
                if worst[0] > 1e-9:
                    counts[m, p, s] = needed(frame, *worst)
    if held.region_loss:
        price = _cheapest(frame)

        def usd(k: int, p: int) -> float:
            return _usd(frame, price, p, rates[p][k])

        counts = with_failover(frame, counts, gpus, lambda m, g: _room(frame, m, g), usd, needed(frame, 0.0, 0.0))
    for m in frame.M:
        for p in frame.P:
            if not any((m, p, s) in counts for s in frame.S):
                continue
            columns.put(x, "open", (m, p), 1.0)
            before = 0
            for s in frame.S:
                before = max(counts.get((m, p, s), needed(frame, 0.0, 0.0)), before if frame.ordered else 0)
                columns.put(x, "replicas", (m, p, s), before)
                columns.put(x, "canary", (m, p, s), math.ceil(held.canary_share * before - 1e-9))
                columns.put(x, "maintenance", (m, p, s), math.ceil(held.maintenance_share * before - 1e-9))
                columns.put(x, "zone", (m, p, s), math.ceil(before / held.zones - 1e-9))
    return x


def _cheapest(frame: Frame) -> dict[tuple[str, str], float]:
    """Lowest price of a GPU-hour by (region, GPU)."""
    price: dict[tuple[str, str], float] = {}
    for offer in frame.problem.offers:
        g = (offer.region, offer.gpu)
        price[g] = min(offer.usd_per_gpu_h, price.get(g, math.inf))
    return price


def _usd(frame: Frame, price: Mapping[tuple[str, str], float], p: int, rate: float) -> float:
    """What a request/s costs an hour on a pool that holds `rate` a replica."""
    pool = frame.sets.pools[p]
    return price.get(supply_of(pool), math.inf) * pool.configuration.gpus / rate


def _room(frame: Frame, m: int, g: tuple[str, str]) -> float:
    """GPUs of a supply that can be had in a month."""
    problem = frame.problem
    limit = float(problem.quotas.get(g, math.inf))
    sold = g in frame.sets.on_demand or any(
        (o.region, o.gpu) == g and m in frame.starts(i) for i, o in enumerate(frame.sets.commitments)
    )
    return limit if sold else min(limit, held_gpus(problem, *g, problem.demand.months[m]))


def _greedy(frame: Frame, gpus: set[str]) -> Flow:
    """Flows of every series to its cheapest pools a request, on the given GPU types, within quotas."""
    problem = frame.problem
    price = _cheapest(frame)
    flow: Flow = {}
    for m in frame.M:
        for s in frame.S:
            room = {g: _room(frame, m, g) for g in frame.G}
            load = {p: [0.0, 0.0] for p in frame.P}
            count = dict.fromkeys(frame.P, 0)
            for k in sorted(frame.K, key=lambda k: -float(problem.demand.rps[k, m, :, s].max())):
                peak, left = float(problem.demand.rps[k, m, :, s].max()), 1.0
                rate = {p: dict(frame.into[p])[k] for p in frame.serving[k]}
                cheapest = {p: _usd(frame, price, p, each) for p, each in rate.items()}
                for p in sorted(frame.serving[k], key=lambda p: (cheapest[p], p)):
                    pool = frame.sets.pools[p]
                    if pool.configuration.gpu not in gpus or left <= 1e-9 or peak <= 0.0:
                        continue
                    g, each = supply_of(pool), pool.configuration.gpus
                    share = left
                    for _ in range(20):
                        more = share * peak / rate[p]
                        n = needed(frame, load[p][0] + more, load[p][1] + more * frame.protected[k])
                        if (n - count[p]) * each <= room[g] and n <= frame.most[p][m]:
                            break
                        share *= 0.7
                    else:
                        continue
                    load[p][0] += more
                    load[p][1] += more * frame.protected[k]
                    room[g] -= (n - count[p]) * each
                    count[p] = n
                    left -= share
                    for b in frame.B:
                        value = share * float(problem.demand.rps[k, m, b, s])
                        flow[m, k, p, b, s] = flow.get((m, k, p, b, s), 0.0) + value
    return flow


def baselines(
    frame: Frame, declared: Declared, relaxed: FloatArray | None, seconds: float, seed: int
) -> Iterator[Point]:
    """Points of the simpler rules that the model's limits allow; those it does not are left out."""
    columns = _Columns(declared)
    names = np.array([variable.parent_component().local_name for variable in declared.variables])
    free = ~np.isin(names, FIXED)

    def bought(name: str, x: FloatArray) -> Point | None:
        sub, where = fixed_but(declared.matrix, free, x)
        solved = run(sub, gap=1e-4, time_limit_s=seconds, seed=seed)
        if solved.x is None:
            return None
        found = x.copy()
        found[where] = np.where(sub.integer, np.round(solved.x), solved.x)
        # Limits of what runs (power, churn) have no supply in them: nothing above has looked at those.
        if not holds(declared.matrix, found):
            return None
        return Point(name, found, solved.objective)

    size = declared.matrix.columns
    candidates: list[tuple[str, Flow]] = []
    if relaxed is not None:
        at = {i: index for (name, index), i in columns.at.items() if name == "flow"}
        rounded = {at[i]: float(relaxed[i]) for i in at if relaxed[i] > 1e-9}
        candidates.append(("relaxation rounded up", rounded))  # type: ignore[arg-type]
    every = {pool.configuration.gpu for pool in frame.sets.pools}
    candidates.append(("cheapest goodput first", _greedy(frame, every)))
    for name, flow in candidates:
        point = bought(name, _point(frame, columns, flow, size, every))
        if point is not None:
            yield point
    for gpu in sorted(every):
        point = bought(f"{gpu} only", _point(frame, columns, _greedy(frame, {gpu}), size, {gpu}))
        if point is not None and (frame.problem.reserves.region_loss or frame.problem.api):
            point = _planned(frame, declared, point, gpu, seconds, seed)
        if point is not None:
            yield point


def _planned(frame: Frame, declared: Declared, point: Point, gpu: str, seconds: float, seed: int) -> Point:
    """The best fleet of one GPU type that the model finds from a point of it on, within the plan's gap or the seconds:
    pools on other GPUs stay as they are in the point, closed."""
    other = {p for p, pool in enumerate(frame.sets.pools) if pool.configuration.gpu != gpu}
    free = np.array(
        [
            variable.index()[OF_POOL[name]] not in other if name in OF_POOL else True
            for variable in declared.variables
            for name in (variable.parent_component().local_name,)
        ]
    )
    sub, where = fixed_but(declared.matrix, free, point.x)
    solved = run(sub, gap=frame.problem.mip_gap, time_limit_s=seconds, seed=seed, start=point.x[where])
    weighed = solved.status == "optimal"
    if solved.x is None or solved.objective > point.objective:
        return replace(point, weighs_api=weighed)
    found = point.x.copy()
    found[where] = np.where(sub.integer, np.round(solved.x), solved.x)
    if not holds(declared.matrix, found):
        return point
    return Point(point.name, found, solved.objective, weighed)
