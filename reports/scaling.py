"""Scaling in words and rows: the same for the terminal, the report and the documents."""

from __future__ import annotations

import math
from collections.abc import Sequence

from data.scaling_records import Candidate, PoolScaling, ScalerPolicy, Signal

Rows = list[tuple[str, ...]]

POOL_HEAD = (
    "Pool", "Region", "Policy", "Scale at, a replica", "Replicas", "Warm reserve", "Standby nodes", "Reaction alone",
    "In SLO at worst", "Short at worst", "USD a day", "Against all up",
)  # fmt: skip
POOL_NUMBERS = (4, 5, 6, 8, 9, 10, 11)
"""Which of them are numbers."""
KIND_HEAD = (
    "policy", "signal", "target a replica", "min", "extra", "standby", "holds", "SLO at worst", "short at worst",
    "longest", "largest queue", "over, replica-h", "under, replica-h", "reversals", "USD a day",
)  # fmt: skip
UNITS: dict[Signal, str] = {
    "none": "",
    "queue": "requests waiting",
    "concurrency": "requests waiting and running",
    "tokens": "tokens in flight",
    "kv_cache": "of KV cache",
    "rate": "requests/s",
}


def minutes(seconds: float) -> str:
    """Seconds below two minutes, minutes above."""
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.1f} min"


def share(value: float) -> str:
    """A share that is not rounded up to a promise it misses."""
    return f"{math.floor(value * 1000) / 10:.1f}%"


def target(policy: ScalerPolicy) -> str:
    """The threshold with its unit."""
    if policy.signal == "kv_cache":
        return f"{policy.target:.1%} {UNITS['kv_cache']}"
    return (
        f"{policy.target:,.3g} {UNITS[policy.signal]}"
        if policy.target < 1000
        else f"{policy.target:,.0f} {UNITS[policy.signal]}"
    )


def pool_rows(pools: Sequence[PoolScaling]) -> Rows:
    """The choice for every pool."""
    rows: Rows = []
    for pool in pools:
        one, best, plain = pool.configuration, pool.chosen, pool.kinds[0].best
        saved = 1.0 - best.usd_per_day / pool.fixed_usd_per_day if pool.fixed_usd_per_day else 0.0
        rows.append(
            (
                f"{pool.llm} on {one.gpu} {one.precision} {one.layout}", pool.region, pool.chosen_kind,
                target(best.policy),
                f"{best.policy.min_replicas} to {best.policy.max_replicas}", f"{pool.warm_reserve}",
                f"{best.policy.standby_nodes or ''}", "holds" if plain.holds else _misses(plain),
                share(best.worst_attainment), minutes(best.worst_short_s), f"{best.usd_per_day:,.0f}", f"{-saved:+.0%}",
            )
        )  # fmt: skip
    return rows


def _misses(one: Candidate) -> str:
    """What a policy that does not hold misses by."""
    short = f"short {minutes(one.worst_short_s)}" if one.worst_short_s else ""
    return short or f"{share(one.worst_attainment)} in SLO"


def kind_rows(pool: PoolScaling) -> Rows:
    """The best of every kind of policy on the pool."""
    return [(kind.name, *_candidate(kind.best)) for kind in pool.kinds]


def signal_rows(pool: PoolScaling) -> Rows:
    """The best policy on every signal."""
    return [("", *_candidate(one)) for one in pool.signals]


def trace_rows(one: Candidate) -> Rows:
    """One policy on every day it was held against."""
    return [
        (
            row.trace, share(row.attainment), minutes(row.short_s), minutes(row.longest_short_s),
            f"{row.queue_max:,.0f}", f"{row.wait_max_s:.1f} s", f"{row.over_replica_h:,.1f}",
            f"{row.under_replica_h:,.1f}", f"{row.reversals}", f"{row.usd:,.0f}",
        )
        for row in one.verdicts
    ]  # fmt: skip


TRACE_HEAD = (
    "day", "in SLO", "short", "longest", "largest queue", "longest wait", "over, replica-h", "under, replica-h",
    "reversals", "USD",
)  # fmt: skip


def _candidate(one: Candidate) -> tuple[str, ...]:
    policy, rows = one.policy, one.verdicts
    return (
        policy.signal, target(policy), f"{policy.min_replicas}", f"{policy.headroom}", f"{policy.standby_nodes}",
        "yes" if one.holds else "no", share(one.worst_attainment), minutes(one.worst_short_s),
        minutes(max(row.longest_short_s for row in rows)), f"{max(row.queue_max for row in rows):,.0f}",
        f"{max(row.over_replica_h for row in rows):,.1f}", f"{max(row.under_replica_h for row in rows):,.1f}",
        f"{sum(row.reversals for row in rows)}", f"{one.usd_per_day:,.0f}",
    )  # fmt: skip


def said(pool: PoolScaling) -> str:
    """Whether reacting is enough for the burst, with the figures, and what holds where it is not."""
    plain = next(kind.best for kind in pool.kinds if kind.name == "reaction")
    worst = max(plain.verdicts, key=lambda row: (row.short_s, -row.attainment))
    reach = pool.start_up.cold_s
    burst = f"{pool.burst.factor:g} times the load within {minutes(pool.burst.ramp_s)}"
    at = pool.facts.operating_rps / pool.facts.knee_rps
    limits = (
        f"a replica serves {minutes(reach)} after it is ordered, so that from {at:.0%} of the knee reaction follows a "
        f"growth of {pool.follows_per_min:.1%} a minute"
    )
    queued = max(row.queue_max for row in plain.verdicts)
    waiting = f", with up to {queued:,.0f} waiting" if queued >= 0.5 else ""
    if plain.holds:
        text = f"Plain reaction holds the SLO, a burst of {burst} included: {limits}."
    else:
        text = (
            f"Plain reaction cannot hold the SLO ({worst.trace}): it is short of capacity for {minutes(worst.short_s)} "
            f"(allowed: {minutes(pool.burst.short_s)}), {share(min(row.attainment for row in plain.verdicts))} of "
            f"requests are within it on the worst day (promised: {pool.promise:.0%}){waiting}; {limits}."
        )
    if pool.chosen.holds:
        if not plain.holds:
            best, most = pool.chosen, pool.chosen.policy.max_replicas
            text += (
                f" {pool.chosen_kind[0].upper()}{pool.chosen_kind[1:]} holds it for {best.usd_per_day:,.0f} USD a day "
                f"({pool.fixed_usd_per_day:,.0f} with all {most} replicas up at all hours): warm reserve of "
                f"{pool.warm_reserve} at the peak."
            )
    else:
        row = max(pool.chosen.verdicts, key=lambda one: one.short_s)
        text += (
            f" No policy tried holds it; the best ({pool.chosen_kind}) is short for {minutes(row.short_s)} on the day "
            f"`{row.trace}`."
        )
    if pool.supply_factor < pool.burst.factor:
        need = math.ceil(pool.burst.factor * pool.peak_rps / pool.facts.operating_rps) - pool.chosen.policy.max_replicas
        text += (
            f" At the peak the {pool.chosen.policy.max_replicas} replicas carry a burst of {pool.supply_factor:.2f} "
            f"times, not {pool.burst.factor:g}: {need} more would; beyond it bursts were not laid over the load."
        )
    return text
