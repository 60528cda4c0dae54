"""Score the step-time kernel on measured closed-loop runs: yours or public ones.

    python -m benchmarks.step_time --runs FILE [--calibrate N] [--json]

Coefficients come from the catalog (operator tables and stated assumptions; no serving run). --calibrate N fits the
corrections of models/calibrate.py to N random runs of every (LLM, GPU, engine, version, precision) and scores the rest.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.measured_runs import Run, read_runs
from benchmarks.scores import table
from configs.catalog_schema import CoefficientCatalog
from configs.errors import InputError
from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import FloatArray
from models.attention_data_parallel import spread_experts
from models.calibrate import Observations, calibrate, predict
from models.closed_loop import ClosedLoop, closed_loop
from models.memory import kv_bytes, memory
from models.rows import build_rows

HEADROOM = 0.0
IDLE_BATCH = 4
"""At most this many clients start without a queue that matters: their TTFT is compared with prefill time."""
LONG_PROMPT = 4000


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


def predict_runs(runs: Sequence[Run], catalog: CoefficientCatalog) -> Predicted:
    """Closed-loop times of every run with the catalog's coefficients; one kernel call for each engine."""
    parts = np.zeros((5, len(runs)))
    engines = np.array([run.configuration.engine for run in runs])
    for name in sorted(set(engines)):
        index = np.flatnonzero(engines == name)
        parts[:, index] = _predict_engine([runs[int(i)] for i in index], name, catalog)
    return Predicted(*parts)


def _predict_engine(runs: Sequence[Run], name: str, catalog: CoefficientCatalog) -> FloatArray:
    engine = find_engine(name)
    # One attention replica at its own tensor parallelism; experts over the ranks of all of them.
    replicas = [run.attention_data_parallel for run in runs]
    whole = [
        replace(run.configuration, tensor_parallel=run.configuration.tensor_parallel * many)
        for run, many in zip(runs, replicas, strict=True)
    ]
    single = [replace(run.configuration, expert_parallel=1) for run in runs]
    spread, provenance = build_rows(whole, load_llms(), load_gpus(), engine, catalog)
    attention, _ = build_rows(single, load_llms(), load_gpus(), engine, catalog)

    def column(values: Sequence[float]) -> jax.Array:
        return jnp.asarray(np.asarray(values, dtype=np.float32))

    rows = spread_experts(attention, spread, column(replicas))
    inputs, outputs = column([run.input_tokens for run in runs]), column([run.output_tokens for run in runs])
    seqs, budget = engine.max_num_seqs, engine.max_num_batched_tokens
    pool = memory(rows, engine, engine.gpu_memory_utilization, HEADROOM, budget, seqs).pool
    fit = pool / kv_bytes(rows, inputs + outputs / 2.0, engine.kv_block_tokens)
    load = ClosedLoop(
        concurrency=column([run.concurrency for run in runs]),
        input_tokens=inputs,
        output_tokens=outputs,
        # A test that ran did fit: where our memory model disagrees the load stands, and only KV pressure is modelled.
        sequences_that_fit=jnp.minimum(jnp.where(fit >= 1.0, fit, jnp.inf), float(seqs)),
        token_budget=jnp.full_like(inputs, float(budget)),
    )
    found = jax.device_get(closed_loop(rows, load))
    fitted = [float(kind == "fitted") for kind in provenance]
    return np.stack([found.decode_s, found.interference_s, found.prefill_s, found.batch, fitted]).astype(np.float64)


def without_own_tables(runs: Sequence[Run]) -> FloatArray:
    """TPOT where each GPU is predicted from the operator tables of all others: what an unmeasured GPU would get."""
    catalog = load_coefficients()
    predicted = np.zeros(len(runs))
    gpus = np.array([run.configuration.gpu for run in runs])
    for gpu in sorted(set(gpus)):
        others = catalog.model_copy(
            update={
                name: tuple(fit for fit in getattr(catalog, name) if fit.gpu != gpu)
                for name in ("gemm", "decode_attention", "prefill_attention", "all_reduce")
            }
        )
        index = np.flatnonzero(gpus == gpu)
        predicted[index] = predict_runs([runs[int(i)] for i in index], others).tpot_s
    return predicted


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


