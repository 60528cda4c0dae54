"""Calibrated corrections applied to a row's coefficients.

Decode reads memory and waits for launches, prefill computes: `device` moves bandwidth shares and launch times,
`prefill` moves compute shares, and the host's terms are added. `compute`, `bandwidth` and `overhead` multiply
efficiencies and fixed costs one by one. So corrected, a row serves the sweep, the capacity table and the simulator like
any other.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from configs.catalog_schema import Correction
from data.records import Configuration

MICRO, MILLI = 1e-6, 1e-3
LEAST = 0.5
"""No correction makes a device more than twice as fast as its tables say."""
SLOWER = ("gemm_t0_s", "expert_t0_s", "decode_t0_s", "all_reduce_t0_s")
LESS_BANDWIDTH = ("gemm_eff_memory", "expert_eff_memory", "decode_eff_memory", "all_reduce_bytes_per_s")
LESS_COMPUTE = ("gemm_eff_compute", "expert_eff_compute", "prefill_eff_max")
MEMORY_SHARES = ("gemm_eff_memory", "expert_eff_memory", "decode_eff_memory")


def nearest(corrections: Sequence[Correction], one: Configuration) -> Correction | None:
    """The correction of this LLM, GPU, engine and precision whose tensor parallelism is closest; None without any.

    One that says with which KV precision or pipeline stages it was measured serves those only, and comes before one
    that does not say, which serves all.
    """

    def distance(known: Correction) -> tuple[float, int]:
        unsaid = (known.kv_precision is None) + (known.pipeline_parallel is None)
        return abs(math.log2(known.tensor_parallel / one.tensor_parallel)), unsaid

    mine = [c for c in corrections if _of(c, one) and _measured_so(c, one)]
    return min(mine, key=distance, default=None)


def passed_over(corrections: Sequence[Correction], configurations: Iterable[Configuration]) -> tuple[str, ...]:
    """A sentence for every correction and kind of cache or stages of the same LLM, GPU, engine and precision that has
    no correction, because none was measured with them."""
    found: dict[str, None] = {}
    for one in configurations:
        near = next((c for c in corrections if _of(c, one)), None)
        if near is not None and nearest(corrections, one) is None:
            stages = f"{one.pipeline_parallel} pipeline stage{'s' * (one.pipeline_parallel > 1)}"
            found[
                f"{one.llm} on {one.gpu} in {one.precision} with a KV cache in {one.kv_precision} over {stages} is not "
                "calibrated: none of the calibration was measured so"
            ] = None
    return tuple(found)


def _of(known: Correction, one: Configuration) -> bool:
    return (known.llm, known.gpu, known.engine, known.precision) == (one.llm, one.gpu, one.engine, one.precision)


def _measured_so(known: Correction, one: Configuration) -> bool:
    """Whether it says nothing else of cache and stages."""
    return known.kv_precision in (None, one.kv_precision) and known.pipeline_parallel in (None, one.pipeline_parallel)


def correct(values: dict[str, object], correction: Correction) -> None:
    """Change a row's values, as models/rows.py collects them, in place."""
    device, prefill = max(1.0 + correction.device, LEAST), max(1.0 + correction.prefill, LEAST)
    for names, factor in ((SLOWER, device), (LESS_BANDWIDTH, 1.0 / device), (LESS_COMPUTE, 1.0 / prefill)):
        for name in names:
            values[name] = _number(values[name]) * factor
    for name in SLOWER:
        values[name] = _number(values[name]) * correction.overhead
    for names, factor in ((LESS_COMPUTE, correction.compute), (MEMORY_SHARES, correction.bandwidth)):
        # Factors of efficiencies are fitted under this bound: shares of the peak rate stay shares. `device` and
        # `prefill` are fitted as times; cut off at the peak they would not give what was held out.
        most = 1.0 if factor != 1.0 else math.inf
        for name in names:
            values[name] = min(_number(values[name]) * factor, most)
    host_s = _number(values["host_overhead_s"]) * correction.overhead
    values["host_overhead_s"] = max(host_s + correction.host_ms * MILLI, 0.0)
    values["per_sequence_s"] = max(correction.per_sequence_us * MICRO, 0.0)


def _number(value: object) -> float:
    return float(value)  # type: ignore[arg-type]
