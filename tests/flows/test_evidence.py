"""What a measured mix of tokens takes, over what the plan counted with."""

from __future__ import annotations

import math
from dataclasses import asdict
from typing import Any, cast

import pytest

from configs.planning import ApiOverflow
from data.actuals import ActualTraffic, MeasuredMix
from data.plan_records import Pool
from data.records import Configuration
from flows.evidence import measured_mix, uncounted
from flows.misses import Happened
from flows.recorded import RecordedPlan, api_limits, plan_pools


def plan(mixes: list[dict[str, Any]]) -> RecordedPlan:
    """A plan that counted with 200 prompt tokens, half of them cached, and 25 of output."""
    told = {"input tokens": 200.0, "output tokens": 25.0, "cache hit": 0.5}
    assumptions = [{"kind": "mix", "name": f"m/chat/{name}", "value": value} for name, value in told.items()]
    return RecordedPlan(cast(Any, None), {"full_cost": {"mixes": mixes}}, cast(Any, None), assumptions, ())


def test_tokens_count_by_the_compute_the_kernels_gave_them() -> None:
    quarter = plan([{"llm": "m", "request_class": "chat", "prefill_share": 0.25, "cached_share": 0.5}])

    def ratios(made: float, hit: float | None, of: RecordedPlan = quarter) -> tuple[float | None, float | None]:
        mix = MeasuredMix(1000.0, 200.0, made, hit)
        _, work = measured_mix(of, ActualTraffic((), {("m", "chat"): mix}, ""))
        found = Happened(work=work).ratios("m", "chat")
        return found["mix and length"], found["cache hit"]

    # A quarter of the compute is prefill: outputs twice as long take 0.25 + 0.75 x 2.
    assert ratios(50.0, None) == (pytest.approx(1.75), None)
    # Three quarters cached instead of half: half the prefill.
    assert ratios(25.0, 0.75) == (pytest.approx(1.0), pytest.approx(0.875))
    # Nothing known of a class that no pool runs: half and half.
    assert ratios(50.0, None, plan([])) == (pytest.approx(1.5), None)


def test_tokens_that_add_up_to_nothing_are_not_given_and_said_so() -> None:
    heard = ActualTraffic((), {("m", "chat"): MeasuredMix(1000.0, 300.0, 0.0, None)}, "")
    (told,), works = measured_mix(plan([]), heard)
    assert told.measured == {"input_tokens": 300.0}
    assert works["m", "chat"].longer == pytest.approx(1000.0 * (0.5 * 300.0 + 100.0 / 25.0 * 25.0))
    (text,) = uncounted(plan([]), heard)
    assert text.startswith("m/chat: output tokens of 1,000 requests add up to 0 in the actuals, assumed 25 a request")
    nothing = ActualTraffic((), {("m", "chat"): MeasuredMix(1000.0, 0.0, 25.0, None)}, "")
    assert measured_mix(plan([]), nothing)[0][0].measured == {"output_tokens": 25.0}
    assert len(uncounted(plan([]), nothing)) == 1

    # An LLM that makes no tokens (embeddings) and was planned so has nothing missing.
    silent = plan([])
    silent.assumptions[1]["value"] = 0.0  # type: ignore[index]
    assert uncounted(silent, heard) == []
    assert measured_mix(silent, heard)[0][0].measured == {"input_tokens": 300.0, "output_tokens": 0.0}


def test_a_recorded_pool_keeps_all_its_reserves() -> None:
    one = Configuration("Llama-3.1-8B", "H100-SXM", "bf16", "bf16", 1, "vllm")
    pool = Pool(one, "us", "2026-12", 10, 1, 2, 40.0, 4.0, 3, 4, 5, 6, 7)
    document = {
        "configuration": asdict(one), "region": "us", "month": "2026-12", "steady_replicas": 10, "failure_replicas": 1,
        "rollout_replicas": 2, "reserve_replicas": dict(pool.reserve), "peak_rps": 40.0,
        "operating_rps_per_replica": 4.0,
    }  # fmt: skip
    assert plan_pools({"pools": [document]}) == (pool,)
    del document["reserve_replicas"]
    (old,) = plan_pools({"pools": [document]})
    assert old.replicas == 13


def test_an_api_without_a_limit_takes_all() -> None:
    offers = [
        ApiOverflow(llm="Llama-3.1-8B", request_class="chat", usd_per_request=0.1, rps_max=5.0),
        ApiOverflow(llm="Llama-3.1-8B", request_class="batch", usd_per_request=0.1),
    ]
    assert api_limits(offers) == {("Llama-3.1-8B", "chat"): 5.0, ("Llama-3.1-8B", "batch"): math.inf}
