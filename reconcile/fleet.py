"""All series together, and summed by LLM, request class, region and tenant."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass

import numpy as np

from data.ledger.records import Actual, Vintage
from data.records import FloatArray, SeriesKey
from reconcile.expected import expected
from reconcile.series import Corrected, SeriesScore, reconcile_series
from reconcile.tally import HORIZONS, Score, matched, point_score, point_sums, score, seasonal_naive

EVERYTHING = ("all", "everything")


@dataclass(frozen=True, slots=True)
class GroupScore:
    """One LLM, class, region, tenant, or all of it. members: its series scored one by one, errors added up; total:
    their sum scored as one series, by grain (hour, day, month), where errors of members cancel."""

    dimension: str
    name: str
    series: int
    members: Score
    total: tuple[Score, ...]


@dataclass(frozen=True, slots=True)
class Reconciliation:
    """What was said against what happened, up to `until` (the last observed hour).

    horizons: how errors grow with the time ahead, over all series. without: series with vintages and no actuals."""

    until: str
    vintages: int
    series: tuple[SeriesScore, ...]
    groups: tuple[GroupScore, ...]
    horizons: tuple[tuple[str, Score], ...]
    without: tuple[SeriesKey, ...]


def month_sums(hours: FloatArray, first_hour: np.datetime64) -> FloatArray:
    """Sums of whole calendar months of [hours, 3] whose every hour was observed, shape [months, 3]."""
    stamps = first_hour + np.arange(len(hours)).astype("timedelta64[h]")
    month = stamps.astype("datetime64[M]")
    found = []
    for one in np.unique(month):
        inside = month == one
        length = ((one + np.timedelta64(1, "M")).astype("datetime64[h]") - one.astype("datetime64[h]")).astype(int)
        if inside.sum() == length and not np.isnan(hours[inside, 0]).any():
            found.append(hours[inside].sum(axis=0))
    return np.asarray(found).reshape(-1, 3)


def _added(one: FloatArray, other: FloatArray) -> FloatArray:
    """The sum of two [hours, 3] over the hours that both have: a sum that misses a member is no sum."""
    least = min(len(one), len(other))
    return np.asarray(one[:least] + other[:least])


def reconcile_fleet(
    source: Iterable[tuple[SeriesKey, tuple[Vintage, ...], Actual | None]],
    corrected: Mapping[SeriesKey, Corrected] | None = None,
    tenants: Mapping[str, str] | None = None,
) -> Reconciliation:
    """Scores of everything that a source yields, series by series; only sums are kept in memory.

    corrected: by series, what is corrected already (see reconcile_series); tenants: request
    class to tenant, where it has one.
    """
    known_by_now = corrected or {}
    series: list[SeriesScore] = []
    without: list[SeriesKey] = []
    sums: dict[tuple[str, str], dict[np.datetime64, FloatArray]] = {}
    members: dict[tuple[str, str], list[int]] = {}
    until = ""
    vintages = 0
    for key, said, actual in source:
        vintages += len(said)
        found = None if actual is None or not said else reconcile_series(key, said, actual, known_by_now.get(key))
        if found is None or actual is None:
            without.append(key)
            continue
        until = max(until, str(actual.end - np.timedelta64(1, "h")))
        groups = [*asdict(key).items(), EVERYTHING]
        if tenants and key.request_class in tenants:
            groups.append(("tenant", tenants[key.request_class]))
        for group in groups:
            members.setdefault(group, []).append(len(series))
        series.append(found)
        for one in said:
            if one.first_hour >= actual.end or one.levels != found.levels:
                continue
            real = matched(one, actual)
            naive = seasonal_naive(actual, one.first_hour, len(real))
            hours = np.stack([real, expected(one), naive], axis=1)
            for group in groups:
                by_origin = sums.setdefault(group, {})
                known = by_origin.get(one.first_hour)
                by_origin[one.first_hour] = hours if known is None else _added(known, hours)
    groups_scored = tuple(
        _group(dimension, name, [series[i] for i in numbers], sums[dimension, name])
        for (dimension, name), numbers in sorted(members.items())
    )
    levels = series[0].levels if series else ()
    alike = [one for one in series if one.levels == levels]
    ahead = np.sum([one.horizons for one in alike], axis=0) if alike else np.zeros((0, 0))
    horizons = tuple(
        (HORIZONS[i], score(row, levels)) for i, row in enumerate(ahead) if row[0] > 0
    )  # a horizon that nothing has reached yet is left out
    return Reconciliation(until, vintages, tuple(series), groups_scored, horizons, tuple(without))


def _group(
    dimension: str, name: str, series: list[SeriesScore], by_origin: dict[np.datetime64, FloatArray]
) -> GroupScore:
    levels = series[0].levels
    rows = np.sum([one.horizons.sum(axis=0) for one in series if one.levels == levels], axis=0)
    hours, days, months = [], [], []
    for first, values in by_origin.items():
        hours.append(values[~np.isnan(values[:, 0])])
        days.append(point_sums(values[:, 0], values[:, 1], values[:, 2], first))
        months.append(month_sums(values, first))
    grains = (("hour", hours), ("day", days), ("month", months))
    return GroupScore(
        dimension,
        name,
        len(series),
        score(rows, levels),
        tuple(point_score(np.concatenate(parts), grain) for grain, parts in grains),
    )
