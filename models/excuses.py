"""Why a configuration cannot serve a class: the limit it broke, what it needed and what there was."""

from __future__ import annotations

from data.records import Configuration, Excuse, FloatArray, Gpu, Llm, SloTarget
from data.units import GB
from models.goodput import LIMITS, Estimate
from models.memory import Memory
from models.rows import compute_precision


def hardware(one: Configuration, gpu: Gpu) -> Excuse | None:
    """What the GPU cannot compute in or read, whatever the load; None where it can."""
    if compute_precision(one.precision, gpu) is None:
        return Excuse("precision", 1, 0, "hardware support", f"{gpu.name} has no {one.precision} tensor cores")
    if one.kv_precision == "fp8" and not gpu.fp8_kv_cache:
        advice = f"no attention kernel reads an fp8 cache on {gpu.name}: use bf16"
        return Excuse("KV precision", 1, 0, "hardware support", advice)
    return None


def layout(one: Configuration, llm: Llm) -> Excuse | None:
    """What cannot be cut as asked; None where it can."""
    tp, experts = one.tensor_parallel, one.expert_parallel
    if llm.heads % tp:
        return Excuse("tensor parallelism", tp, llm.heads, "attention heads", "use a divisor of the heads")
    if one.pipeline_parallel > llm.layers:
        return Excuse("pipeline parallelism", one.pipeline_parallel, llm.layers, "layers", "use fewer stages")
    if experts > 1 and llm.experts % experts:
        return Excuse("expert parallelism", experts, llm.experts, "experts", "use a divisor of the experts")
    return None


def first_broken(
    i: int, one: Configuration, llm: Llm, gpu: Gpu, slo: SloTarget, mem: Memory, tail: FloatArray, found: Estimate
) -> Excuse | None:
    """The first limit that row i of the kernel's arrays breaks, and by how much; None where it serves."""
    if (missing := hardware(one, gpu) or layout(one, llm)) is not None:
        return missing
    fails, limit = float(found.knee_rps[i]) <= 0.0, LIMITS[int(found.binding[i])]
    if float(mem.pool[i]) < float(tail[i]) or (fails and limit == "kv_cache"):
        needed = float(mem.total[i] - mem.pool[i] + tail[i])
        advice = "more tensor parallelism, a smaller weight precision or a larger GPU"
        return Excuse("memory", needed / GB, float(mem.total[i]) / GB, "GB a GPU", advice)
    if fails:
        place = ("ttft", "tpot", "e2e").index(limit)
        at_one, most = (found.at_one_ttft_s, found.at_one_tpot_s, found.at_one_e2e_s)[place], slo.limits[place]
        return Excuse(most.label, float(at_one[i]), most.seconds, "s", "too slow even when idle")
    return None
