"""A decision re-priced in many scenarios: its commitments stand, everything else is recourse.

What can still be chosen in a scenario: GPUs by the hour within quotas, API calls, shed requests (cost/dispatch.py).
Series go through the plan's pools in the shares that its design scenario's routing has; only what these cannot carry is
offered to other places that may serve it, one after the other, so costs are upper bounds of routing everything anew.
GPUs are fractions, reserves those of the plan; rerouted load has none of its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from cost.dispatch import Curves, Pieces, dispatch, pieces
from cost.draws import Draws
from cost.fixed_fleet import FixedFleet, committed_usd
from data.records import BoolArray, FloatArray, IntArray
from data.units import HOURS_PER_MONTH, SECONDS_PER_HOUR

PROMISE_FACTOR, PROMISE_LEAST_USD = 1000.0, 100.0
"""A protected class is served before money is saved on it, as in the plan's own objective."""
SHORT_SHARE = 1e-3
"""A month is short when more than this share of the protected peak is not served, or reserves are not whole."""


@dataclass(frozen=True, slots=True)
class Option:
    """A decision: the plan's lots times `commit`, started `delay` months late; hours are bought as quotas allow, and
    until there are `ceiling` times the GPUs that the plan provisions in a place."""

    name: str
    commit: float = 1.0
    delay: int = 0
    ceiling: float = np.inf


@dataclass(frozen=True, slots=True)
class Priced:
    """By scenario: decision cost (cash and shed load at its price, less residual value), cash, requests shed; by month
    too whether it was short, and GPUs needed, [scenario, month, cell]."""

    option: Option
    usd: FloatArray
    cash: FloatArray
    shed_requests: FloatArray
    short: BoolArray
    need: FloatArray


def reprice(fleet: FixedFleet, option: Option, draws: Draws) -> Priced:
    """Every scenario of the draws under one option."""
    return reprice_all(fleet, (option,), draws)[0]


@dataclass(slots=True)
class _Account:
    """One option's sums as they grow: GPUs committed [scenario, month, cell], then as in Priced."""

    gpus: FloatArray
    cash: FloatArray
    usd: FloatArray
    shed: FloatArray
    short: BoolArray


def reprice_all(fleet: FixedFleet, options: Sequence[Option], draws: Draws) -> tuple[Priced, ...]:
    """Every scenario of the draws under every option; what options share is worked out once."""
    demand = fleet.problem.demand
    months, n = len(demand.months), len(draws)
    late = np.clip(np.rint(draws.values["lead_time"]).astype(int), 0, months)
    books = []
    for option in options:
        gpus, cash, usd = _commitments(fleet, option, late + option.delay)
        none = np.zeros((n, months), dtype=bool)
        books.append(_Account(gpus, cash + fleet.start_usd, usd + fleet.start_usd, np.zeros(n), none))
    need = np.zeros((n, months, len(fleet.cells)))
    prices = Prices(fleet, draws)
    load = route_load(fleet, draws)
    for m in range(months):
        cells = [_cell(prices, load, g, m) for g in range(len(fleet.cells))]
        for g, cell in enumerate(cells):
            need[:, m, g] = fleet.reserve[m, g] + cell.need[:, :, 0].sum(axis=1)
        for option, book in zip(options, books, strict=True):
            _month(prices, option, book, cells, m)
    return tuple(
        Priced(option, one.usd, one.cash, one.shed, one.short, need) for option, one in zip(options, books, strict=True)
    )


@dataclass(frozen=True, slots=True)
class _Cell:
    """One month and cell: its routes' series, GPUs for one request/s [scenario, route], GPUs needed [scenario, route,
    block], and the merit order."""

    series: tuple[int, ...]
    per_rps: FloatArray
    need: FloatArray
    pieces: Pieces


