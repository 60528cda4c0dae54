"""Corrections applied to rows give what they were fitted to give."""

from __future__ import annotations

import numpy as np
import pytest

from configs.catalog_schema import CatalogSource, Correction
from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from models.calibrate import Calibration, predict
from models.observe import LoadTest, observe

TESTS = [LoadTest(n, i, o, 0.01) for n, i, o in ((1, 200, 200), (4, 1000, 200), (8, 2000, 100), (32, 1000, 300))]


@pytest.mark.parametrize("gpu", ["H100-SXM", "A100-80GB-SXM", "L40S"])
@pytest.mark.parametrize("moved", [(-0.2, 3e-4, 5e-6, 0.0), (-0.2, 0.0, 0.0, -0.3), (0.2, 0.0, 0.0, 0.3)])
def test_rows_predict_what_the_calibration_held_out(gpu: str, moved: tuple[float, float, float, float]) -> None:
    # A device a fifth faster than its tables (an H100's GEMMs read at 0.87 of its bandwidth) is what was fitted, too.
    one = Configuration("Llama-3.1-8B", gpu, "bf16", "bf16", 1, "vllm")
    device, host_s, per_sequence_s, prefill = moved
    correction = Correction(
        llm=one.llm, gpu=gpu, engine="vllm", precision="bf16", tensor_parallel=1, device=device, host_ms=1e3 * host_s,
        per_sequence_us=1e6 * per_sequence_s, prefill=prefill, points=4, error_before=0.2, verdict="good",
        source=CatalogSource(citation="made here", as_of="2026"),
    )  # fmt: skip
    llms, gpus, engine, catalog = load_llms(), load_gpus(), find_engine("vllm"), load_coefficients()
    plain = observe(one, TESTS, llms, gpus, engine, catalog)
    fitted = Calibration(np.array(moved), np.zeros(4), len(TESTS), 0.2, 0.0, (), "good")
    want = predict(fitted, plain.decode_s, plain.interference_s, plain.batch)
    used = catalog.model_copy(update={"corrections": (correction,)})
    got = observe(one, TESTS, llms, gpus, engine, used, corrected=True)
    # Norms, activations and sampling belong to the decode step that was fitted, and to no coefficient of a row.
    assert got.decode_s + got.interference_s == pytest.approx(want, rel=0.035)
