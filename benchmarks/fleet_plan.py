"""Seconds, bound, plan and gap of a fleet plan of a stated size, beside the same model written straight into highspy.

    python -m benchmarks.fleet_plan --size S|M|L|XL [--seconds 60] [--gap 0.01] [--seed 0] [--nodes] [--no-raw] [--json]

S is one month and one scenario to 0.1 %; M is 12 months x 4 blocks x 5 scenarios x 3 regions x 6 classes x 24
configurations to 1 %; L the same with 20 scenarios; XL 24 months and 30 scenarios. Prices come from the catalog, rates
from the kernels. Both solvers get the same seconds and the same gap in the same run.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from dataclasses import replace

from benchmarks.fleet_instances import SIZES, instance
from benchmarks.fleet_raw import solve_raw
from optimizer.solve import solve

DEFAULTS = {"S": (2.0, 0.001), "M": (60.0, 0.01), "L": (300.0, 0.01), "XL": (600.0, 0.02)}


def measure(size: str, seconds: float, gap: float, seed: int, raw: bool, nodes: bool) -> dict[str, object]:
    """One instance through the product and through raw highspy."""
    problem = replace(instance(SIZES[size], seed, gap, seconds), whole_nodes=nodes)
    # What is imported on first use is not building.
    solve(instance(SIZES["S"], seed, gap, 2.0))
    demand = problem.demand
    cpu = time.process_time()
    plan = solve(problem, lambda line: print(line, file=sys.stderr, flush=True))
    cpu = time.process_time() - cpu
    stats = plan.stats
    found: dict[str, object] = {
        "size": size,
        "whole_nodes": nodes,
        "months": len(demand.months),
        "blocks": len(demand.blocks),
        "scenarios": len(demand.probabilities),
        "regions": len(problem.regions),
        "classes": len({(key.llm, key.request_class) for key in demand.series}),
        "series": len(demand.series),
        "configurations": len({row.configuration for row in problem.capacities}),
        "columns": stats.columns,
        "rows": stats.rows,
        "integers": stats.integers,
        "build_s": round(stats.build_s, 3),
        "solve_s": round(stats.solve_s, 3),
        "cpu_s": round(cpu, 1),
        "total_s": round(stats.build_s + stats.solve_s, 3),
        "build_share_of_solve": round(stats.build_s / max(stats.solve_s, 1e-9), 4),
        "status": stats.status,
        "bound_usd": stats.bound_usd,
        "plan_usd": stats.objective_usd,
        "gap": stats.gap,
        "baselines": {one.name: round(one.saving, 4) for one in plan.baselines if one.serves_promise},
    }
    if raw:
        same = solve_raw(problem, gap, seconds)
        found["raw"] = {
            "columns": same.columns,
            "rows": same.rows,
            "integers": same.integers,
            "build_s": round(same.build_s, 3),
            "solve_s": round(same.solve_s, 3),
            "bound_usd": same.bound_usd,
            "plan_usd": same.objective_usd,
            "gap": same.gap,
        }
        found["build_over_raw"] = round(stats.build_s / same.build_s, 3)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=SIZES, default="M")
    parser.add_argument("--seconds", type=float, help="time limit of each solver; default by size")
    parser.add_argument("--gap", type=float, help="gap at which to stop; default by size")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--no-raw", action="store_true", help="leave the raw model out")
    parser.add_argument("--nodes", action="store_true", help="GPUs in whole nodes, as the offers say")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    seconds, gap = DEFAULTS[args.size]
    found = measure(args.size, args.seconds or seconds, args.gap or gap, args.seed, not args.no_raw, args.nodes)
    if args.json:
        print(json.dumps(found, indent=2))
        return
    for key, value in found.items():
        print(f"{key:>22}  {value}")


if __name__ == "__main__":
    main()
