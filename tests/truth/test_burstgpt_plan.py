"""The real trace, through the whole pipeline."""

from __future__ import annotations

from pathlib import Path

import pytest

from configs.loading import load_scenario
from flows import steps
from reports.machine import plan_document
from reports.page import render
from tests.flows.small import make

pytestmark = pytest.mark.truth


def test_burstgpt_is_planned_from_its_files(reference: Path) -> None:
    made = make(load_scenario("burstgpt"), reference)
    bundle = steps.bundle(made)
    assert not bundle.infeasible
    assert made.plan.stats.gap <= 0.01
    document = plan_document(bundle)
    assert document["volume_multipliers"] == {"Llama-3.1-70B/conversation": 2000.0}
    assert document["synthetic_traffic"] is False
    assert set(bundle.provenance["inputs"]) == {"burstgpt_hourly.csv", "AzureLLMInferenceTrace_conv.csv"}
    for one in made.forecast.series:
        own, naive = one.accuracy[:2]
        assert naive.method == "seasonal naive"
        assert own.wape <= 0.80 * naive.wape
    page = render(bundle)
    assert "multiplied by 2,000 by declaration" in page
    # 105 requests an hour x 2,000 is about 58 requests/s on average: the peak month's fleet carries its p95 peak.
    mean_rps = made.history.frame["requests"].sum() / 1128 / 3600
    assert mean_rps == pytest.approx(63, rel=0.1)
