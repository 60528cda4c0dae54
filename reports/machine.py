"""The plan for machines: JSON with stable keys and order, and Parquet tables.

No clock stands in plan.json: the same inputs give the same bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pandas as pd

from data.records import Configuration
from data.units import SECONDS_PER_HOUR
from reports.bundle import PlanBundle
from reports.cost_tables import cost_document, cost_frames

SCHEMA_ID = "fleetcast.plan/1"
SCHEMA_FILE = Path(__file__).parent / "schema" / "plan.schema.json"


def _configuration(one: Configuration) -> dict[str, Any]:
    return asdict(one) | {"gpus_per_replica": one.gpus, "label": one.label}


def _clean(value: Any) -> Any:
    """JSON has no nan or infinity: they become null. Floats keep 10 significant digits, enough for any reader and
    few enough that the last bits of a sum do not change a file."""
    if isinstance(value, float):
        return float(f"{value:.10g}") if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {str(key): _clean(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_clean(item) for item in value]
    return value


def plan_document(bundle: PlanBundle) -> dict[str, Any]:
    """The plan as plain data, valid against reports/schema/plan.schema.json."""
    plan, problem = bundle.plan, bundle.problem
    stats = {key: value for key, value in asdict(plan.stats).items() if key not in ("build_s", "solve_s")}
    offers = [asdict(offer) for offer in problem.offers]
    document = {
        "schema": SCHEMA_ID,
        "scenario": bundle.name,
        "description": bundle.description,
        "seed": bundle.seed,
        "fingerprint": bundle.provenance["fingerprint"],
        "synthetic_traffic": bundle.synthetic,
        "volume_multipliers": dict(bundle.volume_multipliers),
        "history_until": bundle.forecast.issued_from,
        "months": list(problem.demand.months),
        "planning_quantile": problem.planning_quantile,
        "success_criteria": {
            row.request_class: {
                "ttft_s": row.slo.ttft_s,
                "tpot_s": row.slo.tpot_s,
                "e2e_s": row.slo.e2e_s,
                "percentile": row.slo.percentile,
                "ttft_percentile": row.slo.limits[0].percentile,
                "tpot_percentile": row.slo.limits[1].percentile,
                "e2e_percentile": None if row.slo.e2e_s is None else row.slo.limits[2].percentile,
            }
            for row in bundle.capacity.rows
        },
        "status": stats,
        "purchases": [asdict(one) for one in plan.purchases],
        "pools": [
            {
                "configuration": _configuration(pool.configuration),
                "region": pool.region,
                "month": pool.month,
                "replicas": pool.replicas,
                "gpus": pool.gpus,
                "steady_replicas": pool.steady_replicas,
                "failure_replicas": pool.failure_replicas,
                "rollout_replicas": pool.rollout_replicas,
                "reserve_replicas": dict(pool.reserve),
                "peak_rps": pool.peak_rps,
                "operating_rps_per_replica": pool.operating_rps_per_replica,
            }
            for pool in plan.pools
        ],
        "routing": [
            {
                "series": asdict(one.series),
                "month": one.month,
                "configuration": None if one.configuration is None else one.configuration.label,
                "region": one.region,
                "rps": dict(one.rps),
            }
            for one in plan.routes
        ],
        "costs": [asdict(one) | {"cash_usd": one.cash_usd} for one in plan.costs],
        "full_cost": cost_document(bundle.costs),
        "scenarios": [
            {"probability": float(p), "cash_usd": usd}
            for p, usd in zip(problem.demand.probabilities, plan.scenario_usd, strict=False)
        ],
        "design_scenario": plan.design_scenario,
        "reserve_usd": dict(plan.reserve_usd),
        "replay": {
            "holds": bundle.replay.holds,
            "rounds": bundle.replay.rounds,
            "method": bundle.replay.method,
            "pools": [asdict(row) | {"configuration": row.configuration.label} for row in bundle.replay.rows],
            "deratings": [asdict(one) | {"configuration": one.configuration.label} for one in bundle.replay.deratings],
        },
        "baselines": [asdict(one) for one in plan.baselines],
        "rule_prices": [asdict(one) for one in plan.rule_prices],
        "stochastic": None
        if plan.stochastic is None
        else asdict(plan.stochastic) | {"value_usd": plan.stochastic.value_usd},
        "fresh_scenarios": None if plan.sample is None else asdict(plan.sample),
        "procurement": asdict(plan.procurement)
        | {"coverage": [asdict(one) | {"coverage": one.coverage} for one in plan.procurement.coverage]},
        "shortfalls": [asdict(one) for one in plan.shortfalls],
        "exposures": [asdict(one) for one in plan.exposures],
        "binding_constraints": [asdict(one) for one in plan.binding],
        "marginal_costs": [asdict(one) for one in plan.marginal],
        "conflicting_rules": list(plan.conflict),
        "rejected": [
            {
                "configuration": one.configuration.label,
                "request_class": one.request_class,
                "limit": one.excuse.limit,
                "needed": one.excuse.needed,
                "available": one.excuse.available,
                "unit": one.excuse.unit,
                "advice": one.excuse.advice,
            }
            for one in plan.rejected
        ],
        "forecast": [
            {
                "series": asdict(one.key),
                "grade": one.grade,
                "reason": one.reason,
                "method": one.method,
                "months": list(one.months),
                "levels": list(one.levels),
                "monthly_requests": one.monthly_total.tolist(),
                "monthly_peak_hour_requests": one.monthly_peak_hour.tolist(),
                "accuracy": [asdict(score) for score in one.accuracy],
            }
            for one in bundle.forecast.series
        ],
        "prices": offers,
        "notes": [
            *(f"{note.severity}: {note.where}: {note.text}" for note in bundle.history.notes),
            *bundle.forecast.notes,
            *problem.demand.notes,
            *plan.notes,
        ],
    }
    cleaned: dict[str, Any] = _clean(document)
    return cleaned


def plan_json(bundle: PlanBundle) -> str:
    """The document as text, indented, newline at the end."""
    return json.dumps(plan_document(bundle), indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def frames(bundle: PlanBundle) -> dict[str, pd.DataFrame]:
    """Tables by file stem; column names carry units."""
    demand = bundle.problem.demand
    rows = [
        {
            "llm": key.llm, "request_class": key.request_class, "region": key.region, "month": month,
            "block": block.name, "block_hours": block.hours, "scenario": s,
            "probability": float(demand.probabilities[s]), "rps": float(demand.rps[i, m, b, s]),
        }
        for i, key in enumerate(demand.series)
        for m, month in enumerate(demand.months)
        for b, block in enumerate(demand.blocks)
        for s in range(len(demand.probabilities))
    ]  # fmt: skip
    capacity = [
        asdict(row.configuration)
        | {
            "request_class": row.request_class, "knee_rps": row.knee_rps, "operating_rps": row.operating_rps,
            "knee_band": row.knee_band, "pool_replicas": row.pool_replicas, "ttft_s": row.ttft_s,
            "tpot_s": row.tpot_s, "binding": row.binding,
            "weight_bytes_per_gpu": row.weight_bytes_per_gpu, "kv_capacity_tokens": row.kv_capacity_tokens,
            "max_concurrency": row.max_concurrency, "method": row.method, "provenance": row.provenance,
            "excuse": None if row.excuse is None else str(row.excuse),
        }
        for row in bundle.capacity.rows
    ]  # fmt: skip
    pools = [
        asdict(pool.configuration)
        | {
            "region": pool.region, "month": pool.month, "replicas": pool.replicas, "gpus": pool.gpus,
            "steady_replicas": pool.steady_replicas, "failure_replicas": pool.failure_replicas,
            "rollout_replicas": pool.rollout_replicas, "peak_rps": pool.peak_rps,
            "operating_rps_per_replica": pool.operating_rps_per_replica,
        }
        for pool in bundle.plan.pools
    ]  # fmt: skip
    routing = [
        {
            "llm": one.series.llm, "request_class": one.series.request_class, "region": one.series.region,
            "month": one.month, "block": block, "served_by": "API" if one.configuration is None else
            one.configuration.label, "served_in": one.region, "rps": rps,
        }
        for one in bundle.plan.routes
        for block, rps in one.rps.items()
    ]  # fmt: skip
    series = [
        {
            "llm": one.key.llm, "request_class": one.key.request_class, "region": one.key.region, "month": month,
            "level": level, "requests": float(one.monthly_total[m, i]), "peak_hour": float(one.monthly_peak_hour[m, i]),
        }
        for one in bundle.forecast.series
        for m, month in enumerate(one.months)
        for i, level in enumerate(one.levels)
    ]  # fmt: skip
    replay = [
        asdict(row.configuration)
        | {
            "region": row.region, "month": row.month, "situation": row.situation, "replicas": row.replicas,
            "rps": row.rps, "request_class": one.name, "ttft_p50_s": one.ttft.p50_s, "ttft_p95_s": one.ttft.p95_s,
            "ttft_p99_s": one.ttft.p99_s, "tpot_p50_s": one.tpot.p50_s, "tpot_p95_s": one.tpot.p95_s,
            "tpot_p99_s": one.tpot.p99_s, "within_slo": one.within_slo, "holds": row.holds, "breaks": row.breaks,
        }
        for row in bundle.replay.rows
        for one in row.classes
    ]  # fmt: skip
    return {
        "forecast": pd.DataFrame(series),
        "replay": pd.DataFrame(replay),
        "prices": pd.DataFrame([_flat(asdict(one)) for one in bundle.problem.offers]),
        "pools": pd.DataFrame(pools),
        "routing": pd.DataFrame(routing),
        "purchases": pd.DataFrame([asdict(one) for one in bundle.plan.purchases]),
        "costs": pd.DataFrame([asdict(one) | {"cash_usd": one.cash_usd} for one in bundle.plan.costs]),
        "demand": pd.DataFrame(rows),
        "capacity": pd.DataFrame(capacity),
    } | cost_frames(bundle.costs)


def _flat(row: dict[str, Any]) -> dict[str, Any]:
    """A row without nesting: `source` becomes source_citation and source_as_of."""
    flat: dict[str, Any] = {}
    for name, value in row.items():
        flat |= {f"{name}_{inner}": one for inner, one in value.items()} if isinstance(value, dict) else {name: value}
    return flat


def usd_per_million_requests(usd_per_gpu_h: float, gpus: int, operating_rps: float) -> float:
    """Cost of a million requests on a replica that runs at its operating point."""
    return usd_per_gpu_h * gpus / (operating_rps * SECONDS_PER_HOUR) * 1e6


def requests_in(bundle: PlanBundle, month: int) -> float:
    """Expected requests of a month, all series, from the demand blocks (the peak block without its burst factor is
    bounded by the busy block's, so it is counted at the latter)."""
    demand = bundle.problem.demand
    total = 0.0
    for b, block in enumerate(demand.blocks):
        source = max(b, 1) if len(demand.blocks) > 1 else b
        rps = (demand.rps[:, month, source, :] * demand.probabilities).sum()
        total += float(rps) * block.hours * SECONDS_PER_HOUR
    return total
