"""Joint draws of what a plan depends on: Latin hypercube over split-normal ranges, and demand scenarios by probability.

Every option is priced on the same draws (common random numbers), so that differences between options are not noise.
Variables are drawn independently of each other and of the demand scenario.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.special import ndtri

from configs.sensitivity import Spread
from data.records import FloatArray, IntArray

Z95 = 1.6448536269514722
BOUNDS = {
    "volume": (0.02, 50.0),
    "growth": (-0.5, 1.0),
    "output_length": (0.05, 20.0),
    "cache_hit": (-1.0, 1.0),
    "llm_mix": (-0.9, 0.9),
    "quality_routing": (0.0, 0.95),
    "goodput": (0.05, 10.0),
    "prices": (0.05, 20.0),
    "spot_availability": (0.0, 1.0),
    "lead_time": (0.0, 36.0),
}
"""Where a tail of the distribution would leave what the variable can be, it is cut."""


@dataclass(frozen=True, slots=True)
class Draws:
    """values: variable -> [scenario]; demand: index of the demand scenario, weight: probability of each, [scenario]."""

    values: Mapping[str, FloatArray]
    demand: IntArray
    weight: FloatArray

    def __len__(self) -> int:
        return len(self.demand)


def quantile(spread: Spread, name: str, u: FloatArray) -> FloatArray:
    """Quantile u of a split normal with the spread's 5 %, 50 % and 95 % points, within the variable's bounds."""
    z = ndtri(u) / Z95
    raw = spread.base + np.where(z > 0, (spread.high - spread.base) * z, (spread.base - spread.low) * z)
    return np.asarray(np.clip(raw, *BOUNDS[name]))


def joint(spreads: Mapping[str, Spread], probabilities: FloatArray, samples: int, seed: int) -> Draws:
    """Joint draws; each variable visits each of `samples` strata once, and demand scenarios come as often as they are
    probable."""
    rng = np.random.default_rng(seed)

    def strata() -> FloatArray:
        return np.asarray((rng.permutation(samples) + rng.random(samples)) / samples)

    values = {name: quantile(spread, name, strata()) for name, spread in sorted(spreads.items())}
    demand = np.searchsorted(np.cumsum(probabilities), strata() * (1 - 1e-12) * probabilities.sum()).astype(np.int64)
    return Draws(values, np.minimum(demand, len(probabilities) - 1), np.full(samples, 1.0 / samples))


def points(spreads: Mapping[str, Spread], probabilities: FloatArray, cases: Sequence[Mapping[str, float]]) -> Draws:
    """Some points, one after the other: variables at their base but those a case changes, each with every demand
    scenario; weights are the scenarios' probabilities."""
    n = len(probabilities)
    values = {
        name: np.repeat([float(case.get(name, spread.base)) for case in cases], n) for name, spread in spreads.items()
    }
    demand = np.tile(np.arange(n, dtype=np.int64), len(cases))
    return Draws(values, demand, np.tile(np.asarray(probabilities, dtype=float), len(cases)))


def some(draws: Draws, index: IntArray) -> Draws:
    """Part of the draws, weighted alike."""
    return replace(
        draws,
        values={name: value[index] for name, value in draws.values.items()},
        demand=draws.demand[index],
        weight=np.full(len(index), 1.0 / len(index)),
    )
