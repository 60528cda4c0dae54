"""Points per second of the sweep kernel beside the same model in numpy, in the same run on the same core.

    python -m benchmarks.sweep [--points 2e7] [--cores 1] [--json]

A point is one configuration at one batch, prompt and output length, with all outputs: TPOT, TTFT, throughput, cost,
energy, the limit it breaks and by how much. Results stay on the device chunk by chunk; every chunk is waited for.
compile_s is the first chunk in a new process, compiled_before_s the same with what a process before has kept.
"""

from __future__ import annotations

import argparse
import json
import os
import tempfile
import time
from collections.abc import Sequence
from itertools import product

ALONE_ROWS = 65_536
AICONFIGURATOR_POINTS_PER_S = 2700.0
"""aiconfigurator 0.12 evaluates 1,000-2,700 engine configurations a second (2026-11); the higher is compared with."""


def _pin(cores: int) -> int:
    """Keep this process on so many cores, where the system can; returns how many it has."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:cores])
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def measure(points: float, chunk_rows: int, cores: int) -> dict[str, object]:
    """Time both implementations on the catalog's grid; imports wait until the cores are chosen."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from benchmarks.sweep_numpy import evaluate_grid_numpy
    from data.catalog import find_engine, load_coefficients, load_gpus, load_llms
    from data.records import Configuration
    from models.rows import Rows, build_rows
    from models.sweep import Budget, LoadGrid, SweepPolicy, evaluate_grid, stream

    engine, gpus, llms = find_engine("vllm"), load_gpus(), load_llms()
    wanted = [
        Configuration(llm, gpu, precision, "bf16", tp, "vllm")
        for llm, gpu, precision, tp in product(llms, gpus, ("bf16", "fp8", "int4"), (1, 2, 4, 8))
    ]
    loads = LoadGrid(
        jnp.asarray(np.geomspace(1, 512, 32), dtype=jnp.float32),
        jnp.asarray(np.geomspace(128, 32_768, 16), dtype=jnp.float32),
        jnp.asarray(np.geomspace(32, 4096, 16), dtype=jnp.float32),
    )
    count = max(1, int(points // loads.points // chunk_rows)) * chunk_rows
    start = time.perf_counter()
    distinct = wanted[: min(count, len(wanted))]
    rows, _ = build_rows(distinct, llms, gpus, engine, load_coefficients())
    build_s = time.perf_counter() - start
    index = np.arange(count) % len(distinct)
    rows = Rows(*(jnp.asarray(np.asarray(leaf)[index]) for leaf in rows))
    replicas = [distinct[int(i)] for i in index]
    cost = Budget(
        jnp.asarray([3.0 * one.gpus for one in replicas], dtype=jnp.float32),
        jnp.asarray([gpus[one.gpu].tdp_w * one.gpus for one in replicas], dtype=jnp.float32),
    )
    policy = SweepPolicy(engine, 0.9, 0.02, 2.0, 0.05)

    first = Rows(*(leaf[:chunk_rows] for leaf in rows))
    first_cost = Budget(*(leaf[:chunk_rows] for leaf in cost))

    def first_chunk() -> tuple[float, float]:
        start, busy = time.perf_counter(), time.process_time()
        for _, found in stream(rows, cost, loads, policy, chunk_rows):
            found.limit.block_until_ready()
            break
        return time.perf_counter() - start, time.process_time() - busy

    # As the command line sets it (flows/environment.py): what is compiled once is read back by the next process.
    kept = tempfile.TemporaryDirectory()
    jax.config.update("jax_compilation_cache_dir", kept.name)
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.2)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", 0)
    compile_s, compile_cpu_s = first_chunk()
    jax.clear_caches()
    again_s, again_cpu_s = first_chunk()
    # Chunks of both in turn, so that whatever else the machine does falls on both. On one core the processor's own time
    # counts, which waits for nobody; on more, the wall's.
    clock = time.process_time if cores == 1 else time.perf_counter
    ours_s: list[float] = []
    numpy_s: list[float] = []
    twin = evaluate_grid_numpy(first, first_cost, loads, policy)
    every = max(1, count // chunk_rows // 16)
    wall, begun = time.perf_counter(), clock()
    for number, (_, found) in enumerate(stream(rows, cost, loads, policy, chunk_rows)):
        found.limit.block_until_ready()
        ended = clock()
        ours_s.append(ended - begun)
        if number % every == 0:
            twin = evaluate_grid_numpy(first, first_cost, loads, policy)
            numpy_s.append(clock() - ended)
        begun = clock()
    wall_s = time.perf_counter() - wall
    ours = jax.device_get(evaluate_grid(first, first_cost, loads, policy=policy))
    difference = max(
        float(np.max(np.abs(mine / theirs - 1.0)))
        for name, mine, theirs in zip(ours._fields, ours, twin, strict=True)
        if name in ("tpot_s", "ttft_s", "output_tokens_per_s", "usd_per_million_tokens", "joules_per_token")
    )
    # The tenth percentile of each: other processes share caches and threads even where they do not share time.
    rate = chunk_rows * loads.points / float(np.percentile(ours_s, 10))
    # Nothing shared between loads: every configuration at one batch, prompt and output length.
    index = np.arange(ALONE_ROWS) % count
    many = Rows(*(jnp.asarray(np.asarray(leaf)[index]) for leaf in rows))
    price = Budget(jnp.full(ALONE_ROWS, 3.0), jnp.full(ALONE_ROWS, 700.0))
    one_load = LoadGrid(*(jnp.full(1, value) for value in (32.0, 1000.0, 200.0)))
    single: list[float] = []
    for _ in range(8):
        begun = clock()
        evaluate_grid(many, price, one_load, policy=policy).limit.block_until_ready()
        single.append(clock() - begun)
    alone_rate = ALONE_ROWS / min(single)
    numpy_rate = chunk_rows * loads.points / float(np.percentile(numpy_s, 10))
    kept.cleanup()
    return {
        "device": f"{jax.devices()[0].platform}:{jax.devices()[0].device_kind}",
        "points": count * loads.points,
        "configurations": count,
        "distinct_configurations": len(distinct),
        "loads_per_configuration": loads.points,
        "build_rows_s": round(build_s, 3),
        "compile_s": round(compile_s, 2),
        "compile_processor_s": round(compile_cpu_s, 2),
        "compiled_before_s": round(again_s, 2),
        "compiled_before_processor_s": round(again_cpu_s, 2),
        "points_per_s": round(rate),
        "points_per_s_one_load_each": round(alone_rate),
        "clock": "processor time" if cores == 1 else "wall",
        "wall_s_with_numpy_in_between": round(wall_s, 2),
        "numpy_points_per_s": round(numpy_rate),
        "times_numpy": round(rate / numpy_rate, 2),
        "times_aiconfigurator": round(rate / AICONFIGURATOR_POINTS_PER_S),
        "largest_relative_difference_to_numpy": difference,
        "limits_differ": int((ours.limit != twin[5]).sum()),
    }


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.sweep", description=__doc__)
    parser.add_argument("--points", type=float, default=2e7, help="points to evaluate")
    parser.add_argument("--cores", type=int, default=1, help="cores that both implementations may use")
    parser.add_argument("--chunk-rows", type=int, default=4, help="configurations evaluated at once")
    parser.add_argument("--json", action="store_true", help="print JSON")
    chosen = parser.parse_args(arguments)
    cores = _pin(chosen.cores)
    result = {"cores": cores, **measure(chosen.points, chosen.chunk_rows, cores)}
    if chosen.json:
        print(json.dumps(result, indent=2))
    else:
        for name, value in result.items():
            print(f"{name:40s} {value:,}" if isinstance(value, int | float) else f"{name:40s} {value}")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
