"""Draws as fleet problems: what a plan would have to answer had things been otherwise."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from configs.sensitivity import Spread
from cost.draws import Draws, points
from cost.fixed_fleet import FixedFleet
from cost.reprice import slowness
from data.plan_records import FleetProblem
from data.records import Demand


@dataclass(frozen=True, slots=True)
class World:
    """One draw: what changes in the problem. slowness by (LLM, class); move: LLMs that llm_mix and quality_routing take
    requests from and give them to, None where nothing moves."""

    values: Mapping[str, float]
    slowness: Mapping[tuple[str, str], float]
    move: tuple[str, str] | None = None


def moved_llms(fleet: FixedFleet) -> tuple[str, str] | None:
    """The LLMs between which the fleet's quality routes run."""
    series = fleet.problem.demand.series
    for route in fleet.routes:
        if route.routed:
            return series[route.series].llm, route.configuration.llm
    return None


def worlds(fleet: FixedFleet, draws: Draws) -> list[World]:
    """Every draw as a world."""
    slow, move = slowness(fleet, draws), moved_llms(fleet)
    return [
        World(
            {name: float(value[i]) for name, value in draws.values.items()},
            {key: float(value[i]) for key, value in slow.items()},
            move,
        )
        for i in range(len(draws))
    ]


def worlds_at(
    fleet: FixedFleet, spreads: Mapping[str, Spread], cases: Sequence[Mapping[str, float]]
) -> list[FleetProblem]:
    """Problems with every variable at its base but those a case changes."""
    drawn = points(spreads, np.ones(1), cases)
    return [changed(fleet.problem, world) for world in worlds(fleet, drawn)]


def changed(problem: FleetProblem, world: World) -> FleetProblem:
    """The problem in another world: demand grown, rates slower, hours dearer, commitments later.

    Terms' prices stay: they are what is decided on. Requests that change their LLM, by users' choice or by a router,
    are spread over the other's own series.
    """
    v = world.values
    demand = problem.demand
    months = np.arange(1, len(demand.months) + 1)
    rps = demand.rps * (v["volume"] * (1.0 + v["growth"]) ** months)[None, :, None, None]
    late = round(v["lead_time"])
    mix, routed = v["llm_mix"], v["quality_routing"]
    return replace(
        problem,
        demand=_moved(replace(demand, rps=rps), 1.0 - (1.0 - mix) * (1.0 - routed), world.move),
        capacities=tuple(
            replace(row, operating_rps=row.operating_rps / slow, knee_rps=row.knee_rps / slow)
            for row in problem.capacities
            for slow in (world.slowness.get((row.configuration.llm, row.request_class), 1.0 / v["goodput"]),)
        ),
        offers=tuple(
            replace(one, lead_time_months=None if one.lead_time_months is None else one.lead_time_months + late)
            if one.term_months
            else replace(one, usd_per_gpu_h=one.usd_per_gpu_h * v["prices"])
            for one in problem.offers
        ),
        api={key: replace(one, usd_per_request=one.usd_per_request * v["prices"]) for key, one in problem.api.items()},
        spot_interrupted_share=1.0 - v["spot_availability"],
        commitment_lead_time_months=problem.commitment_lead_time_months + late,
        lead_time_months={name: months + late for name, months in problem.lead_time_months.items()},
    )


def _moved(demand: Demand, share: float, move: tuple[str, str] | None) -> Demand:
    """A share of one LLM's requests moved to another (the other way where it is negative)."""
    if share == 0.0 or move is None:
        return demand
    source = [k for k, key in enumerate(demand.series) if key.llm == move[0]]
    target = [k for k, key in enumerate(demand.series) if key.llm == move[1]]
    rps = demand.rps.copy()
    hours = np.array([block.hours for block in demand.blocks])
    volume = np.einsum("kmbs,b,s->km", rps, hours, demand.probabilities)
    # Month by month, as re-pricing does.
    gained = share * volume[source].sum(axis=0) / np.maximum(volume[target].sum(axis=0), 1e-12)
    rps[source] *= 1.0 - share
    rps[target] *= np.maximum(1.0 + gained, 0.0)[None, :, None, None]
    return replace(demand, rps=rps)
