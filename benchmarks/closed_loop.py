"""TTFT and TPOT of measured closed-loop runs, start-up burst included, by the simulator.

    python -m benchmarks.closed_loop --runs FILE [--waves 10] [--shortest 0.8] [--calibrate N] [--json]

FILE has the columns of benchmarks.step_time. A closed-loop client sends its next request when the last one ends; all
start together. How many requests a client sends, and how much their lengths differ, is not in such files: the default
is what InferenceMAX and the vllm bench scripts around it do, 10 requests a client with input and output lengths even
between 80 % and 100 % of the stated ones (assumption of 2026-11-21). It matters: clients whose requests are all alike
stay in step for ever, and every prompt waits for all others (--shortest 1). Clients beyond the sequences that an engine
runs at once wait for one of them to end, and their TTFT counts it; `more_clients_than_slots` says in how many runs.
`a_client_without_place` counts runs of tests that had a client more than the server had places, as the TTFT of the
test's other runs tells (benchmarks/front_end.py): it waits.
Runs with attention data parallelism are left out and counted. Step costs come from the catalog. To a first token the
time is added that front-end and client typically take with the engine (benchmarks/front_end.py): `ttft`.
`ttft_engine_alone` leaves it out; `ttft_front_end_of_other_llms` takes what the file's runs of other LLMs have. With
--calibrate N, the TTFT of N random runs of every configuration is seen and the rest at up to 16 clients scored.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax.numpy as jnp
import numpy as np

from benchmarks.front_end import FEW_CLIENTS, FRONT_END_S, clients_without_place, of_others_s, typical_s
from benchmarks.held_out import first_token
from benchmarks.measured_runs import Run, overlaps, read_runs
from benchmarks.scores import strict
from configs.errors import InputError
from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
from data.records import FloatArray, IntArray
from models.loadtest_simulate import joins_late, sent_by_clients
from models.memory import kv_capacity_tokens, memory
from models.rows import build_rows
from models.simulator.engine import Requests, engine_limits, simulate
from models.step_cost import step_cost


def scheduled_ahead(run: Run) -> bool:
    """Whether iterations were scheduled while the one before ran, as the catalog says of the engine's versions; a file
    that gives none is older."""
    return overlaps(find_engine(run.configuration.engine), run.version)


def queues(run: Run) -> bool:
    """Whether more clients were in flight than the engine runs at once: the rest wait, and their TTFT counts it."""
    return int(run.concurrency) > run.configuration.max_num_seqs


def simulate_runs(runs: list[Run], waves: int, shortest: float, more: IntArray) -> tuple[FloatArray, FloatArray]:
    """Mean TTFT and TPOT of every run, seconds; runs of one engine and concurrency bucket share a batch of lanes.

    more: clients of each run beyond the stated ones, for whom there is no place, [runs].
    """
    sent = [max(round(run.concurrency), 1) + int(one) for run, one in zip(runs, more, strict=True)]
    rng = np.random.default_rng(0)
    ttft, tpot = np.full(len(runs), np.nan), np.full(len(runs), np.nan)
    groups: dict[tuple[str, int], list[int]] = {}
    for i, run in enumerate(runs):
        bucket = 1 << (sent[i] - 1).bit_length()
        groups.setdefault((run.configuration.engine, bucket), []).append(i)
    for (name, bucket), index in groups.items():
        engine, mine = find_engine(name), [runs[i] for i in index]
        configurations = [run.configuration for run in mine]
        context = [run.input_tokens + run.output_tokens / 2 for run in mine]
        catalog = (load_llms(), load_gpus(), engine, load_coefficients())
        cost = step_cost(configurations, *catalog, context)
        rows, _ = build_rows(configurations, *catalog)
        seqs = np.array([one.max_num_seqs for one in configurations])
        budget = np.array([one.max_num_batched_tokens for one in configurations])
        pool = memory(rows, engine, engine.gpu_memory_utilization, 0.0, budget, seqs).pool
        held = jnp.asarray(np.array(context, dtype=np.float32))[:, None]
        fits = np.asarray(kv_capacity_tokens(rows, pool, held, engine.kv_block_tokens), dtype=np.float64)[:, 0]
        clients = np.array([sent[i] for i in index])
        places = np.minimum(clients - more[index], seqs)
        count = waves * bucket
        shape = (len(mine), count)
        stated = np.array([[run.input_tokens for run in mine], [run.output_tokens for run in mine]])[:, :, None]
        inputs, outputs = np.ceil(stated * rng.uniform(shortest, 1.0, (2, *shape))).astype(np.int64)
        # All requests wait from the start and a place is a client, or one of the engine's where there are fewer: the
        # next request starts when one ends.
        requests = Requests(np.zeros(shape), inputs, np.zeros_like(inputs), outputs)
        # A test that ran did fit: a pool that our memory model finds too small for one request is not a limit.
        tokens = np.where(fits >= np.array(context), fits, np.inf)
        limits = engine_limits(engine, places, budget, tokens)
        got = simulate(cost, requests, limits)
        for lane, i in enumerate(index):
            n = waves * clients[lane]
            first, end = got.first_token_s[lane][:n], got.end_s[lane][:n]
            # A place is free before its last token has passed the later pipeline stages; the next takes as long.
            late = 0.0 if got.late_s is None else got.late_s[lane][:n]
            began = sent_by_clients(np.zeros((1, n)), (end - late)[None], int(clients[lane]))
            ttft[i] = float((first - began[0]).mean())
            tpot[i] = float(((end - first) / np.maximum(outputs[lane][:n] - 1, 1)).mean())
            if scheduled_ahead(mine[lane]) and clients[lane] <= places[lane]:
                ttft[i] += float(joins_late(np.zeros((1, n)), began, int(clients[lane])).mean()) * tpot[i]
    return ttft, tpot


def errors(measured: FloatArray, ours: FloatArray) -> dict[str, float]:
    """n, MAPE, median absolute and bias, in percent."""
    seen = np.isfinite(measured) & (measured > 0.0) & np.isfinite(ours)
    e = 100.0 * (ours[seen] / measured[seen] - 1.0)
    if not len(e):
        return {"n": 0}
    return {
        "n": int(seen.sum()),
        "mape_percent": float(np.abs(e).mean()),
        "median_percent": float(np.median(np.abs(e))),
        "bias_percent": float(e.mean()),
    }


def calibrated(runs: list[Run], ttft_s: FloatArray, points: int, draws: int = 5) -> dict[str, dict[str, float]]:
    """Errors of the TTFT of runs at up to 16 clients, `points` others of whose configuration were seen."""
    known = np.isfinite(ttft_s) & np.array([run.ttft_s > 0.0 for run in runs])
    few = [i for i, run in enumerate(runs) if run.concurrency <= FEW_CLIENTS and known[i]]
    mine = [runs[i] for i in few]
    measured = np.array([run.ttft_s for run in mine])
    seen = [first_token(mine, ttft_s[few], points, seed) for seed in range(draws)]
    moved = np.concatenate([np.where(held, one, np.nan) for one, held in seen])
    truth = np.tile(measured, draws)
    families = np.array([f"{run.configuration.llm} {run.configuration.engine}" for run in mine] * draws)
    groups = {family: errors(truth[families == family], moved[families == family]) for family in sorted(set(families))}
    return {"at_most_16_clients": errors(truth, moved)} | groups


def report(path: Path, waves: int, shortest: float, points: int = 0) -> dict[str, Any]:
    """Errors of TTFT and TPOT in total and by group; with `points`, also after so many runs of each configuration.

    Raises InputError where the file cannot be used.
    """
    everything, left_out = read_runs(path)
    runs = [run for run in everything if run.configuration.attention_data_parallel <= 1]
    more = clients_without_place(runs)
    ttft, tpot = simulate_runs(runs, waves, shortest, more)
    clients = np.array([run.concurrency for run in runs])
    dense = np.array([not run.moe for run in runs], dtype=bool)
    measured = {"ttft": np.array([run.ttft_s for run in runs]), "tpot": np.array([run.tpot_s for run in runs])}
    found: dict[str, Any] = {
        "runs": len(runs),
        "left_out": left_out | {"attention data parallelism": len(everything) - len(runs)},
        "more_clients_than_slots": sum(queues(run) for run in runs),
        "a_client_without_place": int((more > 0).sum()),
        "waves": waves,
        "shortest": shortest,
    }
    if points:
        found["ttft_calibrated"] = calibrated(runs, ttft, points)
    families = np.array([f"{run.configuration.llm} {run.configuration.engine}" for run in runs])
    everyone, few = np.ones(len(runs), dtype=bool), clients <= FEW_CLIENTS
    engines = np.array([run.configuration.engine for run in runs])
    tells = few & (measured["ttft"] > 0.0) & np.isfinite(ttft)
    found["front_end_s"] = {
        str(one): {
            "typical": FRONT_END_S.get(str(one), 0.0),
            "here": typical_s(measured["ttft"][tells & (engines == one)], ttft[tells & (engines == one)]),
        }
        for one in sorted(set(engines))
    }
    typical = np.array([FRONT_END_S.get(str(one), 0.0) for one in engines])
    others = of_others_s(runs, ttft, np.flatnonzero(tells).tolist())
    scored = {
        "ttft": ttft + typical, "ttft_engine_alone": ttft, "ttft_front_end_of_other_llms": ttft + others, "tpot": tpot,
    }  # fmt: skip
    for name, ours in scored.items():
        groups = {"all": everyone, "dense": dense, "moe": ~dense}
        groups |= {"at_most_16_clients": few, "dense_at_most_16_clients": dense & few}
        groups |= {f"{family} at_most_16_clients": few & (families == family) for family in sorted(set(families))}
        truth = measured[name[:4]]
        found[name] = {group: errors(truth[those], ours[those]) for group, those in groups.items()}
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.closed_loop",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--runs", type=Path, required=True)
    parser.add_argument("--waves", type=int, default=10)
    parser.add_argument("--shortest", type=float, default=0.8)
    parser.add_argument("--calibrate", type=int, default=0, metavar="N", help="see N random runs of every group")
    parser.add_argument("--json", action="store_true")
    chosen = parser.parse_args(arguments)
    try:
        found = report(chosen.runs, chosen.waves, chosen.shortest, chosen.calibrate)
    except InputError as error:
        print(error, file=sys.stderr)
        return 2
    if chosen.json:
        print(json.dumps(strict(found), allow_nan=False))
        return 0
    for key, value in found.items():
        if key.startswith(("ttft", "tpot")):
            for group, row in value.items():
                print(key, group, " ".join(f"{k} {v:.1f}" for k, v in row.items()))
        else:
            print(f"{key}: {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
