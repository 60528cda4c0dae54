"""Calibration to production metrics: windows of steady load beside what the kernels predict for them.

A request that decodes waits, between two tokens, for one iteration and for the prompts that share it. With P prompt
tokens computed a second, P t of them fall into a gap of t seconds, so that the gap itself is the solution of

    t = (1 + device) decode + host + per_sequence n + (1 + prefill) P t a,

a being the seconds that one prompt token adds to an iteration. Fitting takes P t as measured, predicting solves for t.

Windows at the same load repeat one another and share the model's error: they count as one point, their median. Held-out
errors are of whole stretches of time, each predicted from the others, as next week is from this one.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import jax
import jax.numpy as jnp
import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.production_records import Window
from data.records import BoolArray, Configuration, Engine, FloatArray, Gpu, IntArray, Llm
from models.calibrate import Calibration, Observations, calibrate, verdict
from models.rows import build_rows
from models.step_time import behind_host, decode_attention_s, linear_time_s, prefill_attention_s

BATCH_STEP, CONTEXT_STEP, PROMPT_STEP = 1.15, 1.3, 1.3
"""Windows within these ratios of batch, of context and of prompt tokens an output token are at the same load."""
FOLDS = 5
LEAST_SHARE = 0.05
"""Prompts cannot take more than all but this share of the time."""


@dataclass(frozen=True, slots=True)
class Parts:
    """What the kernels, uncorrected, say of each window, shape [windows]."""

    tpot_s: FloatArray
    """As measured."""
    decode_s: FloatArray
    busy: FloatArray
    """Share of the time that prompts take: P a."""
    prompt_s: FloatArray
    """What one mean prompt adds to the iterations it shares."""
    prompt_steps: FloatArray
    """Iterations from a prompt's arrival to its first token: half of the one under way, and one a chunk."""
    batch: FloatArray


@dataclass(frozen=True, slots=True)
class ProductionFit:
    """A calibration to windows and how far to trust it.

    errors: relative, of every window, as predicted from the catalog alone and (held_out) from the other stretches of
    time; shape [windows], NaN where nothing was left to predict from. ttft_ratio: predicted over measured TTFT without
    its queue, median, not fitted; NaN without such metrics.
    """

    calibration: Calibration
    errors_before: FloatArray
    errors_held_out: FloatArray
    loads: int
    ttft_ratio: float


def parts(
    configuration: Configuration,
    windows: Sequence[Window],
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    engine: Engine,
    catalog: CoefficientCatalog,
) -> Parts:
    """The kernels' times for every window. catalog: corrections in it apply; calibration starts without any."""
    rows, _ = build_rows([configuration] * len(windows), llms, gpus, engine, catalog)

    def column(name: str) -> jax.Array:
        return jnp.asarray(np.array([getattr(one, name) for one in windows], dtype=np.float32))

    n, prompt = jnp.maximum(column("batch"), 1.0), column("input_tokens")
    budget = rows.max_num_batched_tokens
    decode = behind_host(linear_time_s(rows, n, n) + decode_attention_s(rows, n, n * column("context_tokens")), n)
    chunk = jnp.maximum(jnp.minimum(prompt, budget), 1.0)
    added = linear_time_s(rows, n + chunk, n) - linear_time_s(rows, n, n)
    attention = prefill_attention_s(rows, prompt**2 / 2.0, prompt)
    each = added / chunk + attention / jnp.maximum(prompt, 1.0)
    steps = jnp.ceil(prompt / chunk) + 0.5
    host = jax.device_get((decode, column("prompt_tokens_per_s") * each, each * prompt, steps))
    decode_s, busy, prompt_s, prompt_steps = (np.asarray(one, dtype=np.float64) for one in host)
    measured = np.array([one.tpot_s for one in windows])
    batch = np.array([max(one.batch, 1.0) for one in windows])
    return Parts(measured, decode_s, busy, prompt_s, prompt_steps, batch)