def _cell(prices: Prices, load: FloatArray, g: int, m: int) -> _Cell:
    fleet, draws = prices.fleet, prices.draws
    demand = fleet.problem.demand
    mine = [i for i, route in enumerate(fleet.routes) if route.cell == g and route.share[m] > 0.0]
    need, per_rps = np.zeros((len(draws), len(mine), len(demand.blocks))), np.ones((len(draws), len(mine)))
    series = tuple(fleet.routes[i].series for i in mine)
    for at, i in enumerate(mine):
        route = fleet.routes[i]
        per_rps[:, at] = route.gpus_per_rps * prices.slow[route.series]
        rps = demand.rps[route.series, m].T[draws.demand] * (load[:, i, m] * route.share[m])[:, None]
        need[:, at] = rps * per_rps[:, at, None]
    share = np.array([fleet.routes[i].share[m] for i in mine])
    return _Cell(series, per_rps, need, pieces(prices.curves(series, need, per_rps, share)))


def _month(prices: Prices, option: Option, book: _Account, cells: Sequence[_Cell], m: int) -> None:
    """One month entered into an option's account: every cell on its own, what it could not carry through other cells,
    the rest to APIs or shed."""
    fleet, draws = prices.fleet, prices.draws
    n, price = len(draws), draws.values["prices"]
    demand = fleet.problem.demand
    over = np.zeros((n, len(demand.series), len(demand.blocks)))
    total = np.zeros((n, len(demand.series)))
    spare, room, rent = (np.zeros((n, len(cells))) for _ in range(3))
    there = draws.values["spot_availability"]
    paid = np.zeros(n)
    for g, cell in enumerate(cells):
        committed, reserve, spot = book.gpus[:, m, g], np.full(n, fleet.reserve[m, g]), fleet.spot[m, g]
        hourly = fleet.on_demand_usd_per_h[g]
        if spot > 0.0:
            paid += spot * there * fleet.spot_usd_per_h[g] * HOURS_PER_MONTH * price
        if not np.isnan(hourly):
            most = fleet.quota[g]
            if option.ceiling < np.inf:
                most = min(most, option.ceiling * fleet.planned[m, g])
            room[:, g] = np.maximum(most - committed - spot, 0.0)
            rent[:, g] = hourly * HOURS_PER_MONTH * price
        free = committed + spot * there
        found = dispatch(cell.pieces, free, reserve, room[:, g], rent[:, g])
        paid += found.bought * rent[:, g]
        spare[:, g] = np.maximum(free + found.bought - reserve - found.given.sum(axis=1), 0.0)
        room[:, g] -= found.bought
        left = np.maximum(cell.need - found.given[:, :, None], 0.0) / cell.per_rps[:, :, None]
        for at, k in enumerate(cell.series):
            over[:, k] += left[:, at]
            total[:, k] += cell.need[:, at, 0] / cell.per_rps[:, at]
        book.short[:, m] |= found.unmet > SHORT_SHARE * np.maximum(reserve, 1.0)
    paid += _reroute(prices, over, spare, room, rent)
    sent = np.minimum(over, prices.api_rps[None, :, None])
    calls = (sent @ prices.seconds) @ np.where(prices.has_api, prices.api_usd, 0.0) * price
    lost = over - sent
    dropped = lost @ prices.seconds
    book.cash, book.usd = book.cash + paid + calls, book.usd + paid + calls + dropped @ prices.shed_usd
    book.shed = book.shed + dropped.sum(axis=1)
    guard = prices.protected
    missed, wanted = lost[:, guard, 0].sum(axis=1), total[:, guard].sum(axis=1)
    book.short[:, m] |= missed > SHORT_SHARE * np.maximum(wanted, 1e-12)


