"""Policies, replica and start as the arrays of the jitted loop. Call inside jax.enable_x64(True)."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
import numpy as np

from data.records import FloatArray
from data.scaling_records import SIGNALS, LoadTrace, Rate, ReplicaFacts, ScalerPolicy, StartUp
from models.autoscaler.state import Knobs, State, World


def in_ticks(seconds: float, tick_s: float) -> int:
    """Whole ticks, rounded up."""
    return int(np.ceil(seconds / tick_s - 1e-9))


def ahead(traces: Sequence[LoadTrace], leads: Sequence[int], ticks: int, steps: int) -> FloatArray:
    """What is expected at the tick that is `lead` ticks on, [ticks, leads, traces]; the last value lasts."""
    at = np.minimum((np.arange(ticks)[:, None] + np.array(leads)[None, :]) * steps, len(traces[0].arrivals) - 1)
    return np.stack([one.expected_rps[at] for one in traces], axis=2)


def knobs(policies: Sequence[ScalerPolicy], leads: Sequence[int], tick_s: float, step_s: float) -> Knobs:
    """[policies, 1] each."""

    def column(values: Sequence[float]) -> jax.Array:
        return jnp.asarray(np.array(values, dtype=np.float64)[:, None])

    def rate(rates: Sequence[Rate]) -> tuple[jax.Array, ...]:
        return (
            column([np.inf if one.pods is None else one.pods for one in rates]),
            column([in_ticks(one.pods_period_s, tick_s) for one in rates]),
            column([np.inf if one.percent is None else one.percent for one in rates]),
            column([in_ticks(one.percent_period_s, tick_s) for one in rates]),
            column([float(one.select == "max") for one in rates]),
        )

    return Knobs(
        watched=jnp.stack([column([float(one.signal == name) for one in policies]) for name in SIGNALS]),
        target=column([one.target for one in policies]),
        least=column([one.min_replicas for one in policies]),
        most=column([one.max_replicas for one in policies]),
        interval=column([max(in_ticks(one.interval_s, tick_s), 1) for one in policies]),
        tolerance=column([one.tolerance for one in policies]),
        up_window=column([in_ticks(one.up_window_s, tick_s) for one in policies]),
        down_window=column([in_ticks(one.down_window_s, tick_s) for one in policies]),
        up=rate([one.up for one in policies]),
        down=rate([one.down for one in policies]),
        headroom=column([one.headroom for one in policies]),
        forecast_rps=column([one.forecast_rps for one in policies]),
        lead=jnp.asarray(np.array([leads.index(in_ticks(one.lead_s, tick_s)) for one in policies])),
        alpha=column([1.0 - np.exp(-step_s / one.smoothing_s) if one.smoothing_s > 0 else 1.0 for one in policies]),
    )


def world(facts: ReplicaFacts, start_up: StartUp, tick_s: float, nodes_per_min: float) -> World:
    """Lines as sums of hinges: their values at load 0, and the change of slope at every knot."""

    def number(value: float) -> jax.Array:
        return jnp.asarray(float(value))

    def ticks(seconds: float) -> jax.Array:
        return number(max(in_ticks(seconds, tick_s), 1))

    lines = np.stack([facts.running, facts.kv_share, facts.within_slo, facts.waiting])
    slopes = np.diff(lines, axis=1) / np.diff(facts.load)
    changes = np.concatenate([slopes[:, :1], np.diff(slopes, axis=1), -slopes[:, -1:]], axis=1)
    return World(
        knee=number(facts.knee_rps),
        operating=number(facts.operating_rps),
        saturation=number(facts.saturation_rps),
        slack_s=number(facts.ttft_slack_s),
        max_queue=number(facts.max_queue),
        tokens_running=number(facts.tokens_running),
        tokens_waiting=number(facts.tokens_waiting),
        knots=jnp.asarray(facts.load),
        lines=jnp.asarray(changes),
        bases=jnp.asarray(lines[:, 0]),
        cold=ticks(start_up.cold_s),
        warm=ticks(start_up.standby_s),
        refill=ticks(start_up.node_s + start_up.image_s),
        drain_s=number(start_up.drain_s),
        nodes_per_tick=number(nodes_per_min * tick_s / 60.0),
    )


def start(
    policies: Sequence[ScalerPolicy],
    traces: Sequence[LoadTrace],
    facts: ReplicaFacts,
    start_up: StartUp,
    tick_s: float,
) -> State:
    """Everything ready, nothing waiting, nothing remembered; signals as at the load that is expected first."""
    begin = np.array([[one.start_replicas for one in traces]], dtype=np.float64)
    least = np.array([[one.min_replicas] for one in policies], dtype=np.float64)
    most = np.array([[one.max_replicas] for one in policies], dtype=np.float64)
    standby = np.array([[one.standby_nodes] for one in policies], dtype=np.float64)
    ready = np.clip(np.broadcast_to(begin, (len(policies), len(traces))), least, most)
    zero = np.zeros_like(ready)

    def register(seconds: float, fill: float = 0.0) -> jax.Array:
        # In powers of two, so that few shapes are ever compiled.
        places = 1 << (max(in_ticks(seconds, tick_s), 4) - 1).bit_length()
        return jnp.asarray(np.full((*ready.shape, places), fill))

    windows = max(max(one.up_window_s, one.down_window_s) for one in policies)
    rates = [rate for one in policies for rate in (one.up, one.down)]
    periods = max(max(rate.pods_period_s, rate.percent_period_s) for rate in rates)
    rps = np.array([[one.expected_rps[0] for one in traces]])
    load = np.minimum(rps / np.maximum(ready * facts.knee_rps, 1e-12), facts.saturation_rps / facts.knee_rps)
    running = ready * np.interp(load, facts.load, facts.running)
    waiting = ready * np.interp(load, facts.load, facts.waiting)
    first = {
        "queue": waiting,
        "concurrency": running + waiting,
        "tokens": running * facts.tokens_running + waiting * facts.tokens_waiting,
        "kv_cache": ready * np.interp(load, facts.load, facts.kv_share),
        "rate": np.broadcast_to(rps, ready.shape),
    }
    return State(
        ready=jnp.asarray(ready),
        starting=register(start_up.cold_s),
        backlog=jnp.asarray(zero),
        allowance=jnp.asarray(zero),
        idle=jnp.asarray(np.broadcast_to(standby, ready.shape)),
        filling=register(start_up.node_s + start_up.image_s),
        wanted=jnp.asarray(ready),
        queue=jnp.asarray(zero),
        signal=jnp.asarray(np.array([first.get(one.signal, zero)[i] for i, one in enumerate(policies)])),
        wishes=register(windows, np.nan),
        added=register(periods),
        removed=register(periods),
        direction=jnp.asarray(zero),
        changed_at=jnp.asarray(np.full_like(zero, -np.inf)),
        short_run=jnp.asarray(zero),
    )
