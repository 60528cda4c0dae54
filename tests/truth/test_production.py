"""A real vLLM's metrics: its step times are found again, and windows it did not see are predicted."""

from __future__ import annotations

import re
import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from benchmarks.operator_tables import Reach, Shards, step_cost
from data.catalog import find_engine, find_gpu, find_llm, load_coefficients, load_llms
from data.production import read_windows
from data.production_records import Window
from data.records import Configuration
from flows.calibrate import Asked, Fitted, fit
from flows.cli import app
from models.production import fit_windows, parts, predicted
from tests.conftest import REPOSITORY
from tests.data.engine_metrics import export, real_metrics

pytestmark = pytest.mark.truth
RUN = "RTXPRO6000_Llama-3.1-8B"
CAPACITY = 500_000.0
REACH = Reach(128, 500.0, 2500.0)


def metrics(reference: Path, folder: Path, run: str = RUN) -> Path:
    return export(folder / "metrics.json", real_metrics(reference / "measured" / "vllm_real" / run, CAPACITY))


def ask(path: Path, kv_tokens: float, window_s: float = 3.0) -> Fitted:
    return fit(
        Asked(
            "Llama-3.1-8B", "RTX-PRO-6000-Server", "bf16", 1, "vllm", "bf16", metrics=(path,), window_s=window_s,
            kv_tokens=kv_tokens,
        )
    )  # fmt: skip


@pytest.mark.parametrize("kv_tokens", [CAPACITY, float("nan")])
@pytest.mark.parametrize("window_s", [3.0, 4.0])
def test_stretches_of_time_are_predicted_from_the_others(
    reference: Path, tmp_path: Path, kv_tokens: float, window_s: float
) -> None:
    found = ask(metrics(reference, tmp_path), kv_tokens, window_s)
    assert found.windows is not None
    assert len(found.windows.kept) >= 10
    assert found.usable
    assert found.correction.error_held_out is not None
    assert found.correction.error_held_out <= 0.05
    assert found.correction.error_held_out <= 0.65 * found.correction.error_before
    # One run of a minute near one batch cannot tell the host's share: the fit says so.
    assert "host_s" not in found.calibration.identified


def test_the_guide_shows_what_it_prints(reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    text = (REPOSITORY / "docs" / "howto" / "calibrate.md").read_text(encoding="utf-8")
    (shown,) = re.findall(r"```text\n(.*?)```", text, re.S)
    (line,) = re.findall(r"^    fleetcast (calibrate .*--metrics.*)$", text, re.M)
    metrics(reference, tmp_path)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    done = CliRunner().invoke(app, [*shlex.split(line), "--window", "3"])
    assert done.exit_code == 0, done.output
    assert done.output.startswith(shown)
    assert (tmp_path / "pro6000.yaml").exists()


@pytest.mark.parametrize("speed", [1.0, 0.8, 1.2])
def test_step_times_are_found_from_a_catalog_that_is_wrong(reference: Path, tmp_path: Path, speed: float) -> None:
    """Decode steps as the GPU's own operator tables have them, which calibration has not seen, whether the catalog
    knows this GPU or takes it for one a fifth slower or faster."""
    windows = read_windows([metrics(reference, tmp_path)], 3.0, kv_capacity_tokens=CAPACITY).kept
    gpu = find_gpu("RTX-PRO-6000-Server")
    taken = replace(
        gpu, memory_bandwidth_bytes_per_s=speed * gpu.memory_bandwidth_bytes_per_s,
        dense_flops={kind: speed * rate for kind, rate in gpu.dense_flops.items()},
    )  # fmt: skip
    one = Configuration("Llama-3.1-8B", gpu.name, "bf16", "bf16", 1, "vllm")
    known = load_llms(), {gpu.name: taken}, find_engine("vllm"), load_coefficients()
    values = fit_windows(parts(one, windows, *known), windows).calibration.values
    cost = step_cost(reference / "measured" / "vllm_real" / RUN, find_llm("Llama-3.1-8B"), REACH, Shards(gpu))
    errors = []
    for n, context in ((32, 1000), (64, 1000), (96, 1500), (128, 1000), (128, 2000)):
        steps = Window(0.0, "a", n, 0.03, 0.0, 1.0, context, "kv_usage", 1e4, float("nan"), float("nan"))
        table = (
            np.interp(n, cost.tokens, cost.linear_s[0])
            + cost.decode_base_s[0] + n * cost.decode_per_seq_s[0] + n * context * cost.decode_per_kv_token_s[0]
        )  # fmt: skip
        errors.append(float(predicted(parts(one, [steps], *known), values)[0] / table) - 1.0)
    assert np.abs(errors).mean() <= 0.06