def predicted(found: Parts, values: FloatArray) -> FloatArray:
    """Seconds between tokens with corrections in the order of COEFFICIENTS, shape [windows]."""
    share = np.maximum(1.0 - (1.0 + values[3]) * found.busy, LEAST_SHARE)
    return np.asarray(_decode_s(found, values) / share)


def first_token_s(found: Parts, values: FloatArray) -> FloatArray:
    """Seconds from a prompt's admission to its first token, shape [windows]."""
    return np.asarray(found.prompt_steps * _decode_s(found, values) + (1.0 + values[3]) * found.prompt_s)


def _decode_s(found: Parts, values: FloatArray) -> FloatArray:
    device, host_s, per_sequence_s, _ = values
    alone = (1.0 + device) * found.decode_s + host_s + per_sequence_s * found.batch
    return np.asarray(np.maximum(alone, 0.5 * found.decode_s))


def loads(windows: Sequence[Window]) -> IntArray:
    """A number for each window, the same for windows at the same load: each joins the first earlier one that it is
    near to, or is a load of its own."""
    where = np.log(
        [
            (one.batch, one.context_tokens, max(one.prompt_tokens_per_s * one.tpot_s / max(one.batch, 1.0), 1e-3))
            for one in windows
        ]
    ) / np.log([BATCH_STEP, CONTEXT_STEP, PROMPT_STEP])
    found = np.zeros(len(windows), dtype=np.int64)
    first: list[int] = []
    for index in range(len(windows)):
        near = np.abs(where[first] - where[index]).max(axis=1) <= 1.0 if first else np.empty(0)
        if near.any():
            found[index] = int(np.argmax(near))
        else:
            found[index] = len(first)
            first.append(index)
    return found


def stretches(windows: Sequence[Window]) -> IntArray:
    """A number for each window (in order of time): up to five stretches of time with as many windows each."""
    times = sorted({one.start_s for one in windows})
    fold = {start: index * min(FOLDS, len(times)) // len(times) for index, start in enumerate(times)}
    return np.array([fold[one.start_s] for one in windows], dtype=np.int64)


def fit_windows(found: Parts, windows: Sequence[Window]) -> ProductionFit:
    """Fit one group of windows (one LLM, GPU, engine, precision and parallelism).

    Raises ValueError without any window.
    """
    load, fold = loads(windows), stretches(windows)
    errors = np.full(len(windows), np.nan)
    if fold.max() > 0:
        for one in range(int(fold.max()) + 1):
            out = fold == one
            errors[out] = (predicted(found, _fit(found, load, ~out).values) / found.tpot_s - 1.0)[out]
    fitted = _fit(found, load, np.ones(len(windows), dtype=bool))
    held_out = float(np.abs(errors).mean())
    before = predicted(found, np.zeros(4)) / found.tpot_s - 1.0
    points = int(load.max()) + 1
    fitted = replace(
        fitted,
        error_before=float(np.abs(before).mean()),
        error_held_out=held_out,
        verdict=_verdict(points, held_out, fitted),
    )
    seen = np.array([one.ttft_s - one.queue_s for one in windows])
    known = np.isfinite(seen) & (seen > 0)
    ours = first_token_s(found, fitted.values)
    ratio = float(np.median(ours[known] / seen[known])) if known.any() else float("nan")
    return ProductionFit(fitted, before, errors, points, ratio)


def _fit(found: Parts, load: IntArray, use: BoolArray) -> Calibration:
    """A calibration to the medians of each load's windows among those in use."""
    groups = [np.flatnonzero(use & (load == one)) for one in np.unique(load[use])]
    interference = found.busy * found.tpot_s

    def middle(values: FloatArray) -> FloatArray:
        return np.array([np.median(values[group]) for group in groups])

    return calibrate(
        Observations(middle(found.tpot_s), middle(found.decode_s), middle(interference), middle(found.batch))
    )


def _verdict(points: int, held_out: float, fitted: Calibration) -> str:
    if points < 2:
        return "one load only: nothing tells coefficients apart; add windows of busier and quieter hours"
    if np.isnan(held_out):
        return "one window of time: no held-out error; export a longer span"
    return verdict(points, held_out, fitted.identified, fitted.values)
