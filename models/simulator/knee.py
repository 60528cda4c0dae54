"""Goodput at the SLO: the highest arrival rate at which every stated percentile of every class holds, by simulation.

Every configuration is simulated at several rates at once, with the same requests and the same unit-rate arrivals for
all (common random numbers), first on a wide bracket around a guess, then inside the bracket that remains. Several seeds
give the knee a confidence band.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

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
TARGET_BAND = 0.03
"""Half-width of the band at which the search for a single configuration's knee stops."""
MORE_SEEDS, MOST_SEEDS = 8, 24
"""Seeds that are added at a time while the band is wider than asked, and all there may be."""


@dataclass(frozen=True, slots=True)
class Knees:
    """One entry per lane. knee_rps is 0 where even the lowest rate breaks an SLO; with several seeds it is their
    geometric mean and band its relative half-width at 90 % confidence (nan with one seed).

    binding is the limit that breaks first above it. The other figures are at operating_rps: seconds at the SLO's
    percentiles (the worst class's of a mix; infinite where no limit is stated), mean running requests, share of KV in
    use, share of iterations with an over-full cache.

    Where a seed breaks at every rate, knee_rps is 0, broken_rps the lowest rate that it broke at, binding the limit
    that it broke there, and times and cache are that seed's at that rate. broken_rps is nan elsewhere.
    """

    knee_rps: FloatArray
    band: FloatArray
    by_seed_rps: FloatArray
    binding: tuple[str, ...]
    operating_rps: FloatArray
    broken_rps: FloatArray
    ttft_s: FloatArray
    tpot_s: FloatArray
    e2e_s: FloatArray
    running: FloatArray
    kv_share: FloatArray
    kv_pressure: FloatArray
    output_tokens_per_s: FloatArray

    def times(self, lanes: IntArray) -> Knees:
        """The knees of replicas that are each so many such lanes side by side [lanes]: rates add up, times stay."""
        return replace(
            self,
            knee_rps=self.knee_rps * lanes,
            by_seed_rps=self.by_seed_rps * lanes[:, None],
            operating_rps=self.operating_rps * lanes,
            broken_rps=self.broken_rps * lanes,
            running=self.running * lanes,
            output_tokens_per_s=self.output_tokens_per_s * lanes,
        )


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
        row = lane * drawn.seeds + seed
        asked = Requests(
            drawn.unit_s[row] / rate.reshape(-1, 1),
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

    def search(
        self, guess: FloatArray, first: FloatArray, resolution: float
    ) -> tuple[FloatArray, FloatArray, IntArray]:
        """The knee of every item, the lowest rate that breaks and the limit that breaks there; `first` are rates as
        multiples of the guess."""
        low, high = np.zeros(len(guess)), np.full(len(guess), np.inf)
        breaks = np.zeros(len(guess), dtype=np.int64)
        grid = guess[:, None] * first[None, :]
        for _ in range(MOST_ROUNDS):
            _narrow(self.broken(grid), grid, low, high, breaks)
            if ((high <= low * (1.0 + resolution)) | ((low == 0) & (high < guess * NOTHING))).all():
                break
            grid = _inside(low, high, guess, grid.shape[1])
        return low, high, breaks


def find_knees(
    cost: StepCost,
    mixes: Sequence[Mix],
    limits: Limits,
    guess_rps: FloatArray,
    operating: float,
    requests: int = 1000,
    seeds: int = 1,
    seed: int = 0,
    cv: float | FloatArray = 1.0,
    resolution: float = 0.035,
    near: bool = False,
    target_band: float | None = None,
) -> Knees:
    """Knees of every lane; mixes and guess_rps have one entry per lane of `cost`. A good guess saves rounds; one that
    is 300 times too high finds nothing. near: the guess is a simulated knee already. cv: coefficient of variation of
    the gaps between arrivals, of all lanes or of each [lanes].

    The simulated knee of a seed lies within `resolution` above what is returned. The knee of one seed moves by about
    6 % (one standard deviation) at 1,000 requests and p95, and by less with more.

    target_band: seeds beyond `seeds` are added, the same for all lanes, while the band of any is wider than this, up to
    MOST_SEEDS. Having stopped at a narrow band makes it a little too narrow on average: it is an estimate itself.
    """
    lanes = np.arange(len(mixes))
    guess = np.asarray(guess_rps, dtype=np.float64)
    drawn = draw(mixes, requests, seeds, seed, cv)
    first = _Items(cost, limits, drawn, tuple(mixes), lanes, np.zeros_like(lanes))
    low, top, limit = first.search(guess, (NEAR if near else WIDE)[int(len(lanes) > MANY)], resolution)
    around = np.where(low > 0, low, guess)
    by_seed, high, breaks = low[:, None], top[:, None], limit[:, None]
    knee, band = _mean_and_band(by_seed)
    while (known := by_seed.shape[1]) < seeds:
        more = seeds - known
        if seeds > drawn.seeds:
            # Streams are (seed, index): more of them leave the first as they were.
            drawn = draw(mixes, requests, seeds, seed, cv)
        others = _Items(
            cost, limits, drawn, tuple(mixes), np.repeat(lanes, more), np.tile(np.arange(known, seeds), len(lanes))
        )
        crowd = int(len(lanes) * more > MANY)
        low, top, limit = others.search(np.repeat(around, more), NEAR[crowd], resolution)
        shape = (len(lanes), more)
        by_seed = np.concatenate([by_seed, low.reshape(shape)], axis=1)
        high = np.concatenate([high, top.reshape(shape)], axis=1)
        breaks = np.concatenate([breaks, limit.reshape(shape)], axis=1)
        knee, band = _mean_and_band(by_seed)
        if target_band is not None and bool(np.any(band > target_band)):
            seeds = min(seeds + MORE_SEEDS, MOST_SEEDS)
    # Of a lane that holds at no rate, the first seed that does not tells why.
    telling = np.where(knee > 0, 0, np.argmin(by_seed, axis=1))
    rate = np.where(knee > 0, operating * knee, high[lanes, telling])
    every = _Items(cost, limits, drawn, tuple(mixes), np.repeat(lanes, seeds), np.tile(np.arange(seeds), len(lanes)))
    outcome, asked, which = every.at(np.repeat(rate, seeds)[:, None])
    ttft, tpot, e2e = _worst_class(every, outcome, asked, which)

    def shown(values: FloatArray) -> FloatArray:
        return np.where(knee > 0, across(values, seeds), values.reshape(-1, seeds)[lanes, telling])

    return Knees(
        knee_rps=knee,
        band=band,
        by_seed_rps=by_seed,
        binding=tuple(
            _limit_names(mix, mixes)[limit] for mix, limit in zip(mixes, breaks[lanes, telling], strict=True)
        ),
        operating_rps=operating * knee,
        broken_rps=np.where(knee > 0, np.nan, rate),
        ttft_s=shown(ttft),
        tpot_s=shown(tpot),
        e2e_s=shown(e2e),
        running=shown(outcome.mean_running),
        kv_share=shown(outcome.mean_kv_tokens) / np.maximum(limits.kv_tokens, 1.0),
        kv_pressure=shown(outcome.kv_pressure),
        output_tokens_per_s=shown(asked.output_tokens.sum(axis=1) / outcome.makespan_s),
    )


def _mean_and_band(by_seed: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Geometric mean over seeds and relative half-width of its confidence band, [lanes] each, of knees [lanes, seeds]:
    0 and nan where a seed found none, nan of a single seed."""
    holds: BoolArray = np.asarray((by_seed > 0).all(axis=1))
    logs = np.log(np.where(holds[:, None], by_seed, 1.0))
    seeds = by_seed.shape[1]
    band = np.full(len(by_seed), np.nan)
    if seeds > 1:
        reach = stats.t.ppf(0.5 + CONFIDENCE / 2, seeds - 1)
        band = np.where(holds, np.expm1(reach * logs.std(axis=1, ddof=1) / np.sqrt(seeds)), np.nan)
    return np.where(holds, np.exp(logs.mean(axis=1)), 0.0), band


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


def _worst_class(
    items: _Items, outcome: Outcome, asked: Requests, which: IntArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """TTFT, TPOT and end-to-end time at their percentiles, each of the class that is closest to its limit, [items];
    infinite where no class has the limit."""
    seen = times(outcome.first_token_s, outcome.end_s, asked)
    worst, share = np.full((3, len(which)), np.inf), np.full((3, len(which)), -1.0)
    for number in range(items.classes):
        mine = of_class(seen.ttft_s, which, number)
        values, limits = reached(seen, mine, outcome.finished, items.slo(number))
        of_limit = np.where(np.isfinite(limits), values / np.where(np.isfinite(limits), limits, 1.0), -1.0)
        nearer = of_limit > share
        worst, share = np.where(nearer, values, worst), np.where(nearer, of_limit, share)
    return worst[0], worst[1], worst[2]
