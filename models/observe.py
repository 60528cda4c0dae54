"""Measured closed-loop runs of one configuration beside what the kernels predict for them: what calibration fits."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from configs.catalog_schema import CoefficientCatalog
from data.records import Configuration, Engine, Gpu, Llm
from models.calibrate import Observations
from models.closed_loop import ClosedLoop, closed_loop
from models.memory import kv_bytes, memory
from models.rows import build_rows


@dataclass(frozen=True, slots=True)
class LoadTest:
    """One closed-loop load test of one replica: clients that each wait for their answer, and the TPOT they saw."""

    concurrency: float
    input_tokens: float
    output_tokens: float
    tpot_s: float


def observe(
    configuration: Configuration,
    tests: Sequence[LoadTest],
    llms: Mapping[str, Llm],
    gpus: Mapping[str, Gpu],
    engine: Engine,
    catalog: CoefficientCatalog,
    corrected: bool = False,
) -> Observations:
    """Measured times and the parts of the prediction, each of shape [tests].

    corrected: whether corrections of the catalog apply; calibration starts without them.
    """
    used = catalog if corrected else catalog.model_copy(update={"corrections": ()})
    rows, _ = build_rows([configuration] * len(tests), llms, gpus, engine, used)

    def column(values: Sequence[float]) -> jax.Array:
        return jnp.asarray(np.asarray(values, dtype=np.float32))

    inputs, outputs = column([t.input_tokens for t in tests]), column([t.output_tokens for t in tests])
    seqs, budget = rows.max_num_seqs, rows.max_num_batched_tokens
    pool = memory(rows, engine, engine.gpu_memory_utilization, 0.0, budget, seqs).pool
    fit = pool / kv_bytes(rows, inputs + outputs / 2.0, engine.kv_block_tokens)
    load = ClosedLoop(
        concurrency=column([t.concurrency for t in tests]),
        input_tokens=inputs,
        output_tokens=outputs,
        # A test that ran did fit, whatever the memory model says.
        sequences_that_fit=jnp.minimum(jnp.where(fit >= 1.0, fit, jnp.inf), seqs),
        token_budget=budget,
    )
    found = jax.device_get(closed_loop(rows, load))
    return Observations(
        np.array([t.tpot_s for t in tests]),
        np.asarray(found.decode_s, dtype=np.float64),
        np.asarray(found.interference_s, dtype=np.float64),
        np.asarray(found.batch, dtype=np.float64),
    )
