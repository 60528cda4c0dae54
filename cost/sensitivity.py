"""What can change a plan's cost, its risk, and the decision itself."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from configs.sensitivity import SensitivityPolicy, Spread
from cost.draws import Draws, joint, points, some
from cost.fixed_fleet import NOWHERE, UNLIMITED, FixedFleet
from cost.reprice import Option, Priced, reprice_all
from data.ages import age_days
from data.records import FloatArray, Source
from data.sensitivity_records import AssumptionAge, Bar, CellOutlook, NamedOutcome, OptionOutcome, Sensitivity

PLAN = Option("the plan")
OPTIONS = (
    PLAN,
    Option("wait one month", delay=1),
    Option("commit to nothing", commit=0.0),
    Option("commit to half", commit=0.5),
    Option("commit to 80 %", commit=0.8),
    Option("commit to 120 %", commit=1.2),
    Option("commit to 150 %", commit=1.5),
)
COMMITS = (0.5, 0.8, 1.0, 1.25)
CEILINGS = (0.6, 0.7, 0.8, 0.9, 1.0, 1.1, 1.25)
"""Cheaper and riskier: no more GPUs than a share of what the plan provisions in a place."""
FRONTIER_DRAWS = 1000
"""The first of the draws: they are in random order."""
LEVELS = (0.05, 0.25, 0.5, 0.75, 0.95)
METHOD = (
    "re-priced: the plan's commitments and routing shares stand; hours, API calls and shed requests are dispatched "
    "anew in every draw, exactly for these routes, then what they cannot carry through other places; GPUs are fractions"
)


@dataclass(frozen=True, slots=True)
class Case:
    """A point: the plan's mean decision cost, cash and share of months short over the demand scenarios, the option
    that costs least there, and what the plan costs more."""

    usd: float
    cash: float
    short: float
    best: str
    regret: float


def options_of(fleet: FixedFleet) -> tuple[Option, ...]:
    """Decisions to compare; those that scale or delay commitments only where there are some."""
    return OPTIONS if any(not lot.sunk for lot in fleet.lots) else (PLAN,)


def frontier_of(fleet: FixedFleet) -> tuple[Option, ...]:
    """Smaller and larger fleets, with more and less committed where something is."""
    commits = COMMITS if any(not lot.sunk for lot in fleet.lots) else (1.0,)
    return tuple(
        Option(f"commit to {commit:.0%}, at most {ceiling:.0%} of the plan's GPUs", commit=commit, ceiling=ceiling)
        for commit in commits
        for ceiling in CEILINGS
    )


def cases_of(
    fleet: FixedFleet, spreads: Mapping[str, Spread], changes: Sequence[Mapping[str, float]]
) -> tuple[Case, ...]:
    """Every point priced under every option, demand scenarios by their probability."""
    p = fleet.problem.demand.probabilities / fleet.problem.demand.probabilities.sum()
    priced = reprice_all(fleet, options_of(fleet), points(spreads, p, changes))
    means = np.array([one.usd.reshape(len(changes), -1) @ p for one in priced])
    cash = priced[0].cash.reshape(len(changes), -1) @ p
    short = priced[0].short.mean(axis=1).reshape(len(changes), -1) @ p
    found = []
    for i in range(len(changes)):
        # Ties go to the plan: a decision that changes nothing is no decision.
        best = 0 if means[0, i] <= means[:, i].min() * (1 + 1e-9) else int(np.argmin(means[:, i]))
        regret = float(means[0, i] - means[best, i])
        found.append(Case(float(means[0, i]), float(cash[i]), float(short[i]), priced[best].option.name, regret))
    return tuple(found)


def tornado(fleet: FixedFleet, spreads: Mapping[str, Spread]) -> tuple[Bar, ...]:
    """One variable at a time at its 5 % and 95 % ends, widest swing first."""
    ends: list[Mapping[str, float]] = [{name: end} for name, one in spreads.items() for end in (one.low, one.high)]
    base, *found = cases_of(fleet, spreads, [{}, *ends])
    bars = [
        Bar(
            name, spread.low, spread.high, base.usd, low.usd, high.usd, low.short, high.short, low.best, high.best,
            {low.best, high.best} != {base.best},
        )
        for (name, spread), low, high in zip(spreads.items(), found[::2], found[1::2], strict=True)
    ]  # fmt: skip
    return tuple(sorted(bars, key=lambda bar: (-bar.swing_usd, bar.variable)))


def named(
    fleet: FixedFleet, spreads: Mapping[str, Spread], policy: SensitivityPolicy, bars: Sequence[Bar]
) -> tuple[NamedOutcome, ...]:
    """Best and worst, every variable at its cheaper or dearer end; base; then the user's own."""
    ends = {
        word: {b.variable: b.low if (b.low_usd <= b.high_usd) == (word == "best") else b.high for b in bars}
        for word in ("best", "worst")
    }
    cases: list[tuple[str, str, Mapping[str, float]]] = [
        ("best", "every variable at its cheaper end", ends["best"]),
        ("base", "every variable at its base", {}),
        ("worst", "every variable at its dearer end", ends["worst"]),
        *((name, one.description, {str(k): v for k, v in one.set.items()}) for name, one in policy.scenarios.items()),
    ]
    found = cases_of(fleet, spreads, [changed for _, _, changed in cases])
    return tuple(
        NamedOutcome(name, description, case.cash, case.usd, case.short, dict(changed), case.best, case.regret)
        for (name, description, changed), case in zip(cases, found, strict=True)
    )


