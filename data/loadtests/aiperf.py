"""aiperf's exports, JSON, JSONL and CSV (and genai-perf's JSON, which has the same metrics): metrics name their units.

`request_throughput` counts successes over the benchmark; the load stands in `input_config`, whose layout has changed
between versions. The JSONL holds one request a line; nanosecond clocks in its metadata, units beside its metrics.
"""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence

import numpy as np

from configs.errors import InputError
from data.loadtests.fields import LONGEST_S, Node, of_values, optional, seconds, spread
from data.loadtests.records import NAN, Arrivals, LoadPoint, LoadTest, RequestRows, Spread
from data.records import FloatArray

TOOL = "aiperf"
UNITS_S = {"ns": 1e-9, "us": 1e-6, "µs": 1e-6, "ms": 1e-3, "s": 1.0, "sec": 1.0, "seconds": 1.0}
NAMES = ("avg", "p50", "p90", "p95", "p99", "min", "max")
KINDS: dict[str, Arrivals] = {
    "poisson": "poisson", "gamma": "gamma", "constant": "constant", "concurrency": "closed",
    "concurrency_burst": "closed", "request_rate": "poisson",
}  # fmt: skip
HEADER = "Metric,avg,min,max"


def detect(value: object) -> bool:
    """Whether a decoded object is an aggregate export of this tool."""
    if not isinstance(value, dict):
        return False
    inner = value.get("records", value)
    return isinstance(inner, dict) and isinstance(inner.get("request_throughput"), dict) and "input_config" in value


def detect_line(value: object) -> bool:
    """Whether a decoded line is a request record of this tool."""
    return isinstance(value, dict) and "metrics" in value and "request_start_ns" in value.get("metadata", ())


def read(node: Node) -> LoadTest:
    """The aggregate JSON as a LoadTest of one point."""
    metrics = node.at("records") if node.has("records") else node
    version = node.first("aiperf_version", "input_config.version")
    name = node.first("input_config.models.items", "input_config.endpoint.model_names", "input_config.model_names")
    model = ""
    if name is not None and isinstance(name.value, list) and name.value:
        first = name.items()[0]
        model = first.at("name").text() if isinstance(first.value, dict) else first.text()
    point = _point(node, metrics)
    return LoadTest(TOOL, str(version.value)[:40] if version else "", model, (point,), (node.where,))


def _scale(metric: Node) -> float:
    unit = metric.at("unit").text()
    if unit not in UNITS_S:
        raise InputError(f"{metric.where}, unit", f"one of {', '.join(UNITS_S)}", repr(unit), "Export the file again.")
    return UNITS_S[unit]


def _time(metrics: Node, name: str) -> Spread:
    metric = metrics.first(name)
    return Spread() if metric is None else spread(metric, _scale(metric), NAMES)


def _load(node: Node) -> tuple[Arrivals, float, float, float]:
    """Arrivals, rate, clients and burstiness of the profiling phase."""
    phases = node.first("input_config.phases")
    if phases is not None:
        chosen = [p for p in phases.items() if p.has("kind") and p.value["kind"] == "profiling"] or phases.items()[-1:]
        where = chosen[-1] if chosen else node
        kind = where.at("type").text() if where.has("type") else ""
    else:
        where = node.first("input_config.loadgen", "input_config.perf_analyzer.stimulus", "input_config") or node
        found = where.first("request_rate_mode", "arrival_pattern")
        kind = found.text() if found else "poisson"
    rate, clients = optional(where, "rate", "request_rate"), optional(where, "concurrency", "max_concurrency")
    burstiness = optional(where, "smoothness", "arrival_smoothness", "burstiness")
    arrivals = KINDS.get(kind, "unstated")
    if math.isnan(rate):
        arrivals = "unstated" if math.isnan(clients) else "closed"
    return arrivals, rate, clients, 1.0 if math.isnan(burstiness) or burstiness <= 0 else burstiness


def _point(node: Node, metrics: Node) -> LoadPoint:
    arrivals, rate, clients, burstiness = _load(node)
    ok = metrics.at("request_count", "avg").count()
    duration = metrics.first("benchmark_duration")
    achieved = metrics.at("request_throughput", "avg").number()
    failed = metrics.first("error_request_count.avg")
    cancelled = node.first("was_cancelled")
    label = f"{rate:g} req/s" if not math.isnan(rate) else f"{clients:g} clients" if clients > 0 else "unstated load"
    return LoadPoint(
        label=label,
        source=node.where,
        arrivals=arrivals,
        offered_rps=rate,
        clients=clients,
        achieved_rps=achieved,
        duration_s=seconds(duration.at("avg"), _scale(duration)) if duration else ok / achieved if achieved else NAN,
        requests_ok=ok,
        requests_failed=failed.count() if failed else _errors(node),
        input_tokens=spread(metrics.first("input_sequence_length"), 1.0, NAMES, False),
        output_tokens=spread(metrics.first("output_sequence_length"), 1.0, NAMES, False),
        ttft_s=_time(metrics, "time_to_first_token"),
        tpot_s=_time(metrics, "inter_token_latency"),
        e2e_s=_time(metrics, "request_latency"),
        requests_planned=optional(metrics, "completed_request_count.avg"),
        burstiness=burstiness,
        output_tokens_per_s=optional(metrics, "output_token_throughput.avg"),
        goodput_rps=optional(metrics, "goodput.avg"),
        send_delay_s=_time(metrics, "credit_to_start_latency"),
        in_flight=optional(metrics, "effective_concurrency.avg"),
        complete=not (cancelled is not None and cancelled.value is True),
    )


