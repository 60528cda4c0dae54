"""Prometheus range queries of an engine's own metrics as windows of steady load, for calibration.

By Little's law the mean number of requests that decode is the sum of all gaps between tokens over the time they fell
into, exactly and without the `running` gauge, which samples moments and counts prompts under way too. The gauge then
tells whether both speak of the same replica.
"""

from __future__ import annotations

import math
import tempfile
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np

from configs.errors import InputError
from data.production_records import KvSource, Window, Windows
from data.production_replicas import PER_REQUEST, Replica, complete, of_one_llm, prompt_source, replicas_of, requests_of
from data.readers.counters import GAP_STEPS
from data.readers.prometheus import Series, replica_series
from data.readers.staging import stage
from data.records import FloatArray

WINDOW_S = 300.0
LEAST_SAMPLES = 3
LEAST_TOKENS = 200.0
LEAST_PROMPTS = 100.0
"""Lengths are means over this many prompts, for which a window is widened: contexts of those under way are older."""
TREND, SPREAD = 0.3, 1.0
"""Assumptions (2026-11): within a window of one load the batch drifts by less than 0.3 of its mean from the first to
the second half, and its 10th and 90th percentile lie less than its mean apart. Step time is nearly linear in the
batch, so that smaller movements leave its mean alone."""
MORE_RUN, FEWER_RUN = 1.35, 0.85
"""The gauge counts prompts under way too, but never fewer than decode: what waits between two of its tokens is
preempted."""
PREEMPTED = 0.01
SPECULATION = 1.3

UNSEEN = "not covered by samples"
RESTARTED = "a counter restarted: the engine did"
EMPTY = f"fewer than {LEAST_TOKENS:g} gaps between tokens"
UNSTEADY = "mixes loads: the batch drifts or spreads"
PREEMPTS = "requests are preempted and computed again"
ODD = "the running gauge and the time between tokens disagree"
SPECULATES = "more tokens than gaps: speculative decoding"


def read_windows(
    paths: Sequence[Path],
    window_s: float = WINDOW_S,
    served: str | None = None,
    kv_capacity_tokens: float = math.nan,
    input_tokens: float = math.nan,
) -> Windows:
    """Steady windows of every replica in the exports.

    window_s: their width; served: the LLM's name in the `model_name` label, where several are served;
    kv_capacity_tokens: of one replica, turns KV use into context lengths (else from the mean lengths); input_tokens:
    mean prompt, for engines that do not export it.
    Raises InputError where the metrics are of several LLMs or engines, or lack what calibration needs.
    """
    if window_s <= 0:
        raise InputError("--window", "a number of seconds above 0", f"{window_s:g}", "300 is usual.")
    series: list[Series] = []
    with tempfile.TemporaryDirectory() as scratch:
        for path in paths:
            series.extend(replica_series(stage(path, Path(scratch)), Path(scratch)))
    where = ", ".join(path.name for path in paths)
    replicas = replicas_of(of_one_llm(series, served, where), where)
    complete(replicas, input_tokens, where)
    rejected: Counter[str] = Counter()
    kept = [
        window
        for replica in replicas
        for window in _windows(replica, window_s, kv_capacity_tokens, input_tokens, rejected)
    ]
    notes = []
    if replicas[0].engine in PER_REQUEST:
        notes.append(f"{replicas[0].engine} reports one mean for each finished request: windows lag behind the load")
    if any(not replica.has("queue_s", "sum") for replica in replicas):
        notes.append("no queue times: TTFT is not compared")
    return Windows(
        tuple(sorted(kept, key=lambda one: (one.start_s, one.replica))),
        dict(rejected), len(replicas), replicas[0].engine, window_s, tuple(notes),
    )  # fmt: skip


def _windows(
    one: Replica, window_s: float, capacity: float, input_tokens: float, rejected: Counter[str]
) -> Iterable[Window]:
    clock = one.series["tpot_s", "count"]
    step = float(np.median(np.diff(clock.t)))
    width = max(window_s, LEAST_SAMPLES * step)
    first, last = math.ceil(clock.t[0] / width), math.floor(clock.t[-1] / width)
    for index in range(first, last):
        found = _window(one, index * width, width, step, capacity, input_tokens)
        if isinstance(found, str):
            rejected[found] += 1
        else:
            yield found


