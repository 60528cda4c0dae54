"""A fit through the simulator finds the speed of a plain-Python server, and says when it could not."""

from __future__ import annotations

import math
from dataclasses import fields, replace
from functools import cache

import numpy as np
import pytest

from configs.catalog_schema import CoefficientCatalog
from configs.validation import validated
from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.loadtests.fields import of_values
from data.loadtests.records import LoadPoint, Spread
from data.records import Configuration
from models.loadtest_coefficients import Factors, corrected, correction
from models.loadtest_fit import COEFFICIENTS, LoadTestFit, fit_load_tests
from models.loadtest_simulate import METRICS, STATISTICS, load_of
from models.rows import Rows, build_rows
from tests.models.loadtest_factory import ONE, served, setup

TRUE = Factors(0.8, 0.93, 2.0, 0.012)


@cache
def measured() -> tuple[LoadPoint, ...]:
    points = [served(TRUE, rate, n=80, seed=int(rate)) for rate in (2.0, 12.0, 25.0)]
    return (*points, served(TRUE, 0.0, clients=16, seed=7))


@cache
def fitted() -> LoadTestFit:
    # Other requests and arrivals than the server's: the fit sees what a result file without requests tells.
    return fit_load_tests(setup(), [replace(p, rows=None) for p in measured()])


def test_the_fit_finds_the_servers_speed() -> None:
    fit = fitted()
    for i, field in enumerate(fields(Factors)):
        off = math.log(getattr(fit.factors, field.name) / getattr(TRUE, field.name))
        assert abs(off) <= 3.0 * fit.sd[i] + 0.02, field.name
    assert fit.errors["before"]["ttft"] > 0.25
    assert fit.errors["after"]["tpot"] < 0.03
    assert fit.errors["held_out"]["tpot"] < 0.06
    assert fit.errors["held_out"]["ttft"] < 0.15
    assert {"overhead", "request_s"} <= set(fit.identified)
    assert fit.served_rps[2] == pytest.approx(fit.served_rps[0], rel=0.08)
    assert not fit.verdict.startswith("poor")


def test_held_out_predictions_are_not_the_fits_own() -> None:
    fit = fitted()
    assert fit.folds == 4
    differ = np.abs(fit.held_out / fit.after - 1.0)
    assert np.nanmax(differ) > 1e-4
    assert fit.errors["held_out"]["tpot"] != fit.errors["after"]["tpot"]


@pytest.mark.slow
def test_points_that_contradict_each_other_are_a_poor_fit() -> None:
    wild = [
        replace(p, rows=None, tpot_s=_times(p.tpot_s, k), ttft_s=_times(p.ttft_s, k))
        for p, k in zip(measured(), (1.0, 3.0, 0.8, 4.0), strict=True)
    ]
    assert fit_load_tests(setup(), wild).verdict.startswith("poor")


def _times(spread: Spread, factor: float) -> Spread:
    return Spread(*(getattr(spread, f.name) * factor for f in fields(Spread)))


@pytest.mark.slow
def test_one_point_says_it_is_one() -> None:
    fit = fit_load_tests(setup(), [replace(measured()[0], rows=None)])
    assert "one point" in fit.verdict
    assert math.isnan(fit.errors["held_out"]["tpot"])
    assert "compute" not in fit.identified


def test_no_points_are_refused() -> None:
    with pytest.raises(ValueError, match="at least one"):
        fit_load_tests(setup(), [])


def rows_of(one: Configuration, factors: Factors | None) -> tuple[Rows, str]:
    """The row of one configuration, uncorrected or with the factors, and its provenance."""
    catalog = load_coefficients()
    if factors is not None:
        catalog = corrected(catalog, correction(one, factors))
        # What is written and read again is the same.
        catalog = validated(CoefficientCatalog, catalog.model_dump(mode="json"), "round trip")
    rows, (provenance,) = build_rows([one], load_llms(), load_gpus(), find_engine(one.engine), catalog)
    return rows, provenance


