"""Mélange's published setting, one LLM on heterogeneous GPUs by request-size bucket, beside its slice formulation.

    python -m benchmarks.fleet_melange [--rate 16] [--slices 8] [--seconds 60] [--json]

`example` is the two by two bucket example of its repository (tyler-griggs/melange-release, melange/main.py: A10G at
1.01 and A100 at 3.67 USD/h); `grid` has 5 x 5 buckets on 4 GPU types with seeded throughputs, the size of its paper's
tables. Its formulation assigns slices of a bucket to GPU types by binaries; ours routes continuously to integer
counts. Both are solved by HiGHS here, so that only the formulation differs.
"""

from __future__ import annotations

import argparse
import json
import time
from typing import Any

import highspy
import numpy as np

from data.plan_records import FleetProblem
from data.records import Block, Capacity, Configuration, Demand, FloatArray, Offer, SeriesKey, SloTarget, Source
from optimizer.solve import solve

EXAMPLE_USD = {"A10G": 1.01, "A100": 3.67}
EXAMPLE_RPS = {"A10G": [[5.0, 1.0], [10.0, 5.0]], "A100": [[20.0, 2.0], [50.0, 20.0]]}
EXAMPLE_SHARES = [[0.25, 0.125], [0.375, 0.25]]


def fleet(usd: dict[str, float], rps: dict[str, FloatArray], wanted: FloatArray, seconds: float) -> FleetProblem:
    """The setting as a fleet problem: a bucket is a class, a GPU a replica, one month of one block."""
    names = [f"bucket-{i:02d}" for i in range(wanted.size)]
    here, slo = Source("Mélange example", "2024"), SloTarget(1.0, 0.1, 99.0)
    rows = [
        Capacity(
            Configuration("llm", gpu, "bf16", "bf16", 1, "vllm"), name, slo, rate, rate, 0.0, 0.0, 0.0, "tpot", 0.0,
            0.0, 0.0, "given", "measured",
        )
        for gpu, table in rps.items()
        for name, rate in zip(names, np.asarray(table).ravel().tolist(), strict=True)
    ]  # fmt: skip
    keys = tuple(SeriesKey("llm", name, "here") for name in names)
    demand = Demand(keys, ("2027-01",), (Block("all", 730.0),), np.ones(1), wanted.reshape(-1, 1, 1, 1))
    return FleetProblem(
        demand=demand,
        capacities=tuple(rows),
        offers=tuple(Offer("here", gpu, "on_demand", price, 0, "p", "here", here) for gpu, price in usd.items()),
        regions=("here",),
        quotas={},
        may_serve={"here": ("here",)},
        shed_usd_per_request=dict.fromkeys(names, 1.0),
        protected=dict.fromkeys(names, True),
        failures_per_pool=0,
        mip_gap=1e-6,
        time_limit_s=seconds,
        planning_quantile=0.99,
    )


def by_slices(
    usd: dict[str, float], rps: dict[str, FloatArray], wanted: FloatArray, slices: int, seconds: float
) -> tuple[float, float]:
    """USD an hour and processor seconds of the slice formulation: every slice wholly on one GPU type."""
    h: Any = highspy.Highs()
    for name, value in (("output_flag", False), ("threads", 1), ("time_limit", seconds), ("mip_rel_gap", 1e-6)):
        h.setOptionValue(name, value)
    whole = highspy.HighsVarType.kInteger
    counts = {gpu: h.addVariable(0, highspy.kHighsInf, price, whole) for gpu, price in usd.items()}
    chosen = [[{gpu: h.addVariable(0, 1, 0, whole) for gpu in usd} for _ in range(slices)] for _ in wanted]
    for bucket in chosen:
        for one in bucket:
            h.addConstr(h.qsum(1.0 * x for x in one.values()) == 1)
    for gpu in usd:
        load = [
            float(w / slices / rate) * one[gpu]
            for w, rate, bucket in zip(wanted, np.asarray(rps[gpu]).ravel(), chosen, strict=True)
            for one in bucket
        ]
        h.addConstr(h.qsum([*load, -1.0 * counts[gpu]]) <= 0)
    start = time.process_time()
    h.run()
    return float(h.getInfo().objective_function_value), time.process_time() - start


def measure(rate: float, slices: int, seconds: float) -> list[dict[str, object]]:
    """Both settings, both formulations."""
    rng = np.random.default_rng(0)
    grid_usd = {"L4": 0.7, "A10G": 1.01, "A100": 3.67, "H100": 7.52}
    sizes = 1.0 / np.outer(np.arange(1, 6), np.arange(1, 6))
    power = {"L4": 4.0, "A10G": 6.0, "A100": 24.0, "H100": 45.0}
    grid = {gpu: power[gpu] * sizes ** rng.uniform(0.6, 1.1) * rng.uniform(0.8, 1.2, sizes.shape) for gpu in grid_usd}
    shares = rng.dirichlet(np.ones(25))
    found = []
    for name, usd, rps, wanted in (
        ("example", EXAMPLE_USD, {g: np.array(t) for g, t in EXAMPLE_RPS.items()}, np.ravel(EXAMPLE_SHARES) * rate),
        ("grid", grid_usd, grid, shares * rate * 8),
    ):
        if not found:
            # What is imported on first use is not solving.
            solve(fleet(usd, rps, wanted, seconds))
        start, cpu = time.perf_counter(), time.process_time()
        plan = solve(fleet(usd, rps, wanted, seconds))
        spent, cpu = time.perf_counter() - start, time.process_time() - cpu
        theirs, their_s = by_slices(usd, rps, wanted, slices, seconds)
        found.append(
            {
                "setting": name,
                "usd_per_h": sum(cost.on_demand_usd for cost in plan.costs) / 730.0,
                "status": plan.stats.status,
                "total_s": round(spent, 3),
                "total_cpu_s": round(cpu, 3),
                "solve_s": round(plan.stats.build_s + plan.stats.solve_s, 3),
                "slices_usd_per_h": theirs,
                "slices_cpu_s": round(their_s, 3),
            }
        )
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rate", type=float, default=16.0)
    parser.add_argument("--slices", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.rate, args.slices, args.seconds)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    for row in found:
        print("  ".join(f"{key} {value}" for key, value in row.items()))


if __name__ == "__main__":
    main()
