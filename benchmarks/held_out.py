"""Scores that hold something out: an LLM, all but a few points of a group, or the queue before the first token."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from scipy.optimize import least_squares

from benchmarks.measured_runs import Run
from benchmarks.scores import table
from data.records import BoolArray, FloatArray, IntArray
from models.calibrate import Observations, calibrate, predict

IDLE_BATCH = 4
"""At most this many clients start without a queue that matters: their TTFT is compared with prefill time."""
LONG_PROMPT = 4000
REQUEST_S = 0.005


class Predicted(NamedTuple):
    """Uncalibrated parts of every run's prediction, in seconds; batch in requests."""

    decode_s: FloatArray
    interference_s: FloatArray
    prefill_s: FloatArray
    batch: FloatArray
    fitted: FloatArray

    @property
    def tpot_s(self) -> FloatArray:
        return self.decode_s + self.interference_s


def over_llms(runs: Sequence[Run], predicted: FloatArray, measured: FloatArray) -> dict[str, object]:
    """Mean and worst of the LLMs' own MAPEs, in percent.

    Every coefficient belongs to a GPU, an engine and a precision and none to an LLM, so each LLM's error is that of an
    LLM left out. (Corrections calibrated on other LLMs do not help: hosts and schedulers cost each LLM differently.)
    """
    llms = np.array([run.configuration.llm for run in runs])
    each = {str(llm): float(np.mean(np.abs(predicted[llms == llm] / measured[llms == llm] - 1.0))) for llm in set(llms)}
    worst = max(each, key=lambda llm: each[llm])
    return {
        "llms": len(each),
        "mean_mape_percent": round(100.0 * float(np.mean(list(each.values()))), 2),
        "worst_mape_percent": round(100.0 * each[worst], 2),
        "worst_llm": worst,
    }


def idle_ttft(runs: Sequence[Run], base: Predicted) -> dict[str, object]:
    """Prefill of one prompt and the step under way, against the TTFT of runs with at most IDLE_BATCH clients.

    A measured TTFT also holds tokenising, the HTTP server and the burst in which a test's clients start together: tens
    of milliseconds that short prompts feel and long ones do not, hence the second table.
    """
    ttft = np.array([run.ttft_s for run in runs])
    clients = np.array([run.concurrency for run in runs])
    prompts = np.array([run.input_tokens for run in runs])
    predicted = base.prefill_s + base.decode_s
    result: dict[str, object] = {}
    for name, shortest in (("all_prompts", 0.0), (f"prompts_of_{LONG_PROMPT}_or_more", LONG_PROMPT)):
        idle = (clients <= IDLE_BATCH) & np.isfinite(ttft) & (ttft > 0) & (prompts >= shortest)
        kept = [run for run, one in zip(runs, idle, strict=True) if one]
        ratio = float(np.median(ttft[idle] / predicted[idle])) if idle.any() else float("nan")
        result[name] = {"median_ttft_over_predicted": round(ratio, 2), **table(kept, predicted[idle], ttft[idle])}
    return result


def calibrated(
    runs: Sequence[Run], base: Predicted, points: int, seed: int, pooled: bool = False
) -> tuple[FloatArray, BoolArray]:
    """Predictions after calibration, and which runs were held out; groups of `points` runs or fewer are not scored.

    A group is one configuration: LLM, GPU, engine with its version, precision and parallelism. pooled: whatever the
    parallelism, which asks one correction to hold for all of an LLM's replicas.
    """
    measured = np.array([run.tpot_s for run in runs])
    moved, held = base.tpot_s.copy(), np.zeros(len(runs), dtype=bool)
    for seen, rest in _drawn(runs, points, seed, pooled):
        parts = (base.decode_s, base.interference_s, base.batch)
        fit = calibrate(Observations(measured[seen], *(part[seen] for part in parts)))
        moved[rest] = predict(fit, *(part[rest] for part in parts))
        held[rest] = True
    return moved, held


def first_token(runs: Sequence[Run], predicted_s: FloatArray, points: int, seed: int) -> tuple[FloatArray, BoolArray]:
    """TTFTs after `points` runs of every configuration were seen, and which runs were held out.

    Fitted is what the simulator cannot know: the time that front-end and client add to every first token (before: 5 ms
    within a factor of 3, as in `fleetcast loadtest`) and a factor of prefill and queue (1 within 30 %), on logarithms,
    by which a measured TTFT errs by 15 %.
    """
    measured = np.array([run.ttft_s for run in runs])
    moved, held = predicted_s.copy(), np.zeros(len(runs), dtype=bool)
    for seen, rest in _drawn(runs, points, seed, pooled=False):

        def missed(z: FloatArray, seen: IntArray = seen) -> FloatArray:
            found = np.exp(z[0]) + np.exp(z[1]) * predicted_s[seen]
            prior = [(z[0] - np.log(REQUEST_S)) / np.log(3.0), z[1] / 0.3]
            return np.concatenate([np.log(found / measured[seen]) / 0.15, prior])

        # Two starts: nearly all a fixed time, and nearly none.
        fits = [least_squares(missed, [start, 0.0]) for start in np.log([REQUEST_S, measured[seen].min()])]
        z = min(fits, key=lambda fit: float(fit.cost)).x
        moved[rest] = np.exp(z[0]) + np.exp(z[1]) * predicted_s[rest]
        held[rest] = True
    return moved, held


def _drawn(runs: Sequence[Run], points: int, seed: int, pooled: bool) -> Iterator[tuple[IntArray, IntArray]]:
    """Of every group of more than `points` runs, which were drawn to be seen and which are left."""
    rng = np.random.default_rng(seed)
    labels = np.array(
        [
            "/".join((c.llm, c.gpu, c.engine, run.version, c.precision, "" if pooled else _parallelism(run)))
            for run, c in ((run, run.configuration) for run in runs)
        ]
    )
    for label in sorted(set(labels)):
        index = np.flatnonzero(labels == label)
        if len(index) > points:
            seen = rng.choice(index, points, replace=False)
            yield seen, np.setdiff1d(index, seen)


def _parallelism(run: Run) -> str:
    one = run.configuration
    return f"TP{one.tensor_parallel} EP{one.expert_parallel} DP{one.attention_data_parallel}"


def calibrated_table(runs: Sequence[Run], base: Predicted, points: int, seeds: int, pooled: bool) -> dict[str, object]:
    """Scores of the held-out runs over several random draws."""
    measured = np.array([run.tpot_s for run in runs])
    kept: list[Run] = []
    found, truth = [], []
    for seed in range(seeds):
        moved, held = calibrated(runs, base, points, seed, pooled)
        kept += [run for run, out in zip(runs, held, strict=True) if out]
        found.append(moved[held])
        truth.append(measured[held])
    scores = table(kept, np.concatenate(found), np.concatenate(truth))
    return {"points_a_group": points, "random_draws": seeds, **scores}
