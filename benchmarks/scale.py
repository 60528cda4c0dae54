"""How run time grows with series, configurations and demand scenarios, and what more of them would cost.

    python -m benchmarks.scale [--series 8 32 128] [--configurations 9 36 108] [--scenarios 1 4 16] [--config FILE]
                               [--workers 2] [--usd-per-core-hour 0.05] [--project 1000 10000] [--json]

Every row is one step of a plan, measured alone in this process after a first run that compiles: forecasting synthetic
series of 15 weeks three months ahead (here, and on a Dask cluster of --workers processes on this machine where
fleetcast[dask] is installed), evaluating and simulating configurations of the scenario's grid, and planning the fleet.
On a machine that others use, seconds x cores busy is the processor's time, which waits for nobody (that of Dask's
workers is not known here). Beyond what was measured, seconds are projected by the line through the two largest sizes,
and priced by the core-hour.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
import pandas as pd

from flows.environment import prepare

WEEKS, MONTHS = 15, 3


@dataclass(frozen=True, slots=True)
class Row:
    """What was scaled, to how much, seconds (measured, or projected), and cores busy meanwhile."""

    what: str
    size: int
    seconds: float
    cores: float
    measured: bool
    same: bool | None = None
    """Whether the result has the bytes of the one made in this process; None where there is nothing to compare."""


def histories(count: int) -> Any:
    """Synthetic hourly series with seasons of the day and the week."""
    from data.frames import checked_history
    from data.history import TrafficHistory

    t = np.arange(WEEKS * 168)
    shape = 1.0 + 0.6 * np.cos(2 * np.pi * (t % 24 - 15) / 24) - 0.3 * ((t // 24) % 7 >= 5)
    stamps = pd.date_range("2026-08-03", periods=len(t), freq="h", tz="UTC")
    frames = []
    for i in range(count):
        requests = 1000.0 * shape * np.random.default_rng(i).gamma(100.0, 0.01, len(t))
        labels = {"llm": "m", "request_class": f"class-{i}", "region": "r"}
        totals = {"requests": requests, "input_tokens": requests, "output_tokens": requests}
        frames.append(pd.DataFrame(labels | {"ts": stamps} | totals | {"observed": True}))
    return TrafficHistory(checked_history(pd.concat(frames, ignore_index=True)), {}, (), {})


def timed(work: Callable[[], Any]) -> tuple[float, float, Any]:
    """Seconds, cores busy in this process, and what came of it."""
    begin, cpu = time.perf_counter(), time.process_time()
    found = work()
    seconds = time.perf_counter() - begin
    return seconds, (time.process_time() - cpu) / seconds, found


def series_rows(sizes: Sequence[int], workers: int) -> list[Row]:
    """Forecasting, here and on Dask (workers 0: here alone)."""
    from prefect import flow

    from configs.compute import ComputePolicy
    from configs.forecasting import ForecastPolicy
    from flows.spread import one_server, runner, series_on_cluster
    from forecast.portfolio import forecast

    policy = ForecastPolicy(horizon_months=MONTHS, workers=1)

    @flow(name="scale", validate_parameters=False)
    def on_dask(size: int) -> tuple[float, float, Any]:
        return timed(lambda: forecast(histories(size), policy, 1, spread=series_on_cluster))

    forecast(histories(1), policy, 1)
    rows = []
    for size in sizes:
        seconds, cores, here = timed(lambda size=size: forecast(histories(size), policy, 1))  # type: ignore[misc]
        rows.append(Row("series, here", size, seconds, cores, True))
        if workers == 0 or importlib.util.find_spec("prefect_dask") is None:
            continue
        with one_server():
            elsewhere = on_dask.with_options(task_runner=runner(ComputePolicy(on="dask", workers=workers)))
            begin = time.perf_counter()
            _, _, there = elsewhere(size)
            whole = time.perf_counter() - begin
        same = all(a.hourly.tobytes() == b.hourly.tobytes() for a, b in zip(here.series, there.series, strict=True))
        rows.append(Row(f"series, Dask with {workers} workers", size, whole, float(workers), True, same))
    return rows


def plan_rows(config: str | None, configurations: Sequence[int], scenarios: Sequence[int]) -> list[Row]:
    """Evaluating a part of the grid, and planning for more demand scenarios."""
    from configs.loading import load_scenario
    from flows import steps

    loaded = load_scenario(config)
    scenario = loaded.scenario
    history = steps.ingest(loaded, None)
    grid = scenario.evaluate
    every = [(gpu, precision, tp) for gpu in grid.gpus for precision in grid.precisions for tp in grid.tensor_parallel]
    rows = []
    for size in configurations:
        per_llm = max(1, min(len(every), round(size / len(grid.llms))))
        gpus = tuple(dict.fromkeys(gpu for gpu, _, _ in every[:per_llm]))
        tps = grid.tensor_parallel if per_llm >= len(grid.tensor_parallel) else grid.tensor_parallel[:per_llm]
        least = min(len(grid.precisions), max(1, round(per_llm / len(gpus) / len(tps))))
        cut = grid.model_copy(update={"gpus": gpus, "tensor_parallel": tps, "precisions": grid.precisions[:least]})
        some = scenario.model_copy(update={"evaluate": cut})
        steps.evaluate(some, history, loaded.base)  # compiles the shapes of this size
        seconds, cores, table = timed(lambda some=some: steps.evaluate(some, history, loaded.base))  # type: ignore[misc]
        rows.append(Row("configurations", len({row.configuration for row in table.rows}), seconds, cores, True))
    capacity = steps.evaluate(scenario, history, loaded.base)
    for size in scenarios:
        more = scenario.model_copy(update={"forecast": scenario.forecast.model_copy(update={"scenarios": size})})
        demand = steps.forecast(more, history)
        seconds, cores, _ = timed(lambda more=more, demand=demand: steps.optimize(more, demand, capacity))  # type: ignore[misc]
        rows.append(Row("demand scenarios", size, seconds, cores, True))
    return rows


def projected(rows: Sequence[Row], sizes: Sequence[int]) -> list[Row]:
    """Seconds at sizes beyond the measured, by the line through the two largest; nothing where there are not two."""
    found = []
    for what in dict.fromkeys(row.what for row in rows):
        mine = sorted({row.size: row for row in rows if row.what == what}.values(), key=lambda row: row.size)
        if len(mine) < 2:
            continue
        a, b = mine[-2:]
        slope = max((b.seconds - a.seconds) / (b.size - a.size), 0.0)
        found += [
            Row(what, size, b.seconds + slope * (size - b.size), b.cores, False) for size in sizes if size > b.size
        ]
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, nargs="*", default=[8, 32, 128])
    parser.add_argument("--configurations", type=int, nargs="*", default=[9, 36, 108])
    parser.add_argument("--scenarios", type=int, nargs="*", default=[1, 4, 16])
    parser.add_argument("--config", help="scenario whose grid and plan are scaled; default: the embedded default")
    parser.add_argument("--workers", type=int, default=2, help="Dask workers; 0: no cluster")
    parser.add_argument("--usd-per-core-hour", type=float, default=0.05)
    parser.add_argument("--project", type=int, nargs="*", default=[1000, 10000])
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    prepare()
    rows = series_rows(given.series, given.workers) if given.series else []
    if given.configurations or given.scenarios:
        rows += plan_rows(given.config, given.configurations, given.scenarios)
    rows += projected(rows, given.project)
    if given.json:
        print(json.dumps([asdict(row) for row in rows]))
        return
    print(f"{os.cpu_count()} cores; {given.usd_per_core_hour:g} USD a core-hour")
    print(f"{'what':34} {'size':>7} {'seconds':>9} {'cores':>6} {'CPU s':>9} {'USD':>9}")
    for row in sorted(rows, key=lambda row: (row.what, row.size)):
        busy = row.seconds * row.cores
        usd = busy / 3600 * given.usd_per_core_hour
        told = ("" if row.measured else " projected") + ("" if row.same is None else f" same bytes: {row.same}")
        print(f"{row.what:34} {row.size:7,} {row.seconds:9.1f} {row.cores:6.1f} {busy:9.1f} {usd:9.4f}{told}")


if __name__ == "__main__":
    main()
