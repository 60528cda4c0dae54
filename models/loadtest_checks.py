"""Is a load test plausible? Each doubt is data: which point, what was measured, against what, and what it means.

Bounds come from physics (weights are read once an iteration; a prompt costs two FLOPs a parameter and token) and from
identities that hold for any server (Little's law; rate times length is token rate; TTFT plus token gaps is latency).
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np

from data.loadtests.records import NAN, LoadPoint, LoadTest, Spread
from models.rows import Rows

Severity = Literal["impossible", "suspect", "note"]
TOLERANCE = 0.10
"""Means of products are not products of means: 10 % is within what correlated lengths and times explain."""
FLAT = 1.5
"""A latency below this multiple of the lowest load's has not met saturation."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One doubt about one point: `measured` against `bound`, both in `unit`."""

    kind: str
    severity: Severity
    point: str
    measured: float
    bound: float
    unit: str
    meaning: str


@dataclass(frozen=True, slots=True)
class Bounds:
    """What no software on the GPUs of a replica can beat."""

    step_s: float
    """The weights of one token read once, over the memory bandwidth."""
    prefill_s_per_token: float
    """Two FLOPs a parameter, over the peak rate."""


def bounds(rows: Rows) -> Bounds:
    """Bounds of the first row (one configuration)."""
    r = {name: np.asarray(leaf[0], dtype=np.float64) for name, leaf in rows._asdict().items()}
    gemm = (r["gemm_count"] * r["gemm_k"] * r["gemm_n"]).sum()
    expert = r["moe_layers"] * r["experts_per_token"] * r["hidden"] * r["expert_width"]
    weights = gemm * r["weight_bytes"] + expert * r["expert_weight_bytes"] + 2.0 * r["hidden"] * r["head_n"]
    return Bounds(float(weights / r["bandwidth"]), float(2.0 * (gemm + expert) / r["flops"]))


def in_flight(point: LoadPoint) -> float:
    """Mean requests in flight by Little's law."""
    return point.achieved_rps * point.e2e_s.mean


def derived_tpot_s(point: LoadPoint) -> float:
    """Mean time per output token after the first, from latency, TTFT and lengths; NaN where one is not known."""
    tokens = point.output_tokens.mean - 1.0
    return (point.e2e_s.mean - point.ttft_s.mean) / tokens if tokens > 0 else NAN


def checked(
    test: LoadTest, limits: Bounds | None = None, cached_tokens: float = 0.0, replicas: int = 1
) -> tuple[Finding, ...]:
    """All findings of a test; without `limits` (the configuration is not known) those that need no hardware.

    cached_tokens: prompt tokens of a request that the prefix cache is said to hold; replicas share the load.
    """
    found: list[Finding] = []
    for point in test.points:
        found += [*_bookkeeping(point), *_identities(point)]
        found += _client(point, test.points)
        if limits is not None:
            found += _physics(corrected(point), limits, cached_tokens, replicas)
    return tuple(found)


def corrected(point: LoadPoint) -> LoadPoint:
    """The point with its TPOT scaled to what latency, TTFT and lengths say, where the reported one contradicts them."""
    derived = derived_tpot_s(point)
    ratio = derived / point.tpot_s.mean if point.tpot_s.mean > 0 else NAN
    if not math.isnan(derived) and derived > 0 and math.isnan(point.tpot_s.mean):
        return replace(point, tpot_s=Spread(mean=derived))
    if math.isnan(ratio) or ratio <= 0 or abs(ratio - 1.0) <= TOLERANCE:
        return point
    t = point.tpot_s
    moved = Spread(t.mean * ratio, t.p50 * ratio, t.p90 * ratio, t.p95 * ratio, t.p99 * ratio)
    return replace(point, tpot_s=moved)


def sequence_limit(points: Sequence[LoadPoint], token_budget: int) -> float:
    """Sequences the engine ran at once where more were in flight and its token budget had room; infinite if nowhere.

    Requests then waited for a sequence slot (or its KV cache), not for compute: what ran is that limit, as measured.
    """
    seen = []
    for p in points:
        running = p.achieved_rps * (p.e2e_s.mean - p.ttft_s.mean)
        granted = p.achieved_rps * p.input_tokens.mean * derived_tpot_s(p)
        if (
            running >= 1.0
            and in_flight(p) > 1.5 * running
            and granted < 0.5 * token_budget
            and p.requests_ok > 3.0 * in_flight(p)
        ):
            seen.append(running)
    return max(seen) if seen else math.inf


