"""guidellm's CSV report: one benchmark a row under three header lines (group, field and unit, statistic)."""

from __future__ import annotations

import csv
import io
import math
import re

from configs.errors import InputError
from data.loadtests.fields import LONGEST_S, Node, decoded, spread
from data.loadtests.guidellm import KINDS, TOOL
from data.loadtests.records import NAN, LoadPoint, LoadTest, Spread

LEVELS = ("p0.1", "p1", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p99.9")
"""Order of the Percentiles cells."""
NAMES = ("Mean", "p50", "p90", "p95", "p99", "low", "high")
FIX = "Export the report as JSON instead."


def detect(text: str) -> bool:
    """Whether a text is this report."""
    head = text[:4096]
    return head.startswith("Run Info,") and "Benchmark" in head


def read(where: str, text: str) -> LoadTest:
    """Every row as a point. Raises InputError for other columns than those of 0.4 and later."""
    try:
        # The report's cells hold whole JSON documents, longer than the module's own limit.
        csv.field_size_limit(2**24)
        rows = list(csv.reader(io.StringIO(text)))
    except csv.Error as error:
        raise InputError(where, "CSV", str(error), FIX) from None
    if len(rows) < 4:
        raise InputError(where, "three header lines and a row a benchmark", f"{len(rows)} lines", FIX)
    keys = [" / ".join(part for part in key if part) for key in zip(*(row for row in rows[:3]), strict=False)]
    points, model, version = [], "", ""
    for number, row in enumerate(rows[3:], start=4):
        if len(row) != len(keys):
            raise InputError(f"{where}, line {number}", f"{len(keys)} cells", str(len(row)), FIX)
        cells = Node(f"{where}, line {number}", {k: v for k, v in zip(keys, row, strict=True) if v})
        points.append(_point(cells))
        backend = cells.value.get("Run Info / Backend", "")
        found = re.search(r'"model": ?"([^"]*)"', backend)
        model = model or (found.group(1) if found else "")
        found = re.search(r'"guidellm_version": ?"([^"]*)"', cells.value.get("Runtime Info / Metadata", ""))
        version = version or (found.group(1) if found else "")
    return LoadTest(TOOL, version, model, tuple(points), (where,))


def _number(cells: Node, name: str) -> float:
    return NAN if name not in cells.value else Node(f"{cells.where}, {name}", cells.value[name]).number()


def _need(cells: Node, name: str) -> Node:
    if name not in cells.value:
        raise InputError(f"{cells.where}, {name}", "a value", "nothing", FIX)
    return Node(f"{cells.where}, {name}", cells.value[name])


def _spread(cells: Node, group: str, what: str, scale: float, time: bool) -> Spread:
    start = f"{group} / {what} / "
    if f"{start}Mean" not in cells.value:
        return Spread()
    values = {"Mean": cells.value[f"{start}Mean"]}
    levels = cells.value.get(f"{start}Percentiles")
    if levels is not None:
        found = Node(
            f"{cells.where}, {start}Percentiles", decoded(f"{cells.where}, {start}Percentiles", levels)
        ).items()
        if len(found) != len(LEVELS):
            raise InputError(f"{cells.where}, {start}Percentiles", f"{len(LEVELS)} values", str(len(found)), FIX)
        values |= {name: entry.value for name, entry in zip(LEVELS, found, strict=True)}
    return spread(Node(f"{cells.where}, {start}", values), scale, NAMES, time)


def _point(cells: Node) -> LoadPoint:
    strategy = _need(cells, "Benchmark / Strategy").text()
    kind, _, load = strategy.partition("@")
    arrivals = KINDS.get(kind, "unstated")
    rate = clients = NAN
    if load:
        amount = Node(f"{cells.where}, Benchmark / Strategy", load).number()
        rate, clients = (NAN, amount) if arrivals == "closed" else (amount, NAN)
    if kind == "synchronous":
        clients = 1.0
    return LoadPoint(
        label=f"{rate:g} req/s" if not math.isnan(rate) else f"{clients:g} clients" if clients > 0 else strategy,
        source=cells.where,
        arrivals=arrivals,
        offered_rps=math.inf if arrivals == "at_once" else rate,
        clients=clients,
        achieved_rps=_number(cells, "Server Throughput / Successful Requests/Sec / Mean"),
        duration_s=_need(cells, "Timings / Duration / Sec").number(0.0, LONGEST_S),
        requests_ok=_need(cells, "Request Counts / Successful").count(),
        requests_failed=_need(cells, "Request Counts / Errored").count(),
        input_tokens=_spread(cells, "Token Metrics", "Successful Input Tokens", 1.0, False),
        output_tokens=_spread(cells, "Token Metrics", "Successful Output Tokens", 1.0, False),
        ttft_s=_spread(cells, "Time to First Token", "Successful ms", 1e-3, True),
        tpot_s=_spread(cells, "Inter Token Latency", "Successful ms", 1e-3, True),
        e2e_s=_spread(cells, "Request Latency", "Successful Sec", 1.0, True),
        output_tokens_per_s=_number(cells, "Token Throughput / Successful Output Tokens/Sec / Mean"),
        send_delay_s=_spread(cells, "Dispatch Delay", "Successful Sec", 1.0, True),
        in_flight=_number(cells, "Server Throughput / Successful Concurrency / Mean"),
    )
