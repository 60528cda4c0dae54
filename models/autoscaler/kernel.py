"""The jitted loop of models/autoscaler/run.py: every policy on every trace steps at once.

Control happens on ticks, queueing on the steps between them. What takes time (starting replicas, standby nodes that are
filled up again, wishes and changes that a window remembers) stands in registers that shift by one place a tick: they
are read whole anyway, and short because a tick is seconds.
"""

from __future__ import annotations

from functools import partial
from typing import NamedTuple

import jax
import jax.numpy as jnp

from models.autoscaler.state import Knobs, State, Sums, World

EPS = 1e-9
REVERSAL_S = 900.0


def _allowed(
    now: jax.Array, added: jax.Array, removed: jax.Array, ages: jax.Array, rate: tuple[jax.Array, ...], sign: float
) -> jax.Array:
    """The most (sign 1) or fewest (sign -1) replicas that the rate policies allow, as Kubernetes computes it."""
    pods, pods_period, percent, percent_period, larger = rate

    def at_start(period: jax.Array) -> jax.Array:
        recent = ages < period[..., None]
        return now - jnp.sum(jnp.where(recent, added, 0.0), -1) + jnp.sum(jnp.where(recent, removed, 0.0), -1)

    by_pods = at_start(pods_period) + sign * pods
    share = at_start(percent_period) * (1.0 + sign * percent / 100.0)
    by_share = jnp.where(sign > 0, jnp.ceil(share - EPS), jnp.floor(share + EPS))
    either = sign * jnp.maximum(sign * by_pods, sign * by_share)
    both = sign * jnp.minimum(sign * by_pods, sign * by_share)
    # A policy that is not there takes part in neither; none at all is no limit.
    unlimited = jnp.isinf(pods) & jnp.isinf(percent)
    one = jnp.where(jnp.isinf(pods), by_share, by_pods)
    single = jnp.isinf(pods) ^ jnp.isinf(percent)
    limit = jnp.where(single, one, jnp.where(larger > 0, either, both))
    limit = jnp.where(unlimited, sign * jnp.inf, limit)
    # Never beyond where it stands already.
    return sign * jnp.maximum(sign * limit, sign * now)


def _decide(s: State, k: Knobs, expected_rps: jax.Array, now: jax.Array) -> tuple[jax.Array, jax.Array]:
    """Wanted replicas, and the raw wish (nan between decisions)."""
    decides = jnp.mod(now, k.interval) == 0
    usage = s.signal + k.headroom * k.target
    ratio = usage / (k.target * jnp.maximum(s.wanted, 1.0))
    steady = (jnp.abs(1.0 - ratio) <= k.tolerance + EPS) & (s.wanted > 0)
    seen = jnp.where(steady, s.wanted, jnp.ceil(usage / k.target - EPS))
    # Each metric is a wish of its own, and the largest counts, as in Kubernetes.
    wish = jnp.where(k.watched[0] > 0, k.headroom, seen)
    ahead = jnp.where(k.forecast_rps > 0, jnp.ceil(expected_rps / k.forecast_rps - EPS) + k.headroom, 0.0)
    wish = jnp.clip(jnp.maximum(wish, ahead), k.least, k.most)
    ages = jnp.arange(s.wishes.shape[-1]) + 1.0
    known = ~jnp.isnan(s.wishes)
    low = jnp.min(jnp.where(known & (ages < k.up_window[..., None]), s.wishes, jnp.inf), -1)
    high = jnp.max(jnp.where(known & (ages < k.down_window[..., None]), s.wishes, -jnp.inf), -1)
    up_to, down_to = jnp.minimum(wish, low), jnp.maximum(wish, high)
    steadied = jnp.minimum(jnp.maximum(s.wanted, up_to), down_to)
    change_ages = jnp.arange(s.added.shape[-1]) + 1.0
    highest = _allowed(s.wanted, s.added, s.removed, change_ages, k.up, 1.0)
    lowest = _allowed(s.wanted, s.added, s.removed, change_ages, k.down, -1.0)
    settled = jnp.clip(jnp.clip(steadied, lowest, highest), k.least, k.most)
    return jnp.where(decides, settled, s.wanted), jnp.where(decides, wish, jnp.nan)


def _shift(register: jax.Array, fill: float) -> jax.Array:
    """One tick on: place 0 falls out."""
    return jnp.concatenate([register[..., 1:], jnp.full_like(register[..., :1], fill)], axis=-1)