def usable(test: LoadTest, findings: Sequence[Finding]) -> tuple[LoadPoint, ...]:
    """The points a model can be fitted to, as they should be simulated.

    Impossible points and sums of stages are left out; one token faster than the memory rules out the configuration, and
    with it all points. A point whose client held the load back is simulated with what
    it did send: its own rate, or its clients' number by Little's law.
    """
    kept: list[LoadPoint] = []
    if any(f.kind == "tpot_below_bandwidth" for f in findings):
        return ()
    for point in test.points:
        kinds = {f.kind for f in findings if f.point == point.label}
        impossible = any(f.severity == "impossible" and f.point == point.label for f in findings)
        if point.aggregate or impossible or not _whole(point):
            continue
        one = corrected(point)
        if "clients_capped" in kinds:
            one = replace(one, clients=round(in_flight(point)))
        elif {"client_slow", "rate_exceeded"} & kinds:
            one = replace(one, offered_rps=point.achieved_rps)
        kept.append(one)
    return tuple(kept)


def _whole(p: LoadPoint) -> bool:
    """Whether the point says what a simulation of it needs."""
    needed = (p.achieved_rps, p.input_tokens.mean, p.output_tokens.mean, p.ttft_s.mean)
    return p.requests_ok >= 2 and all(value > 0 for value in needed)


def _differs(measured: float, expected: float, tolerance: float = TOLERANCE) -> bool:
    """Whether a figure is off by more than the tolerance; not where either is not known."""
    return expected > 0 and measured >= 0 and abs(measured / expected - 1.0) > tolerance


def _bookkeeping(p: LoadPoint) -> list[Finding]:
    found = []
    total = p.requests_ok + p.requests_failed
    if p.requests_failed:
        share = p.requests_failed / total
        text = "latencies are those of the survivors: the server refused or dropped load that it is not credited for"
        found.append(Finding("failures", "suspect", p.label, share, 0.0, "share of requests", text))
    if not math.isnan(p.requests_planned) and total < p.requests_planned:
        text = "requests neither succeeded nor failed: the run was cut short or counts are wrong"
        found.append(Finding("missing", "suspect", p.label, float(total), p.requests_planned, "requests", text))
    empty = float((p.rows.output_tokens < 1).sum()) if p.rows is not None else 1.0 if p.output_tokens.low < 1 else 0.0
    if empty:
        many = "" if p.rows is not None else " at least"
        text = f"{many} so many requests without a token count as successes: errors that look fast".strip()
        found.append(Finding("empty_successes", "suspect", p.label, empty, 0.0, "requests", text))
    if p.output_tokens.mean < 0.9 * p.asked_output_tokens:
        text = "answers ended before the length asked for (end-of-sequence token); the measured lengths are used"
        found.append(
            Finding("short_answers", "note", p.label, p.output_tokens.mean, p.asked_output_tokens, "tokens", text)
        )
    if p.requests_ok < 100:
        text = "too few requests for p99 (and below 20 for p95): those percentiles are left out"
        found.append(Finding("few_requests", "note", p.label, float(p.requests_ok), 100.0, "requests", text))
    if p.requests_ok and not p.ttft_s.mean > 0:
        text = "no time to first token: the test did not stream, so it says nothing of TTFT and TPOT; it is not fitted"
        found.append(Finding("not_streamed", "suspect", p.label, NAN, NAN, "", text))
    if p.duration_s < 10.0 * p.e2e_s.mean:
        text = "the run is shorter than ten requests: its start and its end weigh in all its figures"
        found.append(Finding("short_run", "note", p.label, p.duration_s, 10.0 * p.e2e_s.mean, "s", text))
    if not p.complete:
        text = "the run was cancelled"
        found.append(Finding("cancelled", "suspect", p.label, 0.0, 1.0, "complete", text))
    if p.aggregate:
        text = "a sum over several loads is the service at none of them; it is left out of the fit"
        found.append(Finding("aggregate", "suspect", p.label, NAN, NAN, "", text))
    return found


def _identities(p: LoadPoint) -> list[Finding]:
    found = []
    derived = derived_tpot_s(p)
    if _differs(derived, p.tpot_s.mean):
        if p.tpot_s.mean < derived:
            text = "TTFT and token gaps do not add up to the latency: the tool counts more pieces than tokens; the fit "
            text += "uses (latency - TTFT) / (tokens - 1)"
        else:
            text = "token gaps exceed the latency: the first token's time is in them, or lengths are over-counted; the "
            text += "fit uses (latency - TTFT) / (tokens - 1)"
        found.append(Finding("tpot_inconsistent", "suspect", p.label, p.tpot_s.mean, derived, "s", text))
    tokens = p.achieved_rps * p.output_tokens.mean
    if _differs(p.output_tokens_per_s, tokens):
        text = "output tokens/s are not requests/s times output length: failed requests' tokens, or another tokenizer"
        found.append(
            Finding("tokens_inconsistent", "suspect", p.label, p.output_tokens_per_s, tokens, "tokens/s", text)
        )
    if p.ttft_s.mean > p.e2e_s.mean * (1.0 + 1e-6):
        text = "the first token comes after the last: fields or units are mixed up"
        found.append(Finding("ttft_after_end", "impossible", p.label, p.ttft_s.mean, p.e2e_s.mean, "s", text))
    if _differs(in_flight(p), p.in_flight, 2 * TOLERANCE):
        text = "Little's law fails: rate times latency is not the concurrency that was counted"
        found.append(Finding("little", "suspect", p.label, in_flight(p), p.in_flight, "requests", text))
    return found


