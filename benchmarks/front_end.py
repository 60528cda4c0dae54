"""What a closed-loop test's front-end and client add to an engine's time to first token: a typical time by engine.

A harness measures a first token from when its client sent the request until it saw the token: tokenizer, HTTP, the
engine's own queueing of new requests and the client's loop are in it, and none of them is in a kernel or a scheduler.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from benchmarks.measured_runs import Run
from data.records import FloatArray

FRONT_END_S: Mapping[str, float] = {"sglang": 0.166, "trtllm": 0.088, "vllm": 0.022}
"""`typical_s` of 423 public runs at up to 16 clients (2026-11-21; `python -m benchmarks.closed_loop` prints it for any
file): no engine's catalog has it and no plan counts it. Engines that are not here: nothing."""


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
