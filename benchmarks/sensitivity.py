"""Speed of sensitivity: joint Monte Carlo by re-pricing, and full re-solves, of one 12-month plan.

    python -m benchmarks.sensitivity [--samples 10000] [--resolves 200] [--switches] [--regret] [--processes 2]

Bars: 10,000 draws of a 12-month plan in 60 s and 200 full re-solves in 5 min on two cores. Anchor: Netflix's
service-capacity-modeling takes 156 s for 512 scenarios of a far smaller decision.
"""

from __future__ import annotations

import argparse
import resource
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from datetime import date
from typing import TypeVar

import numpy as np

from benchmarks.fleet_instances import SIZES, instance
from configs.sensitivity import SensitivityPolicy, Spread
from cost.draws import joint
from cost.fixed_fleet import FixedFleet, fixed_fleet, heaviest_and_lightest
from cost.reprice import reprice
from cost.sensitivity import PLAN, examine, options_of
from data.cost_records import TokenMix
from data.plan_records import FleetPlan
from data.spreads import spreads
from flows.regret import regrets
from flows.resolve import Planner, planner, resolve
from flows.switching import switching
from flows.worlds import worlds_at
from optimizer.blocks import thinned
from optimizer.merge import merge
from optimizer.renumber import renumbered
from optimizer.solve import solve
from optimizer.template import template
from reports.sensitivity_tables import facts, regret_head, switches
from reports.sensitivity_tables import regrets as regret_rows

T = TypeVar("T")


def main() -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=10_000)
    parser.add_argument("--resolves", type=int, default=200)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--switches", action="store_true", help="also look for values that change the decision")
    parser.add_argument("--regret", action="store_true", help="also hold every scenario's plan in every other")
    parser.add_argument("--size", choices=sorted(SIZES), default="M")
    options = parser.parse_args()
    problem = instance(SIZES[options.size], time_limit_s=60.0)
    start = time.perf_counter()
    plan = solve(problem)
    print(f"plan: {plan.stats.status}, gap {plan.stats.gap:.2%}, {time.perf_counter() - start:.0f} s, "
          f"{plan.stats.columns:,} columns, {len(problem.demand.months)} months")  # fmt: skip
    mixes = {(key.llm, key.request_class): TokenMix(0.5, 0.0) for key in problem.demand.series}
    fleet = fixed_fleet(problem, plan, mixes, heaviest_and_lightest(problem, plan))
    ranges = spreads(SensitivityPolicy())
    draws = joint(ranges, problem.demand.probabilities, options.samples, 0)
    start, busy = time.perf_counter(), time.process_time()
    reprice(fleet, PLAN, draws)
    one, cpu = time.perf_counter() - start, time.process_time() - busy
    print(f"re-pricing: {options.samples:,} draws x {len(problem.demand.months)} months x {len(fleet.cells)} cells, "
          f"{len(fleet.routes)} routes: {one:.1f} s ({cpu:.1f} CPU-s), one decision")  # fmt: skip
    start = time.perf_counter()
    policy = SensitivityPolicy(samples=options.samples)
    answer, draws = examine("benchmark", fleet, ranges, policy, 0, date(2026, 11, 21))
    print(f"whole answer, {len(options_of(fleet))} decisions, frontier, tornado: {time.perf_counter() - start:.1f} s")
    print(f"  cash p5 {answer.cash_p5:,.0f}, p50 {answer.cash_p50:,.0f}, p95 {answer.cash_p95:,.0f}; short in "
          f"{answer.short_any:.1%}; least regret: {answer.least_regret}")  # fmt: skip
    for bar in answer.bars:
        print(f"  {bar.variable:18} {bar.low_usd / bar.base_usd - 1:+.1%} {bar.high_usd / bar.base_usd - 1:+.1%}"
              f"{'  decides: ' + bar.low_best + ' / ' + bar.high_best if bar.decides else ''}")  # fmt: skip
    for outcome in answer.options:
        print(f"  {outcome.name:60} {outcome.usd:14,.0f} regret {outcome.regret:12,.0f} short {outcome.short:.1%}"
              f"{' efficient' if outcome.efficient else ''}")  # fmt: skip
    if options.switches:
        with children("switching values"):
            found = switching(fleet, plan, ranges, options.processes, say=print)
        answer = replace(answer, switching=found)
    if options.regret:
        with children("regrets"):
            held = regrets(fleet, plan, ranges, answer.named, options.processes, print)
        answer = replace(answer, regrets=held)
    for row in (*switches(answer), regret_head(answer), *regret_rows(answer), *facts(answer)):
        print("  " + " | ".join(row))
    if options.resolves:
        one_solve(fleet, plan, ranges)
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        again = resolve(fleet, plan, ranges, draws, options.resolves, options.processes)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
        print(f"re-solves: {again.solves} of {options.resolves} in {again.seconds:.0f} s, {cpu:.0f} CPU-s with "
              f"start-up, {cpu / options.resolves:.2f} each; gap to a bound {again.gap_median:.1%} median, "
              f"{again.gap_most:.1%} most")  # fmt: skip
        print(f"  base {again.base_usd:,.0f} USD, the plan {plan.stats.objective_usd:,.0f}; other commitments in "
              f"{again.changed:.0%}, worth a quarter percent by relaxations in {again.worthwhile:.0%}, more than the "
              f"gap in {again.proven:.0%}; committed GPUs {np.mean(again.committed_gpus):.0f} on average")  # fmt: skip
        for name, value in sorted(again.drivers.items(), key=lambda pair: -abs(pair[1])):
            print(f"  {name:18} {value:+.2f}")


@contextmanager
def children(what: str) -> Iterator[None]:
    """Prints wall time, and CPU time of processes that were started and ended within."""
    start, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    yield
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    print(f"{what}: {time.perf_counter() - start:.0f} s, {cpu:.0f} CPU-s with start-up")


def one_solve(fleet: FixedFleet, plan: FleetPlan, ranges: Mapping[str, Spread]) -> None:
    """Where a re-solve's time goes, against declaring the same world anew; CPU seconds, one process."""
    world = worlds_at(fleet, ranges, [{"volume": 1.1, "growth": 0.01, "goodput": 0.95, "prices": 1.05}])[0]

    def timed(what: Callable[[], T]) -> tuple[float, T]:
        begun = time.process_time()
        found = what()
        return time.process_time() - begun, found

    made, mine = timed(lambda: planner(fleet.problem, plan, [world], check=False))
    assert mine.ready is not None
    ready, slim = mine.ready, thinned(merge(world)[0], list(mine.ready.kept))
    renumbered(ready.known, slim)
    numbers, _ = timed(lambda: renumbered(ready.known, slim))
    declared, _ = timed(lambda: template(slim))
    warm, one = timed(lambda: mine.plan(world))
    whole, _ = timed(lambda: Planner(fleet.problem, None, mine.pools).plan(world))
    kept, _ = timed(lambda: mine.keeping_bound_usd(world, {} if one is None else one.lots))
    gap = "none" if one is None else f"{one.gap:.1%}"
    print(f"one world, CPU-s: numbers {numbers:.3f} against a declaration {declared:.2f} ({declared / numbers:.0f}x), "
          f"planned {warm:.2f} (gap {gap}) against {whole:.2f} when declared, bound of keeping lots {kept:.2f}, "
          f"set-up {made:.1f}")  # fmt: skip


if __name__ == "__main__":
    main()
