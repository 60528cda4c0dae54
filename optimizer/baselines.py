"""What simpler rules would pay on the same problem: rounding up, cheapest goodput first, one GPU type.

Each rule makes a point of the same model (replicas, openings, routing); commitments and hours are then bought for it
as cheaply as they can be, so that only the choice of hardware differs. Points are also offered to the search as plans,
which makes the plan never worse than any of them.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from data.records import FloatArray
from optimizer.frame import Frame, held_gpus, supply_of
from optimizer.matrix import Declared, Matrix, run
from optimizer.parts import fixed_but

FIXED = ("replicas", "open", "flow", "shed", "api", "canary", "maintenance", "zone")


@dataclass(frozen=True, slots=True)
class Point:
    """A named point, whole columns of the model; objective in the model's units."""

    name: str
    x: FloatArray
    objective: float


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


def _point(frame: Frame, columns: _Columns, flow: dict[tuple[int, int, int, int, int], float], size: int) -> FloatArray:
    """The operation that carries given flows (m, k, p, b, s): whole replicas, openings, what is shed."""
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
    for m in frame.M:
        for k in frame.K:
            for b in frame.B:
                for s in frame.S:
                    short = float(problem.demand.rps[k, m, b, s]) - served.get((m, k, b, s), 0.0)
                    columns.put(x, "shed", (m, k, b, s), max(short, 0.0))
        for p in frame.P:
            loads = {s: [load.get((m, p, b, s), [0.0, 0.0]) for b in frame.B] for s in frame.S}
            if all(one[0] <= 1e-9 for found in loads.values() for one in found):
                continue
            columns.put(x, "open", (m, p), 1.0)
            before = 0
            for s in frame.S:
                worst = (max(one[0] for one in loads[s]), max(one[1] for one in loads[s]))
                before = max(needed(frame, *worst), before if frame.ordered else 0)
                columns.put(x, "replicas", (m, p, s), before)
                columns.put(x, "canary", (m, p, s), math.ceil(held.canary_share * before - 1e-9))
                columns.put(x, "maintenance", (m, p, s), math.ceil(held.maintenance_share * before - 1e-9))
                columns.put(x, "zone", (m, p, s), math.ceil(before / held.zones - 1e-9))
    return x


def _greedy(frame: Frame, gpus: set[str]) -> dict[tuple[int, int, int, int, int], float]:
    """Flows of every series to its cheapest pools a request, on the given GPU types, within quotas."""
    problem = frame.problem
    price: dict[tuple[str, str], float] = {}
    for offer in problem.offers:
        g = (offer.region, offer.gpu)
        price[g] = min(offer.usd_per_gpu_h, price.get(g, math.inf))
    months = problem.demand.months
    flow: dict[tuple[int, int, int, int, int], float] = {}
    for m in frame.M:
        for s in frame.S:
            room = {g: float(problem.quotas.get(g, math.inf)) for g in frame.G}
            for g in frame.G:
                if g not in frame.sets.on_demand:
                    sold = any((o.region, o.gpu) == g and m in frame.starts(i)
                               for i, o in enumerate(frame.sets.commitments))  # fmt: skip
                    room[g] = room[g] if sold else min(room[g], held_gpus(problem, *g, months[m]))
            load = {p: [0.0, 0.0] for p in frame.P}
            count = dict.fromkeys(frame.P, 0)
            for k in sorted(frame.K, key=lambda k: -float(problem.demand.rps[k, m, :, s].max())):
                peak, left = float(problem.demand.rps[k, m, :, s].max()), 1.0
                rate = {p: dict(frame.into[p])[k] for p in frame.serving[k]}

                def usd(p: int, rate: dict[int, float] = rate) -> float:
                    pool = frame.sets.pools[p]
                    return price.get(supply_of(pool), math.inf) * pool.configuration.gpus / rate[p]

                for p in sorted(frame.serving[k], key=lambda p: (usd(p), p)):
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
    candidates: list[tuple[str, dict[tuple[int, int, int, int, int], float]]] = []
    if relaxed is not None:
        at = {i: index for (name, index), i in columns.at.items() if name == "flow"}
        rounded = {at[i]: float(relaxed[i]) for i in at if relaxed[i] > 1e-9}
        candidates.append(("relaxation rounded up", rounded))  # type: ignore[arg-type]
    every = {pool.configuration.gpu for pool in frame.sets.pools}
    candidates.append(("cheapest goodput first", _greedy(frame, every)))
    for name, flow in candidates:
        point = bought(name, _point(frame, columns, flow, size))
        if point is not None:
            yield point
    for gpu in sorted(every):
        point = bought(f"{gpu} only", _point(frame, columns, _greedy(frame, {gpu}), size))
        if point is not None:
            yield point
