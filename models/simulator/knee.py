"""Goodput at the SLO: the highest arrival rate at which every stated percentile of every class holds, by simulation.

Every configuration is simulated at several rates at once, with the same requests and the same unit-rate arrivals for
all (common random numbers), first on a wide bracket around a guess, then inside the bracket that remains. Several seeds
give the knee a confidence band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from data.records import BoolArray, FloatArray, IntArray, SloTarget, StepCost
from models.simulator.cost import take
from models.simulator.engine import Limits, Outcome, Requests, simulate
from models.simulator.load import Drawn, Mix, draw
from models.simulator.percentiles import across, keeps_up, of_class, times
from models.simulator.verdict import reached

WIDE = (np.geomspace(0.25, 2.0, 8), np.array([0.5, 1.0, 1.6]))
"""First bracket, as multiples of the guess: for few lanes, which run side by side at no cost, and for many."""
NEAR = (np.geomspace(0.75, 1.33, 8), np.array([0.87, 1.0, 1.15]))
"""The same around the knee of another seed."""
MANY = 96
MOST_ROUNDS = 8
NOTHING = 1 / 300
"""A lane that breaks at this share of the guess serves nothing."""
PRESSURE = 0.01
"""Share of iterations with an over-full KV cache above which an engine would preempt so much that the lane's times no
longer hold: such a rate counts as past the knee."""
CONFIDENCE = 0.9


@dataclass(frozen=True, slots=True)
class Knees:
    """One entry per lane. knee_rps is 0 where even the lowest rate breaks an SLO; with several seeds it is their
    geometric mean and band its relative half-width at 90 % confidence (nan with one seed).

    binding is the limit that breaks first above it. The other figures are at operating_rps: seconds at the SLO's
    percentiles (the worst class's of a mix), mean running requests, share of KV in use, share of iterations with an
    over-full cache.
    """

    knee_rps: FloatArray
    band: FloatArray
    by_seed_rps: FloatArray
    binding: tuple[str, ...]
    operating_rps: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    running: FloatArray
    kv_share: FloatArray
    kv_pressure: FloatArray
    output_tokens_per_s: FloatArray


@dataclass(frozen=True, slots=True)
class _Items:
    """Pairs of a lane and a seed, [items] each, as the engine sees them; drawn has all seeds of all lanes."""

    cost: StepCost
    limits: Limits
    drawn: Drawn
    mixes: tuple[Mix, ...]
    lane: IntArray
    seed: IntArray

    def at(self, rate: FloatArray) -> tuple[Outcome, Requests, IntArray]:
        """All items at the rates [items, rates]; outcome rows are items x rates, with the class of every request."""
        many = rate.shape[1]
        lane, seed = np.repeat(self.lane, many), np.repeat(self.seed, many)
        drawn = self.drawn
        row = lane * len(drawn.unit_s) + seed
        asked = Requests(
            drawn.unit_s[seed] / rate.reshape(-1, 1),
            drawn.input_tokens[row],
            drawn.cached_tokens[row],
            drawn.output_tokens[row],
        )
        return simulate(take(self.cost, lane), asked, self.limits.lanes(lane)), asked, drawn.which[row]

    def slo(self, number: int) -> list[SloTarget]:
        """The SLO of a class by its place in the mix, of every item; a lane with fewer classes repeats its last."""
        return [self.mixes[lane][min(number, len(self.mixes[lane]) - 1)].slo for lane in self.lane]

    @property
    def classes(self) -> int:
        return max(len(mix) for mix in self.mixes)

    def broken(self, rate: FloatArray) -> BoolArray:
        """Which limits break at each rate, [limits, items, rates], in the order of `_limit_names`."""
        outcome, asked, which = self.at(rate)
        seen = times(outcome.first_token_s, outcome.end_s, asked)
        many = rate.shape[1]
        rows: list[BoolArray] = []
        for number in range(self.classes):
            slos = [one for one in self.slo(number) for _ in range(many)]
            mine = of_class(seen.ttft_s, which, number) if self.classes > 1 else None
            values, limits = reached(seen, mine, outcome.finished, slos)
            rows += list(values > limits)
        rows += [outcome.kv_pressure > PRESSURE, ~keeps_up(outcome, asked)]
        return np.stack(rows).reshape(len(rows), *rate.shape)

    def search(self, guess: FloatArray, first: FloatArray, resolution: float) -> tuple[FloatArray, IntArray]:
        """The knee of every item and the limit that breaks above it; `first` are rates as multiples of the guess."""
        low, high = np.zeros(len(guess)), np.full(len(guess), np.inf)
        breaks = np.zeros(len(guess), dtype=np.int64)
        grid = guess[:, None] * first[None, :]
        for _ in range(MOST_ROUNDS):
            _narrow(self.broken(grid), grid, low, high, breaks)
            if ((high <= low * (1.0 + resolution)) | ((low == 0) & (high < guess * NOTHING))).all():
                break
            grid = _inside(low, high, guess, grid.shape[1])
        return low, breaks


def find_knees(
    cost: StepCost,
    mixes: Sequence[Mix],
    limits: Limits,
    guess_rps: FloatArray,
    operating: float,
    requests: int = 1000,
    seeds: int = 1,
    seed: int = 0,
    cv: float = 1.0,
    resolution: float = 0.035,
    near: bool = False,
) -> Knees:
    """Knees of every lane; mixes and guess_rps have one entry per lane of `cost`. A good guess saves rounds; one that
    is 300 times too high finds nothing. near: the guess is a simulated knee already.

    The simulated knee of a seed lies within `resolution` above what is returned. The knee of one seed moves by about
    6 % (one standard deviation) at 1,000 requests and p95, and by less with more.
    """
    drawn = draw(mixes, requests, seeds, seed, cv)
    lanes = np.arange(len(mixes))

    def items(lane: IntArray, seed: IntArray) -> _Items:
        return _Items(cost, limits, drawn, tuple(mixes), lane, seed)

    guess = np.asarray(guess_rps, dtype=np.float64)
    crowd = int(len(lanes) > MANY)
    low, breaks = items(lanes, np.zeros_like(lanes)).search(guess, (NEAR if near else WIDE)[crowd], resolution)
    by_seed = low[:, None]
    if seeds > 1:
        others = items(np.repeat(lanes, seeds - 1), np.tile(np.arange(1, seeds), len(lanes)))
        around = np.repeat(np.where(low > 0, low, guess), seeds - 1)
        crowd = int(len(around) > MANY)
        more, _ = others.search(around, NEAR[crowd], resolution)
        by_seed = np.concatenate([by_seed, more.reshape(len(lanes), seeds - 1)], axis=1)
    holds: BoolArray = np.asarray((by_seed > 0).all(axis=1))
    logs = np.log(np.where(holds[:, None], by_seed, 1.0))
    knee = np.where(holds, np.exp(logs.mean(axis=1)), 0.0)
    band = np.full(len(mixes), np.nan)
    if seeds > 1:
        reach = stats.t.ppf(0.5 + CONFIDENCE / 2, seeds - 1)
        band = np.where(holds, np.expm1(reach * logs.std(axis=1, ddof=1) / np.sqrt(seeds)), np.nan)
    rate = np.where(knee > 0, operating * knee, guess_rps)
    every = items(np.repeat(lanes, seeds), np.tile(np.arange(seeds), len(lanes)))
    outcome, asked, which = every.at(np.repeat(rate, seeds)[:, None])
    ttft, tpot = _worst_class(every, outcome, asked, which)
    return Knees(
        knee_rps=knee,
        band=band,
        by_seed_rps=by_seed,
        binding=tuple(_limit_names(mix, mixes)[limit] for mix, limit in zip(mixes, breaks, strict=True)),
        operating_rps=operating * knee,
        ttft_s=across(ttft, seeds),
        tpot_s=across(tpot, seeds),
        running=across(outcome.mean_running, seeds),
        kv_share=across(outcome.mean_kv_tokens, seeds) / np.maximum(limits.kv_tokens, 1.0),
        kv_pressure=across(outcome.kv_pressure, seeds),
        output_tokens_per_s=across(asked.output_tokens.sum(axis=1) / outcome.makespan_s, seeds),
    )


def _limit_names(mix: Mix, mixes: Sequence[Mix]) -> tuple[str, ...]:
    """What `_Items.broken` checks for a lane; a class is named where there are several."""
    names: list[str] = []
    for number in range(max(len(one) for one in mixes)):
        whose = f" ({mix[min(number, len(mix) - 1)].name})" if len(mix) > 1 else ""
        names += [f"{limit}{whose}" for limit in ("ttft", "tpot", "e2e")]
    return (*names, "kv_cache", "throughput")


def _narrow(over: BoolArray, grid: FloatArray, low: FloatArray, high: FloatArray, breaks: IntArray) -> None:
    """Moves the brackets, in place: over [limits, items, rates] says what breaks at each rate of grid [items, rates].

    The first rate that breaks anything ends the search: goodput past a broken SLO is not goodput.
    """
    bad: BoolArray = np.asarray(np.any(over, axis=0))
    item = np.arange(len(grid))
    last = grid.shape[1] - 1
    first = np.where(np.any(bad, axis=1), np.argmax(bad, axis=1), last + 1)
    good = first > 0
    low[good] = np.maximum(low[good], grid[item, np.maximum(first - 1, 0)][good])
    ends = first <= last
    at = grid[item, np.minimum(first, last)]
    nearer = ends & (at < high)
    high[nearer] = at[nearer]
    breaks[nearer] = np.argmax(over[:, item, np.minimum(first, last)], axis=0)[nearer]


def _inside(low: FloatArray, high: FloatArray, guess: FloatArray, many: int) -> FloatArray:
    """The next rates of every item, [items, rates]: evenly by ratio inside its bracket, or far beyond an open end."""
    top = np.where(np.isfinite(high), high, np.maximum(low, guess) * 8.0)
    bottom = np.where(low > 0, low, np.minimum(top / 4.0, guess * NOTHING) / 1.1)
    share = np.arange(1, many + 1) / (many + 1)
    return bottom[:, None] * (top / bottom)[:, None] ** share[None, :]


def _worst_class(items: _Items, outcome: Outcome, asked: Requests, which: IntArray) -> tuple[FloatArray, FloatArray]:
    """TTFT and TPOT at their percentiles, each of the class that is closest to its limit, [items]."""
    seen = times(outcome.first_token_s, outcome.end_s, asked)
    worst, share = np.zeros((2, len(which))), np.full((2, len(which)), -1.0)
    for number in range(items.classes):
        mine = of_class(seen.ttft_s, which, number)
        both = slice(0, 2)
        values, limits = (side[both] for side in reached(seen, mine, outcome.finished, items.slo(number)))
        nearer = values / limits > share
        worst, share = np.where(nearer, values, worst), np.where(nearer, values / limits, share)
    return worst[0], worst[1]
