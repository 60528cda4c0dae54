"""The plan as a buyer reads it: what to order by when, what waiting costs, when what is held or allowed runs out.

Regrets are differences of linear programs (where orders have minimum lots or discounts, of programs in which those are
kept): the plan's replicas stay as they are, and the supply under them
(commitments, on-demand and spot hours) is bought again without an order, or with one more. They are what the fleet as
planned would cost; a fleet that were planned anew could lose less.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, Literal

import numpy as np

from data.plan_records import FleetProblem
from data.procurement_records import CommitmentUse, Coverage, Order, Procurement, RunOut
from data.records import FloatArray
from data.units import HOURS_PER_MONTH
from optimizer.cost import USD_SCALE
from optimizer.extract import hourly_gpus, paid_usd_per_gpu_h, used_gpus, whole
from optimizer.frame import Frame, active, held_gpus
from optimizer.lots import least_lots
from optimizer.matrix import Declared, run
from optimizer.parts import OPERATION, fixed_but

AHEAD_MONTHS = 60
"""How far growth is carried on to find when a quota is used up."""
REGRET_S = 5.0
REGRETS = 80
"""Offers that are not bought are priced up to this many; each costs a linear program."""


@dataclass(frozen=True)
class Supply:
    """The supply of a plan as a linear program of its own: columns that buy GPUs, for replicas that stay."""

    frame: Frame
    declared: Declared
    model: Any
    x: FloatArray

    @cached_property
    def cut(self) -> tuple[Any, dict[tuple[int, int], int]]:
        """The program, and (offer, start) -> column in it."""
        names = np.array([variable.parent_component().local_name for variable in self.declared.variables])
        sub, columns = fixed_but(self.declared.matrix, ~np.isin(names, OPERATION), self.x)
        at = {self.declared.variables[c].index(): i for i, c in enumerate(columns) if names[c] == "buy"}
        return replace(sub, integer=names[columns] == "on_step"), at

    def usd(self, most: Mapping[tuple[int, int], int], least: Mapping[tuple[int, int], int]) -> float:
        """Least objective, US dollars, with orders (offer, start) bounded; inf where the replicas cannot be fed."""
        sub, at = self.cut
        lower, upper = sub.lower.copy(), sub.upper.copy()
        for key, lots in most.items():
            upper[at[key]] = lots
        for key, lots in least.items():
            lower[at[key]] = lots
            upper[at[key]] = max(upper[at[key]], lots)
        solved = run(
            replace(sub, lower=lower, upper=upper), gap=1e-6, time_limit_s=REGRET_S, relax=not sub.integer.any()
        )
        return solved.objective / USD_SCALE if solved.status == "optimal" else float("inf")

    @cached_property
    def planned(self) -> float:
        """What the plan's replicas cost at their cheapest."""
        return self.usd({}, {})

    def regret(self, most: Mapping[tuple[int, int], int], least: Mapping[tuple[int, int], int]) -> float:
        return max(self.usd(most, least) - self.planned, 0.0)


def procurement(frame: Frame, declared: Declared, model: Any, x: FloatArray) -> Procurement:
    """The procurement view of a solved model."""
    supply = Supply(frame, declared, model, x)
    bought = {key: whole(one) for key, one in model.buy.items() if whole(one)}
    cover = coverage(frame, model, bought)
    orders = (*_ordered(supply, bought), *_not_ordered(supply, bought, cover), *_expiring(frame, cover))
    now = [key for key in model.buy if _order_month(frame, *key) == 0]
    return Procurement(
        orders=tuple(sorted(orders, key=lambda one: (one.order_by or "9", -one.regret_usd, one.gpu, one.region))),
        wait_usd=supply.regret(dict.fromkeys(now, 0), {}) if any(key in bought for key in now) else 0.0,
        coverage=cover,
        commitments=_commitments(frame, model, bought, cover),
        run_outs=_run_outs(frame, cover),
    )


def later(month: str, months: int) -> str:
    """The month `months` after another, YYYY-MM."""
    return str(np.datetime64(month, "M") + np.timedelta64(months, "M"))


def _order_month(frame: Frame, o: int, start: int) -> int:
    """Months from now until an order of offer o that starts in `start` is due."""
    return start - frame.starts(o).start


