"""Simulated goodput in place of the estimate: the capacity table that a plan is made from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.records import Capacity, CapacityTable, Engine, Excuse, Gpu, LengthSample, Llm, SloTarget
from models.simulator.engine import engine_limits
from models.simulator.knee import PRESSURE, Knees, find_knees
from models.simulator.load import ClassLoad, enough_requests, replica_cv
from models.step_cost import step_cost

MARGINS = (1.6, 1.4)
"""How much better another configuration must look for one to be dropped: by the estimate, and by one seed, whose knee
is within 15 % (two standard deviations) of the mean."""
MOST_TOGETHER = 32.0
"""Replicas from which on more of them gain nothing that could be told from noise (models/pool_gain.py)."""
SHARED = {"round_robin": "dealt to a pool's replicas in turn", "random": "to a pool's replicas at random"}


def simulated(
    table: CapacityTable,
    pairs: Collection[tuple[str, str]],
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    engine: Engine,
    coefficients: CoefficientCatalog,
    lengths: Mapping[tuple[str, str], LengthSample],
    operating_point: float,
    requests: int = 1000,
    seeds: int = 4,
    seed: int = 0,
    cv: float = 1.0,
    target_band: float | None = None,
    pool_rps: Mapping[tuple[str, str], float] | None = None,
    routing: str = "random",
) -> CapacityTable:
    """The table with the knees of every feasible row of `pairs` (LLM, class) found by simulation.

    requests: at least; more where more run at once (models/simulator/load.py).
    Other rows keep their estimate, and say so in `method`. A row whose simulation breaks the SLO at every rate tried
    becomes infeasible with an Excuse. cv: coefficient of variation of the gaps between a pool's arrivals (1: Poisson).
    pool_rps: requests/s of the smallest pool that serves a pair: rates are those of a replica in a pool of that size,
    under `routing` (models/simulator/load.py, `replica_cv`); replicas stand alone without it.
    target_band: seeds are added to `seeds` while a knee's band is wider (models/simulator/knee.py), for few rows only.
    """
    wanted = [
        i
        for i, row in enumerate(table.rows)
        if row.excuse is None and (row.configuration.llm, row.request_class) in pairs
    ]
    if not wanted:
        return table
    found = list(table.rows)
    shared = "" if pool_rps is None else f", {SHARED[routing]}"
    # By the estimate first; a smaller pool where the simulated knee says that fewer replicas carry it.
    together = {i: _sharing(found[i], operating_point, pool_rps or {}) for i in wanted}
    size = {i: enough_requests(_running(found[i], lengths), requests) for i in wanted}

    def drop_outclassed(margin: float, of: str) -> None:
        worse = _outclassed([found[i] for i in wanted], margin, of)
        for i, excuse in zip(tuple(wanted), worse, strict=True):
            if excuse is not None:
                found[i] = replace(found[i], knee_rps=0.0, operating_rps=0.0, output_tokens_per_s=0.0, excuse=excuse)
                wanted.remove(i)

    def simulate(which: Sequence[int], count: int, near: bool) -> list[int]:
        """Knees of some rows, in place; those come back that were given more company than their pool has."""
        less: list[int] = []
        for many in sorted({size[i] for i in which}):
            less += simulate_with(many, [i for i in which if size[i] == many], count, near)
        return less

    def simulate_with(requests: int, which: Sequence[int], count: int, near: bool) -> list[int]:
        rows = [found[i] for i in which]
        samples = [lengths[row.configuration.llm, row.request_class] for row in rows]
        context = [sample.mean_context_tokens for sample in samples]
        budget = np.array([row.configuration.max_num_batched_tokens for row in rows])
        seqs = np.array([row.configuration.max_num_seqs for row in rows])
        # Rates tried are multiples of the guess. An estimate's last digits hang on how devices share its sums: rounded,
        # the same knees are found on one device and on several.
        # A lane is a scheduler: a replica of several deals its requests among them as a pool does.
        lanes = np.array([row.configuration.schedulers for row in rows])
        kv_tokens = np.array([row.kv_capacity_tokens for row in rows]) / lanes
        knees = find_knees(
            step_cost([row.configuration for row in rows], llms, gpus, engine, coefficients, context),
            [(ClassLoad(row.request_class, 1.0, one, row.slo),) for row, one in zip(rows, samples, strict=True)],
            engine_limits(engine, seqs, budget, kv_tokens),
            np.array([float(f"{row.knee_rps:.3g}") for row in rows]) / lanes,
            operating_point,
            requests=requests,
            seeds=count,
            seed=seed,
            cv=np.array([replica_cv(cv, together[i] * many, routing) for i, many in zip(which, lanes, strict=True)]),
            near=near,
            target_band=target_band if near else None,
        ).times(lanes)
        method = f"continuous-batching simulation, {knees.by_seed_rps.shape[1]} x {requests:,} requests{shared}"
        for lane, i in enumerate(which):
            found[i] = _row(found[i], knees, lane, method, together[i])
        fewer = {i: _sharing(found[i], operating_point, pool_rps or {}) for i in which if found[i].excuse is None}
        less = [i for i, many in fewer.items() if many < together[i]]
        together.update({i: fewer[i] for i in less})
        return less

    # Each stage spends simulation only on what the stage before could not tell apart.
    drop_outclassed(MARGINS[0], "the estimate")
    simulate(wanted, 1, near=False)
    wanted = [i for i in wanted if found[i].excuse is None]
    drop_outclassed(MARGINS[1], "one simulation")
    left = wanted if seeds > 1 else []
    while left:
        left = simulate(left, seeds, near=True)
    return replace(table, rows=tuple(found))


def _running(row: Capacity, lengths: Mapping[tuple[str, str], LengthSample]) -> float:
    """Requests that a scheduler runs at once at an estimated knee, by Little's law with its times; no more than fit."""
    sample = lengths[row.configuration.llm, row.request_class]
    outputs = float(np.average(sample.output_tokens, weights=sample.weight))
    at_once = min(row.knee_rps * (row.ttft_s + outputs * row.tpot_s), row.max_concurrency)
    return at_once / row.configuration.schedulers


