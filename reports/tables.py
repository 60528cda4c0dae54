"""The tables of a report as plain rows of text: the HTML page and the terminal print the same words."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from datetime import date
from typing import Any

from data.ages import age_days
from data.plan_records import Pool
from reports import fleet_tables
from reports.assumptions import STALE_DAYS, assumptions
from reports.bundle import PlanBundle
from reports.decision import days_left
from reports.decision import decisions as decided
from reports.machine import requests_in

Rows = list[tuple[str, ...]]
COUNTED = re.compile(r"(.*simulation, )(\d+ x [\d,]+)( requests.*)")
DECIDE = ("Do", "GPU", "Region", "How", "GPUs", "USD a GPU-hour", "USD", "Order by", "From", "Regret, USD", "Why")


def usd(value: float) -> str:
    """Whole dollars with thousands separators."""
    return f"{value:,.0f}"


def decisions(bundle: PlanBundle) -> Rows:
    """What to do, GPU by GPU: the first table of the report."""
    begun = str(bundle.provenance["begun"])
    return [
        (
            one.action, one.gpu, one.region, one.option.replace("_", " "), f"{one.gpus:,}" if one.gpus else "",
            f"{one.usd_per_gpu_h:.2f}", usd(one.usd) if one.usd else "",
            f"{one.order_by} ({days_left(one.order_by, begun)})" if one.order_by else "", one.starts,
            # What is dropped says what it would cost in its reason.
            "" if one.action == "drop" else _regret(one.regret_usd),
            one.why,
        )
        for one in decided(bundle)
    ]  # fmt: skip


def without_empty(head: Sequence[str], rows: Rows, numeric: Sequence[int]) -> tuple[list[str], Rows, list[int]]:
    """A table without the columns in which no row says anything."""
    kept = [i for i in range(len(head)) if any(row[i] for row in rows)]
    return (
        [head[i] for i in kept],
        [tuple(row[i] for i in kept) for row in rows],
        [kept.index(i) for i in numeric if i in kept],
    )


def _regret(value: float | None) -> str:
    if value is None:
        return ""
    return usd(value) if math.isfinite(value) else "no other supply"


def assumed(bundle: PlanBundle) -> Rows:
    """What production can contradict, with source and age."""
    today = date.fromisoformat(str(bundle.provenance["begun"])[:10])
    rows: Rows = []
    for one in assumptions(bundle):
        if one["kind"] == "price":
            continue
        age = age_days(str(one["as_of"]), today)
        told = "no date" if age is None else f"{age} days" + (", stale" if age > STALE_DAYS[one["kind"]] else "")
        rows.append((one["kind"], one["name"], f"{one['value']:,.4g} {one['unit']}", one["as_of"], told, one["source"]))
    return rows


def commitments(bundle: PlanBundle) -> Rows:
    return [
        (p.gpu, p.region, p.option, p.month, f"{p.gpus:,}", f"{p.usd_per_gpu_h:.2f}", usd(p.usd_in_horizon))
        for p in bundle.plan.purchases
        if p.term_months > 0
    ]


def on_demand(bundle: PlanBundle) -> Rows:
    return [
        (p.gpu, p.region, p.month, f"{p.gpus:,}", f"{p.usd_per_gpu_h:.2f}", usd(p.usd_in_horizon))
        for p in bundle.plan.purchases
        if p.term_months == 0
    ]


def shortfalls(bundle: PlanBundle) -> Rows:
    return [(str(s.series), s.month, s.block, f"{s.worst_rps:,.3g}", s.cause, s.remedy) for s in bundle.plan.shortfalls]


def exposures(bundle: PlanBundle) -> Rows:
    return [
        (str(e.series), e.lost_region, e.month, e.block, f"{e.worst_rps:,.3g}", e.cause, e.remedy)
        for e in bundle.plan.exposures
    ]


def replayed(bundle: PlanBundle) -> Rows:
    """Every pool in every situation: a row for each class."""
    rows: Rows = []
    for row in bundle.replay.rows:
        for i, one in enumerate(row.classes):
            where = (row.configuration.label, row.region, row.situation, f"{row.replicas}", f"{row.rps:,.3g}")
            rows.append(
                (
                    *(where if i == 0 else ("",) * len(where)), one.name, f"{one.ttft.p95_s:.2f}",
                    f"{one.tpot.p95_s * 1e3:.0f}", f"{one.within_slo:.1%}", "holds" if row.holds else row.breaks,
                )
            )  # fmt: skip
    return rows


def binding(bundle: PlanBundle) -> Rows:
    return [(b.name, b.where, f"{b.limit:,.0f} {b.unit}", usd(b.shadow_usd_per_unit)) for b in bundle.plan.binding]


def accuracy(bundle: PlanBundle) -> Rows:
    rows: Rows = []
    for one in bundle.forecast.series:
        for i, a in enumerate(one.accuracy):
            head = (str(one.key), one.grade) if i == 0 else ("", "")
            covered = f"{a.hour_coverage[0.8]:.0%}" if 0.8 in a.hour_coverage else ""
            rows.append(
                (*head, a.method, f"{a.wape:.3f}", f"{a.mase:.2f}", f"{a.bias:+.1%}", f"{a.pinball95:.3f}", covered)
            )
        if not one.accuracy:
            rows.append((str(one.key), one.grade, one.reason, "", "", "", "", ""))
    return rows


def _maybe(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def workload(bundle: PlanBundle) -> Rows:
    return [
        (
            f"{w.llm}/{w.request_class}", f"{w.mean_per_h:,.0f}", f"{w.p95_per_h:,.0f}", f"{w.peak_to_mean:.1f}",
            f"{w.dispersion:,.0f}", _maybe(w.autocorrelation_24h), _maybe(w.autocorrelation_168h),
            _maybe(w.weekend_ratio), ", ".join(f"{v:,.0f}" for v in w.input_tokens),
            ", ".join(f"{v:,.0f}" for v in w.output_tokens),
        )
        for w in bundle.workload
    ]  # fmt: skip


def method(bundle: PlanBundle) -> str:
    """How the goodput of the plan's candidates was found; methods that differ in their requests alone are one."""
    alike: dict[tuple[str, str], list[str]] = {}
    for text in sorted({row.method for row in bundle.problem.capacities}):
        counted = COUNTED.fullmatch(text)
        head, many, tail = counted.groups() if counted else (text, "", "")
        alike.setdefault((head, tail), []).append(many)
    told = [f"{head}{' or '.join(many)}{tail}" for (head, tail), many in alike.items()]
    return ", ".join(told) or "no configuration serves"


