"""Simulated goodput in place of the estimate: the capacity table that a plan is made from."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.records import Capacity, CapacityTable, Engine, Excuse, Gpu, LengthSample, Llm
from models.simulator.engine import Limits
from models.simulator.knee import Knees, find_knees
from models.simulator.load import ClassLoad
from models.step_cost import step_cost

MARGIN = 1.6


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
) -> CapacityTable:
    """The table with the knees of every feasible row of `pairs` (LLM, class) found by simulation.

    Other rows keep their estimate, and say so in `method`. A row whose simulation breaks the SLO at every rate tried
    becomes infeasible with an Excuse.
    """
    wanted = [
        i
        for i, row in enumerate(table.rows)
        if row.excuse is None and (row.configuration.llm, row.request_class) in pairs
    ]
    if not wanted:
        return table
    outclassed = _outclassed([table.rows[i] for i in wanted])
    chosen = [i for i, worse in zip(wanted, outclassed, strict=True) if worse is None]
    rows = [table.rows[i] for i in chosen]
    samples = [lengths[row.configuration.llm, row.request_class] for row in rows]
    budget = np.array([row.configuration.max_num_batched_tokens for row in rows])
    seqs = np.array([row.configuration.max_num_seqs for row in rows])
    context = [float((s.weight * (s.input_tokens + s.output_tokens / 2)).sum() / s.weight.sum()) for s in samples]
    cost = step_cost([row.configuration for row in rows], llms, gpus, engine, coefficients, context)
    knees = find_knees(
        cost,
        [(ClassLoad(row.request_class, 1.0, sample, row.slo),) for row, sample in zip(rows, samples, strict=True)],
        Limits(
            seqs, budget, np.array([row.kv_capacity_tokens for row in rows]), np.full(len(rows), engine.kv_block_tokens)
        ),
        np.array([row.knee_rps for row in rows]),
        operating_point,
        requests=requests,
        seeds=seeds,
        seed=seed,
    )
    method = f"continuous-batching simulation, {seeds} x {requests:,} requests"
    found = list(table.rows)
    for i, worse in zip(wanted, outclassed, strict=True):
        if worse is not None:
            found[i] = replace(table.rows[i], knee_rps=0.0, operating_rps=0.0, output_tokens_per_s=0.0, excuse=worse)
    for lane, i in enumerate(chosen):
        found[i] = _row(table.rows[i], knees, lane, method)
    return replace(table, rows=tuple(found))


def _outclassed(rows: Sequence[Capacity]) -> list[Excuse | None]:
    """Which rows another of the same LLM, class and GPU beats by more than MARGIN in the estimate, a replica no larger:
    the estimate is good enough to tell such a difference, so no simulation is spent on them."""
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
        advice = f"{best.configuration.label} carries over {MARGIN:g} times as much a GPU by the estimate"
        found.append(Excuse("outclassed", rate, mine, "req/s a GPU", advice) if rate > MARGIN * mine else None)
    return found


def _row(row: Capacity, knees: Knees, lane: int, method: str) -> Capacity:
    """A row with its simulated knee and operating point."""
    knee = float(knees.knee_rps[lane])
    excuse = None
    if knee <= 0.0:
        needed, slo = (float(knees.ttft_s[lane]), float(knees.tpot_s[lane])), (row.slo.ttft_s, row.slo.tpot_s)
        which = 0 if knees.binding[lane] == "ttft" else 1
        name = ("TTFT", "TPOT")[which]
        excuse = Excuse(name, needed[which], slo[which], "s", "broken in simulation at a quarter of the estimate")
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
    )
