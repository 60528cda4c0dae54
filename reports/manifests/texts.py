"""What people and finance systems are told beside the manifests: quota requests, budgets, the scalers as plain JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from typing import Any

from reports.manifests.pool import PoolManifest

BUDGET_SCHEMA = "fleetcast.budgets/1"
SCALER_SCHEMA = "fleetcast.scaler/1"
ALERTS = (0.8, 1.0)
NO_QUOTA = ("held", "owned")
"""Ways to have GPUs that ask for no new limit of a provider."""


def one_line(text: str) -> str:
    """A text without line breaks, control characters or Markdown's own signs."""
    kept = "".join(char if char.isprintable() else " " for char in text)
    return " ".join(kept.split()).translate({ord(char): f"\\{char}" for char in "\\`*_[]<>|#"})


def quota_request(plan: Mapping[str, Any], quotas: Mapping[str, Mapping[str, int]]) -> str:
    """What to ask the providers for, by region and GPU: the most GPUs of any month of the plan against the quota that
    the scenario declares. Nodes are bought whole, and bought GPUs count where they are more than the pools'."""
    need: dict[tuple[str, str], dict[str, int]] = {}
    for pool in plan["pools"]:
        _count(need, pool["region"], pool["configuration"]["gpu"], pool["month"], pool["gpus"])
    bought: dict[tuple[str, str], dict[str, int]] = {}
    for one in plan["purchases"]:
        if one["option"] in NO_QUOTA:
            continue
        begun = plan["months"].index(one["month"])
        for month in plan["months"][begun : begun + max(int(one["term_months"]), 1)]:
            _count(bought, one["region"], one["gpu"], month, one["gpus"])
    for place, months in bought.items():
        for month, gpus in months.items():
            known = need.setdefault(place, {})
            known[month] = max(known.get(month, 0), gpus)
    lines = [
        "# Quota request",
        "",
        f"Scenario {one_line(str(plan['scenario']))}, plan {one_line(str(plan['fingerprint']))}, months "
        f"{plan['months'][0]} to {plan['months'][-1]}.",
        "",
        "| region | GPU | GPUs at most | in | first needed | quota declared | to ask for |",
        "|---|---|---:|---|---|---:|---|",
    ]
    for (region, gpu), months in sorted(need.items()):
        most = max(months.values())
        when = min(month for month, gpus in months.items() if gpus == most)
        quota = quotas.get(region, {}).get(gpu)
        ask = "nothing" if quota is not None and quota >= most else f"a limit of {most} or more"
        declared = "none" if quota is None else f"{quota}"
        lines.append(f"| {one_line(region)} | {one_line(gpu)} | {most} | {when} | {min(months)} | {declared} | {ask} |")
    return "\n".join(lines) + "\n"


def _count(found: dict[tuple[str, str], dict[str, int]], region: str, gpu: str, month: str, gpus: int) -> None:
    months = found.setdefault((str(region), str(gpu)), {})
    months[str(month)] = months.get(str(month), 0) + int(gpus)


def budgets(plan: Mapping[str, Any]) -> str:
    """A budget a month, US dollars: expected cash, with alerts at shares of it."""
    document = {
        "schema": BUDGET_SCHEMA,
        "scenario": plan["scenario"],
        "fingerprint": plan["fingerprint"],
        "currency": "USD",
        "budgets": [
            {
                "month": one["month"],
                "amount_usd": round(float(one["cash_usd"]), 2),
                "alerts_usd": [round(float(one["cash_usd"]) * share, 2) for share in ALERTS],
                "committed_usd": round(float(one["committed_usd"]), 2),
            }
            for one in plan["costs"]
        ],
    }
    return _json(document)


def scaler(pool: PoolManifest, query: str) -> str:
    """The pool's scaler for whoever runs another one."""
    assert pool.policy is not None
    document = {
        "schema": SCALER_SCHEMA,
        "pool": pool.name,
        "llm": pool.llm,
        "region": pool.region,
        "query": query,
        "policy": asdict(pool.policy),
        "schedule_utc_hours": list(pool.schedule),
    }
    return _json(document)


def index(pools: Sequence[PoolManifest], files: Sequence[str], notes: Sequence[str]) -> str:
    """What was written, and what to know before it is applied."""
    rows = [
        {
            "name": pool.name,
            "llm": pool.llm,
            "region": pool.region,
            "gpu": pool.gpu,
            "precision": pool.precision,
            "gpus_per_replica": pool.gpus,
            "replicas": pool.replicas,
            "scaled": pool.policy is not None,
            "model": pool.serving.model,
            "checkpoint": pool.checkpoint,
        }
        for pool in pools
    ]
    return _json({"schema": "fleetcast.manifests/1", "pools": rows, "files": list(files), "notes": list(notes)})


def _json(document: Any) -> str:
    return json.dumps(document, indent=2, ensure_ascii=True, allow_nan=False) + "\n"
