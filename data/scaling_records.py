"""What an autoscaler is told, what it is given, and what came of it. Standard library and numpy only."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

from data.records import Configuration, FloatArray

Signal = Literal["none", "queue", "concurrency", "tokens", "kv_cache", "rate"]
SIGNALS: tuple[Signal, ...] = ("none", "queue", "concurrency", "tokens", "kv_cache", "rate")
"""What a scaler may look at, summed over the pool: nothing; waiting requests; waiting and running ones; their tokens;
KV-cache share (1 a full replica); requests/s that arrive."""


@dataclass(frozen=True, slots=True)
class ReplicaFacts:
    """One replica as the scaler's world knows it: a few figures and three lines of its service curve.

    The lines are read at `load`, points of served rate over knee from 0 up: requests running, share of the KV cache in
    use, share of served requests within their SLO, and requests that wait for a moment though there is room (past the
    knee the queue of the pool takes over). saturation_rps is what a replica serves when there is
    always work; ttft_slack_s how long a request may wait in the queue; max_queue how many may wait before more are
    turned away; tokens_running and tokens_waiting what one request holds of each kind.
    """

    knee_rps: float
    operating_rps: float
    saturation_rps: float
    ttft_slack_s: float
    max_queue: float
    tokens_running: float
    tokens_waiting: float
    load: FloatArray
    running: FloatArray
    kv_share: FloatArray
    within_slo: FloatArray
    waiting: FloatArray


@dataclass(frozen=True, slots=True)
class StartUp:
    """Seconds from the order of a replica until it serves, by part, and how long one drains when it goes."""

    node_s: float
    image_s: float
    weights_s: float
    warm_up_s: float
    drain_s: float = 0.0

    @property
    def cold_s(self) -> float:
        return self.node_s + self.image_s + self.weights_s + self.warm_up_s

    @property
    def standby_s(self) -> float:
        """On a node that stands ready with the image on it."""
        return self.weights_s + self.warm_up_s


@dataclass(frozen=True, slots=True)
class Rate:
    """A rate policy of one direction as in Kubernetes' HPA v2 `behavior`: at most `pods` and at most `percent` within
    their periods; None where there is no such policy. select: `max` or `min` change of the two."""

    pods: int | None = None
    pods_period_s: float = 15.0
    percent: float | None = None
    percent_period_s: float = 15.0
    select: Literal["max", "min"] = "max"


UP = Rate(pods=4, percent=100.0)
DOWN = Rate(percent=100.0)
"""The defaults of Kubernetes."""


@dataclass(frozen=True, slots=True)
class ScalerPolicy:
    """One scaler. Every interval it wants ceil(signal / target) + headroom replicas, and no fewer than the forecast
    `lead_s` ahead needs at forecast_rps each (0: no forecast); no change within `tolerance`; then the stabilisation
    windows (of wishes: the lowest for up, the highest for down), the rate policies, and min and max.

    standby_nodes are nodes kept ready without a replica on them; smoothing_s averages the signal exponentially.
    """

    signal: Signal
    target: float
    min_replicas: int
    max_replicas: int
    interval_s: float = 15.0
    tolerance: float = 0.1
    up_window_s: float = 0.0
    down_window_s: float = 300.0
    up: Rate = field(default=UP)
    down: Rate = field(default=DOWN)
    headroom: int = 0
    standby_nodes: int = 0
    forecast_rps: float = 0.0
    lead_s: float = 0.0
    smoothing_s: float = 0.0

    @property
    def reactive(self) -> bool:
        """Whether it only answers what it sees."""
        return self.forecast_rps <= 0.0


@dataclass(frozen=True, slots=True)
class LoadTrace:
    """Load on one pool: requests that arrive in every step [steps], what was expected at every step, requests/s
    [steps], and the replicas ready at its start. A trace in another unit of work needs facts in that unit."""

    name: str
    step_s: float
    arrivals: FloatArray
    expected_rps: FloatArray
    start_replicas: int
    source: str = ""


@dataclass(frozen=True, slots=True)
class ScalingOutcome:
    """What came of policies [first axis] on traces [second axis].

    attainment: share of requests that met the SLO; rejected: share turned away; short_s: seconds in which the mean load
    of a minute was over the knees of the ready replicas, or a request would wait longer than the SLO lets it;
    longest_short_s: the longest such time at a stretch; queue_max: requests; wait_max_s: longest wait of an arrival;
    over_replica_h, under_replica_h: replica-hours ready beyond what the operating point needs, and missing;
    under_max: most replicas missing; starts, stops: replicas; reversals: changes of direction within 15 minutes of the
    change before; replica_h: replica-hours paid for, starting and draining ones and standby nodes included;
    replicas_max: most replicas wanted at once.
    """

    attainment: FloatArray
    rejected: FloatArray
    short_s: FloatArray
    longest_short_s: FloatArray
    queue_max: FloatArray
    queue_mean: FloatArray
    wait_max_s: FloatArray
    over_replica_h: FloatArray
    under_replica_h: FloatArray
    under_max: FloatArray
    starts: FloatArray
    stops: FloatArray
    reversals: FloatArray
    replica_h: FloatArray
    replicas_max: FloatArray


@dataclass(frozen=True, slots=True)
class Timeline:
    """One policy on one trace as it went, a row a control tick: [ticks] each."""

    seconds: FloatArray
    load_rps: FloatArray
    ready: FloatArray
    wanted: FloatArray
    queue: FloatArray


@dataclass(frozen=True, slots=True)
class TraceVerdict:
    """One policy on one trace, in words that fit a table."""

    trace: str
    attainment: float
    short_s: float
    longest_short_s: float
    queue_max: float
    wait_max_s: float
    over_replica_h: float
    under_replica_h: float
    reversals: int
    usd: float


@dataclass(frozen=True, slots=True)
class Candidate:
    """One policy judged on every trace: whether it keeps the promise, and what it costs a day."""

    policy: ScalerPolicy
    holds: bool
    usd_per_day: float
    verdicts: tuple[TraceVerdict, ...]

    @property
    def worst_attainment(self) -> float:
        return min(one.attainment for one in self.verdicts)

    @property
    def worst_short_s(self) -> float:
        return max(one.short_s for one in self.verdicts)


@dataclass(frozen=True, slots=True)
class BurstBudget:
    """The burst that must be carried: load grows to `factor` times itself within ramp_s and stays for hold_s, with no
    more than short_s of it short of capacity."""

    factor: float
    ramp_s: float
    hold_s: float
    short_s: float


@dataclass(frozen=True, slots=True)
class Kind:
    """A kind of policy, what it means, and its best: the cheapest that keeps the promise, else the least short."""

    name: str
    meaning: str
    best: Candidate


@dataclass(frozen=True, slots=True)
class PoolScaling:
    """How one pool is scaled: the policy chosen, the best of every kind, and where reacting alone is too late.

    kinds: from plain reaction to forecasts; signals: the best policy on each signal. follows_per_min: the growth of
    load a minute, as a share, that plain reaction can follow; warm_reserve: replicas ready beyond the operating point's
    need at the peak; supply_factor: the largest burst at the peak that max_replicas carries at the knee;
    fixed_usd_per_day: what the pool costs at max_replicas day and night.
    """

    llm: str
    region: str
    request_classes: tuple[str, ...]
    configuration: Configuration
    facts: ReplicaFacts
    start_up: StartUp
    promise: float
    burst: BurstBudget
    peak_rps: float
    chosen: Candidate
    chosen_kind: str
    kinds: tuple[Kind, ...]
    signals: tuple[Candidate, ...]
    follows_per_min: float
    warm_reserve: int
    supply_factor: float
    usd_per_replica_h: float
    fixed_usd_per_day: float
    policies: int
    statement: str
    schedule: tuple[int, ...]
    """Replicas by hour UTC [24] that the chosen policy wants by the forecast; empty where it has none."""
    pictured: str
    """The day on which plain reaction is short the longest."""
    timelines: tuple[tuple[str, Timeline], ...]
    """The chosen policy and plain reaction (`reaction`) on that day, hours about the moment that is hardest for
    reaction."""
    method: str
    assumed: tuple[tuple[str, str], ...] = ()
    """What the answer rests on: kind, and the day it is of."""
