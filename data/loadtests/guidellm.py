"""guidellm's JSON report (from 0.2 on): one benchmark a rate. `inter_token_latency_ms` is the TPOT meant here;
guidellm's own `time_per_output_token_ms` divides the whole latency, first token included, by the tokens.

Where a strategy, counts and the model stand has moved between versions; every place they were found in is tried.
"""

from __future__ import annotations

import math

import numpy as np

from configs.errors import InputError
from data.loadtests.fields import LONGEST_S, Node, optional, spread
from data.loadtests.records import NAN, Arrivals, LoadPoint, LoadTest, RequestRows, Spread
from data.records import FloatArray

TOOL = "guidellm"
NAMES = ("mean", "percentiles.p50", "percentiles.p90", "percentiles.p95", "percentiles.p99", "min", "max")
MS = 1e-3
KINDS: dict[str, Arrivals] = {
    "poisson": "poisson", "constant": "constant", "concurrent": "closed", "synchronous": "closed",
    "throughput": "at_once",
}  # fmt: skip


def detect(value: object) -> bool:
    """Whether a decoded object is a report of this tool."""
    if not isinstance(value, dict) or not isinstance(value.get("benchmarks"), list) or not value["benchmarks"]:
        return False
    one = value["benchmarks"][0]
    return isinstance(one, dict) and ("metrics" in one or "request_totals" in one)


def read(node: Node) -> LoadTest:
    """Every benchmark of the report as a point."""
    found = node.at("benchmarks").items()
    version = node.first("metadata.guidellm_version", "metadata.version")
    model = found[0].first("config.backend.model", "worker.backend_model", "benchmarker.backend.model", "backend.model")
    model = model or node.first("args.model", "config.spec.backend.model")
    return LoadTest(
        tool=TOOL,
        version=str(version.value)[:40] if version else "",
        model=model.text() if model else "",
        points=tuple(_point(one) for one in found),
        files=(node.where,),
    )


def _spread(metrics: Node, name: str, scale: float = 1.0, time: bool = True) -> Spread:
    return spread(metrics.first(f"{name}.successful"), scale, NAMES, time)


def _point(one: Node) -> LoadPoint:
    metrics = one.at("metrics")
    strategy = one.first("config.strategy", "scheduler.strategy", "args.strategy", "strategy")
    if strategy is None:
        raise InputError(
            f"{one.where}, config.strategy", "the load strategy", "nothing", "Export the JSON report again."
        )
    kind = strategy.at("type_").text().removeprefix("async_") if strategy.has("type_") else ""
    arrivals = KINDS.get(kind, "unstated")
    totals = metrics.first("request_totals") or one.first("request_totals", "run_stats.requests_made")
    if totals is None:
        raise InputError(
            f"{one.where}, metrics.request_totals", "request counts", "nothing", "Export the report again."
        )
    rate = optional(strategy, "rate") if arrivals in ("poisson", "constant", "unstated") else NAN
    clients = optional(strategy, "streams", "concurrency", "max_concurrency") if arrivals == "closed" else NAN
    if kind == "synchronous":
        clients = 1.0
    if arrivals == "at_once":
        # A throughput run keeps its workers' pool full.
        clients = optional(strategy, "max_concurrency")
    ok = totals.at("successful").count()
    duration = one.first("duration")
    if duration is not None:
        length = duration.number(0.0, LONGEST_S)
    else:
        length = max(one.at("end_time").number() - one.at("start_time").number(), 0.0)
    named = {"closed": "closed loop", "at_once": "as fast as possible"}.get(arrivals, f"{rate:g} req/s")
    achieved = optional(metrics, "requests_per_second.successful.mean")
    return LoadPoint(
        label=named if math.isnan(clients) else f"{named}, {clients:g} clients",
        source=one.where,
        arrivals=arrivals,
        offered_rps=math.inf if arrivals == "at_once" else rate,
        clients=clients,
        achieved_rps=achieved if not math.isnan(achieved) else ok / length if length else NAN,
        duration_s=length,
        requests_ok=ok,
        # A time-limited run cuts its last requests off: that is no failure of the server.
        requests_failed=totals.at("errored").count(),
        input_tokens=_spread(metrics, "prompt_token_count", time=False),
        output_tokens=_spread(metrics, "output_token_count", time=False),
        ttft_s=_spread(metrics, "time_to_first_token_ms", MS),
        tpot_s=_spread(metrics, "inter_token_latency_ms", MS),
        e2e_s=_spread(metrics, "request_latency"),
        output_tokens_per_s=optional(metrics, "output_tokens_per_second.successful.mean"),
        goodput_rps=optional(metrics, "request_goodput", "request_goodput.mean"),
        send_delay_s=_spread(metrics, "request_dispatch_delay"),
        in_flight=optional(metrics, "request_concurrency.successful.mean"),
        rows=_rows(one.first("requests.successful"), ok),
    )


def _rows(entries: Node | None, requests: int) -> RequestRows | None:
    """Per-request rows; None where the report holds a sample of them, or not every time of each."""
    if entries is None or not isinstance(entries.value, list) or not entries.value or len(entries.value) != requests:
        return None

    def column(*names: str, scale: float = 1.0) -> FloatArray:
        found = [entry.first(*names) for entry in entries.items()]
        return np.array([NAN if node is None else node.number() for node in found], dtype=np.float64) * scale

    timings = ("scheduler_info.request_timings", "info.timings")
    start = column("request_start_time", "start_time", *(f"{name}.request_start" for name in timings))
    end = column("request_end_time", "end_time", *(f"{name}.request_end" for name in timings))
    inputs, outputs, ttft = column("prompt_tokens"), column("output_tokens"), column("time_to_first_token_ms", scale=MS)
    whole = np.isfinite(start) & np.isfinite(end) & np.isfinite(inputs) & np.isfinite(outputs) & np.isfinite(ttft)
    if not whole.all():
        return None
    return RequestRows(start - start.min(), inputs, outputs, ttft, end - start)
