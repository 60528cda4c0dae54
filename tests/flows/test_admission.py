"""Admission limits of a curve, against the replica that they are enforced on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.records import SloTarget
from flows.curve import CurveQuestion, asked_of
from models.curve import service_curve
from models.simulator.engine import Requests, simulate
from models.simulator.load import draw


@pytest.mark.slow
def test_limits_of_a_replica_that_runs_hundreds_hold_at_its_knee() -> None:
    """1,000 requests end before such a replica is full: its limits must be those of a full one."""
    question = CurveQuestion(
        "H100-SXM", "bf16", 1, "vllm", None, (), "Llama-3.1-8B", 200, 300, SloTarget(2.0, 0.06, 95.0), 0.01, 300.0
    )
    asked, _ = asked_of(question)
    assert asked is not None
    found = service_curve(replace(asked, gains=False, seeds=2, pool_requests=600, pool_seeds=2, target_band=None))
    assert found is not None
    one = draw([asked.mix], 16_000, 1, 77)
    limits = asked.limits._replace(max_num_seqs=np.array([found.limits.max_num_seqs]))
    requests = Requests(one.unit_s / (0.9 * found.knee_rps), one.input_tokens, one.cached_tokens, one.output_tokens)
    out = simulate(asked.cost, requests, limits)
    late = out.first_token_s[0, 4_000:] - requests.arrival_s[0, 4_000:]
    assert np.quantile(late, 0.95) <= 2.0
    assert found.limits.tokens_in_flight >= out.mean_kv_tokens[0]
