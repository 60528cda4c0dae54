"""`vllm bench serve --save-result` (and benchmark_serving.py before it): one object a run.

Times are milliseconds in the summary and seconds in the per-request lists of `--save-detailed`. `request_rate` is "inf"
where all requests are sent at once. Some versions and wrappers spell `request_goodput` with a colon at its end.
`percentile-metrics` and `metric-percentiles` decide which fields are there; TTFT and TPOT means are needed here.
"""

from __future__ import annotations

import math
from datetime import datetime

import numpy as np

from configs.errors import InputError
from data.loadtests.fields import LONGEST_S, Node, of_values, optional, spread
from data.loadtests.records import NAN, Arrivals, LoadPoint, LoadTest, RequestRows, Spread
from data.records import FloatArray

TOOL = "vllm bench serve"
MS = 1e-3


def detect(value: object) -> bool:
    """Whether a decoded object is a serving run of this tool."""
    return isinstance(value, dict) and "completed" in value and "request_throughput" in value and "duration" in value


def read(node: Node) -> LoadTest:
    """The run as a LoadTest of one point."""
    model = node.first("model_id", "model")
    version = node.first("vllm_version", "version")
    return LoadTest(
        tool=TOOL,
        version=str(version.value)[:40] if version else "",
        model=model.text() if model else "",
        points=(_point(node),),
        files=(node.where,),
        day=_day(node),
    )


def _day(node: Node) -> str:
    """The date that the tool writes as yyyymmdd-hhmmss; none where it is something else."""
    found = node.first("date")
    text = str(found.value) if found else ""
    try:
        return datetime.strptime(text[:8], "%Y%m%d").date().isoformat()
    except ValueError:
        return ""


def _times(node: Node, metric: str) -> Spread:
    names = [f"mean_{metric}_ms", f"median_{metric}_ms", *(f"p{q}_{metric}_ms" for q in (90, 95, 99))]
    mean, median, p90, p95, p99 = names
    p50 = f"p50_{metric}_ms" if node.has(f"p50_{metric}_ms") else median
    return spread(node, MS, (mean, p50, p90, p95, p99, f"min_{metric}_ms", f"max_{metric}_ms"))


def _rate(node: Node) -> float:
    found = node.first("request_rate")
    if found is None:
        return math.inf
    if found.value in ("inf", "Infinity") or found.value == math.inf:
        return math.inf
    return found.number(1e-9)


def _point(node: Node) -> LoadPoint:
    rate, clients = _rate(node), optional(node, "max_concurrency")
    burstiness = optional(node, "burstiness")
    burstiness = 1.0 if math.isnan(burstiness) or burstiness <= 0 else burstiness
    arrivals: Arrivals = "gamma" if burstiness != 1.0 else "poisson"
    if math.isinf(rate):
        arrivals = "at_once" if math.isnan(clients) else "closed"
    if node.has("ramp_up_strategy"):
        arrivals = "unstated"
    ok, planned = node.at("completed").count(), optional(node, "num_prompts")
    failed = node.first("failed")
    rows = _rows(node)
    ttft, tpot, e2e = _times(node, "ttft"), _times(node, "tpot"), _times(node, "e2el")
    if rows is not None:
        made = of_values(rows.e2e_s)
        e2e = e2e if not math.isnan(e2e.mean) else made
    if ok and math.isnan(ttft.mean):
        raise InputError(
            f"{node.where}, mean_ttft_ms",
            "the mean TTFT",
            "nothing",
            "Run with --percentile-metrics ttft,tpot,itl,e2el.",
        )
    inputs, outputs = _lengths(node, "total_input_tokens", ok), _lengths(node, "total_output_tokens", ok)
    if rows is not None:
        inputs, outputs = of_values(rows.input_tokens), of_values(rows.output_tokens)
    label = (
        "ramp"
        if arrivals == "unstated"
        else "all at once"
        if arrivals == "at_once"
        else f"{rate:g} req/s"
        if math.isfinite(rate)
        else "closed loop"
    )
    return LoadPoint(
        label=label if math.isnan(clients) else f"{label}, {clients:g} clients",
        source=node.where,
        arrivals=arrivals,
        offered_rps=NAN if arrivals in ("closed", "unstated") else rate,
        clients=clients,
        achieved_rps=node.at("request_throughput").number(),
        duration_s=node.at("duration").number(0.0, LONGEST_S),
        requests_ok=ok,
        requests_failed=failed.count() if failed else int(max(planned - ok, 0)) if not math.isnan(planned) else 0,
        input_tokens=inputs,
        output_tokens=outputs,
        ttft_s=ttft,
        tpot_s=tpot,
        e2e_s=e2e,
        requests_planned=planned,
        burstiness=burstiness,
        asked_output_tokens=optional(node, "output_len", "random_output_len"),
        output_tokens_per_s=optional(node, "output_throughput"),
        goodput_rps=optional(node, "request_goodput", "request_goodput:"),
        replicas=optional(node, "decode_replicas", "replicas"),
        rows=rows,
    )


def _lengths(node: Node, name: str, requests: int) -> Spread:
    """Only the total is known without --save-detailed."""
    return Spread(mean=node.at(name).number() / requests) if requests else Spread()


def _rows(node: Node) -> RequestRows | None:
    """Per-request lists of --save-detailed; failed requests, which have an error or no TTFT, are left out."""
    if not all(node.has(name) for name in ("ttfts", "input_lens", "output_lens")):
        return None
    ttft = node.at("ttfts").numbers(most=LONGEST_S)
    inputs, outputs = node.at("input_lens").numbers(), node.at("output_lens").numbers()
    gaps = node.first("itls")
    sums: FloatArray = np.full(len(ttft), NAN)
    if gaps is not None:
        sums = np.array([entry.numbers(most=LONGEST_S).sum() for entry in gaps.items()], dtype=np.float64)
    start = node.first("start_times")
    starts = start.numbers() if start else np.full(len(ttft), NAN)
    for name, values in (("input_lens", inputs), ("output_lens", outputs), ("itls", sums), ("start_times", starts)):
        if len(values) != len(ttft):
            raise InputError(
                f"{node.where}, {name}", f"{len(ttft)} entries, as many as ttfts", str(len(values)), "Save again."
            )
    errors = node.first("errors")
    fine = np.ones(len(ttft), dtype=bool)
    if errors is not None and len(errors.items()) == len(ttft):
        fine = np.array([not entry.value for entry in errors.items()])
    fine &= ~np.isnan(ttft) & ~np.isnan(inputs) & ~np.isnan(outputs)
    if not fine.any():
        return None
    starts = starts - np.nanmin(starts) if not np.isnan(starts).all() else starts
    return RequestRows(starts[fine], inputs[fine], outputs[fine], ttft[fine], (ttft + sums)[fine])
