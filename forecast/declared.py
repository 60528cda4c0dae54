"""A level that the user declares for a series whose history is too short to have one: a prior, outweighed by history.

The declared mean of requests an hour and what little history says are averaged on logs, each weighted by how sure it
is: a week of history tells a level to within WEEK_SD, four weeks to half of that. From four weeks on history alone
speaks. History begins with the first request: zeros before it are no level.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd

from configs.errors import InputError
from configs.forecasting import DeclaredLevel
from data.records import FloatArray, SeriesKey
from data.units import HOURS_PER_WEEK
from forecast.backtest import NOTHING
from forecast.clean import hour_of_week
from forecast.empirical import empirical_bank
from forecast.level import believe, weekly_levels
from forecast.single import CEILING, DECLARED, NO_HOUR, NO_REQUEST, Prepared

WEEK_SD = 0.3
"""Standard deviation of the log of a new service's level as one week shows it (assumption, 2026-11)."""
ENOUGH_HOURS = 4 * HOURS_PER_WEEK


def declared_for(key: SeriesKey, levels: tuple[DeclaredLevel, ...]) -> DeclaredLevel | None:
    """What the user declared of a series; the last that names it where several do."""
    found = [
        one for one in levels
        if (one.llm, one.request_class) == (key.llm, key.request_class) and one.region in (None, key.region)
    ]  # fmt: skip
    return found[-1] if found else None


def check_declared(levels: tuple[DeclaredLevel, ...], keys: list[SeriesKey]) -> None:
    """InputError where a declared level names no series."""
    for one in levels:
        if not any(declared_for(key, (one,)) for key in keys):
            raise InputError(
                "forecast.levels", "the LLM, class and region of a series of the traffic history",
                "/".join(filter(None, (one.llm, one.request_class, one.region))),
                f"There are: {', '.join(str(key) for key in keys[:8])}.",
            )  # fmt: skip


def with_declared(
    one: Prepared, said: DeclaredLevel, future: pd.DatetimeIndex, shape: FloatArray | None, donor: Prepared | None
) -> Prepared:
    """The series at the level that the declaration and its own history make together.

    shape: requests by hour of the week of other series, sum 1, used where the series has none of its own; donor: a
    series whose errors its hours have, scaled to the level, where its own history has no whole day.
    """
    if one.seen >= ENOUGH_HOURS:
        note = f"the declared level of {said.requests_per_hour:,.6g} an hour is not needed: history has one of its own"
        return replace(one, degradations=(*one.degradations, note))
    own = float(one.point.mean())
    known = own > 0.0 and one.seen > 0
    doubt = WEEK_SD**2 * HOURS_PER_WEEK / one.seen if known else np.inf
    weight = 1.0 if not known or said.sd == 0.0 else doubt / (doubt + said.sd**2)
    log = weight * np.log(said.requests_per_hour) + (1.0 - weight) * (np.log(own) if known else 0.0)
    variance = said.sd**2 if not known or said.sd == 0.0 else doubt * said.sd**2 / (doubt + said.sd**2)
    level = float(np.exp(log))
    if known:
        point = one.point * (level / own)
    else:
        point = np.full(len(future), level) if shape is None else level * HOURS_PER_WEEK * shape[hour_of_week(future)]
    # What never had a request has no errors, no scores and no course of its own.
    bank = one.model.bank if known else empirical_bank(np.zeros(0), 0)
    if not len(bank.date) and donor is not None and donor.recent > 0.0:
        bank = replace(donor.model.bank, constant=donor.model.bank.constant * level / donor.recent)
    levels = one.model.levels if known else weekly_levels(np.array([level]))
    belief = one.model.belief if known else believe(levels)
    none = np.zeros_like(belief.mean)
    belief = replace(belief, mean=none + belief.level, variance=none + variance, drift=none, drift_variance=none)
    ceiling = max(one.model.ceiling, CEILING * float(point.max(initial=0.0)))
    note = (
        f"level declared: {said.requests_per_hour:,.6g} an hour, within a factor of {np.exp(said.sd):.2f} either way; "
        f"it counts for {weight:.0%}, {one.seen} observed hours for the rest"
    )
    return replace(
        one,
        point=point,
        # What is declared is expected to run, whatever its first days were followed by.
        model=replace(
            one.model, point=point, bank=bank, belief=belief, levels=levels, ceiling=ceiling, mean=False, runs=1.0
        ),
        silent=0,
        past=one.past if known else NOTHING,
        method=one.method if known else DECLARED,
        degradations=(*(text for text in one.degradations if text not in (NO_HOUR, NO_REQUEST, one.stop_note)), note),
        course=np.ones(len(point)),
        recent=level,
    )
