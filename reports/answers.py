"""The eight questions of a capacity decision, each answered from this run, or said to be unanswered."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date

import numpy as np

from data.ages import age_days
from data.plan_records import lead_months
from data.units import GB
from reports.assumptions import STALE_DAYS, assumptions
from reports.bundle import PlanBundle
from reports.decision import cost_quantiles
from reports.sensitivity_tables import decided_by, variable_words


@dataclass(frozen=True, slots=True)
class Answer:
    """A question, its answers in sentences, and the section that has the rest."""

    question: str
    lines: tuple[str, ...]
    section: str


def answers(bundle: PlanBundle) -> list[Answer]:
    """All eight, in the order in which they are asked."""
    return [
        Answer("Which workloads, and how bursty?", _workloads(bundle), "demand"),
        Answer("What memory is reserved for weights, KV cache, buffers and margin?", _memory(bundle), "fleet"),
        Answer("At which goodput does a replica run, at p95 and p99?", _goodput(bundle), "service"),
        Answer("What is kept for failure, rollout and burst?", _reserves(bundle), "capacity"),
        Answer("How long until new capacity is ready?", _ready(bundle), "scaling"),
        Answer("Which cost is fixed, variable, shared, external?", _cost(bundle), "cost"),
        Answer("Which variables can change the plan most?", _movers(bundle), "cost"),
        Answer("When was the forecast last reconciled?", _reconciled(bundle), "assumptions"),
    ]


def _workloads(bundle: PlanBundle) -> tuple[str, ...]:
    burst = bundle.scenario.forecast.burst_factor
    rows = [
        f"{w.request_class} on {w.llm}: {w.mean_per_h / 3600:,.3g} requests/s on average, the busiest hour "
        f"{w.peak_to_mean:.1f} times that; {w.input_tokens[0]:,.0f} prompt and {w.output_tokens[0]:,.0f} output tokens "
        f"at the median, {w.input_tokens[2]:,.0f} and {w.output_tokens[2]:,.0f} at p99."
        for w in bundle.workload
    ]
    return (*rows, f"Bursts within an hour: 10 minutes at {burst:g} times the hour's mean are carried.")


def _memory(bundle: PlanBundle) -> tuple[str, ...]:
    if not bundle.memory:
        return ("Not answered: the plan runs nothing.",)
    return tuple(
        f"{one.configuration.label}: of {one.total_bytes / GB:.0f} GB a GPU, weights {one.weight_bytes / GB:.1f}, KV "
        f"cache {one.kv_pool_bytes / GB:.1f} ({one.kv_capacity_tokens:,.0f} tokens a replica), buffers and graphs "
        f"{(one.activation_bytes + one.graph_bytes + one.communication_bytes) / GB:.1f}, margin "
        f"{(one.headroom_bytes + one.fragmentation_bytes + one.left_to_others_bytes) / GB:.1f}."
        for one in bundle.memory
    )


def _goodput(bundle: PlanBundle) -> tuple[str, ...]:
    lines = tuple(
        f"{row.configuration.label} in {row.region}, {one.name}: {row.rps / max(row.replicas, 1):.2f} requests/s a "
        f"replica at peak; TTFT {one.ttft.p95_s:.2f} s at p95 and {one.ttft.p99_s:.2f} at p99, TPOT "
        f"{one.tpot.p95_s * 1e3:.0f} and {one.tpot.p99_s * 1e3:.0f} ms; {one.within_slo:.1%} within the SLO."
        for row in bundle.replay.rows
        if row.situation == "all replicas"
        for one in row.classes
    )
    return lines or ("Not answered: nothing was replayed.",)


def _reserves(bundle: PlanBundle) -> tuple[str, ...]:
    totals: dict[str, int] = {}
    for pool in bundle.plan.pools:
        for name, replicas in pool.reserve.items():
            if replicas:
                totals[name] = totals.get(name, 0) + replicas * pool.configuration.gpus
    months = max(len(bundle.problem.demand.months), 1)
    usd = bundle.plan.reserve_usd
    lines = [
        f"{name}: {gpus / months:,.1f} GPUs on average"
        + (f", {usd[name]:,.0f} USD over the horizon." if name in usd else ".")
        for name, gpus in totals.items()
    ]
    none = [name for name in ("failure (N+k)", "rollout", "zone", "region") if name not in totals]
    if none:
        lines.append(f"Nothing is kept for: {', '.join(none)}.")
    lines.append(
        f"Bursts: replicas run at {bundle.scenario.evaluate.operating_point:.0%} of their knee, and the peak hour is "
        f"planned at {bundle.scenario.forecast.burst_factor:g} times its mean."
    )
    return tuple(lines)


def _ready(bundle: PlanBundle) -> tuple[str, ...]:
    lines = [
        f"{option}: {months} months from order to service."
        for option, months in sorted(_leads(bundle).items())
        if months
    ] or ["No lead time is declared for commitments: they are taken to start in the month they are ordered."]
    if bundle.curves:
        one = bundle.curves[0]
        lines.append(
            f"A new replica of {one.configuration.label} serves {one.time_to_ready_s:.0f} s after it is ordered (node, "
            f"image, weights, warm-up: assumptions); at a growth of {one.growth_per_min:.0%} a minute it must be "
            f"ordered when load passes {one.scale_load_rps / one.knee_rps:.0%} of the knee."
        )
    if bundle.scaling:
        late = sum(not pool.kinds[0].best.holds for pool in bundle.scaling)
        hold = sum(pool.chosen.holds for pool in bundle.scaling)
        lines.append(
            f"A burst of {bundle.scaling[0].burst.factor:g} times the load is too fast for reaction alone in {late} of "
            f"{len(bundle.scaling)} pools; {hold} hold their SLO as they are scaled."
        )
    return tuple(lines)


def _leads(bundle: PlanBundle) -> dict[str, int]:
    """By option, or by option and place for offers with a lead time of their own."""
    return {
        one.option
        if one.lead_time_months is None
        else f"{one.option} {one.gpu} in {one.region} at {one.usd_per_gpu_h:g} USD an hour": lead_months(
            bundle.problem, one
        )
        for one in bundle.problem.offers
        if one.term_months
    }


def _cost(bundle: PlanBundle) -> tuple[str, ...]:
    costs = bundle.plan.costs
    if not costs:
        return ("Not answered: no plan was found.",)
    fixed = sum(c.committed_usd + c.held_usd for c in costs)
    variable, once, api = (sum(getattr(c, name) for c in costs) for name in ("on_demand_usd", "start_usd", "api_usd"))
    reserve = sum(bundle.plan.reserve_usd.values())
    return (
        f"Fixed (commitments, held ones included): {fixed:,.0f} USD over the horizon.",
        f"Variable (on demand): {variable:,.0f} USD.",
        f"Once (bringing up pools): {once:,.0f} USD.",
        f"External (a provider's API): {api:,.0f} USD.",
        f"Shared (reserves that serve every class on a pool, part of the above): {reserve:,.0f} USD.",
    )


def _movers(bundle: PlanBundle, most: int = 3) -> tuple[str, ...]:
    plan, lines = bundle.plan, []
    found = cost_quantiles(bundle)
    if found:
        low, high = float(np.min(plan.scenario_usd)), float(np.max(plan.scenario_usd))
        lines.append(f"Demand: {low:,.0f} to {high:,.0f} USD over the demand scenarios.")
    if bundle.sensitivity is not None:
        ranked = sorted(bundle.sensitivity.bars, key=lambda one: -one.swing_usd)[:most]
        lines += [
            f"{variable_words(one.variable)}: {one.low_usd:,.0f} to {one.high_usd:,.0f} USD, its 5 % and 95 % values"
            + ("; it changes the decision." if one.decides else ".")
            for one in ranked
        ]
        lines.append(decided_by(bundle.sensitivity))
    lines += [
        f"Rule “{rule.rule}”: the plan would cost {rule.usd:,.0f} USD less over the horizon without it."
        for rule in sorted(plan.rule_prices, key=lambda one: -one.usd)[:most]
        if rule.usd > 0.5
    ]
    lines += [
        f"{one.name} {one.where}: one more {one.unit} is worth {one.shadow_usd_per_unit:,.0f} USD."
        for one in sorted(plan.binding, key=lambda b: -b.shadow_usd_per_unit)[:most]
    ]
    return tuple(lines) or ("Not answered: no plan was found.",)


def _reconciled(bundle: PlanBundle) -> tuple[str, ...]:
    when = (
        f"On {bundle.reconciled}." if bundle.reconciled else "Never: run `fleetcast reconcile` when the month is over."
    )
    today = date.fromisoformat(str(bundle.provenance["begun"])[:10])
    old = 0
    for one in assumptions(bundle):
        age = age_days(str(one["as_of"]), today)
        old += age is None or age > STALE_DAYS[one["kind"]]
    return (when, f"{old} assumptions are older than their rhythm allows (see Assumptions).")
