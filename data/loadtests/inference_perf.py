"""inference-perf's `stage_N_lifecycle_metrics.json`: one stage, seconds; the summary file adds all stages up.

Releases before the fix of issue 564 count each streamed piece with a begin-of-sequence token: their TPOT comes out
about half of what the request took (models.loadtest_checks says so). Which percentiles a report holds is configured.
"""

from __future__ import annotations

import math

from data.loadtests.fields import LONGEST_S, Node, optional, spread
from data.loadtests.records import NAN, Arrivals, LoadPoint, LoadTest, Spread

TOOL = "inference-perf"
NAMES = ("mean", "median", "p90", "p95", "p99", "min", "max")


def detect(value: object) -> bool:
    """Whether a decoded object is a lifecycle report of this tool."""
    return isinstance(value, dict) and "load_summary" in value and "successes" in value


def read(node: Node) -> LoadTest:
    """One stage as a LoadTest of one point; the reports name neither the model nor the version."""
    return LoadTest(tool=TOOL, version="", model="", points=(_point(node),), files=(node.where,))


def _spread(node: Node, name: str, time: bool = True) -> Spread:
    return spread(node.first(name), 1.0, NAMES, time)


def _point(node: Node) -> LoadPoint:
    load, good = node.at("load_summary"), node.at("successes")
    ok = good.at("count").count()
    rate = optional(load, "requested_rate")
    clients = optional(load, "concurrency")
    aggregate = math.isnan(rate) and math.isnan(clients)
    # Closed-loop stages carry a rate field too; the number of clients is what they hold.
    arrivals: Arrivals = "closed" if not math.isnan(clients) else "unstated" if aggregate else "constant"
    achieved = optional(good, "throughput.requests_per_sec")
    duration = optional(node, "benchmark_time_seconds")
    if math.isnan(duration) or duration <= 0:
        duration = ok / achieved if achieved > 0 else optional(load, "send_duration")
    inputs = _spread(good, "prompt_len", False)
    outputs = _spread(good, "output_len", False)
    return LoadPoint(
        label="all stages" if aggregate else f"{clients:g} clients" if arrivals == "closed" else f"{rate:g} req/s",
        source=node.where,
        arrivals=arrivals,
        offered_rps=NAN if arrivals == "closed" else rate,
        clients=clients,
        achieved_rps=achieved,
        duration_s=min(duration, LONGEST_S),
        requests_ok=ok,
        requests_failed=node.at("failures", "count").count(),
        input_tokens=inputs if not math.isnan(inputs.mean) else _spread(good, "prompt_tokens", False),
        output_tokens=outputs if not math.isnan(outputs.mean) else _spread(good, "output_tokens", False),
        ttft_s=_spread(good, "latency.time_to_first_token"),
        tpot_s=_spread(good, "latency.time_per_output_token"),
        e2e_s=_spread(good, "latency.request_latency"),
        requests_planned=optional(load, "count"),
        output_tokens_per_s=optional(good, "throughput.output_tokens_per_sec"),
        goodput_rps=optional(good, "goodput_metrics.request_goodput"),
        # A start before its time (clocks, rounding) is a start in time.
        send_delay_s=_delay(load),
        aggregate=aggregate,
    )


def _delay(load: Node) -> Spread:
    found = load.first("schedule_delay")
    if found is None:
        return Spread()

    def at_least_0(name: str) -> float:
        node = found.first(name)
        return NAN if node is None else max(node.number(-LONGEST_S, LONGEST_S), 0.0)

    return Spread(*(at_least_0(name) for name in NAMES))
