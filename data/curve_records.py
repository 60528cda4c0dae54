"""The service curve of one replica and what follows from it. Standard library only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from data.records import Configuration, Provenance, SloTarget


@dataclass(frozen=True, slots=True)
class Percentile3:
    """Seconds at three percentiles."""

    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, slots=True)
class ClassTimes:
    """One class at one load: times of its served requests, and the share that met every limit of its SLO."""

    name: str
    ttft: Percentile3
    tpot: Percentile3
    e2e: Percentile3
    within_slo: float


@dataclass(frozen=True, slots=True)
class CurvePoint:
    """One offered load. goodput counts requests that each met their SLO; rejected and timed_out are shares of those
    offered, under the curve's admission limits; waiting and running are means, by Little's law."""

    offered_rps: float
    served_rps: float
    goodput_rps: float
    rejected: float
    timed_out: float
    waiting: float
    running: float
    kv_share: float
    kv_pressure: float
    utilisation: float
    holds: float
    """Share of the seeds in which every SLO percentile holds without admission limits: about half at the knee."""
    classes: tuple[ClassTimes, ...]


@dataclass(frozen=True, slots=True)
class AdmissionLimits:
    """What the serving layer must enforce for the plan to hold, for one replica.

    max_num_seqs (of each of its schedulers) and tokens_in_flight: the most that the knee needs; max_queue: requests
    that may wait before more are turned away; deadline_s: when a client that has no first token is given up;
    concurrency: running and waiting.
    """

    max_num_seqs: int
    max_queue: int
    concurrency: int
    tokens_in_flight: int
    deadline_s: float


@dataclass(frozen=True, slots=True)
class ScalingSignal:
    """A signal that says "scale now" early enough: its value at the load that growth turns into the knee's within the
    time to ready, at the knee, and how many standard deviations of one window's mean lie between the two."""

    name: str
    unit: str
    threshold: float
    at_knee: float
    distance: float


@dataclass(frozen=True, slots=True)
class PoolGain:
    """Goodput of each replica in a pool of `replicas` against one alone, by routing."""

    replicas: int
    routing: str
    gain: float
    band: float


@dataclass(frozen=True, slots=True)
class ServiceCurve:
    """Offered load to times, goodput and errors of one configuration for one class or mix of classes."""

    configuration: Configuration
    slos: Mapping[str, SloTarget]
    shares: Mapping[str, float]
    knee_rps: float
    knee_band: float
    binding: str
    operating_rps: float
    points: tuple[CurvePoint, ...]
    limits: AdmissionLimits
    scale_load_rps: float
    """The load at which to scale, so that growth reaches the knee only when a new replica is ready."""
    growth_per_min: float
    time_to_ready_s: float
    signals: tuple[ScalingSignal, ...]
    """The most telling first."""
    gains: tuple[PoolGain, ...]
    method: str
    provenance: Provenance
    at_operating: CurvePoint | None = None
    """The load to run it at, operating_rps, simulated for itself; None in runs made before it was."""

    def times(self, lanes: int) -> ServiceCurve:
        """The curve of a replica that is so many of these side by side: rates and requests add up, times stay."""
        if lanes == 1:
            return self
        limits = self.limits
        return replace(
            self,
            knee_rps=self.knee_rps * lanes,
            operating_rps=self.operating_rps * lanes,
            points=tuple(_side_by_side(one, lanes) for one in self.points),
            limits=AdmissionLimits(
                limits.max_num_seqs, limits.max_queue * lanes, limits.concurrency * lanes,
                limits.tokens_in_flight * lanes, limits.deadline_s,
            ),
            scale_load_rps=self.scale_load_rps * lanes,
            signals=tuple(
                replace(one, threshold=one.threshold * lanes, at_knee=one.at_knee * lanes)
                if one.unit == "requests"
                else one
                for one in self.signals
            ),
            at_operating=None if self.at_operating is None else _side_by_side(self.at_operating, lanes),
        )  # fmt: skip


def _side_by_side(point: CurvePoint, lanes: int) -> CurvePoint:
    return replace(
        point,
        offered_rps=point.offered_rps * lanes,
        served_rps=point.served_rps * lanes,
        goodput_rps=point.goodput_rps * lanes,
        waiting=point.waiting * lanes,
        running=point.running * lanes,
    )
