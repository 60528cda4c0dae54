"""A real day at one-second steps under many scaler policies: seconds, compile apart, and what the policies come to.

    python -m benchmarks.autoscaler --trace FILE [--policies 1000] [--peak 200] [--json]

FILE is a request log in any layout that `fleetcast ingest` reads, or token rates by minute (columns minute,
tokens_per_s). Its busiest 24 hours are scaled to the peak; a shorter trace is repeated until it fills a day, which is
said. The policies are the grid of `fleetcast autoscale`, over again where it has fewer. The replica is an assumed one
of 10 requests/s at its knee: speed does not depend on it.
"""

from __future__ import annotations

import argparse
import json
import os
import time
from pathlib import Path

import numpy as np

from data.load_traces import DAY_S, arrivals, read_load, real_day
from data.scaling_records import BurstBudget, LoadTrace, ReplicaFacts, ScalerPolicy, StartUp
from models.autoscaler.grid import policies
from models.autoscaler.run import simulate

TICK_S = 15.0


def replica() -> ReplicaFacts:
    """Knee at 10 requests/s, saturation at 13."""
    load = np.linspace(0.0, 1.3, 12)
    return ReplicaFacts(
        knee_rps=10.0,
        operating_rps=8.5,
        saturation_rps=13.0,
        ttft_slack_s=1.5,
        max_queue=32.0,
        tokens_running=1200.0,
        tokens_waiting=1000.0,
        load=load,
        running=np.interp(load, [0.0, 1.0, 1.3], [0.0, 40.0, 64.0]),
        kv_share=np.interp(load, [0.0, 1.3], [0.0, 0.6]),
        within_slo=np.interp(load, [0.0, 0.8, 1.0, 1.3], [1.0, 1.0, 0.95, 0.5]),
        waiting=np.interp(load, [0.0, 0.6, 1.0, 1.3], [0.0, 0.2, 2.0, 2.0]),
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trace", type=Path, required=True)
    parser.add_argument("--policies", type=int, default=1000)
    parser.add_argument("--peak", type=float, default=200.0)
    parser.add_argument("--json", action="store_true")
    asked = parser.parse_args()
    load = read_load(asked.trace)
    day, expected = real_day(load, asked.peak)
    came = arrivals(day, seed=0)
    copies = -(-DAY_S // len(came))
    came, expected = np.tile(came, copies)[:DAY_S], np.tile(expected, copies)[:DAY_S]
    facts, start_up = replica(), StartUp(180.0, 90.0, 70.0, 60.0, 60.0)
    trace = LoadTrace(day.name, 1.0, came, expected, max(int(came[:60].mean() / 8.5), 1))
    grid = policies(
        facts, start_up, BurstBudget(1.5, 60.0, 900.0, 60.0), ("queue", "concurrency", "tokens", "kv_cache", "rate"),
        0.2 * asked.peak, asked.peak, int(asked.peak / 8.5 * 1.6) + 1, TICK_S, True,
    )  # fmt: skip
    tried: list[ScalerPolicy] = [grid[i % len(grid)].policy for i in range(asked.policies)]
    seconds = []
    for _ in range(2):
        wall, cpu = time.perf_counter(), time.process_time()
        seen = simulate(tried, [trace], facts, start_up, TICK_S)
        seconds.append((time.perf_counter() - wall, time.process_time() - cpu))
    found = {
        "trace": load.name,
        "unit": load.unit,
        "repeated": copies,
        "policies": len(tried),
        "steps": DAY_S,
        "cores": os.cpu_count(),
        "wall_s_with_compile": round(seconds[0][0], 2),
        "wall_s": round(seconds[1][0], 2),
        "cpu_s": round(seconds[1][1], 2),
        "ns_per_policy_step": round(seconds[1][0] / len(tried) / DAY_S * 1e9, 2),
        "attainment": [round(float(q), 4) for q in np.quantile(seen.attainment, [0.0, 0.5, 1.0])],
        "short_s": [float(q) for q in np.quantile(seen.short_s, [0.0, 0.5, 1.0])],
    }
    if asked.json:
        print(json.dumps(found))
        return
    print(
        f"{found['policies']} policies on {load.name} ({load.unit}, x{copies}), {DAY_S:,} steps of 1 s: "
        f"{found['wall_s']} s wall, {found['cpu_s']} s CPU on {found['cores']} cores ({found['wall_s_with_compile']} s "
        f"with compile), {found['ns_per_policy_step']} ns a policy-step"
    )
    low, middle, high = found["attainment"]  # type: ignore[misc]
    print(f"within SLO, worst, median and best policy: {low:.1%}, {middle:.1%}, {high:.1%}")


if __name__ == "__main__":
    main()