def _reroute(prices: Prices, over: FloatArray, spare: FloatArray, room: FloatArray, rent: FloatArray) -> FloatArray:
    """Load that its own pools cannot carry, offered to other cells that may serve it, cheapest first, dearest classes
    first; changes over, spare and room in place and returns what it costs [scenario]. A heuristic: never better than
    routing everything anew."""
    paid = np.zeros(len(over))
    for k in sorted(range(over.shape[1]), key=lambda k: -prices.valued[k]):
        for g, gpus_per_rps in prices.fleet.others[k]:
            rows = np.flatnonzero((over[:, k].max(axis=1) > 1e-9) & (spare[:, g] + room[:, g] > 1e-9))
            if len(rows) == 0:
                continue
            per_rps = gpus_per_rps * prices.slow[k][rows]
            need = over[rows, k][:, None, :] * per_rps[:, None, None]
            curves = prices.curves((k,), need, per_rps[:, None], np.ones(1), rows)
            found = dispatch(pieces(curves), spare[rows, g], np.zeros(len(rows)), room[rows, g], rent[rows, g])
            over[rows, k] = np.maximum(need[:, 0] - found.given, 0.0) / per_rps[:, None]
            paid[rows] += found.bought * rent[rows, g]
            spare[rows, g] = np.maximum(spare[rows, g] + found.bought - found.given[:, 0], 0.0)
            room[rows, g] -= found.bought
    return paid


class Prices:
    """What a request not served costs, by series, and how heavy it is in each scenario."""

    def __init__(self, fleet: FixedFleet, draws: Draws) -> None:
        problem = fleet.problem
        series, blocks = problem.demand.series, problem.demand.blocks
        self.fleet, self.draws = fleet, draws
        self.seconds = np.array([block.hours for block in blocks]) * SECONDS_PER_HOUR
        slow = slowness(fleet, draws)
        self.slow = [slow.get((key.llm, key.request_class), 1.0 / draws.values["goodput"]) for key in series]
        self.shed_usd = np.array([problem.shed_usd_per_request[key.request_class] for key in series])
        self.protected = np.array([problem.protected[key.request_class] for key in series])
        promised = np.maximum(PROMISE_FACTOR * self.shed_usd, PROMISE_LEAST_USD)
        self.valued = np.where(self.protected, promised, self.shed_usd)
        self.api_usd, self.api_rps = np.full(len(series), np.inf), np.zeros(len(series))
        requests = np.einsum("kmbs,b,s->k", problem.demand.rps, self.seconds, problem.demand.probabilities)
        for k, key in enumerate(series):
            offer = problem.api.get((key.llm, key.request_class))
            if offer is not None and offer.usd_per_request < self.valued[k]:
                alike = [
                    i for i, one in enumerate(series) if (one.llm, one.request_class) == (key.llm, key.request_class)
                ]
                part = requests[k] / max(requests[alike].sum(), 1e-12)
                self.api_usd[k] = offer.usd_per_request
                self.api_rps[k] = offer.rps_max * part if np.isfinite(offer.rps_max) else np.inf
        self.has_api = np.isfinite(self.api_usd)

    def curves(
        self,
        series: Sequence[int],
        need: FloatArray,
        per_rps: FloatArray,
        share: FloatArray,
        rows: IntArray | slice = slice(None),
    ) -> Curves:
        """What routes' overflow costs: up to the API's limit (of the route's share) a call, beyond it a shed request.

        need [scenario, route, block], per_rps [scenario, route], share [route] of its series.
        """
        mine = list(series)
        each = self.seconds / per_rps[:, :, None]
        shed = self.valued[mine][None, :, None] * each
        if not self.has_api[mine].any():
            return Curves(need, shed)
        with_api = self.has_api[mine][None, :, None]
        price = self.draws.values["prices"][rows][:, None, None]
        call = np.where(self.has_api, self.api_usd, 0.0)[mine][None, :, None] * price * each
        limit = (
            np.where(self.has_api, self.api_rps, 0.0)[mine][None, :, None] * share[None, :, None] * per_rps[:, :, None]
        )
        beyond = np.maximum(need - np.where(np.isfinite(limit), limit, need), 0.0)
        first = np.where(with_api, call, shed)
        second = np.where(with_api, np.maximum(shed - call, 0.0), 0.0)
        return Curves(np.concatenate([need, beyond], axis=2), np.concatenate([first, second], axis=2))


