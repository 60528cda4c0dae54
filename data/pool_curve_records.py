"""The service curve of a pool in which things happen to requests and replicas. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from data.curve_records import ClassTimes
from data.records import Configuration, Provenance, SloTarget


@dataclass(frozen=True, slots=True)
class PoolRules:
    """What may happen in a pool of like replicas.

    max_num_seqs: sequences that a replica runs at once at most (None: the engine's own limit).
    max_queue: requests that wait at one replica at most, more are rejected (None: any number). first_token_wait_s and
    deadline_s: when a client leaves without a first token, and without the last (None: never). Who is rejected, leaves
    or is lost comes again `retries` times, after backoff_s, then twice that, and so on. urgent: classes that go before
    the others. `lost` replicas are away from lost_at_s until back_after_s later (None: for good); they lose what they
    hold, unless they drain: then they finish it and are sent no more.
    """

    replicas: int = 1
    routing: str = "shortest_queue"
    max_num_seqs: int | None = None
    max_queue: int | None = None
    first_token_wait_s: float | None = None
    deadline_s: float | None = None
    retries: int = 0
    backoff_s: float = 1.0
    urgent: tuple[str, ...] = ()
    lost: int = 0
    lost_at_s: float = 30.0
    back_after_s: float | None = None
    drains: bool = False


@dataclass(frozen=True, slots=True)
class ClassFates:
    """One class at one load: times of its served requests since they first asked, and shares of all it asked: rejected,
    timed out and lost for good; retried: that came again at least once. attempts: mean, 1 where nobody comes again."""

    times: ClassTimes
    goodput_rps: float
    rejected: float
    timed_out: float
    lost: float
    retried: float
    attempts: float
    holds: bool
    """Whether each limit of the SLO is kept by its percentile of the requests, those unserved counted as broken."""


@dataclass(frozen=True, slots=True)
class PoolPoint:
    """One offered load, of the whole pool. preemptions: a request; peak_queue: of one replica; utilisation: of all."""

    offered_rps: float
    served_rps: float
    goodput_rps: float
    rejected: float
    timed_out: float
    lost: float
    retried: float
    preemptions: float
    utilisation: float
    peak_queue: int
    holds: bool
    classes: tuple[ClassFates, ...]


@dataclass(frozen=True, slots=True)
class PoolCurve:
    """Offered load to what becomes of requests, for a pool under its rules."""

    configuration: Configuration
    slos: Mapping[str, SloTarget]
    shares: Mapping[str, float]
    rules: PoolRules
    knee_rps: float
    """Of one replica alone, to which nothing happens; loads are multiples of it times the replicas."""
    carries_rps: float
    """The highest of the loads up to which every class's SLO holds; 0 where the lowest breaks it."""
    points: tuple[PoolPoint, ...]
    scored_s: tuple[float, float] | None
    """Where a replica is lost: requests that are there at the first or come until the second are scored; None: all
    after the warm-up."""
    method: str
    provenance: Provenance
