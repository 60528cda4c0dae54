"""The sensitivity of a run: re-priced by `cost`, planned anew by the optimizer where asked for."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from configs.loading import load_scenario
from cost.draws import Draws
from cost.fixed_fleet import FixedFleet, fixed_fleet, heaviest_and_lightest
from cost.reprice import reprice
from cost.sensitivity import PLAN, examine
from data.catalog import load_coefficients
from data.sensitivity_records import Sensitivity
from data.spreads import spreads
from flows.rebuilt import Rebuilt, read_run
from flows.regret import regrets
from flows.resolve import mean_value, resolve
from flows.switching import MOST, switching


@dataclass(frozen=True, slots=True)
class Examined:
    """An answer with what it was found on."""

    answer: Sensitivity
    fleet: FixedFleet
    draws: Draws


def of_scenario(config: str | None, data_folder: Path | None) -> Rebuilt:
    """A scenario planned now, without a run folder."""
    from flows import steps
    from flows.costs import full_cost
    from flows.lengths import at_forecast_lengths

    loaded = load_scenario(config)
    history = steps.ingest(loaded, data_folder)
    demand = steps.forecast(loaded.scenario, history)
    ahead = at_forecast_lengths(history, demand)
    capacity = steps.evaluate(loaded.scenario, ahead, loaded.base)
    problem, plan = steps.optimize(loaded.scenario, demand, capacity)
    coefficients = load_coefficients(calibration=steps.calibration_files(loaded.scenario, loaded.base))
    mixes = full_cost(loaded.scenario, problem, plan, capacity, ahead.lengths, coefficients).mixes
    return Rebuilt(loaded.scenario, problem, plan, dict(mixes))


def examine_run(
    run: Rebuilt,
    today: date,
    samples: int | None = None,
    resolves: int = 0,
    processes: int = 2,
    say: Callable[[str], None] = lambda _: None,
    switches: bool = False,
    regret: bool = False,
    most: int = MOST,
) -> Examined:
    """The whole answer for a plan: re-pricing always, the value of the stochastic solution and full re-solves where
    `resolves` asks for some, switching values (at most so many plans) and the regret matrix of plans where they are
    asked for."""
    policy = run.scenario.sensitivity
    if samples is not None:
        policy = policy.model_copy(update={"samples": samples})
    move = heaviest_and_lightest(run.problem, run.plan)
    if policy.route_from and policy.route_to:
        move = (policy.route_from, policy.route_to)
    fleet = fixed_fleet(run.problem, run.plan, run.mixes, move)
    say(f"re-pricing {policy.samples:,} draws")
    ranges = spreads(policy)
    answer, draws = examine(run.scenario.name, fleet, ranges, policy, run.scenario.seed, today)
    if resolves:
        say("planning for the mean demand alone")
        blind = mean_value(run.problem, run.problem.time_limit_s)
        if blind.pools:
            other = fixed_fleet(run.problem, blind, run.mixes, move)
            worth = float((reprice(other, PLAN, draws).usd - reprice(fleet, PLAN, draws).usd).mean())
            answer = replace(answer, stochastic_usd=worth)
        say(f"planning {resolves} draws anew")
        answer = replace(answer, resolved=resolve(fleet, run.plan, ranges, draws, resolves, processes, say))
    if switches:
        say("looking for values that change the decision")
        answer = replace(answer, switching=switching(fleet, run.plan, ranges, processes, most, say))
    if regret:
        say("holding every scenario's plan in every other")
        answer = replace(answer, regrets=regrets(fleet, run.plan, ranges, answer.named, processes, say))
    return Examined(answer, fleet, draws)


def load(run: Path | None, config: str | None, data_folder: Path | None) -> Rebuilt:
    """A run folder read back, or a scenario planned now."""
    return of_scenario(config, data_folder) if run is None else read_run(run)