def _remember(register: jax.Array, newest: jax.Array) -> jax.Array:
    """One tick on: the newest in front."""
    return jnp.concatenate([newest[..., None], register[..., :-1]], axis=-1)


def _supply(s: State, up: jax.Array, down: jax.Array, k: Knobs, w: World) -> tuple[State, jax.Array]:
    """Replicas asked for and given back; returns also how many ready ones stop."""
    backlog = s.backlog + up
    dropped = jnp.minimum(backlog, down)
    backlog, down = backlog - dropped, down - dropped
    # The replicas that are furthest from serving go first.
    beyond = jnp.cumsum(s.starting[..., ::-1], -1)[..., ::-1] - s.starting
    cancelled = jnp.clip(down[..., None] - beyond, 0.0, s.starting)
    starting = s.starting - cancelled
    stops = jnp.minimum(down - jnp.sum(cancelled, -1), s.ready)
    warm = jnp.minimum(backlog, s.idle)
    allowance = jnp.minimum(s.allowance + w.nodes_per_tick, jnp.maximum(w.nodes_per_tick, 1.0))
    cold = jnp.floor(jnp.minimum(backlog - warm, allowance) + EPS)
    places = jnp.arange(starting.shape[-1]) + 1.0
    starting = starting + warm[..., None] * (places == w.warm) + cold[..., None] * (places == w.cold)
    filling = s.filling + warm[..., None] * ((jnp.arange(s.filling.shape[-1]) + 1.0) == w.refill)
    given = s._replace(
        ready=s.ready - stops,
        starting=starting,
        backlog=backlog - warm - cold,
        allowance=allowance - cold,
        idle=s.idle - warm,
        filling=filling,
    )
    return given, stops


def _lines(u: jax.Array, w: World) -> list[jax.Array]:
    """Running requests, KV share, share within SLO and waiting at loads u, as sums of hinges: faster than gathers."""
    values = [jnp.full_like(u, w.bases[i]) for i in range(w.lines.shape[0])]
    for knot in range(w.knots.shape[0]):
        beyond = jnp.maximum(u - w.knots[knot], 0.0)
        values = [value + w.lines[i, knot] * beyond for i, value in enumerate(values)]
    return values


class Flow(NamedTuple):
    """What moves on every step; the rest stands still between ticks."""

    queue: jax.Array
    signal: jax.Array
    short_run: jax.Array
    arrived: jax.Array
    good: jax.Array
    lost: jax.Array
    short_s: jax.Array
    queue_s: jax.Array
    over_s: jax.Array
    under_s: jax.Array
    queue_max: jax.Array
    wait_max: jax.Array
    under_max: jax.Array
    longest_short: jax.Array


def _step(f: Flow, arrivals: jax.Array, mean_rps: jax.Array, ready: jax.Array, k: Knobs, w: World, dt: float) -> Flow:
    """One step of a fluid queue before `ready` replicas."""
    flat_out = ready * w.saturation
    wait = jnp.where(f.queue > 0, f.queue / jnp.maximum(flat_out, 1e-12), 0.0)
    waits = (wait <= w.slack_s) & (ready > 0)
    work = f.queue + arrivals
    left = work - jnp.minimum(work, flat_out * dt)
    lost = jnp.maximum(left - w.max_queue * ready, 0.0)
    queue = left - lost
    top = w.saturation / w.knee
    load = jnp.minimum(mean_rps / jnp.maximum(ready * w.knee, 1e-12), top)
    u = jnp.where((queue > 0) | (ready <= 0), top, load)
    running, kv, within, waiting = _lines(u, w)
    short = (mean_rps > ready * w.knee * (1 + EPS)) | ~waits
    short_run = jnp.where(short, f.short_run + dt, 0.0)
    need = jnp.ceil(mean_rps / w.operating - EPS)
    missing = jnp.maximum(need - ready, 0.0)
    in_replicas = ready * running
    in_queue = queue + ready * waiting
    seen = (
        in_queue,
        in_replicas + in_queue,
        in_replicas * w.tokens_running + in_queue * w.tokens_waiting,
        ready * kv,
        arrivals / dt,
    )
    signal = sum(k.watched[1 + i] * one for i, one in enumerate(seen))
    return Flow(
        queue=queue,
        signal=f.signal + k.alpha * (signal - f.signal),
        short_run=short_run,
        arrived=f.arrived + arrivals,
        good=f.good + jnp.maximum(arrivals - lost, 0.0) * within * waits,
        lost=f.lost + lost,
        short_s=f.short_s + dt * short,
        queue_s=f.queue_s + queue * dt,
        over_s=f.over_s + jnp.maximum(ready - need, 0.0) * dt,
        under_s=f.under_s + missing * dt,
        queue_max=jnp.maximum(f.queue_max, queue),
        wait_max=jnp.maximum(f.wait_max, jnp.where(ready > 0, wait, 0.0)),
        under_max=jnp.maximum(f.under_max, missing),
        longest_short=jnp.maximum(f.longest_short, short_run),
    )