def _ordered(supply: Supply, bought: Mapping[tuple[int, int], int]) -> list[Order]:
    """Orders of the plan, each with what it costs to leave it out in its month."""
    frame, found = supply.frame, []
    model, offers, months = supply.model, frame.sets.commitments, frame.problem.demand.months
    for (o, start), lots in sorted(bought.items()):
        offer, due = offers[o], _order_month(frame, o, start)
        # No other order of this GPU here takes its place in the same month.
        rivals = {
            (other, s): bought.get((other, s), 0)
            for other, one in enumerate(offers)
            if (one.region, one.gpu) == (offer.region, offer.gpu)
            for s in frame.starts(other)
            if _order_month(frame, other, s) == due
        }
        regret = supply.regret(rivals | {(o, start): 0}, {})
        hourly = frame.sets.on_demand.get((offer.region, offer.gpu))
        if hourly is None:
            beside = "nothing is sold on demand here"
        else:
            beside = f"{hourly.usd_per_gpu_h:.2f} USD/GPU-h on demand"
        when = "its lead time allows no later plan" if due == 0 else f"first needed in {months[start]}"
        gpus, price = lots * frame.unit(offer), paid_usd_per_gpu_h(frame, model, o, start)
        found.append(
            Order(
                "buy" if due == 0 else "defer", offer.region, offer.gpu, offer.option, offer.term_months, gpus,
                f"{months[due]}-01", months[start], price, gpus * price * HOURS_PER_MONTH * offer.term_months, regret,
                f"{price:.2f} against {beside}; {when}",
            )
        )  # fmt: skip
    return found


def _not_ordered(supply: Supply, bought: Mapping[tuple[int, int], int], cover: tuple[Coverage, ...]) -> list[Order]:
    """Commitments on offer of which the plan orders none, each with what one lot of it would cost."""
    frame = supply.frame
    found: list[Order] = []
    used = {(row.region, row.gpu) for row in cover if row.expected_used_gpus > 0}
    taken = {o for o, _ in bought}
    for o, offer in enumerate(frame.sets.commitments):
        if o in taken or len(found) >= REGRETS or (offer.region, offer.gpu) not in used:
            continue
        starts = frame.starts(o)
        lots = least_lots(frame.problem, offer, frame.unit(offer))
        regret = supply.regret({}, {(o, starts.start): lots}) if starts else float("nan")
        if not starts:
            reason = "its lead time is longer than the horizon"
        elif regret == float("inf"):
            reason = "a quota or a budget leaves no room for it beside the plan"
        else:
            gpus = lots * frame.unit(offer)
            count = f"{gpus} GPU{'s' if gpus > 1 else ''}"
            reason = f"{count} of it would cost {regret:,.0f} USD more than the plan's own supply"
        found.append(
            Order("drop", offer.region, offer.gpu, offer.option, offer.term_months, 0, "", "", offer.usd_per_gpu_h,
                  0.0, regret, reason)
        )  # fmt: skip
    return found


def _expiring(frame: Frame, cover: tuple[Coverage, ...]) -> list[Order]:
    """Held commitments that end within the horizon and are not bought again one for one."""
    at = {(row.region, row.gpu, row.month): row for row in cover}
    months = frame.problem.demand.months
    found: list[Order] = []
    for held in frame.problem.held:
        if not months[0] < held.expires <= months[-1]:
            continue
        row = at.get((held.region, held.gpu, held.expires))
        left = 0 if row is None else row.used_gpus - row.held_gpus
        if row is None or left <= 0:
            reason = "nothing that it feeds is needed after it expires"
        else:
            by = [f"{row.committed_gpus} committed"] if row.committed_gpus else []
            by += [f"{row.on_demand_gpus} on demand"] if row.on_demand_gpus else []
            by += [f"{row.spot_gpus} spot"] if row.spot_gpus else []
            reason = f"{left} GPUs are needed in its place, fed by {', '.join(by) or 'nothing'}"
        found.append(
            Order("drop", held.region, held.gpu, "held", 0, held.gpus, f"{held.expires}-01", "", held.usd_per_gpu_h,
                  0.0, 0.0, reason)
        )  # fmt: skip
    return found


def coverage(frame: Frame, model: Any, bought: Mapping[tuple[int, int], int]) -> tuple[Coverage, ...]:
    """What is used and what covers it, by region, GPU and month; rows with neither are left out."""
    problem, sets, s = frame.problem, frame.sets, frame.sets.design
    pi, found = problem.demand.probabilities, []
    for g in frame.G:
        for m, month in enumerate(problem.demand.months):
            used = used_gpus(frame, model, m, g)
            held = held_gpus(problem, *g, month)
            ordered = sum(
                lots * frame.unit(sets.commitments[o])
                for (o, start), lots in bought.items()
                if (sets.commitments[o].region, sets.commitments[o].gpu) == g
                and active(start, m, sets.commitments[o].term_months)
            )
            firm = held + ordered
            if not firm and not any(used):
                continue
            share = float(np.minimum(used, firm) @ pi) / firm if firm else float("nan")
            found.append(
                Coverage(
                    *g, month, used[s], float(np.asarray(used) @ pi), held, ordered,
                    int(np.ceil(hourly_gpus(frame, model, "on_demand", m, g, s) - 1e-6)),
                    int(np.ceil(hourly_gpus(frame, model, "spot", m, g, s) - 1e-6)), problem.quotas.get(g), share,
                )
            )  # fmt: skip
    return tuple(found)


