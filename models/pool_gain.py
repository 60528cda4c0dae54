"""What a pool gains on single replicas: ten carry more than ten times one when routing evens out their arrivals."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from data.curve_records import PoolGain
from data.records import FloatArray, SloTarget, StepCost
from models.simulator.cost import take
from models.simulator.engine import Limits, Requests
from models.simulator.knee import Knees
from models.simulator.load import Drawn, replica_cv
from models.simulator.percentiles import times
from models.simulator.pool import plain_pool, simulate_pool
from models.simulator.verdict import reached

DEALT = (2, 4, 8, 16, 32)


def dealt_gains(knees_at: Callable[[float], Knees], alone: Knees, cv: float) -> tuple[PoolGain, ...]:
    """Goodput a replica in pools, over that of one alone.

    Poisson stays Poisson under random routing and gains nothing, so that this is left out where cv is 1
    (models/simulator/load.py, `replica_cv`).

    knees_at: the knees of one lane for a coefficient of variation of the gaps between arrivals.
    """
    found = [PoolGain(1, "any", 1.0, float(alone.band[0]))]
    for replicas in DEALT:
        for routing in ("round_robin", "random") if cv != 1.0 else ("round_robin",):
            knees = knees_at(replica_cv(cv, replicas, routing))
            # Both knees come from the same seeds: their ratio varies less than either.
            ratio = np.log(knees.by_seed_rps[0] / alone.by_seed_rps[0, : knees.by_seed_rps.shape[1]])
            band = float(1.9 * ratio.std(ddof=1) / np.sqrt(len(ratio))) if len(ratio) > 1 else float("nan")
            found.append(PoolGain(replicas, routing.replace("_", " "), float(np.exp(ratio.mean())), band))
    return tuple(found)


def routed_goodput(
    cost: StepCost,
    limits: Limits,
    drawn: Drawn,
    slo: SloTarget,
    replicas: int,
    routing: str,
    rates_per_replica: FloatArray,
) -> float:
    """The highest of the rates (rising, requests/s a replica) at which a pool under the given routing holds its SLO at
    every seed's mean, 0 where none does; simulated whole, all replicas of the pool side by side. One lane of cost."""
    seeds, rates = len(drawn.unit_s), len(rates_per_replica)
    seed = np.tile(np.arange(seeds), rates)
    requests = Requests(
        drawn.unit_s[seed] / (replicas * np.repeat(rates_per_replica, seeds))[:, None],
        drawn.input_tokens[seed],
        drawn.cached_tokens[seed],
        drawn.output_tokens[seed],
    )
    one = np.zeros(len(seed), dtype=np.int64)
    pool = plain_pool(len(seed), replicas, routing)
    found = simulate_pool(take(cost, one), requests, limits.lanes(one), pool)
    seen = times(found.first_token_s, found.end_s, requests)
    served = np.asarray((found.fate == 0).all(axis=1))
    values, most = reached(seen, None, served, [slo] * len(seed))
    holds = (values.reshape(3, rates, seeds).mean(axis=2) <= most[:, ::seeds]).all(axis=0)
    first_bad = int(np.argmin(holds)) if not holds.all() else rates
    return float(rates_per_replica[first_bad - 1]) if first_bad > 0 else 0.0
