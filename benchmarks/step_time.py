"""Score the step-time kernel on measured closed-loop runs: yours or public ones.

    python -m benchmarks.step_time --runs FILE [--calibrate N] [--json]

Coefficients come from the catalog (operator tables and stated assumptions; no serving run). --calibrate N fits the
corrections of models/calibrate.py to N random runs of every configuration and scores the rest.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np

from benchmarks.held_out import Predicted, calibrated_table, idle_ttft, over_llms
from benchmarks.measured_runs import Run, read_runs
from benchmarks.scores import strict, table
from configs.catalog_schema import CoefficientCatalog
from configs.errors import InputError
from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import FloatArray
from models.closed_loop import ClosedLoop, closed_loop
from models.memory import kv_bytes, memory
from models.rows import build_rows

HEADROOM = 0.0


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
    rows, provenance = build_rows([run.configuration for run in runs], load_llms(), load_gpus(), engine, catalog)

    def column(values: Sequence[float]) -> jax.Array:
        return jnp.asarray(np.asarray(values, dtype=np.float32))

    inputs, outputs = column([run.input_tokens for run in runs]), column([run.output_tokens for run in runs])
    seqs, budget = rows.max_num_seqs, rows.max_num_batched_tokens
    pool = memory(rows, engine, engine.gpu_memory_utilization, HEADROOM, budget, seqs).pool
    fit = pool / kv_bytes(rows, inputs + outputs / 2.0, engine.kv_block_tokens)
    load = ClosedLoop(
        concurrency=column([run.concurrency for run in runs]),
        input_tokens=inputs,
        output_tokens=outputs,
        # A test that ran did fit: where our memory model disagrees the load stands, and only KV pressure is modelled.
        sequences_that_fit=jnp.minimum(jnp.where(fit >= 1.0, fit, jnp.inf), seqs),
        token_budget=budget,
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
        result["tpot_calibrated"] = calibrated_table(runs, base, points, seeds, pooled=False)
        result["tpot_calibrated_over_parallelism"] = calibrated_table(runs, base, points, seeds, pooled=True)
    return result


def _print(result: dict[str, object]) -> None:
    print(f"{result['file']}: {result['runs']} runs scored, {result['left_out']} left out")
    for reason, count in dict(result["left_out_because"]).items():  # type: ignore[call-overload]
        print(f"  {count:5d}  {reason}")
    tables = {name: result.get(name) for name in ("tpot", "tpot_leave_one_llm_out", "tpot_leave_one_gpu_out")}
    tables |= {name: result.get(name) for name in ("tpot_calibrated", "tpot_calibrated_over_parallelism")}
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
        print(json.dumps(strict(result), indent=2, allow_nan=False))
    else:
        _print(result)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