def _outclassed(rows: Sequence[Capacity], margin: float, of: str) -> list[Excuse | None]:
    """Which rows another of the same LLM, class and GPU beats by more than `margin` a GPU, with a replica no larger."""
    found: list[Excuse | None] = []
    for row in rows:
        one = row.configuration
        mine = row.knee_rps / one.gpus
        rivals = [
            other
            for other in rows
            if (other.configuration.llm, other.request_class, other.configuration.gpu)
            == (one.llm, row.request_class, one.gpu)
            and other.configuration.gpus <= one.gpus
        ]
        best = max(rivals, key=lambda other: other.knee_rps / other.configuration.gpus)
        rate = best.knee_rps / best.configuration.gpus
        advice = f"{best.configuration.label} carries over {margin:g} times as much a GPU by {of}"
        found.append(Excuse("outclassed", rate, mine, "req/s a GPU", advice) if rate > margin * mine else None)
    return found


def _sharing(row: Capacity, operating_point: float, pool_rps: Mapping[tuple[str, str], float]) -> int:
    """Replicas of the smallest pool that serves a row's class, by its knee: the power of two at or below, so that few
    streams are drawn and none is promised company that it may not have."""
    needed = pool_rps.get((row.configuration.llm, row.request_class), 0.0) / (operating_point * row.knee_rps)
    return 1 << int(np.log2(np.clip(needed, 1.0, MOST_TOGETHER)))


def _row(row: Capacity, knees: Knees, lane: int, method: str, together: int) -> Capacity:
    """A row with its simulated knee and operating point, of one of `together` replicas."""
    knee = float(knees.knee_rps[lane])
    excuse = None if knee > 0.0 else broken_limit(row.slo, knees, lane)
    return replace(
        row,
        knee_rps=knee,
        knee_band=float(knees.band[lane]),
        operating_rps=float(knees.operating_rps[lane]),
        ttft_s=float(knees.ttft_s[lane]),
        tpot_s=float(knees.tpot_s[lane]),
        output_tokens_per_s=float(knees.output_tokens_per_s[lane]) if knee > 0 else 0.0,
        binding=knees.binding[lane],
        method=method,
        excuse=excuse,
        pool_replicas=together,
    )


def broken_limit(slo: SloTarget, knees: Knees, lane: int) -> Excuse:
    """The limit that the lowest rate tried breaks, with its value there."""
    rate, limit = float(knees.broken_rps[lane]), knees.binding[lane]
    advice = f"broken in simulation even at {rate:.3g} requests/s"
    if limit == "kv_cache":
        pressed = float(knees.kv_pressure[lane])
        return Excuse("KV cache", pressed, PRESSURE, "of iterations with an over-full cache", advice)
    if limit == "throughput":
        return Excuse("throughput", rate, 0.0, "requests/s", "the queue grows in simulation at every rate tried")
    place = ("ttft", "tpot", "e2e").index(limit)
    most = slo.limits[place]
    needed = (knees.ttft_s, knees.tpot_s, knees.e2e_s)[place]
    return Excuse(most.label, float(needed[lane]), most.seconds, "s", advice)
