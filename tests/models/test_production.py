"""Calibration to production windows: what was changed comes back, held-out errors are those of refitting."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.production_records import Window
from data.records import Configuration
from models.calibrate import PRIOR_SD
from models.production import Parts, _fit, fit_windows, loads, parts, predicted, stretches

ONE = Configuration("Llama-3.1-8B", "L40S", "bf16", "bf16", 1, "vllm")
TRUTH = np.array([0.08, 0.6e-3, 30e-6, 0.15])


def window(index: int, batch: float, prompt: float = 900.0, context: float = 1000.0, rate: float = 2.0) -> Window:
    return Window(
        300.0 * index, "a", batch, 0.02, rate * prompt, prompt, context, "lengths", 1e4, float("nan"), float("nan")
    )


def day(seed: int = 0, n: int = 48) -> list[Window]:
    """Windows of a day whose load comes and goes."""
    rng = np.random.default_rng(seed)
    level = 1.0 + 0.8 * np.sin(2.0 * np.pi * np.arange(n) / n)
    return [
        window(i, float(40 * level[i]), float(rng.choice([500, 3000])), float(rng.uniform(800, 4000)), float(level[i]))
        for i in range(n)
    ]


def kernels(windows: list[Window]) -> Parts:
    return parts(ONE, windows, load_llms(), load_gpus(), find_engine("vllm"), load_coefficients())


def measured(windows: list[Window], values: np.ndarray, noise: float = 0.0) -> list[Window]:
    """The windows with the gaps that an engine of these corrections would show."""
    tpot = predicted(kernels(windows), values)
    tpot = tpot * np.exp(noise * np.random.default_rng(7).standard_normal(len(tpot)))
    return [replace(one, tpot_s=float(t)) for one, t in zip(windows, tpot, strict=True)]


def test_the_gap_solves_its_own_equation() -> None:
    found = kernels(day())
    t = predicted(found, TRUTH)
    host = TRUTH[1] + TRUTH[2] * found.batch
    assert t == pytest.approx((1 + TRUTH[0]) * found.decode_s + host + (1 + TRUTH[3]) * found.busy * t, rel=1e-9)
    assert np.all(found.busy < 0.9)


def test_a_day_of_windows_recovers_the_truth() -> None:
    windows = measured(day(), TRUTH, 0.02)
    fit = fit_windows(kernels(windows), windows)
    assert np.all(np.abs(fit.calibration.values - TRUTH) <= 3 * fit.calibration.sd + 0.2 * PRIOR_SD)
    assert fit.calibration.error_before > 0.1
    assert fit.calibration.error_held_out < 0.03
    assert fit.calibration.verdict == "good" or fit.calibration.verdict.startswith("usable")


def test_held_out_errors_are_those_of_the_other_stretches() -> None:
    windows = measured(day(), TRUTH, 0.05)
    found, fold = kernels(windows), stretches(windows)
    fit = fit_windows(found, windows)
    assert sorted(np.bincount(fold)) == [9, 9, 10, 10, 10]
    assert np.all(np.diff(fold) >= 0)
    keep = np.flatnonzero(fold != 2)
    rest = Parts(
        *(getattr(found, name)[keep] for name in ("tpot_s", "decode_s", "busy", "prompt_s", "prompt_steps", "batch"))
    )
    # Groups of the rest alone would start from other windows: those of the whole are given.
    grouped = loads(windows)[keep]
    other = _fit(rest, grouped, np.ones(len(keep), dtype=bool))
    errors = predicted(found, other.values) / found.tpot_s - 1.0
    assert fit.errors_held_out[fold == 2] == pytest.approx(errors[fold == 2], abs=1e-9)


def test_windows_at_one_load_are_one_point_and_say_so() -> None:
    windows = measured([window(i, 20.0) for i in range(200)], TRUTH, 0.05)
    fit = fit_windows(kernels(windows), windows)
    assert (fit.loads, fit.calibration.points) == (1, 1)
    assert fit.calibration.verdict.startswith("one load only")
    assert "host_s" not in fit.calibration.identified
    # Two hundred repetitions are no more certain than one point is.
    assert fit.calibration.sd[0] > 0.25 * PRIOR_SD[0]


def test_loads_are_told_apart_by_ratios() -> None:
    same = [window(0, 20.0), window(1, 20.4), window(2, 40.0), window(3, 20.0, context=3000.0)]
    assert loads(same)[0] == loads(same)[1]
    assert len(set(loads(same))) == 3


def test_one_window_has_no_held_out_error() -> None:
    windows = measured([window(0, 20.0)], TRUTH)
    fit = fit_windows(kernels(windows), windows)
    assert np.isnan(fit.calibration.error_held_out)


def test_windows_of_another_gpu_are_poor() -> None:
    windows = [replace(one, tpot_s=0.2 * one.tpot_s) for one in measured(day(), np.zeros(4))]
    assert fit_windows(kernels(windows), windows).calibration.verdict.startswith("poor")


def test_ttft_is_compared_without_its_queue() -> None:
    windows = measured(day(), np.zeros(4))
    found = kernels(windows)
    ours = found.prompt_steps * found.decode_s + found.prompt_s
    seen = [replace(one, ttft_s=float(2 * t + 5.0), queue_s=5.0) for one, t in zip(windows, ours, strict=True)]
    assert fit_windows(found, seen).ttft_ratio == pytest.approx(0.5, rel=0.05)