def _commitments(
    frame: Frame, model: Any, bought: Mapping[tuple[int, int], int], cover: tuple[Coverage, ...]
) -> tuple[CommitmentUse, ...]:
    """Every commitment with its utilisation; those that came first are used first."""
    problem, sets, months = frame.problem, frame.sets, frame.problem.demand.months
    at = {(row.region, row.gpu, row.month): row for row in cover}
    pi = problem.demand.probabilities
    found = []
    for g in frame.G:
        line = [(h.region, h.gpu, "held", h.gpus, "", h.expires) for h in problem.held if (h.region, h.gpu) == g]
        line += [
            (*g, sets.commitments[o].option, lots * frame.unit(sets.commitments[o]), months[start],
             later(months[start], sets.commitments[o].term_months))
            for (o, start), lots in sorted(bought.items(), key=lambda item: (item[0][1], item[0][0]))
            if (sets.commitments[o].region, sets.commitments[o].gpu) == g
        ]  # fmt: skip
        before = np.zeros(len(months))
        shortest = [frame.starts(o).start for o, one in enumerate(sets.commitments) if (one.region, one.gpu) == g]
        for region, gpu, option, gpus, starts, expires in line:
            shares = []
            for m, month in enumerate(months):
                if not starts <= month < expires:
                    continue
                used = np.asarray(used_gpus(frame, model, m, g))
                shares.append(float(np.clip(used - before[m], 0, gpus) @ pi) / gpus)
                before[m] += gpus
            after = at.get((region, gpu, expires))
            needed = None if expires > months[-1] else 0 if after is None else after.used_gpus
            renew = f"{later(expires, -min(shortest))}-01" if shortest else ""
            found.append(
                CommitmentUse(region, gpu, option, gpus, starts, expires,
                              float(np.mean(shares)) if shares else float("nan"), needed, renew)
            )  # fmt: skip
    return tuple(sorted(found, key=lambda one: (one.expires, one.region, one.gpu, one.option, one.starts)))


def monthly_growth(problem: FleetProblem, design: int) -> float:
    """Growth of the whole load a month, log-linear over the horizon's design scenario; 0 for a single month."""
    peaks = problem.demand.rps[:, :, :, design].max(axis=2).sum(axis=0)
    if len(peaks) < 2 or (peaks <= 0).any():
        return 0.0
    return float(np.expm1(np.polyfit(np.arange(len(peaks)), np.log(peaks), 1)[0]))


def _run_outs(frame: Frame, cover: tuple[Coverage, ...]) -> tuple[RunOut, ...]:
    """Held commitments and quotas that run out, within the horizon or, at its growth, after it."""
    problem, months = frame.problem, frame.problem.demand.months
    growth = monthly_growth(problem, frame.sets.design)
    found: list[RunOut] = []
    for g in frame.G:
        rows = [row for row in cover if (row.region, row.gpu) == g]
        if not rows:
            continue
        size = min((frame.sets.pools[p].configuration.gpus for p in frame.on[g]), default=1)
        last = next((row.used_gpus for row in rows if row.month == months[-1]), 0)
        ahead = [
            (later(months[-1], n), round(last * (1.0 + growth) ** n))
            for n in range(1, AHEAD_MONTHS + 1)
            if growth > 0.0 and last
        ]
        within = [(row.month, row.used_gpus) for row in rows]
        if rows[0].held_gpus:
            found += _first(g, "commitments", within, ahead, partial(held_gpus, problem, *g), 0)
        limit = problem.quotas.get(g)
        if limit is not None:
            found += _first(g, "quota", within, ahead, partial(_same, limit), size)
    return tuple(sorted(found, key=lambda one: (one.month, one.region, one.gpu, one.limit)))


def _same(limit: int, _: str) -> int:
    return limit


def _first(
    g: tuple[str, str],
    limit: Literal["commitments", "quota"],
    within: Sequence[tuple[str, int]],
    ahead: Sequence[tuple[str, int]],
    there: Callable[[str], int],
    spare: int,
) -> list[RunOut]:
    """The first month in which more is used than there is less `spare`, if any."""
    for rows, extrapolated in ((within, False), (ahead, True)):
        for month, used in rows:
            if used + spare > there(month):
                return [RunOut(*g, limit, month, there(month), used, extrapolated)]
    return []
