"""What a plan assumes that production can contradict: value, source and age."""

from __future__ import annotations

from typing import Any

from data.catalog import find_gpu
from reports.bundle import PlanBundle

STALE_DAYS = {"price": 45, "mix": 45, "service curve": 180}
"""Assumptions older than this are told: prices and mixes have a monthly rhythm, service curves an engine release's."""


def assumptions(bundle: PlanBundle) -> list[dict[str, Any]]:
    """Kind, name, value, unit, the day it was true where known, and source; by kind and name."""
    found: list[dict[str, Any]] = [
        {
            "kind": "price", "name": f"{one.region}/{one.gpu}/{one.option}", "value": one.usd_per_gpu_h,
            "unit": "USD/GPU-h", "as_of": one.source.as_of, "source": one.source.citation,
        }
        for one in bundle.problem.offers
    ]  # fmt: skip
    until = bundle.forecast.issued_from[:10]
    for one in bundle.scenario.traffic.series:
        sample = bundle.history.lengths[one.llm, one.request_class]
        mean_input = float((sample.weight * sample.input_tokens).sum())
        for name, value, unit in (
            ("input tokens", mean_input, "tokens/request"),
            ("output tokens", float((sample.weight * sample.output_tokens).sum()), "tokens/request"),
            ("cache hit", float((sample.weight * sample.cached_tokens).sum()) / max(mean_input, 1.0), "share"),
        ):
            found.append(
                {
                    "kind": "mix", "name": f"{one.llm}/{one.request_class}/{name}", "value": value, "unit": unit,
                    "as_of": until, "source": sample.source,
                }
            )  # fmt: skip
    for pool in {(p.configuration, p.operating_rps_per_replica) for p in bundle.plan.pools}:
        row = next(r for r in bundle.capacity.rows if r.configuration == pool[0])
        found.append(
            {
                "kind": "service curve", "name": pool[0].label, "value": pool[1], "unit": "requests/s a replica",
                "as_of": find_gpu(pool[0].gpu).source.as_of, "source": f"{row.method}, step time {row.provenance}",
            }
        )  # fmt: skip
    return sorted(found, key=lambda one: (str(one["kind"]), str(one["name"])))