def compared(priced: Sequence[Priced], frontier: Sequence[Priced]) -> tuple[OptionOutcome, ...]:
    """Options on the same draws. Regret is against the best of the options proper; the frontier's points, which give up
    service for money, are ranked for efficiency only. They have fewer draws: their means are the first option's over
    all draws and what they differ by on theirs."""
    least = np.min([one.usd for one in priced], axis=0)
    winner = np.argmin([one.usd for one in priced], axis=0)
    every = [*priced, *frontier]

    def mean(of: Callable[[Priced], FloatArray], one: Priced) -> float:
        mine, whole = of(one), of(priced[0])
        return float(whole.mean() + (mine - whole[: len(mine)]).mean())

    cash = np.array([mean(lambda x: x.cash, one) for one in every])
    risk = np.array([max(mean(lambda x: x.short.any(axis=1).astype(float), one), 0.0) for one in every])
    found = []
    for i, one in enumerate(every):
        beaten = ((cash <= cash[i]) & (risk <= risk[i]) & ((cash < cash[i] - 1e-9) | (risk < risk[i] - 1e-12))).any()
        regret = one.usd - least[: len(one.usd)]
        low, high = (float(x) for x in np.quantile(one.usd, (0.05, 0.95)))
        found.append(
            OptionOutcome(
                name=one.option.name,
                usd=mean(lambda x: x.usd, one),
                cash_usd=float(cash[i]),
                usd_p5=low,
                usd_p95=high,
                short=float(risk[i]),
                regret=float(regret.mean()),
                regret_p95=float(np.quantile(regret, 0.95)),
                regret_max=float(regret.max()),
                best_share=float((winner == i).mean()) if i < len(priced) else 0.0,
                efficient=not beaten,
            )
        )
    return tuple(found)


def crossing_date(months: Sequence[str], need: Sequence[float], limit: float) -> str | None:
    """Day on which a need, taken as that of mid-month and straight in between, first passes a limit."""
    middles = [date.fromisoformat(f"{month}-15") for month in months]
    for i, (day, value) in enumerate(zip(middles, need, strict=True)):
        if value > limit:
            if i == 0:
                return day.replace(day=1).isoformat()
            before, span = need[i - 1], (day - middles[i - 1]).days
            return (middles[i - 1] + timedelta(days=round(span * (limit - before) / (value - before)))).isoformat()
    return None