def _commitments(fleet: FixedFleet, option: Option, late: np.ndarray) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Committed GPUs [scenario, month, cell], their cash and their cost to the decision [scenario]."""
    months = len(fleet.problem.demand.months)
    levels = sorted(set(late.tolist()))
    gpus = np.zeros((len(levels), months, len(fleet.cells)))
    cash, usd = np.zeros(len(levels)), np.zeros(len(levels))
    for i, delay in enumerate(levels):
        for lot in fleet.lots:
            scale = 1.0 if lot.sunk else option.commit
            start = lot.start + (0 if lot.sunk else delay)
            gpus[i, start : start + lot.term, lot.cell] += scale * lot.gpus
            paid, counted = committed_usd(fleet, lot, delay)
            cash[i] += scale * paid
            usd[i] += scale * counted
    which = np.searchsorted(levels, late)
    return gpus[which], cash[which], usd[which]


def slowness(fleet: FixedFleet, draws: Draws) -> dict[tuple[str, str], FloatArray]:
    """(LLM, class) -> what a request takes of a replica over what it takes as planned, [scenario].

    Longer answers and other cache hits by the kernels' own capacities at those lengths (flows/heavier.py), KV room and
    latencies included, one after the other; without them by compute alone: prefill grows with the input that the cache
    does not hold, decode with the output. Everything grows with lost goodput.
    """
    found = {}
    longer, more = draws.values["output_length"], draws.values["cache_hit"]
    for key, mix in fleet.mixes.items():
        if mix.slower is None:
            hit = np.clip(mix.cached_share + more, 0.0, 0.98)
            inputs = (1.0 - hit) / max(1.0 - mix.cached_share, 0.02)
            work = mix.prefill_share * inputs + (1.0 - mix.prefill_share) * longer
        else:
            by = mix.slower
            work = _along(np.log(longer), np.log(by.longer), np.log(by.by_longer))
            work = np.exp(work + _along(more, np.asarray(by.hit), np.log(by.by_hit)))
        found[key] = work / draws.values["goodput"]
    return found


def _along(x: FloatArray, knots: FloatArray, values: FloatArray) -> FloatArray:
    """Straight lines through points, the last ones continued."""
    found = np.interp(x, knots, values)
    for end, i, j, outside in ((0, 0, 1, x < knots[0]), (-1, -2, -1, x > knots[-1])):
        slope = (values[j] - values[i]) / (knots[j] - knots[i])
        found = np.where(outside, values[end] + slope * (x - knots[end]), found)
    return np.asarray(found)


def route_load(fleet: FixedFleet, draws: Draws) -> FloatArray:
    """Factor on a series' requests through each route, [scenario, route, month]."""
    demand = fleet.problem.demand
    months = np.arange(1, len(demand.months) + 1)
    grown = draws.values["volume"][:, None] * (1.0 + draws.values["growth"][:, None]) ** months
    found = np.empty((len(draws), len(fleet.routes), len(months)))
    sources = {demand.series[r.series].llm for r in fleet.routes if r.routed}
    targets = {r.configuration.llm for r in fleet.routes if r.routed}
    mix, routed = draws.values["llm_mix"][:, None], draws.values["quality_routing"][:, None]
    requests = np.einsum("kmbs,b,s->km", demand.rps, [b.hours for b in demand.blocks], demand.probabilities)

    def of(llms: set[str]) -> FloatArray:
        mine = [k for k, key in enumerate(demand.series) if key.llm in llms]
        return np.asarray(np.maximum(requests[mine].sum(axis=0), 1e-12))

    for i, route in enumerate(fleet.routes):
        llm = demand.series[route.series].llm
        factor = grown
        if llm in sources:
            factor = factor * (1.0 - mix) * (routed if route.routed else 1.0 - routed)
        elif llm in targets:
            factor = factor * np.maximum(1.0 + mix * of(sources) / of(targets), 0.0)
        found[:, i] = factor
    return found