def calibrated(runs: Sequence[Run], base: Predicted, points: int, seed: int) -> tuple[FloatArray, FloatArray]:
    """Predictions after calibration, and which runs were held out; groups of `points` runs or fewer are not scored."""
    rng = np.random.default_rng(seed)
    measured = np.array([run.tpot_s for run in runs])
    labels = np.array(
        [
            "/".join((c.llm, c.gpu, c.engine, run.version, c.precision))
            for run, c in ((run, run.configuration) for run in runs)
        ]
    )
    moved, held = base.tpot_s.copy(), np.zeros(len(runs), dtype=bool)
    for label in sorted(set(labels)):
        index = np.flatnonzero(labels == label)
        if len(index) <= points:
            continue
        seen = rng.choice(index, points, replace=False)
        rest = np.setdiff1d(index, seen)
        parts = (base.decode_s, base.interference_s, base.batch)
        fit = calibrate(Observations(measured[seen], *(part[seen] for part in parts)))
        moved[rest] = predict(fit, *(part[rest] for part in parts))
        held[rest] = True
    return moved, held


def report(path: Path, points: int, seeds: int) -> dict[str, object]:
    """Everything the benchmark prints."""
    runs, left_out = read_runs(path)
    result: dict[str, object] = {
        "file": path.name,
        "runs": len(runs),
        "left_out": sum(left_out.values()),
        "left_out_because": left_out,
        "device": jax.devices()[0].device_kind,
    }
    if not runs:
        return result
    base = predict_runs(runs, load_coefficients())
    measured = np.array([run.tpot_s for run in runs])
    result["coefficients"] = {
        "fitted": int(base.fitted.sum()),
        "roofline": int(len(runs) - base.fitted.sum()),
    }
    result["tpot"] = table(runs, base.tpot_s, measured)
    result["tpot_leave_one_llm_out"] = over_llms(runs, base.tpot_s, measured)
    result["tpot_leave_one_gpu_out"] = table(runs, without_own_tables(runs), measured)
    result["ttft_at_batch_4_or_less"] = idle_ttft(runs, base)
    if points:
        tables = []
        for seed in range(seeds):
            moved, held = calibrated(runs, base, points, seed)
            kept = [run for run, out in zip(runs, held, strict=True) if out]
            tables.append((kept, moved[held], measured[held]))
        joined = [run for kept, _, _ in tables for run in kept]
        result["tpot_calibrated"] = {
            "points_a_group": points,
            "random_draws": seeds,
            **table(joined, np.concatenate([t[1] for t in tables]), np.concatenate([t[2] for t in tables])),
        }
    return result


def _print(result: dict[str, object]) -> None:
    print(f"{result['file']}: {result['runs']} runs scored, {result['left_out']} left out")
    for reason, count in dict(result["left_out_because"]).items():  # type: ignore[call-overload]
        print(f"  {count:5d}  {reason}")
    tables = {name: result.get(name) for name in ("tpot", "tpot_leave_one_llm_out", "tpot_leave_one_gpu_out")}
    tables["tpot_calibrated"] = result.get("tpot_calibrated")
    ttft = result.get("ttft_at_batch_4_or_less")
    if isinstance(ttft, dict):
        tables |= {f"ttft at batch 4 or less, {name}": part for name, part in ttft.items()}
    for name, part in tables.items():
        if isinstance(part, dict):
            _print_table(name, part)


def _print_table(name: str, part: dict[str, object]) -> None:
    print(f"\n{name}: n, MAPE %, median %, bias %")
    for group, scores in part.items():
        if not isinstance(scores, dict):
            print(f"  {group:59s} {scores!s:>5s}")
            continue
        for label, s in ({"": scores} if group == "total" else scores).items():
            print(
                f"  {group:16s} {label:42s} {s['n']:5d} {s['mape_percent']:7.2f}"
                f" {s['median_percent']:7.2f} {s['bias_percent']:+7.2f}"
            )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.step_time", description=__doc__)
    parser.add_argument("--runs", type=Path, required=True, help="CSV file of measured closed-loop runs")
    parser.add_argument("--calibrate", type=int, default=0, metavar="N", help="fit to N random runs of every group")
    parser.add_argument("--draws", type=int, default=5, help="random draws that calibration scores are averaged over")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args(arguments)
    try:
        result = report(chosen.runs, chosen.calibrate, chosen.draws)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps(result, indent=2))
    else:
        _print(result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
