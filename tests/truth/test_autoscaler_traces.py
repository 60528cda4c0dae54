"""The autoscaler on real traces, second by second: what is read, and that the kernel is the plain scaler there too."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from data.load_traces import DAY_S, arrivals, read_load, real_day
from data.scaling_records import LoadTrace, ScalerPolicy
from models.autoscaler.run import simulate
from tests.models.autoscaler.cases import START, replica
from tests.models.autoscaler.oracle import play

CONVERSATION, MINUTES = "AzureLLMInferenceTrace_conv.csv", "burstgpt_week1_minute_tokens_per_s.csv"


@pytest.mark.truth
def test_requests_and_tokens_are_all_there(reference: Path) -> None:
    conversation = read_load(reference / "traces" / CONVERSATION)
    assert conversation.per_s.sum() == 19_366
    assert 57 * 60 < len(conversation.per_s) < 60 * 60
    tokens = read_load(reference / "traces" / MINUTES)
    rows = (reference / "traces" / MINUTES).read_text(encoding="utf-8").splitlines()[1:]
    # A line between the means of minutes keeps their sum, but for neighbours of minutes without work.
    assert tokens.per_s.sum() == pytest.approx(60.0 * sum(float(row.split(",")[1]) for row in rows), rel=1e-3)
    day, expected = real_day(tokens, 60.0)
    assert len(day.per_s) == len(expected) == DAY_S
    assert np.convolve(day.per_s, np.ones(60) / 60.0, mode="valid").max() == pytest.approx(60.0)


@pytest.mark.truth
def test_the_kernel_is_the_plain_scaler_on_a_real_hour(reference: Path) -> None:
    load = read_load(reference / "traces" / CONVERSATION)
    day, expected = real_day(load, 60.0)
    trace = LoadTrace("azure", 1.0, arrivals(day, seed=7), expected, 4)
    base = ScalerPolicy("concurrency", 30.0, 2, 14, smoothing_s=15.0)
    policies = [
        base,
        replace(base, signal="queue", target=1.0, headroom=2),
        replace(base, signal="rate", target=6.0, standby_nodes=2, down_window_s=60.0),
        replace(base, signal="kv_cache", target=0.5, forecast_rps=8.5, lead_s=345.0),
        replace(base, signal="tokens", target=36_000.0, up_window_s=30.0),
    ]
    seen = simulate(policies, [trace], replica(), START, 15.0, nodes_per_min=4.0)
    for i, policy in enumerate(policies):
        told = play(policy, trace, replica(), START, 15.0, 4.0)
        assert seen.attainment[i, 0] == pytest.approx(told.good / told.arrived, rel=1e-9)
        assert seen.short_s[i, 0] == told.short_s
        assert seen.queue_max[i, 0] == pytest.approx(told.queue_max)
        assert seen.replica_h[i, 0] == pytest.approx(told.paid_s / 3600.0)
        assert (seen.starts[i, 0], seen.reversals[i, 0]) == (told.starts, told.reversals)