def _errors(node: Node) -> int:
    found = node.first("error_summary")
    if found is None:
        return 0
    return sum(entry.at("count").count() if entry.has("count") else 1 for entry in found.items())


def read_lines(where: str, lines: Sequence[Node]) -> LoadTest:
    """The JSONL of request records as a LoadTest of one point without a stated load."""
    kept, failed, model = [], 0, ""
    for line in lines:
        metadata = line.at("metadata")
        phase = metadata.first("benchmark_phase", "phase_kind")
        if phase is not None and phase.value == "warmup":
            continue
        if line.has("error") or metadata.value.get("was_cancelled") is True:
            failed += 1
        else:
            kept.append(line)
    if not kept:
        raise InputError(where, "at least one request that succeeded", f"{failed} that failed", "Run the test again.")

    def column(name: str, time: bool) -> FloatArray:
        found = []
        for line in kept:
            metric = line.at("metrics").first(name)
            if metric is None:
                found.append(NAN)
            else:
                value = metric.at("value")
                found.append(seconds(value, _scale(metric)) if time else value.number())
        return np.array(found, dtype=np.float64)

    start = np.array([line.at("metadata", "request_start_ns").number(0.0, 1e20) for line in kept]) * 1e-9
    end = np.array([line.at("metadata", "request_end_ns").number(0.0, 1e20) for line in kept]) * 1e-9
    duration = float(end.max() - start.min())
    if not 0.0 < duration <= LONGEST_S:
        raise InputError(
            f"{where}, metadata.request_end_ns", "nanoseconds after the first start", f"{duration:g} s", "Run again."
        )
    rows = RequestRows(
        start - start.min(),
        column("input_sequence_length", False),
        column("output_sequence_length", False),
        column("time_to_first_token", True),
        column("request_latency", True),
    )
    order = np.argsort(rows.start_s, kind="stable")
    rows = RequestRows(
        rows.start_s[order], rows.input_tokens[order], rows.output_tokens[order], rows.ttft_s[order], rows.e2e_s[order]
    )
    good = column("good_request_count", False)
    point = LoadPoint(
        label="as recorded",
        source=where,
        arrivals="unstated",
        offered_rps=NAN,
        clients=NAN,
        achieved_rps=len(kept) / duration,
        duration_s=duration,
        requests_ok=len(kept),
        requests_failed=failed,
        input_tokens=of_values(rows.input_tokens),
        output_tokens=of_values(rows.output_tokens),
        ttft_s=of_values(rows.ttft_s),
        tpot_s=of_values(column("inter_token_latency", True)),
        e2e_s=of_values(rows.e2e_s),
        output_tokens_per_s=float(np.nansum(rows.output_tokens)) / duration,
        goodput_rps=NAN if np.isnan(good).all() else float(np.nansum(good)) / duration,
        rows=rows,
    )
    return LoadTest(TOOL, "", model, (point,), (where,))


def read_csv(where: str, text: str) -> LoadTest:
    """The CSV export as a LoadTest of one point without a stated load: two tables, units in the names."""
    spreads: dict[str, tuple[str, dict[str, str]]] = {}
    singles: dict[str, str] = {}
    header: list[str] = []
    try:
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise InputError(where, "CSV", str(error), "Export the file again.") from None
    for row in rows:
        if not row:
            header = []
        elif row[0] in ("Metric", "Endpoint"):
            header = row
        elif header[:2] == ["Metric", "Value"] and len(row) == 2:
            singles[row[0].rpartition(" (")[0] or row[0]] = row[1]
        elif header[:2] == ["Metric", "avg"]:
            name, _, unit = row[0].rpartition(" (")
            spreads[name] = unit.rstrip(")"), dict(zip(header[1:], row[1:], strict=False))

    def metric(name: str, time: bool) -> Spread:
        if name not in spreads:
            return Spread()
        unit, cells = spreads[name]
        node = Node(f"{where}, {name}", {key: cell for key, cell in cells.items() if cell})
        if time and unit not in UNITS_S:
            raise InputError(node.where, f"one of the units {', '.join(UNITS_S)}", repr(unit), "Export the file again.")
        return spread(node, UNITS_S[unit] if time else 1.0, NAMES, time)

    single = Node(where, singles)
    point = LoadPoint(
        label="as recorded",
        source=where,
        arrivals="unstated",
        offered_rps=NAN,
        clients=NAN,
        achieved_rps=single.at("Request Throughput").number(),
        duration_s=optional(single, "Benchmark Duration"),
        requests_ok=single.at("Request Count").count(),
        requests_failed=int(optional(single, "Error Request Count")) if single.has("Error Request Count") else 0,
        input_tokens=metric("Input Sequence Length", False),
        output_tokens=metric("Output Sequence Length", False),
        ttft_s=metric("Time to First Token", True),
        tpot_s=metric("Inter Token Latency", True),
        e2e_s=metric("Request Latency", True),
        output_tokens_per_s=optional(single, "Output Token Throughput"),
        goodput_rps=optional(single, "Goodput"),
    )
    return LoadTest(TOOL, "", "", (point,), (where,))