def largest_month(bundle: PlanBundle) -> str | None:
    """The month with the most GPUs in pools."""
    totals: dict[str, int] = {}
    for pool in bundle.plan.pools:
        totals[pool.month] = totals.get(pool.month, 0) + pool.gpus
    return max(totals, key=lambda month: (totals[month], month)) if totals else None


def pools(bundle: PlanBundle) -> Rows:
    """Pools of the largest month."""
    month = largest_month(bundle)
    return [_pool(bundle, pool) for pool in bundle.plan.pools if pool.month == month]


def _pool(bundle: PlanBundle, pool: Pool) -> tuple[str, ...]:
    served = {k.request_class for k in bundle.problem.demand.series if k.llm == pool.configuration.llm}
    rows = [
        row
        for row in bundle.problem.capacities
        if row.configuration == pool.configuration and row.request_class in served
    ]
    worst = max(rows, key=lambda row: row.tpot_s)
    limit = min(row.max_concurrency for row in rows)
    one = pool.configuration
    return (
        one.llm, f"{one.gpu} {one.precision} {one.layout}", pool.region, ", ".join(sorted(served)),
        f"{pool.replicas:,}",
        f"{sum(pool.reserve.values()):,}", f"{pool.gpus:,}", f"{pool.peak_rps:,.1f}",
        f"{pool.operating_rps_per_replica:.2f}", f"{limit:,.0f}",
        f"{worst.ttft_s:.2f} s / {worst.tpot_s * 1e3:.0f} ms",
    )  # fmt: skip


