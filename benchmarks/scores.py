"""Error figures of predicted against measured times, in total and by group."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass

import numpy as np

from benchmarks.measured_runs import Run
from data.records import FloatArray


@dataclass(frozen=True, slots=True)
class Score:
    """n runs; MAPE and median absolute error in percent; bias: mean of predicted / measured - 1, in percent."""

    n: int
    mape_percent: float
    median_percent: float
    bias_percent: float


def score(predicted: FloatArray, measured: FloatArray) -> Score:
    """Errors relative to what was measured; NaN for no runs."""
    if not len(measured):
        return Score(0, float("nan"), float("nan"), float("nan"))
    relative = 100.0 * (predicted / measured - 1.0)
    return Score(
        len(measured),
        round(float(np.mean(np.abs(relative))), 2),
        round(float(np.median(np.abs(relative))), 2),
        round(float(np.mean(relative)), 2),
    )


GROUPS: dict[str, Callable[[Run], str]] = {
    "gpu": lambda run: run.configuration.gpu,
    "llm": lambda run: run.configuration.llm,
    "engine": lambda run: run.configuration.engine,
    "precision": lambda run: run.configuration.precision,
    "gpu_and_llm": lambda run: f"{run.configuration.gpu} / {run.configuration.llm}",
    "kind": lambda run: "moe" if run.moe else "dense",
}


def table(runs: Sequence[Run], predicted: FloatArray, measured: FloatArray) -> dict[str, object]:
    """Scores in total and by every grouping of GROUPS, ready for JSON."""
    result: dict[str, object] = {"total": asdict(score(predicted, measured))}
    for name, key in GROUPS.items():
        labels = np.array([key(run) for run in runs])
        result[f"by_{name}"] = {
            str(label): asdict(score(predicted[labels == label], measured[labels == label]))
            for label in sorted(set(labels))
        }
    return result


def off(ours: float, theirs: float) -> float:
    """Relative error of one figure; NaN where the measured one is zero."""
    return ours / theirs - 1.0 if theirs else math.nan


def strict(value: object) -> object:
    """The value with None for NaN and infinity, which JSON has no numbers for."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: strict(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [strict(each) for each in value]
    return value
