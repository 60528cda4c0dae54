"""What a closed-loop test adds to an engine's time to first token: a typical time of front-end and client by engine,
and the wait of clients for whom the server was given no place.

A harness measures a first token from when its client sent the request until it saw the token: tokenizer, HTTP, the
engine's own queueing of new requests and the client's loop are in it, and none of them is in a kernel or a scheduler.
"""

from __future__ import annotations

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace

import numpy as np

from benchmarks.measured_runs import Run
from data.records import FloatArray, IntArray

FEW_CLIENTS = 16
"""Clients up to which TTFT is scored, and tells: beyond, queues are most of it."""
ENOUGH_LOADS = 3
"""Loads whose median tells a test's clients without a place."""
FRONT_END_S: Mapping[str, float] = {"sglang": 0.169, "trtllm": 0.060, "vllm": 0.022}
"""`typical_s` of 423 public runs at up to 16 clients (2026-11-22; `python -m benchmarks.closed_loop` prints it for any
file): no engine's catalog has it and no plan counts it. Engines that are not here: nothing."""


def clients_without_place(runs: Sequence[Run]) -> IntArray:
    """Clients more than the server was given places for, of each run as the other runs of its test tell, [runs]; 0
    where they do not.

    An engine that emits a first token does not know how long the answer will be: a TTFT that grows with the answers of
    a test, prompts and clients being the same, is a wait for others to end. With n places and k clients more, everyone
    waits k/n of a request's time in a place, output tokens x TPOT, by Little's law; so k is n times the slope of TTFT
    over that time, of which the median is taken over the loads of a test: runs of one LLM, engine, version and GPU. A
    run's own load (tokens in, ranks, clients) is left out. Loads of more clients than the engine's own limit, or than
    FEW_CLIENTS, tell nothing: those wait for other reasons.
    """
    loads: dict[tuple[Hashable, ...], dict[tuple[Hashable, ...], list[Run]]] = {}
    keys = []
    for run in runs:
        one = run.configuration
        test = (one.llm, one.engine, run.version, one.gpu)
        load = (replace(one, max_num_seqs=0, max_num_batched_tokens=0), run.input_tokens, run.concurrency)
        keys.append((test, load))
        if run.ttft_s > 0.0 and run.concurrency <= min(FEW_CLIENTS, one.max_num_seqs):
            loads.setdefault(test, {}).setdefault(load, []).append(run)
    slopes = {test: {load: _waiting(same) for load, same in mine.items()} for test, mine in loads.items()}
    found = []
    for test, own in keys:
        told = [one for load, one in slopes.get(test, {}).items() if load != own and np.isfinite(one)]
        found.append(max(round(float(np.median(told))), 0) if len(told) >= ENOUGH_LOADS else 0)
    return np.array(found, dtype=np.int64)


def _waiting(same: Sequence[Run]) -> float:
    """Clients that wait, of runs that differ by their output alone; nan where they do not differ."""
    in_place = np.array([run.output_tokens * run.tpot_s for run in same])
    if len({run.output_tokens for run in same}) < 2:
        return float("nan")
    slope = np.polyfit(in_place, [run.ttft_s for run in same], 1)[0]
    return float(slope) * same[0].concurrency


def typical_s(measured_s: FloatArray, simulated_s: FloatArray) -> float:
    """The time that, added to every simulated TTFT, leaves the least mean absolute percentage error: the median of what
    is missing, weighed by 1 / measured; no less than 0, and 0 of no runs."""
    if not len(measured_s):
        return 0.0
    missing = measured_s - simulated_s
    order = np.argsort(missing)
    weight = np.cumsum(1.0 / measured_s[order])
    return max(float(missing[order][np.searchsorted(weight, weight[-1] / 2.0)]), 0.0)


def of_others_s(runs: Sequence[Run], simulated_s: FloatArray, known: Sequence[int]) -> FloatArray:
    """The typical time of each run's engine as its runs of other LLMs have it, [runs]; nan where there are none. known:
    the runs that tell: few clients and a measured TTFT."""
    engine, llm = (np.array([getattr(run.configuration, name) for run in runs]) for name in ("engine", "llm"))
    measured = np.array([run.ttft_s for run in runs])
    tells = np.zeros(len(runs), dtype=bool)
    tells[list(known)] = True
    found = np.full(len(runs), np.nan)
    for one in sorted(set(zip(engine, llm, strict=True))):
        others = tells & (engine == one[0]) & (llm != one[1])
        if others.any():
            found[(engine == one[0]) & (llm == one[1])] = typical_s(measured[others], simulated_s[others])
    return found
