"""The simulator against another simulator's request times and a real engine's log."""

from __future__ import annotations

import json
from pathlib import Path

import pandas as pd
import pytest

from benchmarks import scheduler, vllm_log

pytestmark = pytest.mark.truth


def test_request_times_match_vidur_up_to_the_knee(reference: Path) -> None:
    measured = reference / "measured"
    found = scheduler.score(
        pd.read_csv(measured / "vidur_a100_llama3_8b_requests.csv.gz"),
        json.loads((measured / "vidur_a100_llama3_8b_cost.json").read_text(encoding="utf-8")),
    )
    below = [row for row in found["rates"] if row["qps"] <= 7.0]
    assert len(below) == 8
    for row in below:
        assert row["finished"]
        for name, bar in (("ttft", 0.05), ("tpot", 0.03)):
            for q in ("50", "95", "99"):
                assert abs(row[f"{name}_p{q}"]["error"]) <= bar, (row["qps"], name, q)
    saturated = max(found["rates"], key=lambda row: row["qps"])
    assert abs(saturated["throughput_rps"]["error"]) <= 0.01


def test_a_real_vllm_run_is_reproduced_from_its_operator_times(reference: Path) -> None:
    found = vllm_log.score(reference / "measured" / "vllm_real" / "RTXPRO6000_Llama-3.1-8B")
    assert found["preemptions"] == 0
    for q in ("50", "90", "95", "99"):
        assert abs(found[f"tpot_p{q}"]["error"]) <= 0.05
    for q in ("90", "95", "99"):
        assert abs(found[f"ttft_p{q}"]["error"]) <= 0.10
    assert found["scheduled_at_once"] > 100
    for q in ("50", "90", "95", "99"):
        assert abs(found[f"ttft_at_once_p{q}"]["error"]) <= 0.10


def test_a_run_whose_kv_cache_overflows_is_reproduced_with_its_preemptions(reference: Path) -> None:
    found = vllm_log.score(reference / "measured" / "vllm_real" / "RTX4090_Llama-3.1-8B")
    assert found["kv_capacity_source"] == "as logged"
    assert found["finished"]
    assert found["preemptions"] > 100
    for name in ("ttft", "tpot"):
        for q in ("50", "90", "95", "99"):
            assert abs(found[f"{name}_p{q}"]["error"]) <= 0.15, (name, q)
