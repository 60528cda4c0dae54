"""Tables of the fleet: runners-up and why they lost, memory, operating points, limits and thresholds."""

from __future__ import annotations

import math

from data.procurement_records import RunOut
from data.units import GB
from reports.bundle import PlanBundle
from reports.machine import usd_per_million_requests

Rows = list[tuple[str, ...]]
RUNNERS_UP = 3
SIGNALS = {
    "waiting": "requests waiting", "running": "requests running", "kv_cache": "KV cache in use", "busy": "engine busy",
}  # fmt: skip


def runners_up(bundle: PlanBundle) -> Rows:
    """The cheapest configurations of every class that are not in the plan, beside the one that is, and why."""
    prices: dict[str, float] = {}
    for offer in bundle.problem.offers:
        prices[offer.gpu] = min(offer.usd_per_gpu_h, prices.get(offer.gpu, float("inf")))
    running = {pool.configuration for pool in bundle.plan.pools}
    why = {(one.configuration, one.request_class): str(one.excuse) for one in reversed(bundle.plan.rejected)}
    rows: Rows = []
    for llm, name in sorted({(key.llm, key.request_class) for key in bundle.problem.demand.series}):
        able = [
            (usd_per_million_requests(prices[row.configuration.gpu], row.configuration.gpus, row.operating_rps), row)
            for row in bundle.problem.capacities
            if row.configuration.llm == llm
            and row.request_class == name
            and row.configuration.gpu in prices
            and row.operating_rps > 0
        ]
        able.sort(key=lambda pair: pair[0])
        chosen = [pair for pair in able if pair[1].configuration in running]
        lost = [pair for pair in able if pair[1].configuration not in running][:RUNNERS_UP]
        for usd, row in [*chosen, *lost]:
            said = "runs in this plan" if row.configuration in running else why.get((row.configuration, name), "")
            rows.append(
                (name, row.configuration.label, f"{row.operating_rps:.2f}", f"{usd:,.0f}", said or "costs more in all")
            )
    return rows


def memory(bundle: PlanBundle) -> Rows:
    """GB on each GPU of a replica, part by part."""
    return [
        (
            one.configuration.label, f"{one.weight_bytes / GB:.1f}", f"{one.kv_pool_bytes / GB:.1f}",
            f"{(one.activation_bytes + one.graph_bytes + one.communication_bytes) / GB:.1f}",
            f"{one.fragmentation_bytes / GB:.1f}", f"{one.headroom_bytes / GB:.1f}",
            f"{one.left_to_others_bytes / GB:.1f}", f"{one.total_bytes / GB:.1f}",
            f"{one.kv_capacity_tokens:,.0f}", f"{one.concurrent_requests:,}",
        )
        for one in bundle.memory
    ]  # fmt: skip


def operating(bundle: PlanBundle) -> Rows:
    """Replayed percentiles of every pool with all its replicas, a row a class."""
    return [
        (
            row.configuration.label, row.region, one.name, f"{row.rps / max(row.replicas, 1):.2f}",
            f"{one.ttft.p50_s:.2f} / {one.ttft.p95_s:.2f} / {one.ttft.p99_s:.2f}",
            f"{one.tpot.p50_s * 1e3:.0f} / {one.tpot.p95_s * 1e3:.0f} / {one.tpot.p99_s * 1e3:.0f}",
            f"{one.within_slo:.1%}",
        )
        for row in bundle.replay.rows
        if row.situation == "all replicas"
        for one in row.classes
    ]  # fmt: skip


def admission(bundle: PlanBundle) -> Rows:
    """What the serving layer must enforce on every replica."""
    return [
        (
            one.configuration.label, f"{one.limits.max_num_seqs:,}", f"{one.limits.max_queue:,}",
            f"{one.limits.concurrency:,}", f"{one.limits.tokens_in_flight:,}", f"{one.limits.deadline_s:g}",
        )
        for one in bundle.curves
    ]  # fmt: skip


def thresholds(bundle: PlanBundle, most: int = 2) -> Rows:
    """The most telling signals to scale by, and the load they stand for."""
    return [
        (
            one.configuration.label, SIGNALS.get(signal.name, signal.name), _level(signal.threshold, signal.unit),
            _level(signal.at_knee, signal.unit), f"{one.scale_load_rps:.2f}",
            f"{one.growth_per_min:.1%} a minute, ready in {one.time_to_ready_s:.0f} s",
        )
        for one in bundle.curves
        for signal in one.signals[:most]
    ]  # fmt: skip


def _level(value: float, unit: str) -> str:
    return f"{value:.1%}" if unit == "share" else f"{value:,.3g} {unit}"


def run_out_words(one: RunOut) -> str:
    """What runs out, and where."""
    what = "quota" if one.limit == "quota" else "held commitment"
    later = ", at the growth of the horizon" if one.extrapolated else ""
    return f"{what} of {one.limit_gpus:,} {one.gpu} in {one.region}{later}"


def used_words(utilisation: float) -> str:
    """How much of a commitment is used; nothing is known of one that ends before the plan begins."""
    return f"{utilisation:.0%}" if math.isfinite(utilisation) else "-"


def run_outs(bundle: PlanBundle) -> Rows:
    """When commitments and quotas run out, the first first."""
    return [
        (one.month, run_out_words(one), f"{one.used_gpus:,}", "yes" if one.extrapolated else "no")
        for one in sorted(bundle.plan.procurement.run_outs, key=lambda one: one.month)
    ]


def commitments_used(bundle: PlanBundle) -> Rows:
    """Every commitment, held or ordered: how much of it is used, when it ends, and when to renew it."""
    return [
        (
            one.gpu, one.region, one.option, f"{one.gpus:,}", one.expires, used_words(one.utilisation),
            "after the horizon" if one.needed_after is None else f"{one.needed_after:,}", one.renew_by,
        )
        for one in bundle.plan.procurement.commitments
    ]  # fmt: skip


def quotas(bundle: PlanBundle) -> Rows:
    """GPUs used against their quota, and the first month in which no replica more fits."""
    rows: Rows = []
    months = bundle.problem.demand.months
    for (region, gpu), limit in sorted(bundle.problem.quotas.items()):
        used = {
            month: sum(
                pool.gpus
                for pool in bundle.plan.pools
                if pool.region == region and pool.configuration.gpu == gpu and pool.month == month
            )
            for month in months
        }
        if not any(used.values()):
            continue
        sizes = [p.configuration.gpus for p in bundle.plan.pools if p.region == region and p.configuration.gpu == gpu]
        full = next((month for month in months if used[month] + min(sizes) > limit), "not in the horizon")
        most = max(used.values())
        rows.append((f"{gpu} in {region}", f"{limit:,}", f"{most:,}", f"{most / max(limit, 1):.0%}", full))
    return rows