def _client(p: LoadPoint, points: Sequence[LoadPoint]) -> list[Finding]:
    if p.aggregate or p.requests_ok < 2:
        return []
    noise = 1.0 / math.sqrt(p.requests_ok)
    seen = in_flight(p)
    if p.arrivals == "closed" and p.clients > 0:
        waves = p.requests_ok / p.clients
        least = 0.8 * p.clients * waves / (waves + 1.0)
        if seen < least:
            text = "clients were idle between requests: the load is lower than the number of clients says"
            return [Finding("client_slow", "suspect", p.label, seen, p.clients, "requests in flight", text)]
        if seen > 1.1 * p.clients:
            text = "more requests in flight than clients: rate, latency or the number of clients is wrong"
            return [Finding("little", "impossible", p.label, seen, p.clients, "requests in flight", text)]
        return []
    if not (p.offered_rps > 0) or math.isinf(p.offered_rps):
        return []
    if p.achieved_rps > p.offered_rps * (1.02 + 4.0 * noise):
        text = "more requests came than were offered: the client caught up in bursts or counts otherwise; it is "
        text += "simulated with the rate that came"
        return [Finding("rate_exceeded", "suspect", p.label, p.achieved_rps, p.offered_rps, "req/s", text)]
    # A finite run ends when its last request does.
    tail = p.e2e_s.mean if not math.isnan(p.e2e_s.mean) else p.ttft_s.mean + p.tpot_s.mean * p.output_tokens.mean
    expected = p.requests_ok / (p.requests_ok / p.offered_rps + 2.0 * tail)
    if not p.achieved_rps < expected * (0.97 - 2.0 * noise) or seen > 0.8 * p.clients:
        # A stated number of clients that is in flight explains the shortfall.
        return []
    lowest = min(points, key=lambda other: other.achieved_rps)
    if lowest is not p and p.e2e_s.mean < FLAT * lowest.e2e_s.mean:
        text = "fewer requests than offered although latency is flat: the client, not the server, is the limit"
        return [Finding("client_slow", "suspect", p.label, p.achieved_rps, p.offered_rps, "req/s", text)]
    twins = [o for o in points if o is not p and seen > 0 and abs(in_flight(o) / seen - 1.0) <= TOLERANCE + 0.02]
    spread = [o for o in twins if abs(o.offered_rps / p.offered_rps - 1.0) > 0.1]
    if spread or p.send_delay_s.p95 > 2.0 * p.e2e_s.mean:
        text = (
            "the client holds a number of requests in flight and sends the rest late: past saturation this is a closed "
        )
        text += "loop, and its latency that of the client's limit; it is simulated so"
        unit = f"req/s, {seen:.0f} in flight"
        return [Finding("clients_capped", "suspect", p.label, p.achieved_rps, p.offered_rps, unit, text)]
    return []


def _physics(p: LoadPoint, limits: Bounds, cached_tokens: float, replicas: int) -> list[Finding]:
    found = []
    fastest = p.tpot_s.p50 if not math.isnan(p.tpot_s.p50) else p.tpot_s.mean
    if fastest < limits.step_s:
        text = "a token faster than its weights can be read: another GPU, precision or parallelism, speculative "
        text += "decoding, or tokens that arrive several at a time"
        found.append(Finding("tpot_below_bandwidth", "impossible", p.label, fastest, limits.step_s, "s", text))
    prompt_s = limits.prefill_s_per_token * max(p.input_tokens.mean - cached_tokens, 0.0)
    cause = "prefix-cache hits (repeated prompts; say how many tokens), more replicas, or shorter prompts than reported"
    if p.ttft_s.mean < prompt_s:
        text = f"a prompt faster than its arithmetic: {cause}"
        found.append(Finding("ttft_below_compute", "impossible", p.label, p.ttft_s.mean, prompt_s, "s", text))
    if p.arrivals in ("at_once", "closed"):
        # Prompts sent together are prefilled one after the other: on average half of them come first.
        burst = min(p.clients if p.clients > 0 else p.requests_ok, p.requests_ok) / replicas
        least = 0.5 * burst * prompt_s * min(burst * replicas / max(p.requests_ok, 1), 1.0)
        if p.ttft_s.mean < least and burst > 1:
            text = f"a burst of prompts faster than its arithmetic: {cause}"
            found.append(Finding("burst_below_compute", "impossible", p.label, p.ttft_s.mean, least, "s", text))
    return found
