"""The simulator against another simulator's request times and a real engine's log."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from benchmarks import closed_loop, scheduler, vllm_log
from benchmarks.front_end import FRONT_END_S, clients_without_place, of_others_s
from benchmarks.measured_runs import read_runs

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
    assert found["scheduled_at_once"] > 100
    for q in ("50", "90", "95", "99"):
        assert abs(found[f"tpot_p{q}"]["error"]) <= 0.05
        assert abs(found[f"ttft_p{q}"]["error"]) <= 0.10
        assert abs(found[f"ttft_at_once_p{q}"]["error"]) <= 0.10


def test_a_run_whose_kv_cache_overflows_is_reproduced_with_its_preemptions(reference: Path) -> None:
    found = vllm_log.score(reference / "measured" / "vllm_real" / "RTX4090_Llama-3.1-8B")
    assert found["kv_capacity_source"] == "as logged"
    assert found["finished"]
    assert found["preemptions"] > 100
    for name in ("ttft", "tpot"):
        for q in ("50", "90", "95", "99"):
            assert abs(found[f"{name}_p{q}"]["error"]) <= 0.15, (name, q)


def test_first_tokens_of_closed_loops_after_four_of_each_configuration(reference: Path) -> None:
    runs = [
        run
        for run in read_runs(reference / "measured" / "serving_runs.csv")[0]
        if run.configuration.attention_data_parallel <= 1 and run.concurrency <= closed_loop.FEW_CLIENTS
    ]
    more = clients_without_place(runs)
    waiting = {(run.configuration.llm, run.configuration.engine) for run, one in zip(runs, more, strict=True) if one}
    assert waiting == {("Llama-3.1-8B", "trtllm")}
    assert set(more) == {0, 1}
    ttft, _ = closed_loop.simulate_runs(runs, 10, 0.8, more)
    vllm = [i for i, run in enumerate(runs) if run.configuration.engine == "vllm" and not run.moe]
    measured = np.array([run.ttft_s for run in runs])
    assert closed_loop.errors(measured[vllm], ttft[vllm])["mape_percent"] <= 12
    engine = np.array([run.configuration.engine for run in runs])
    known = np.flatnonzero(measured > 0.0).tolist()
    typical = np.array([FRONT_END_S[one] for one in engine])
    assert closed_loop.errors(measured, ttft + typical)["mape_percent"] <= 25
    assert closed_loop.errors(measured, ttft + of_others_s(runs, ttft, known))["mape_percent"] <= 31
    assert closed_loop.errors(measured, ttft)["mape_percent"] <= 42
    found = closed_loop.calibrated(runs, ttft, points=4)
    assert found["at_most_16_clients"]["n"] > 1000
    assert found["at_most_16_clients"]["mape_percent"] <= 16
