"""A plan replayed: every pool at its peak, whole and with replicas missing, with seeds that sizing has not seen.

Each situation is one lane a seed of the plain simulator: the replicas of a pool see streams alike, more even than the
pool's where requests are dealt in turn, so that one stands for all of them. The classes on a pool are mixed in their
shares: the plan adds them up by bottleneck seconds, and here it is checked what they do to each other's times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.records import Configuration, Engine, Gpu, Llm
from data.replay_records import PoolReplay
from models.simulator.cost import take
from models.simulator.engine import Outcome, Requests, engine_limits, simulate
from models.simulator.knee import find_knees
from models.simulator.load import Drawn, Mix, draw, enough_requests, mean_context_tokens, replica_cv
from models.simulator.percentiles import Times, times
from models.simulator.verdict import judged
from models.step_cost import step_cost


@dataclass(frozen=True, slots=True)
class PoolLoad:
    """A pool in a situation: the replicas that are there share rps of the mix; each should carry promised_rps."""

    configuration: Configuration
    region: str
    month: str
    situation: str
    replicas: int
    rps: float
    mix: Mix
    kv_tokens: float
    promised_rps: float


def replay(
    loads: Sequence[PoolLoad],
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    engine: Engine,
    coefficients: CoefficientCatalog,
    requests: int = 2000,
    seeds: int = 4,
    seed: int = 7_919,
    cv: float = 1.0,
    routing: str = "random",
) -> tuple[PoolReplay, ...]:
    """Every pool in its situation, with a verdict; for those that miss, what a replica would hold.

    A pool holds when the mean over the seeds of every class's percentile is within its SLO. seed: kept apart from those
    that capacity was sized with. cv: of the gaps between a pool's arrivals, shared among its replicas by `routing`.
    """
    here = [load for load in loads if load.replicas > 0 and load.rps > 0]
    if not here:
        return tuple(_gone(load) for load in loads)
    context = [mean_context_tokens(load.mix) for load in here]
    cost = step_cost([load.configuration for load in here], llms, gpus, engine, coefficients, context)
    limits = engine_limits(
        engine,
        [load.configuration.max_num_seqs for load in here],
        [load.configuration.max_num_batched_tokens for load in here],
        [load.kv_tokens / load.configuration.schedulers for load in here],
    )
    mixes = [load.mix for load in here]
    many = np.array([load.configuration.schedulers for load in here])
    varied = np.array([replica_cv(cv, load.replicas * n, routing) for load, n in zip(here, many, strict=True)])
    lane = np.repeat(np.arange(len(here)), seeds)
    share = np.array([load.rps / load.replicas for load in here]) / many
    rate = share[lane]

    def played(requests: int) -> tuple[Drawn, Requests, Outcome]:
        drawn = draw(mixes, requests, seeds, seed, varied)
        asked = Requests(drawn.unit_s / rate[:, None], drawn.input_tokens, drawn.cached_tokens, drawn.output_tokens)
        return drawn, asked, simulate(take(cost, lane), asked, limits.lanes(lane))

    drawn, asked, outcome = played(requests)
    if (more := enough_requests(float(np.max(outcome.mean_running)), requests)) > requests:
        requests = more
        drawn, asked, outcome = played(requests)
    seen = times(outcome.first_token_s, outcome.end_s, asked)
    which = drawn.which[:, requests - seen.ttft_s.shape[1] :]
    rows: list[PoolReplay] = []
    for i, load in enumerate(here):
        mine = slice(i * seeds, (i + 1) * seeds)
        here_seen = Times(seen.ttft_s[mine], seen.tpot_s[mine], seen.e2e_s[mine])
        classes, broken, _ = judged(load.mix, here_seen, which[mine], np.asarray(outcome.finished[mine]))
        rows.append(
            PoolReplay(
                load.configuration, load.region, load.month, load.situation, load.replicas, load.rps,
                load.promised_rps, classes, not broken, ", ".join(broken),
            )
        )  # fmt: skip
    missed = np.array([i for i, row in enumerate(rows) if not row.holds], dtype=np.int64)
    if len(missed):
        knees = find_knees(
            take(cost, missed), [mixes[i] for i in missed], limits.lanes(missed), share[missed], 1.0, requests, seeds,
            seed, varied[missed],
        ).times(many[missed])  # fmt: skip
        for place, i in enumerate(missed):
            rows[i] = replace(rows[i], knee_rps=float(knees.knee_rps[place]))
    found = iter(rows)
    return tuple(next(found) if load.replicas > 0 and load.rps > 0 else _gone(load) for load in loads)


def _gone(load: PoolLoad) -> PoolReplay:
    """A pool of which nothing is left, or that is asked nothing."""
    holds = load.rps <= 0
    why = "" if holds else "no replica is left"
    known = (load.configuration, load.region, load.month, load.situation, load.replicas, load.rps, load.promised_rps)
    return PoolReplay(*known, (), holds, why, float("nan") if holds else 0.0)
