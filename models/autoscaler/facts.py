"""What a scaler's world needs of a replica, read off its service curve; and growth that reacting can follow."""

from __future__ import annotations

import numpy as np

from data.curve_records import ServiceCurve
from data.records import FloatArray
from data.scaling_records import ReplicaFacts, Signal, StartUp

KNOTS = 12


def replica_facts(curve: ServiceCurve, input_tokens: float) -> ReplicaFacts:
    """Lines through the points of a curve up to saturation; input_tokens: mean prompt of a request that waits.

    Saturation is the most that any point served under the curve's admission limits, and no less than the knee; waiting
    requests are counted up to the knee, from where on the pool's queue stands for them.
    """
    knee = curve.knee_rps
    points = sorted(curve.points, key=lambda one: one.offered_rps)
    saturation = max(knee, *(one.served_rps for one in points))
    top = saturation / knee
    below = [one for one in points if one.offered_rps < saturation]
    past = next((one for one in points if one.offered_rps >= saturation), points[-1])
    x = np.array([0.0, *(one.offered_rps / knee for one in below), top])
    load = np.linspace(0.0, top, KNOTS)

    def line(values: list[float], at_zero: float) -> FloatArray:
        return np.asarray(np.interp(load, x, [at_zero, *values]), dtype=np.float64)

    every = [*below, past]
    seqs = float(curve.limits.max_num_seqs * curve.configuration.schedulers)
    within = [min(one.goodput_rps / one.served_rps, 1.0) if one.served_rps > 0 else 0.0 for one in every]
    at_knee = float(np.interp(1.0, x, [0.0, *(one.waiting for one in every)]))
    waiting = [one.waiting if one.offered_rps <= knee else at_knee for one in every]
    slack = min(
        curve.slos[one.name].ttft_s - (0.0 if np.isnan(one.ttft.p95_s) else one.ttft.p95_s) for one in points[0].classes
    )
    return ReplicaFacts(
        knee_rps=knee,
        operating_rps=curve.operating_rps,
        saturation_rps=saturation,
        ttft_slack_s=max(slack, 0.0),
        max_queue=float(curve.limits.max_queue),
        tokens_running=curve.limits.tokens_in_flight / seqs,
        tokens_waiting=input_tokens,
        load=load,
        running=np.minimum(line([min(one.running, seqs) for one in every], 0.0), seqs),
        kv_share=line([one.kv_share for one in every], 0.0),
        within_slo=line(within, within[0]),
        waiting=np.minimum(line(waiting, 0.0), float(curve.limits.max_queue)),
    )


def signal_at(facts: ReplicaFacts, signal: Signal, load: float) -> float:
    """What one replica adds to a signal at a steady load, as a share of its knee."""
    running = float(np.interp(load, facts.load, facts.running))
    waiting = float(np.interp(load, facts.load, facts.waiting))
    values: dict[Signal, float] = {
        "none": 1.0,
        "queue": waiting,
        "concurrency": running + waiting,
        "tokens": running * facts.tokens_running + waiting * facts.tokens_waiting,
        "kv_cache": float(np.interp(load, facts.load, facts.kv_share)),
        "rate": load * facts.knee_rps,
    }
    return values[signal]


def followed_growth_per_min(threshold: float, start_up: StartUp, interval_s: float) -> float:
    """The steepest steady growth, as a share of the load a minute, that reaction keeps up with: replicas held at
    `threshold` of their knee reach it only when those ordered an interval and a cold start ago serve."""
    reach_min = (start_up.cold_s + interval_s) / 60.0
    return max(1.0 / threshold - 1.0, 0.0) / reach_min
