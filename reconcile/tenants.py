"""Whose miss it was: the error of series that several tenants share, divided among them.

A tenant is planned as its share of what was said of the class. What each sent beyond that adds up, over the tenants of
a series, to the miss of the series exactly.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.forecast_records import TenantForecast
from data.ledger.records import HOUR, Actual, Vintage
from data.records import FloatArray, SeriesKey
from reconcile.expected import expected
from reconcile.tally import intervals


@dataclass(frozen=True, slots=True)
class TenantMiss:
    """One tenant of one LLM and class, over the hours that were both said and observed: requests planned (its share of
    the volume said) and sent. planned is NaN where no share was declared or forecast."""

    tenant: str
    llm: str
    request_class: str
    hours: int
    planned: float
    actual: float

    @property
    def miss(self) -> float:
        """Requests beyond the plan."""
        return self.actual - self.planned


def last_said(vintages: Sequence[Vintage], first_hour: np.datetime64, hours: int) -> FloatArray:
    """What the latest vintage issued before each hour expected of it, shape [hours]; NaN where none speaks of it."""
    said = np.full(hours, np.nan)
    for one in sorted(vintages, key=lambda v: v.first_hour):
        shift = int((one.first_hour - first_hour) / HOUR)
        low, high = max(shift, 0), min(shift + len(one.hourly), hours)
        if high > low:
            said[low:high] = expected(one)[low - shift : high - shift]
    return said


def tenant_misses(
    said: Mapping[SeriesKey, Sequence[Vintage]],
    sent: Mapping[tuple[SeriesKey, str], Actual],
    shares: Mapping[SeriesKey, Mapping[str, float]],
) -> tuple[TenantMiss, ...]:
    """Misses by tenant, LLM and class, summed over regions, the largest first.

    said: vintages by series; sent: requests by series and tenant; shares: series -> tenant -> share.
    """
    found: dict[tuple[str, str, str], list[float]] = {}
    for key in sorted({key for key, _ in sent}, key=str):
        mine = {tenant: one for (other, tenant), one in sent.items() if other == key}
        any_one = next(iter(mine.values()))
        stated = last_said(said.get(key, ()), any_one.first_hour, len(any_one.requests))
        both = ~(np.isnan(stated) | np.isnan(any_one.requests))
        if not both.any():
            continue
        declared = shares.get(key, {})
        for tenant in sorted({*mine, *declared}):
            requests = float(mine[tenant].requests[both].sum()) if tenant in mine else 0.0
            planned = declared.get(tenant, 0.0) * float(stated[both].sum()) if declared else float("nan")
            total = found.setdefault((tenant, key.llm, key.request_class), [0.0, 0.0, 0.0])
            total[0] = max(total[0], float(both.sum()))
            total[1] += planned
            total[2] += requests
    rows = [TenantMiss(*key, int(hours), planned, actual) for key, (hours, planned, actual) in found.items()]
    return tuple(sorted(rows, key=lambda one: (-abs(np.nan_to_num(one.miss)), one.tenant, one.llm, one.request_class)))


@dataclass(frozen=True, slots=True)
class TenantMonth:
    """A whole month of one tenant of a series: requests said (median) and sent, and which central intervals held."""

    tenant: str
    key: SeriesKey
    month: str
    said: float
    actual: float
    inside: dict[float, bool]


def tenant_months(
    forecasts: Sequence[TenantForecast], sent: Mapping[tuple[SeriesKey, str], Actual], month: str
) -> tuple[TenantMonth, ...]:
    """A month's totals by tenant against what was forecast of them; months that were not observed whole are left out.
    Where a series was observed and a tenant is not in the data, it sent nothing."""
    start = np.datetime64(month, "M")
    first, stop = start.astype("datetime64[h]"), (start + np.timedelta64(1, "M")).astype("datetime64[h]")
    totals: dict[tuple[SeriesKey, str], float] = {}
    observed: set[SeriesKey] = set()
    for (key, tenant), one in sent.items():
        hours = one.between(first, stop)
        if not np.isnan(hours).any():
            totals[key, tenant] = float(hours.sum())
            observed.add(key)
    found = []
    for said in forecasts:
        if said.key not in observed or month not in said.months:
            continue
        actual = totals.get((said.key, said.tenant), 0.0)
        row = said.monthly_total[said.months.index(month)]
        inside = {n: bool(row[low] <= actual <= row[high]) for n, (low, high) in intervals(said.levels).items()}
        middle = float(row[said.levels.index(0.5)])
        found.append(TenantMonth(said.tenant, said.key, month, middle, actual, inside))
    return tuple(sorted(found, key=lambda one: -abs(one.actual - one.said)))
