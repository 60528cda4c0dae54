"""Nanoseconds a lane-step of the simulator, compile excluded.

    python -m benchmarks.simulator_speed [--lanes 1024] [--requests 1000] [--json]

A lane-step is one iteration closed or one prompt chunk granted. Lanes share a synthetic cost and draw their own
lengths.
"""

from __future__ import annotations

import argparse
import json
import time

import jax
import numpy as np

from data.records import StepCost
from models.simulator.engine import Limits, Requests, simulate


def case(lanes: int, requests: int, seed: int) -> tuple[StepCost, Requests, Limits]:
    """An 8B-like replica at about 85 % of its saturation, every lane with requests of its own."""
    rng = np.random.default_rng(seed)
    tokens = np.arange(0.0, 2560.0, 8.0)
    linear = np.tile(6e-3 + 1.2e-5 * tokens, (lanes, 1))

    def each(value: float) -> np.ndarray:
        return np.full(lanes, value)

    cost = StepCost(tokens, linear, each(6e-4), each(1e-6), each(8e-8), each(3e-4), each(0.0), each(3e-9))
    inputs = np.maximum(rng.lognormal(6.5, 0.7, (lanes, requests)), 1).astype(np.int64)
    outputs = np.clip(rng.lognormal(4.8, 0.8, (lanes, requests)), 1, 1000).astype(np.int64)
    arrivals = np.cumsum(rng.exponential(1 / 12.0, (lanes, requests)), axis=1)
    limits = Limits(np.full(lanes, 256), np.full(lanes, 2048), np.full(lanes, 400_000.0), np.full(lanes, 16))
    return cost, Requests(arrivals, inputs, np.zeros_like(inputs), outputs), limits


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, default=1024)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    shape = (arguments.lanes, arguments.requests)
    simulate(*case(*shape, seed=0))
    problem = case(*shape, seed=1)
    begun, cpu = time.perf_counter(), time.process_time()
    got = simulate(*problem)
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    steps = int(got.iterations.sum()) + shape[0] * shape[1]
    device = jax.devices()[0]
    found = {
        "device": f"{device.platform}:{device.device_kind}",
        "lanes": shape[0],
        "requests": shape[1],
        "lane_steps": steps,
        "finished": bool(got.finished.all()),
        "wall_s": wall,
        "cpu_s": cpu,
        "ns_per_lane_iteration": wall / steps * 1e9,
        "cpu_ns_per_lane_iteration": cpu / steps * 1e9,
        "requests_per_s": shape[0] * shape[1] / wall,
    }
    print(json.dumps(found) if arguments.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
