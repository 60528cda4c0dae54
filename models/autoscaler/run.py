"""Policies on traces: from records to the jitted loop and back."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor

import jax
import jax.numpy as jnp
import numpy as np

from data import machine
from data.records import FloatArray
from data.scaling_records import LoadTrace, ReplicaFacts, ScalerPolicy, ScalingOutcome, StartUp, Timeline
from models.autoscaler import pack
from models.autoscaler.kernel import run
from models.autoscaler.pack import in_ticks
from models.autoscaler.state import Sums

CHUNK_TICKS = 240
MEAN_S = 60.0
"""The load that is held against capacity is the mean of the last minute: the knee already allows for arrivals that come
at random within it."""
LARGEST = ("queue_max", "wait_max", "under_max", "wanted_max", "longest_short")
PART, ALIKE = 64, 4
"""Policies are run in parts of a multiple of PART or of a power of two below it, and traces in multiples of ALIKE, so
that few shapes are ever compiled."""


def simulate(
    policies: Sequence[ScalerPolicy],
    traces: Sequence[LoadTrace],
    facts: ReplicaFacts,
    start_up: StartUp,
    tick_s: float,
    nodes_per_min: float = float("inf"),
) -> ScalingOutcome:
    """What comes of every policy on every trace, [policies, traces].

    Traces share one step and length; a last partial tick is left out. Intervals, windows and start-up times are rounded
    up to ticks of tick_s seconds, a multiple of the step. nodes_per_min limits how fast new nodes come; standby nodes
    come at once. Policies are split over the cores.
    """
    cores = machine.cores()
    size = max(-(-len(policies) // cores), PART)
    parts = [policies[i : i + size] for i in range(0, len(policies), size)]
    with ThreadPoolExecutor(max_workers=cores) as pool:
        found = list(
            pool.map(lambda part: _run(part, traces, facts, start_up, tick_s, nodes_per_min, watch=False)[0], parts)
        )
    total = {name: np.concatenate([part[name] for part in found]) for name in Sums._fields}
    arrived = np.maximum(total["arrived"], 1e-12)
    seconds = traces[0].step_s * _ticks(traces[0], tick_s) * round(tick_s / traces[0].step_s)
    return ScalingOutcome(
        attainment=np.where(total["arrived"] > 0, total["good"] / arrived, 1.0),
        rejected=total["lost"] / arrived,
        short_s=total["short_s"],
        longest_short_s=total["longest_short"],
        queue_max=total["queue_max"],
        queue_mean=total["queue_s"] / seconds,
        wait_max_s=total["wait_max"],
        over_replica_h=total["over_s"] / 3600.0,
        under_replica_h=total["under_s"] / 3600.0,
        under_max=total["under_max"],
        starts=total["starts"],
        stops=total["stops"],
        reversals=total["reversals"],
        replica_h=total["paid_s"] / 3600.0,
        replicas_max=total["wanted_max"],
    )


def watch(
    policy: ScalerPolicy,
    trace: LoadTrace,
    facts: ReplicaFacts,
    start_up: StartUp,
    tick_s: float,
    nodes_per_min: float = float("inf"),
) -> Timeline:
    """One policy on one trace, tick by tick."""
    _, seen = _run([policy], [trace], facts, start_up, tick_s, nodes_per_min, watch=True)
    assert seen is not None
    ticks = _ticks(trace, tick_s)
    ready, wanted, queue = (np.asarray(one, dtype=np.float64).reshape(-1)[:ticks] for one in seen)
    steps = round(tick_s / trace.step_s)
    load = trace.arrivals[: ticks * steps].reshape(ticks, steps).sum(axis=1) / tick_s
    return Timeline(np.arange(ticks, dtype=np.float64) * tick_s, load, ready, wanted, queue)


def minute_mean(trace: LoadTrace) -> FloatArray:
    """Arrivals a second, mean over the last minute, [steps]; over what there is at the start."""
    width = max(round(MEAN_S / trace.step_s), 1)
    total = np.concatenate([[0.0], np.cumsum(trace.arrivals, dtype=np.float64)])
    end = np.arange(1, len(total))
    begin = np.maximum(end - width, 0)
    return np.asarray((total[end] - total[begin]) / ((end - begin) * trace.step_s), dtype=np.float64)


def _ticks(trace: LoadTrace, tick_s: float) -> int:
    return len(trace.arrivals) // round(tick_s / trace.step_s)


def _run(
    policies: Sequence[ScalerPolicy],
    traces: Sequence[LoadTrace],
    facts: ReplicaFacts,
    start_up: StartUp,
    tick_s: float,
    nodes_per_min: float,
    watch: bool,
) -> tuple[dict[str, FloatArray], tuple[FloatArray, ...] | None]:
    """Sums by policy and trace in double precision, padded policies and traces cut off."""
    step_s = traces[0].step_s
    steps = round(tick_s / step_s)
    if abs(steps * step_s - tick_s) > 1e-9 or any(
        (one.step_s, len(one.arrivals)) != (step_s, len(traces[0].arrivals)) for one in traces
    ):
        raise ValueError("traces must share one step and length, and a tick must be a whole number of steps")
    ticks = _ticks(traces[0], tick_s)
    count, days = len(policies), len(traces)
    if not watch:
        traces = [*traces, *[traces[-1]] * (-days % ALIKE)]
    size = -(-count // PART) * PART if count > PART else 1 << (count - 1).bit_length()
    padded = [*policies, *[policies[-1]] * (size - count)]
    chunk = min(CHUNK_TICKS, ticks)
    # Every chunk is whole but the last, which is run on its own: padding would go on scaling and queueing.
    whole = ticks // chunk * chunk
    came = np.stack([one.arrivals[: ticks * steps] for one in traces], axis=1).reshape(ticks, steps, -1)
    mean = np.stack([minute_mean(one)[: ticks * steps] for one in traces], axis=1).reshape(ticks, steps, -1)
    known = sorted({in_ticks(one.lead_s, tick_s) for one in padded})
    leads = [*known, *[known[-1]] * (-len(known) % 4)]
    ahead = pack.ahead(traces, leads, ticks, steps)
    with jax.enable_x64(True):
        knobs = pack.knobs(padded, leads, tick_s, step_s)
        world = pack.world(facts, start_up, tick_s, nodes_per_min)
        state = pack.start(padded, traces, facts, start_up, tick_s)
        now = jnp.zeros(())
        total: dict[str, FloatArray] = {}
        seen = []
        for begin, end in ((0, whole), (whole, ticks)):
            if begin == end:
                continue
            parts = [
                jnp.asarray(one[begin:end].reshape(-1, min(chunk, end - begin), *one.shape[1:]), dtype=jnp.float64)
                for one in (came, mean, ahead)
            ]
            (state, now), sums, watched = run(
                state, now, knobs, world, *parts, dt=step_s, tick_s=float(tick_s), watch=watch
            )
            for name, values in zip(Sums._fields, sums, strict=True):
                part = np.asarray(values, dtype=np.float64)
                largest = name in LARGEST
                once = part.max(axis=0) if largest else part.sum(axis=0)
                merge = np.maximum if largest else np.add
                total[name] = merge(total[name], once) if name in total else once
            if watched is not None:
                seen.append([np.asarray(one).reshape(-1) for one in watched])
    cut = {name: np.asarray(values[:count, :days]) for name, values in total.items()}
    return cut, tuple(np.concatenate(each) for each in zip(*seen, strict=True)) if seen else None
