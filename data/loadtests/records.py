"""What a load test measured, whichever tool ran it. Standard library and numpy only; times in seconds.

NaN is "the file does not say"; nothing here is estimated.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from data.records import FloatArray

NAN = float("nan")
Arrivals = Literal["poisson", "gamma", "constant", "at_once", "closed", "unstated"]


@dataclass(frozen=True, slots=True)
class Spread:
    """A distribution over requests, as far as the file tells it."""

    mean: float = NAN
    p50: float = NAN
    p90: float = NAN
    p95: float = NAN
    p99: float = NAN
    low: float = NAN
    high: float = NAN


@dataclass(frozen=True, slots=True)
class RequestRows:
    """Requests that succeeded, one entry each, shape [n]; start_s counts from the first start."""

    start_s: FloatArray
    input_tokens: FloatArray
    output_tokens: FloatArray
    ttft_s: FloatArray
    e2e_s: FloatArray


@dataclass(frozen=True, slots=True)
class LoadPoint:
    """One load, held for a while.

    offered_rps is NaN where no rate was set (closed loop) and infinite where all requests were sent at once;
    clients is the most requests in flight that the client allows, NaN for no limit. tpot_s excludes the first token.
    """

    label: str
    source: str
    arrivals: Arrivals
    offered_rps: float
    clients: float
    achieved_rps: float
    """Successful requests over the duration."""
    duration_s: float
    requests_ok: int
    requests_failed: int
    input_tokens: Spread
    output_tokens: Spread
    ttft_s: Spread
    tpot_s: Spread
    e2e_s: Spread
    requests_planned: float = NAN
    burstiness: float = 1.0
    """Shape of gamma gaps between arrivals: 1 is Poisson, below 1 burstier."""
    asked_output_tokens: float = NAN
    output_tokens_per_s: float = NAN
    goodput_rps: float = NAN
    """Requests/s within the tool's own SLO, where it was given one."""
    send_delay_s: Spread = Spread()
    """How late the client sent its requests."""
    in_flight: float = NAN
    """Mean requests in flight, as the tool counted them."""
    replicas: float = NAN
    """Replicas behind the endpoint, where the file says so."""
    complete: bool = True
    """False where the run was cancelled."""
    aggregate: bool = False
    """True where the file sums up several loads: no load of its own."""
    rows: RequestRows | None = None


@dataclass(frozen=True, slots=True)
class LoadTest:
    """The points of one or several files of a tool, by rising load."""

    tool: str
    version: str
    model: str
    points: tuple[LoadPoint, ...]
    files: tuple[str, ...]
    notes: tuple[str, ...] = ()
    day: str = ""
    """When it ran, yyyy-mm-dd, where the files say so."""
