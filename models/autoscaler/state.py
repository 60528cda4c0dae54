"""What the autoscaler's jitted loop carries: policies, the replica's world, the state of every run, and its sums."""

from __future__ import annotations

from typing import NamedTuple

import jax


class Knobs(NamedTuple):
    """Policies, [policies, 1] each; times in ticks, absent limits inf. `watched` is one-hot over SIGNALS
    [signals, policies, 1]; up and down hold (pods, pods period, percent, percent period, take the larger change)."""

    watched: jax.Array
    target: jax.Array
    least: jax.Array
    most: jax.Array
    interval: jax.Array
    tolerance: jax.Array
    up_window: jax.Array
    down_window: jax.Array
    up: tuple[jax.Array, ...]
    down: tuple[jax.Array, ...]
    headroom: jax.Array
    forecast_rps: jax.Array
    lead: jax.Array
    """Which row of the forecasts ahead, [policies]."""
    alpha: jax.Array


class World(NamedTuple):
    """Scalars and lines of the replica, and what starting takes (ticks)."""

    knee: jax.Array
    operating: jax.Array
    saturation: jax.Array
    slack_s: jax.Array
    max_queue: jax.Array
    tokens_running: jax.Array
    tokens_waiting: jax.Array
    knots: jax.Array
    lines: jax.Array
    """[4, knots]: slope changes of running, KV share, share within SLO and waiting at each knot; values at 0 in
    `bases`."""
    bases: jax.Array
    cold: jax.Array
    warm: jax.Array
    refill: jax.Array
    drain_s: jax.Array
    nodes_per_tick: jax.Array
    """Replicas that may be started on new nodes in a tick; inf without a limit."""


class State(NamedTuple):
    """[policies, traces] each; registers have a last axis of ticks, nearest first."""

    ready: jax.Array
    starting: jax.Array
    backlog: jax.Array
    allowance: jax.Array
    idle: jax.Array
    filling: jax.Array
    wanted: jax.Array
    queue: jax.Array
    signal: jax.Array
    wishes: jax.Array
    added: jax.Array
    removed: jax.Array
    direction: jax.Array
    changed_at: jax.Array
    short_run: jax.Array


class Sums(NamedTuple):
    """Added up over a chunk of ticks; the last five are the largest values of the chunk."""

    arrived: jax.Array
    good: jax.Array
    lost: jax.Array
    short_s: jax.Array
    queue_s: jax.Array
    over_s: jax.Array
    under_s: jax.Array
    starts: jax.Array
    stops: jax.Array
    reversals: jax.Array
    paid_s: jax.Array
    queue_max: jax.Array
    wait_max: jax.Array
    under_max: jax.Array
    wanted_max: jax.Array
    longest_short: jax.Array
