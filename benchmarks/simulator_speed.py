"""Nanoseconds an iteration of a lane in the simulator, compile excluded.

    python -m benchmarks.simulator_speed [--lanes 1024] [--requests 1000] [--json] [--growth FILE.svg] [--knees N]

An iteration is the engine's; a lane-step of the loop closes up to 32 alike of them or grants a prompt chunk. Both are
reported: seconds over iterations, and over iterations and grants. Run it under `taskset -c 0` for one core. Lanes
share a synthetic cost and draw their own lengths.

--growth measures cost against lanes and against requests instead, and draws it. --knees finds the goodput of N
configurations instead, at --requests requests each: rates around each are bracketed until they are 3.5 % apart.
"""

from __future__ import annotations

import argparse
import json
import time
from dataclasses import replace
from pathlib import Path

import jax
import numpy as np

from data.records import LengthSample, SloTarget, StepCost
from models.simulator.engine import Limits, Requests, simulate
from models.simulator.knee import find_knees
from models.simulator.load import ClassLoad

GROWTH_LANES = (64, 128, 256, 512, 1024, 2048)
GROWTH_REQUESTS = (125, 250, 500, 1000, 2000, 4000)
LINEAR_TERMS = (
    "decode_base_s", "decode_per_seq_s", "decode_per_kv_token_s", "prefill_base_s", "prefill_per_token_s",
    "prefill_per_attention_s",
)  # fmt: skip


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


def cpu_s(lanes: int, requests: int) -> float:
    """CPU seconds of a case, the best of three: other work on the machine only ever adds."""
    simulate(*case(lanes, requests, seed=0))
    found = []
    for seed in range(1, 4):
        problem = case(lanes, requests, seed)
        begun = time.process_time()
        simulate(*problem)
        found.append(time.process_time() - begun)
    return min(found)


def growth(path: Path) -> list[dict[str, float]]:
    """CPU seconds against lanes at 500 requests and against requests at 256 lanes, drawn to `path`; the exponent of
    each: 1 is linear."""
    import altair as alt
    import pandas as pd
    import vl_convert

    rows = [{"size": float(n), "along": "lanes, at 500 requests", "cpu_s": cpu_s(n, 500)} for n in GROWTH_LANES]
    rows += [{"size": float(n), "along": "requests, at 256 lanes", "cpu_s": cpu_s(256, n)} for n in GROWTH_REQUESTS]
    frame = pd.DataFrame(rows)
    for along, mine in frame.groupby("along"):
        slope = np.polyfit(np.log(mine["size"]), np.log(mine["cpu_s"]), 1)[0]
        frame.loc[frame["along"] == along, "label"] = f"{along}: size to the power of {slope:.2f}"
        frame.loc[frame["along"] == along, "exponent"] = slope
    chart = alt.Chart(frame, title="Simulation cost grows linearly").mark_line(point=True)
    scale = alt.Scale(type="log")
    drawn = chart.encode(
        x=alt.X("size:Q", title="lanes or requests a lane", scale=scale),
        y=alt.Y("cpu_s:Q", title="CPU seconds", scale=scale),
        color=alt.Color("label:N", title=None, legend=alt.Legend(orient="bottom", labelLimit=400)),
    ).properties(width=420, height=280)
    path.write_text(vl_convert.vegalite_to_svg(drawn.to_json()), encoding="utf-8")
    return [{str(key): value for key, value in row.items()} for row in frame.to_dict("records")]


def knees(count: int, requests: int) -> dict[str, float]:
    """Goodput of `count` unlike configurations: speeds within a factor of 8, guesses off by up to a third."""
    rng = np.random.default_rng(0)
    cost, asked, limits = case(count, 1000, seed=0)
    speed = np.exp(rng.uniform(np.log(0.35), np.log(2.8), count))
    cost = replace(
        cost,
        linear_s=cost.linear_s / speed[:, None],
        **{name: getattr(cost, name) / speed for name in LINEAR_TERMS},
    )
    lengths = LengthSample(
        asked.input_tokens[0], asked.output_tokens[0], np.zeros(1000, dtype=np.int64), np.ones(1000), "synthetic"
    )
    mix = (ClassLoad("all", 1.0, lengths, SloTarget(1.0, 0.05, 95.0)),)
    guess = 12.0 * speed * np.exp(rng.uniform(-0.3, 0.3, count))
    begun, cpu = time.perf_counter(), time.process_time()
    found = find_knees(cost, [mix] * count, limits, guess, 0.85, requests=requests)
    return {
        "configurations": count,
        "requests": requests,
        "found": int((found.knee_rps > 0).sum()),
        "wall_s": time.perf_counter() - begun,
        "cpu_s": time.process_time() - cpu,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--lanes", type=int, default=1024)
    parser.add_argument("--requests", type=int, default=1000)
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--growth", type=Path)
    parser.add_argument("--knees", type=int)
    arguments = parser.parse_args()
    if arguments.growth is not None or arguments.knees is not None:
        print(json.dumps(growth(arguments.growth) if arguments.growth else knees(arguments.knees, arguments.requests)))
        return
    shape = (arguments.lanes, arguments.requests)
    simulate(*case(*shape, seed=0))
    problem = case(*shape, seed=1)
    begun, cpu = time.perf_counter(), time.process_time()
    got = simulate(*problem)
    wall, cpu = time.perf_counter() - begun, time.process_time() - cpu
    iterations = int(got.iterations.sum())
    steps = iterations + shape[0] * shape[1]
    device = jax.devices()[0]
    found = {
        "device": f"{device.platform}:{device.device_kind}",
        "lanes": shape[0],
        "requests": shape[1],
        "iterations": iterations,
        "lane_steps": steps,
        "finished": bool(got.finished.all()),
        "wall_s": wall,
        "cpu_s": cpu,
        "ns_per_lane_iteration": wall / iterations * 1e9,
        "cpu_ns_per_lane_iteration": cpu / iterations * 1e9,
        "cpu_ns_per_lane_step": cpu / steps * 1e9,
        "requests_per_s": shape[0] * shape[1] / wall,
    }
    print(json.dumps(found) if arguments.json else "\n".join(f"{key}: {value}" for key, value in found.items()))


if __name__ == "__main__":
    main()