def _window(
    one: Replica, start: float, width: float, step: float, capacity: float, input_tokens: float
) -> Window | str:
    """One window, or why it is set aside."""
    edges = np.array([start, start + width])
    counters = [key for key in one.series if one.series[key].meaning.shape != "gauge"]
    for key in counters:
        reason = _damaged(one.series[key], start, width, step)
        if reason:
            return reason

    def rise(key: tuple[str, str] | None) -> float:
        if key is None or key not in one.series:
            return math.nan
        low, high = one.at(*key, edges)
        return float(high - low)

    gaps, gap_s, prompts = rise(("tpot_s", "count")), rise(("tpot_s", "sum")), rise(requests_of(one))
    per_request = one.engine in PER_REQUEST
    tokens = rise(("output_tokens", ""))
    if per_request:
        tokens = rise(("output_length", "sum")) if one.has("output_length", "sum") else gaps
    if gaps <= 0 or (tokens if per_request else gaps) < LEAST_TOKENS:
        return EMPTY
    if not per_request and math.isfinite(tokens) and tokens > SPECULATION * (gaps + prompts):
        return SPECULATES
    if one.has("preemptions") and rise(("preemptions", "")) > PREEMPTED * prompts:
        return PREEMPTS
    running = _gauge(one, "running", start, width)
    if per_request:
        batch, path = float(running.mean()) if len(running) else math.nan, running
    else:
        batch = gap_s / width
        inside = np.arange(start, start + width + 0.5 * step, step)
        path = np.diff(one.at("tpot_s", "sum", inside[inside <= start + width])) / step
    if len(path) < LEAST_SAMPLES:
        return UNSEEN
    if not _steady(path):
        return UNSTEADY
    if len(running) and not per_request:
        if running.mean() < FEWER_RUN * batch - 1.0:
            return PREEMPTS
        if running.mean() > MORE_RUN * batch + 1.0:
            return ODD
    prompt, output = _lengths(one, start, width, input_tokens)
    if not prompt > 0:
        return EMPTY
    new = rise(("input_tokens", "")) if one.has("input_tokens") else prompt * prompts
    hits = rise(("cache_hit_tokens", "")) if one.has("cache_hit_tokens") else 0.0
    context, source = _context(one, start, width, capacity, batch)
    if not math.isfinite(context):
        # Where outputs are not counted, Little's law tells them: batch / tpot tokens a second.
        context = prompt + 0.5 * (output if output > 0 else batch * gaps / gap_s * width / max(prompts, 1.0) + 1.0)
    ttfts, queued = rise(("ttft_s", "count")), rise(("queue_s", "count"))
    return Window(
        start, one.name, batch, gap_s / gaps, max(new - hits, 0.0) / width, prompt, context, source,
        tokens if per_request else gaps,
        rise(("ttft_s", "sum")) / ttfts if ttfts > 0 else math.nan,
        rise(("queue_s", "sum")) / queued if queued > 0 else math.nan,
    )  # fmt: skip


def _damaged(one: Series, start: float, width: float, step: float) -> str:
    """Why the samples of a counter cannot speak for a window; empty where they can."""
    low, high = np.searchsorted(one.t, [start, start + width])
    low, high = max(int(low) - 1, 0), min(int(high) + 1, len(one.t))
    t, v = one.t[low:high], one.v[low:high]
    outside = one.t[0] > start or one.t[-1] < start + width
    if outside or len(t) < LEAST_SAMPLES or np.diff(t).max() > GAP_STEPS * step:
        return UNSEEN
    return RESTARTED if np.any(np.diff(v) < 0) else ""


def _gauge(one: Replica, metric: str, start: float, width: float) -> FloatArray:
    """A gauge's samples within a window; empty without any."""
    if not one.has(metric):
        return np.empty(0)
    series = one.series[metric, ""]
    return series.v[(series.t >= start) & (series.t <= start + width)]


def _steady(path: FloatArray) -> bool:
    """Whether a batch size, sampled along a window, is one load. A request more or less is no movement."""
    mean, half = float(path.mean()), len(path) // 2
    drift = abs(float(path[:half].mean() - path[-half:].mean()))
    low, high = np.quantile(path, [0.1, 0.9])
    return drift <= max(TREND * mean, 1.0) and high - low <= max(SPREAD * mean, 2.0)


def _lengths(one: Replica, start: float, width: float, input_tokens: float) -> tuple[float, float]:
    """Mean prompt and output tokens of the requests in and around a window; NaN where there is none, and outputs NaN
    where the engine does not count them."""
    clock = one.series["tpot_s", "count"].t
    requests, source = requests_of(one), prompt_source(one)
    assert requests is not None  # complete has seen to it
    # A length histogram counts prompts where they end: its own count goes with its sum.
    number = ("input_length", "count") if source == ("input_length", "sum") else requests
    low, high = start, start + width
    while True:
        edges = np.clip([low, high], clock[0], clock[-1])
        prompts = float(np.diff(one.at(*number, edges))[0])
        if prompts >= LEAST_PROMPTS or (low <= clock[0] and high >= clock[-1]):
            break
        low, high = low - width, high + width
    if not prompts > 0:
        return math.nan, math.nan
    prompt = float(np.diff(one.at(*source, edges))[0]) / prompts if source is not None else input_tokens
    if one.engine in PER_REQUEST:
        made = float(np.diff(one.at("output_length", "sum", edges))[0]) if one.has("output_length", "sum") else math.nan
        return prompt, made / prompts
    return prompt, float(np.diff(one.at("tpot_s", "count", edges))[0]) / prompts + 1.0


def _context(one: Replica, start: float, width: float, capacity: float, batch: float) -> tuple[float, KvSource]:
    """Mean KV tokens of a decoding request from KV use; NaN where its capacity or the gauge is not known."""
    usage, running = _gauge(one, "kv_usage", start, width), _gauge(one, "running", start, width)
    holders = float(running.mean()) if len(running) else batch
    if not (math.isfinite(capacity) and len(usage) and usage.mean() > 0 and holders > 0):
        return math.nan, "lengths"
    # Some exporters give percent.
    share = float(usage.mean()) / (100.0 if usage.max() > 1.5 else 1.0)
    return share * capacity / holders, "kv_usage"