def outlooks(fleet: FixedFleet, priced: Priced) -> tuple[CellOutlook, ...]:
    """Need against capacity, by region and GPU."""
    months = fleet.problem.demand.months
    found = []
    for g, (region, gpu) in enumerate(fleet.cells):
        if (region, gpu) == NOWHERE:
            continue
        if not priced.need[:, :, g].any() and not any(lot.cell == g for lot in fleet.lots):
            continue
        need = np.quantile(priced.need[:, :, g], LEVELS, axis=0).T
        committed = [
            sum(lot.gpus for lot in fleet.lots if lot.cell == g and lot.start <= m < lot.start + lot.term)
            for m in range(len(months))
        ]
        quota = None if fleet.quota[g] >= UNLIMITED else float(fleet.quota[g])
        limit = np.inf if quota is None else quota
        found.append(
            CellOutlook(
                region, gpu, LEVELS, tuple(tuple(map(float, row)) for row in need), tuple(map(float, committed)), quota,
                crossing_date(months, need[:, 2].tolist(), limit), crossing_date(months, need[:, 4].tolist(), limit),
                float((priced.need[:, :, g] > limit).any(axis=1).mean()), tuple(map(float, fleet.planned[:, g])),
            )
        )  # fmt: skip
    return tuple(found)


def ages(fleet: FixedFleet, spreads: Mapping[str, Spread], today: date) -> tuple[AssumptionAge, ...]:
    """Prices and ranges the answer rests on, oldest first, undated before all."""
    prices: dict[tuple[str, str], list[str]] = {}
    for offer in fleet.problem.offers:
        if (offer.region, offer.gpu) in fleet.cells:
            prices.setdefault((offer.source.citation, offer.source.as_of), []).append(f"{offer.gpu} {offer.option}")
    found = [
        AssumptionAge("GPU prices", ", ".join(sorted(set(what))), Source(*source), age_days(source[1], today))
        for source, what in prices.items()
    ]
    found += [
        AssumptionAge(
            name.replace("_", " "), f"{one.low:g} / {one.base:g} / {one.high:g}", Source(one.source, one.as_of),
            age_days(one.as_of, today),
        )
        for name, one in spreads.items()
    ]  # fmt: skip
    return tuple(sorted(found, key=lambda one: (one.days is not None, -(one.days or 0), one.name)))


def examine(
    name: str, fleet: FixedFleet, spreads: Mapping[str, Spread], policy: SensitivityPolicy, seed: int, today: date
) -> tuple[Sensitivity, Draws]:
    """The whole answer by re-pricing, and the draws it was found on."""
    start = time.perf_counter()
    draws = joint(spreads, fleet.problem.demand.probabilities, policy.samples, seed)
    options = options_of(fleet)
    priced = reprice_all(fleet, options, draws)
    spent, plan = time.perf_counter() - start, priced[0]
    few = some(draws, np.arange(min(len(draws), FRONTIER_DRAWS)))
    frontier = reprice_all(fleet, frontier_of(fleet), few)
    outcomes = compared(priced, frontier)
    proper = outcomes[: len(priced)]
    bars = tornado(fleet, spreads)
    wait = next((one for one in proper if one.name == "wait one month"), proper[0])
    notes = []
    if fleet.unserved:
        notes.append(f"no pool of the plan serves {', '.join(fleet.unserved)} in some month: shed, or sent to an API")
    if not any(route.routed for route in fleet.routes):
        notes.append("llm_mix and quality_routing move nothing: the plan runs one LLM, or none that may take over")
    p5, p50, p95 = (float(x) for x in np.quantile(plan.cash, (0.05, 0.5, 0.95)))
    return (
        Sensitivity(
            scenario=name,
            method=METHOD,
            months=tuple(fleet.problem.demand.months),
            samples=len(draws),
            seconds=spent,
            cash_p5=p5,
            cash_p50=p50,
            cash_p95=p95,
            short_any=float(plan.short.any(axis=1).mean()),
            short_by_month=tuple(float(x) for x in plan.short.mean(axis=0)),
            bars=bars,
            named=named(fleet, spreads, policy, bars),
            options=outcomes,
            least_regret=min(proper, key=lambda one: (one.regret_max, one.regret)).name,
            wait_regret_usd=wait.usd - proper[0].usd,
            cells=outlooks(fleet, plan),
            ages=ages(fleet, spreads, today),
            notes=tuple(notes),
        ),
        draws,
    )
