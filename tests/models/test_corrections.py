"""Corrections applied to rows give what they were fitted to give."""

from __future__ import annotations

from typing import Literal

import numpy as np
import pytest

from configs.catalog_schema import CatalogSource, Correction
from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import Configuration
from models.calibrate import Calibration, predict
from models.corrections import nearest, passed_over
from models.observe import LoadTest, observe
from models.rows import build_rows

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


def stated(kv: Literal["bf16", "fp8"] | None, stages: int | None, tp: int = 1) -> Correction:
    return Correction(
        llm="Llama-3.1-8B", gpu="H100-SXM", engine="vllm", precision="fp8", tensor_parallel=tp, kv_precision=kv,
        pipeline_parallel=stages, points=4, error_before=0.2, verdict="good",
        source=CatalogSource(citation="made here", as_of="2026"),
    )  # fmt: skip


def served(kv: str = "bf16", stages: int = 1, tp: int = 1) -> Configuration:
    return Configuration("Llama-3.1-8B", "H100-SXM", "fp8", kv, tp, "vllm", pipeline_parallel=stages)


def test_a_correction_serves_the_cache_and_stages_it_was_measured_with() -> None:
    for kv in ("bf16", "fp8"):
        for stages in (1, 2):
            one = served(kv, stages)
            # What says nothing serves all.
            assert nearest([stated(None, None)], one) == stated(None, None)
            assert (nearest([stated("bf16", None)], one) is None) == (kv == "fp8")
            assert (nearest([stated(None, 2)], one) is None) == (stages == 1)
            assert (nearest([stated("fp8", 2)], one) is None) == ((kv, stages) != ("fp8", 2))
    # One that says so comes before one that does not, and the nearest parallelism before both.
    assert nearest([stated(None, None), stated("bf16", 1), stated("fp8", 1)], served()) == stated("bf16", 1)
    assert nearest([stated("bf16", 1, tp=8), stated(None, None, tp=2)], served(tp=1)) == stated(None, None, tp=2)


def test_rows_of_another_cache_are_left_as_the_catalog_has_them() -> None:
    llms, gpus, engine, catalog = load_llms(), load_gpus(), find_engine("vllm"), load_coefficients()
    slow = stated("bf16", 1).model_copy(update={"device": 0.5})
    used = catalog.model_copy(update={"corrections": (slow,)})
    ones = [served("bf16"), served("fp8"), served("bf16", 2)]
    plain, _ = build_rows(ones, llms, gpus, engine, catalog)
    rows, provenance = build_rows(ones, llms, gpus, engine, used)
    assert provenance == ("calibrated", "fitted", "fitted")
    ratio = np.asarray(rows.decode_eff_memory) / np.asarray(plain.decode_eff_memory)
    np.testing.assert_allclose(ratio, [1 / 1.5, 1.0, 1.0], rtol=1e-5)
    told = passed_over([slow], [*ones, served("fp8", tp=4)])
    assert len(told) == 2
    assert "a KV cache in fp8 over 1 pipeline stage is not calibrated" in told[0]
    assert "2 pipeline stages" in told[1]
    assert passed_over([stated(None, None)], ones) == ()


def test_what_was_measured_again_takes_the_place_of_what_does_not_say_how() -> None:
    new = stated("fp8", 1)
    assert [new.covers(one) for one in (stated(None, None), stated("fp8", 1), stated("bf16", 1), stated("fp8", 2))] == [
        True, True, False, False,
    ]  # fmt: skip
    assert not new.covers(stated("fp8", 1, tp=2))
    assert not stated(None, None).covers(new)