@pytest.mark.parametrize(
    "one",
    [
        ONE,
        Configuration("Llama-3.1-8B", "A30", "bf16", "bf16", 1, "vllm"),
        Configuration("Llama-3.1-8B", "H200-SXM", "fp8", "bf16", 1, "trtllm"),
        Configuration("gpt-oss-120b", "H100-SXM", "fp4", "bf16", 2, "vllm"),
    ],
)
def test_factors_move_what_they_are_named_after(one: Configuration) -> None:
    before, _ = rows_of(one, None)
    after, provenance = rows_of(one, Factors(0.8, 0.9, 3.0, 0.012))
    assert provenance == "calibrated"
    moved = {
        name: float(np.asarray(getattr(after, name) / getattr(before, name)).ravel()[0])
        for name in Rows._fields
        if not np.array_equal(np.asarray(getattr(after, name)), np.asarray(getattr(before, name)))
    }
    ring = {"all_reduce_t0_s": 3.0} if one.tensor_parallel > 1 else {}
    assert moved == pytest.approx(
        {"gemm_eff_compute": 0.8, "expert_eff_compute": 0.8, "prefill_eff_max": 0.8}
        | {"gemm_eff_memory": 0.9, "expert_eff_memory": 0.9, "decode_eff_memory": 0.9}
        | {"gemm_t0_s": 3.0, "expert_t0_s": 3.0, "decode_t0_s": 3.0, "host_overhead_s": 3.0} | ring
    )  # fmt: skip


def test_other_llms_gpus_and_engines_stay_as_they_were() -> None:
    catalog = corrected(load_coefficients(), correction(ONE, TRUE))
    others = (replace(ONE, llm="Qwen3-8B"), replace(ONE, gpu="H200-SXM"), replace(ONE, precision="fp8"))
    for one in others:
        _, (provenance,) = build_rows([one], load_llms(), load_gpus(), find_engine("vllm"), catalog)
        assert provenance == "fitted"
    again = corrected(catalog, correction(ONE, Factors()))
    assert len(again.corrections) == 1


def test_shares_stay_shares() -> None:
    rows, _ = rows_of(ONE, Factors(5.0, 5.0, 1.0, 0.0))
    for name in ("gemm_eff_compute", "gemm_eff_memory", "prefill_eff_max", "decode_eff_memory"):
        assert float(getattr(rows, name)[0]) == 1.0


def test_loads_are_those_of_the_points() -> None:
    points = measured()
    load = load_of(points, cached_tokens=64)
    assert load.point.tolist() == sorted(load.point.tolist())
    for lane, i in enumerate(load.point):
        p, n = points[i], load.count[lane]
        assert p.rows is not None
        assert n == p.requests_ok
        assert load.input_tokens[lane, :n].sum() == p.rows.input_tokens.sum()
        assert np.all(np.diff(load.arrival_s[lane]) >= 0)
        assert load.clients[lane] == (p.clients if p.clients > 0 else math.inf)
    assert np.all(load.cached_tokens < load.input_tokens) or np.all(load.cached_tokens <= 64)
    spread = replace(points[1], rows=None)
    drawn = load_of([spread])
    n = drawn.count[0]
    assert drawn.output_tokens[0, :n].mean() == pytest.approx(spread.output_tokens.mean, rel=0.02)
    assert n / drawn.arrival_s[0, n - 1] == pytest.approx(spread.offered_rps, rel=0.02)


@pytest.mark.parametrize("seed", range(4))
def test_lengths_have_the_median_the_tail_and_the_mean_that_are_reported(seed: int) -> None:
    rng = np.random.default_rng(seed)
    shapes = (
        np.where(rng.random(2000) < 0.02, rng.integers(0, 30, 2000), 64),
        rng.integers(20, 400, 2000),
        np.rint(rng.lognormal(5.0, 0.8, 2000)),
        np.rint(300 - rng.exponential(30.0, 2000).clip(0, 299)),
    )
    values = shapes[seed].astype(float)
    whole = replace(measured()[1], rows=None, requests_ok=2000, output_tokens=of_values(values))
    load = load_of([whole])
    drawn = load.output_tokens[0, : load.count[0]].astype(float)
    assert drawn.mean() == pytest.approx(values.mean(), rel=0.06)
    for q in (50, 90, 99):
        assert np.percentile(drawn, q) == pytest.approx(np.percentile(values, q), rel=0.02, abs=1.0)


def test_replicas_share_the_load() -> None:
    one = replace(measured()[1], rows=None, requests_ok=400)
    whole, half = load_of([one]), load_of([one], replicas=2)
    assert half.count[0] == whole.count[0] // 2
    rate = [load.count[0] / load.arrival_s[0, load.count[0] - 1] for load in (whole, half)]
    assert rate[1] == pytest.approx(rate[0] / 2, rel=0.05)


def test_percentiles_of_few_requests_are_not_fitted() -> None:
    found = load_of([replace(measured()[0], requests_ok=19)]).measured
    for name in ("p95", "p99"):
        assert np.isnan(found[0, :, STATISTICS.index(name)]).all()
    assert found.shape == (1, len(METRICS), len(STATISTICS))
    assert len(COEFFICIENTS) == len(fields(Factors))
