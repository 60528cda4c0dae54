"""An autoscaler in plain Python, one policy on one trace: replicas are objects in lists, windows are lists of events.

Written from the documentation of Kubernetes' HorizontalPodAutoscaler (behavior, stabilisation, rate policies), not from
the kernel.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from dataclasses import dataclass

from data.scaling_records import LoadTrace, Rate, ReplicaFacts, ScalerPolicy, StartUp


@dataclass
class Tally:
    good: float = 0.0
    arrived: float = 0.0
    lost: float = 0.0
    short_s: float = 0.0
    longest_short_s: float = 0.0
    queue_s: float = 0.0
    queue_max: float = 0.0
    wait_max_s: float = 0.0
    over_s: float = 0.0
    under_s: float = 0.0
    under_max: float = 0.0
    starts: float = 0.0
    stops: float = 0.0
    reversals: float = 0.0
    paid_s: float = 0.0
    replicas_max: float = 0.0


def line(xs: list[float], ys: list[float], x: float) -> float:
    """Straight lines between points, flat beyond them."""
    if x >= xs[-1]:
        return ys[-1]
    i = max(bisect_right(xs, x) - 1, 0)
    return ys[i] + (ys[i + 1] - ys[i]) * (x - xs[i]) / (xs[i + 1] - xs[i])


def up_to(whole: float) -> int:
    return math.ceil(whole - 1e-9)


def limit(
    now: int, rate: Rate, ups: list[tuple[float, int]], downs: list[tuple[float, int]], at: float, up: bool
) -> float:
    """The replica count that the rate policies let it reach."""
    proposals = []

    def before(period: float) -> int:
        added = sum(n for when, n in ups if when > at - period + 1e-9)
        removed = sum(n for when, n in downs if when > at - period + 1e-9)
        return now - added + removed

    if rate.pods is not None:
        proposals.append(before(rate.pods_period_s) + (rate.pods if up else -rate.pods))
    if rate.percent is not None:
        base = before(rate.percent_period_s)
        if up:
            proposals.append(math.ceil(base * (1 + rate.percent / 100) - 1e-9))
        else:
            proposals.append(math.floor(base * (1 - rate.percent / 100) + 1e-9))
    if not proposals:
        return math.inf if up else -math.inf
    largest_change = rate.select == "max"
    chosen = max(proposals) if up == largest_change else min(proposals)
    return max(chosen, now) if up else min(chosen, now)


def play(
    policy: ScalerPolicy, trace: LoadTrace, facts: ReplicaFacts, start_up: StartUp, tick_s: float, nodes_per_min: float
) -> Tally:
    steps = round(tick_s / trace.step_s)
    ticks = len(trace.arrivals) // steps
    ready = min(max(trace.start_replicas, policy.min_replicas), policy.max_replicas)
    wanted = ready
    starting: list[int] = []
    idle, filling = policy.standby_nodes, []
    backlog = 0
    allowance = 0.0
    wishes: list[tuple[float, int]] = []
    ups: list[tuple[float, int]] = []
    downs: list[tuple[float, int]] = []
    queue = short_run = 0.0
    lines = [
        list(map(float, one)) for one in (facts.load, facts.running, facts.kv_share, facts.within_slo, facts.waiting)
    ]
    begin = float(trace.expected_rps[0])
    full = facts.saturation_rps / facts.knee_rps
    # As if the expected load of the first moment had been there for long, with no queue.
    load = min(begin / (ready * facts.knee_rps), full) if ready else full
    signal = {
        "none": 0.0,
        "queue": ready * line(lines[0], lines[4], load),
        "concurrency": ready * (line(lines[0], lines[1], load) + line(lines[0], lines[4], load)),
        "tokens": ready * line(lines[0], lines[1], load) * facts.tokens_running
        + ready * line(lines[0], lines[4], load) * facts.tokens_waiting,
        "kv_cache": ready * line(lines[0], lines[2], load),
        "rate": begin,
    }[policy.signal]
    last_change: tuple[float, int] | None = None
    t = Tally()
    for tick in range(ticks):
        now = tick * tick_s
        ready += sum(1 for when in starting if when == tick)
        starting = [when for when in starting if when != tick]
        idle += sum(1 for when in filling if when == tick)
        filling = [when for when in filling if when != tick]
        if tick % max(up_to(policy.interval_s / tick_s), 1) == 0:
            target = policy.target
            usage = signal + policy.headroom * target
            if policy.signal == "none":
                wish = policy.headroom
            elif wanted > 0 and abs(1 - usage / (target * wanted)) <= policy.tolerance + 1e-9:
                wish = wanted
            else:
                wish = up_to(usage / target)
            if policy.forecast_rps > 0:
                at = min((tick + up_to(policy.lead_s / tick_s)) * steps, len(trace.arrivals) - 1)
                wish = max(wish, up_to(trace.expected_rps[at] / policy.forecast_rps) + policy.headroom)
            wish = min(max(wish, policy.min_replicas), policy.max_replicas)
            wishes.append((now, wish))

            def window(seconds: float, since: float = now) -> list[int]:
                seconds = up_to(seconds / tick_s) * tick_s
                return [n for when, n in wishes if when > since - seconds + 1e-9 or when == since]

            settled = wanted
            settled = max(settled, min(window(policy.up_window_s)))
            settled = min(settled, max(window(policy.down_window_s)))
            if settled > wanted:
                settled = min(settled, limit(wanted, policy.up, ups, downs, now, True))
            elif settled < wanted:
                settled = max(settled, limit(wanted, policy.down, ups, downs, now, False))
            settled = int(min(max(settled, policy.min_replicas), policy.max_replicas))
            change = settled - wanted
            wanted = settled
        else:
            change = 0
        stops = 0
        if change > 0:
            ups.append((now, change))
            backlog += change
            t.starts += change
        if change < 0:
            downs.append((now, -change))
            t.stops -= change
            for _ in range(-change):
                if backlog:
                    backlog -= 1
                elif starting:
                    starting.remove(max(starting))
                elif ready:
                    ready -= 1
                    stops += 1
        if change:
            way = 1 if change > 0 else -1
            if last_change and last_change[1] != way and now - last_change[0] <= 900.0:
                t.reversals += 1
            last_change = (now, way)
        per_tick = nodes_per_min * tick_s / 60
        allowance = min(allowance + per_tick, max(per_tick, 1.0))
        while backlog and idle:
            backlog, idle = backlog - 1, idle - 1
            starting.append(tick + max(up_to(start_up.standby_s / tick_s), 1))
            filling.append(tick + max(up_to((start_up.node_s + start_up.image_s) / tick_s), 1))
        while backlog and allowance >= 1 - 1e-9:
            backlog, allowance = backlog - 1, allowance - 1
            starting.append(tick + max(up_to(start_up.cold_s / tick_s), 1))
        t.paid_s += (ready + len(starting) + idle + len(filling)) * tick_s + stops * start_up.drain_s
        t.replicas_max = max(t.replicas_max, wanted)
        for step in range(tick * steps, (tick + 1) * steps):
            arrivals = float(trace.arrivals[step])
            width = max(round(60 / trace.step_s), 1)
            recent = trace.arrivals[max(step + 1 - width, 0) : step + 1]
            mean = float(sum(recent)) / (len(recent) * trace.step_s)
            capacity = ready * facts.saturation_rps
            wait = 0.0 if queue <= 0 else queue / capacity if ready else math.inf
            in_time = ready > 0 and wait <= facts.ttft_slack_s
            served = min(queue + arrivals, capacity * trace.step_s)
            left = queue + arrivals - served
            lost = max(left - facts.max_queue * ready, 0.0)
            queue = left - lost
            flat_out = facts.saturation_rps / facts.knee_rps
            load = flat_out if queue > 0 or not ready else min(mean / (ready * facts.knee_rps), flat_out)
            running = ready * line(lines[0], lines[1], load)
            waiting = queue + ready * line(lines[0], lines[4], load)
            seen = {
                "none": 0.0,
                "queue": waiting,
                "concurrency": running + waiting,
                "tokens": running * facts.tokens_running + waiting * facts.tokens_waiting,
                "kv_cache": ready * line(lines[0], lines[2], load),
                "rate": arrivals / trace.step_s,
            }[policy.signal]
            alpha = 1 - math.exp(-trace.step_s / policy.smoothing_s) if policy.smoothing_s > 0 else 1.0
            signal += alpha * (seen - signal)
            t.arrived += arrivals
            t.lost += lost
            if in_time:
                t.good += max(arrivals - lost, 0.0) * line(lines[0], lines[3], load)
            if not in_time or mean > ready * facts.knee_rps * (1 + 1e-9):
                t.short_s += trace.step_s
                short_run += trace.step_s
            else:
                short_run = 0.0
            need = up_to(mean / facts.operating_rps)
            t.over_s += max(ready - need, 0) * trace.step_s
            t.under_s += max(need - ready, 0) * trace.step_s
            t.under_max = max(t.under_max, need - ready)
            t.queue_s += queue * trace.step_s
            t.queue_max = max(t.queue_max, queue)
            t.wait_max_s = max(t.wait_max_s, wait if ready else 0.0)
            t.longest_short_s = max(t.longest_short_s, short_run)
    return t