def costs(bundle: PlanBundle) -> Rows:
    rows: Rows = []
    for m, c in enumerate(bundle.plan.costs):
        each = c.cash_usd / max(requests_in(bundle, m) / 1e3, 1e-9)
        rows.append(
            (
                c.month, usd(c.committed_usd), usd(c.on_demand_usd), usd(c.held_usd), usd(c.start_usd), usd(c.cash_usd),
                usd(c.idle_usd), usd(c.shed_usd), f"{each:.2f}",
            )
        )  # fmt: skip
    return rows


def _aged(as_of: str, provenance: Mapping[str, Any]) -> str:
    age = age_days(as_of, date.fromisoformat(str(provenance["begun"])[:10]))
    return as_of if age is None else f"{as_of} ({age} days)"


def everything(bundle: PlanBundle) -> dict[str, Any]:
    """All tables of the page by name."""
    plan, problem = bundle.plan, bundle.problem
    slos = {row.request_class: row.slo for row in bundle.capacity.rows}
    wanted = {(k.llm, k.request_class) for k in problem.demand.series}
    provenance = bundle.provenance
    return {
        "commitments": commitments(bundle),
        "assumed": assumed(bundle),
        "runners_up": fleet_tables.runners_up(bundle),
        "memory": fleet_tables.memory(bundle),
        "operating": fleet_tables.operating(bundle),
        "admission": fleet_tables.admission(bundle),
        "run_outs": fleet_tables.run_outs(bundle),
        "commitments_used": fleet_tables.commitments_used(bundle),
        "quotas": fleet_tables.quotas(bundle),
        "on_demand": on_demand(bundle),
        "shortfalls": shortfalls(bundle),
        "exposures": exposures(bundle),
        "binding": binding(bundle),
        "replay": replayed(bundle),
        "deratings": [
            (one.configuration.label, ", ".join(one.request_classes), f"{one.factor:.0%}", one.because)
            for one in bundle.replay.deratings
        ],
        "accuracy": accuracy(bundle),
        "workload": workload(bundle),
        "pools": pools(bundle),
        "costs": costs(bundle),
        "reserves": [(name, usd(value)) for name, value in plan.reserve_usd.items()],
        "baselines": [
            # Where the promise is not kept the objective is mostly what breaking it counts for, and no saving.
            (b.name, usd(b.objective_usd), f"{b.saving:.1%}", "yes") if b.serves_promise else (b.name, "-", "-", "no")
            for b in plan.baselines
        ],
        "rule_prices": [(r.rule, usd(r.usd)) for r in plan.rule_prices],
        "rejected": [(r.configuration.label, r.request_class, str(r.excuse)) for r in plan.rejected],
        "excused": [
            (row.configuration.label, row.request_class, str(row.excuse))
            for row in bundle.capacity.rows
            if row.excuse is not None and (row.configuration.llm, row.request_class) in wanted
        ],
        "slos": [
            (
                name, f"{slo.ttft_s:g} s", f"{slo.tpot_s * 1e3:g} ms", "" if slo.e2e_s is None else f"{slo.e2e_s:g} s",
                slo.at,
            )
            for name, slo in sorted(slos.items())
        ],
        "prices": [
            (
                o.gpu, o.region, o.option.replace("_", " "), f"{o.usd_per_gpu_h:.4f}",
                f"{o.provider}/{o.provider_region}", _aged(o.source.as_of, provenance),
                o.quality.replace("_", "-"), o.source.citation,
            )
            for o in problem.offers
        ],
        "provenance": [
            ("Solver", f"{plan.stats.solver}: {plan.stats.status}, {plan.stats.termination}"),
            ("Proof", f"objective {usd(plan.stats.objective_usd)} USD, bound {usd(plan.stats.bound_usd)} USD, "
                      f"gap {plan.stats.gap:.2%}"),
            ("Size", f"{plan.stats.columns:,} columns, {plan.stats.rows:,} rows, {plan.stats.integers:,} integers"),
            ("Goodput", f"{method(bundle)}; "
                        f"{bundle.capacity.evaluated_points:,} points on {bundle.capacity.device}"),
            ("Seed", str(bundle.seed)),
            ("Fingerprint", str(provenance["fingerprint"])),
            *((f"Input {name}", digest) for name, digest in provenance["inputs"].items()),
            *((f"Version of {name}", version) for name, version in provenance["versions"].items()),
        ],
    }  # fmt: skip