@partial(jax.jit, static_argnames=("dt", "tick_s", "watch"))
def run(
    start: State,
    begin: jax.Array,
    knobs: Knobs,
    world: World,
    arrivals: jax.Array,
    mean_rps: jax.Array,
    ahead_rps: jax.Array,
    *,
    dt: float,
    tick_s: float,
    watch: bool,
) -> tuple[tuple[State, jax.Array], Sums, tuple[jax.Array, jax.Array, jax.Array] | None]:
    """Chunk by chunk of ticks from tick `begin` on; sums come back by chunk.

    arrivals, mean_rps: [chunks, ticks, steps, traces]; ahead_rps: [chunks, ticks, leads, traces]. watch: also ready,
    wanted and queue at every tick.
    """

    def tick(
        carry: tuple[State, Sums, jax.Array], given: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[tuple[State, Sums, jax.Array], tuple[jax.Array, jax.Array, jax.Array] | None]:
        s, sums, now = carry
        came, mean, ahead = given
        s = s._replace(
            ready=s.ready + s.starting[..., 0],
            idle=s.idle + s.filling[..., 0],
            starting=_shift(s.starting, 0.0),
            filling=_shift(s.filling, 0.0),
        )
        wanted, wish = _decide(s, knobs, ahead[knobs.lead], now)
        change = wanted - s.wanted
        up, down = jnp.maximum(change, 0.0), jnp.maximum(-change, 0.0)
        s, stops = _supply(s, up, down, knobs, world)
        direction = jnp.sign(change)
        back = (direction * s.direction < 0) & ((now - s.changed_at) * tick_s <= REVERSAL_S)
        s = s._replace(
            wanted=wanted,
            wishes=_remember(s.wishes, wish),
            added=_remember(s.added, up),
            removed=_remember(s.removed, down),
            direction=jnp.where(direction != 0, direction, s.direction),
            changed_at=jnp.where(direction != 0, now, s.changed_at),
        )
        paid = s.ready + jnp.sum(s.starting, -1) + s.idle + jnp.sum(s.filling, -1)
        sums = sums._replace(
            starts=sums.starts + up,
            stops=sums.stops + down,
            reversals=sums.reversals + back,
            paid_s=sums.paid_s + paid * tick_s + stops * world.drain_s,
            wanted_max=jnp.maximum(sums.wanted_max, wanted),
        )

        ready = s.ready

        def step(flow: Flow, row: tuple[jax.Array, jax.Array]) -> tuple[Flow, None]:
            return _step(flow, *row, ready, knobs, world, dt), None

        held = {name: getattr(s, name) for name in Flow._fields if name in State._fields}
        added = {name: getattr(sums, name) for name in Flow._fields if name in Sums._fields}
        flow, _ = jax.lax.scan(step, Flow(**held, **added), (came, mean))
        s = s._replace(**{name: getattr(flow, name) for name in held})
        sums = sums._replace(**{name: getattr(flow, name) for name in added})
        return (s, sums, now + 1.0), (s.ready, s.wanted, s.queue) if watch else None

    def chunk(
        carry: tuple[State, jax.Array], given: tuple[jax.Array, jax.Array, jax.Array]
    ) -> tuple[tuple[State, jax.Array], tuple[Sums, tuple[jax.Array, jax.Array, jax.Array] | None]]:
        s, now = carry
        zero = jnp.zeros_like(s.ready)
        (s, sums, now), seen = jax.lax.scan(tick, (s, Sums(*(zero for _ in Sums._fields)), now), given)
        return (s, now), (sums, seen)

    end, (sums, seen) = jax.lax.scan(chunk, (start, begin), (arrivals, mean_rps, ahead_rps))
    return end, sums, seen
