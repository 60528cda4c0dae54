"""Self-host or API: the volume and utilisation at which a replica of one's own is cheaper, and the best mix of both.

Replicas are whole, spares are paid for, and people cost the same whether one replica runs or ten, so self-hosting is a
staircase. An API is a straight line. They may cross more than once.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from data.records import FloatArray
from data.units import HOURS_PER_DAY, HOURS_PER_MONTH, SECONDS_PER_HOUR

DAYS_PER_MONTH = HOURS_PER_MONTH / HOURS_PER_DAY
SECONDS_PER_DAY = HOURS_PER_DAY * SECONDS_PER_HOUR


@dataclass(frozen=True, slots=True)
class SelfHost:
    """Serving it oneself.

    rps: of one replica at its operating point; replica_usd: of one replica for a month; spares: replicas kept beyond
    the load; fixed_usd: a month, however few replicas run; usd_per_request: what grows with requests; peak_to_mean:
    of the day's load, since replicas are there for the peak.
    """

    rps: float
    replica_usd: float
    spares: int = 1
    fixed_usd: float = 0.0
    usd_per_request: float = 0.0
    peak_to_mean: float = 1.0

    @property
    def daily(self) -> float:
        """Requests a day that one replica carries at this peak-to-mean."""
        return self.rps * SECONDS_PER_DAY / self.peak_to_mean

    def replicas(self, daily: float) -> int:
        """Replicas for a daily volume, spares included; none for none."""
        return math.ceil(daily / self.daily - 1e-12) + self.spares if daily > 0 else 0

    def usd(self, daily: float) -> float:
        """A month at a daily volume."""
        if daily <= 0:
            return 0.0
        return self.replicas(daily) * self.replica_usd + self.fixed_usd + daily * DAYS_PER_MONTH * self.usd_per_request


@dataclass(frozen=True, slots=True)
class BreakEven:
    """Requests a day from which self-hosting is cheaper: at first, and for good (a further replica may turn it back);
    None where it never is. utilisation: mean load over what the running replicas carry, at the first crossing.
    replica_utilisation: the load of one replica that pays for it alone, over 1 where none does."""

    first_daily: float | None
    always_daily: float | None
    utilisation: float | None
    replica_utilisation: float


def break_even(own: SelfHost, api_usd_per_request: float) -> BreakEven:
    """Where the staircase and the line cross, exactly: with n working replicas self-hosting costs
    (n + spares) C + F + v q a month for volumes q that n carry and n - 1 do not, the API a q.
    """
    saved = (api_usd_per_request - own.usd_per_request) * DAYS_PER_MONTH
    each = own.replica_usd
    alone = each / (own.rps * SECONDS_PER_DAY * saved) if saved > 0 else math.inf
    if saved <= 0 or each / saved >= own.daily:
        # Every further replica costs more than the API for all that it carries: at most the spares' rounding helps.
        return BreakEven(None, None, None, alone)

    def crossing(n: int) -> float:
        return ((n + own.spares) * each + own.fixed_usd) / saved

    # The first n whose crossing lies within what it carries: crossing(n) <= n daily.
    first = max(math.ceil((own.spares * each + own.fixed_usd) / saved / (own.daily - each / saved) - 1e-9), 1)
    first_daily = max(crossing(first), (first - 1) * own.daily)
    # The last n whose crossing lies beyond what n - 1 carry: there the API is cheaper once more.
    last = math.ceil((own.daily + (own.spares * each + own.fixed_usd) / saved) / (own.daily - each / saved) - 1e-9) - 1
    always = max(min(crossing(last), last * own.daily), first_daily) if last >= first else first_daily
    carried = own.replicas(first_daily) * own.rps * SECONDS_PER_DAY
    return BreakEven(first_daily, always, first_daily / carried, alone)


def day_shape(peak_to_mean: float) -> FloatArray:
    """Load of each hour of a day over its mean, shape [24]: exp(k cos), with k such that the peak is as given."""
    if not 1.0 <= peak_to_mean < HOURS_PER_DAY:
        raise ValueError(f"peak_to_mean lies between 1 and {HOURS_PER_DAY}, got {peak_to_mean}")
    angle = np.cos(2.0 * np.pi * np.arange(HOURS_PER_DAY) / HOURS_PER_DAY)

    def shape(k: float) -> FloatArray:
        raw = np.exp(k * (angle - 1.0))
        return np.asarray(raw / raw.mean())

    low, high = 0.0, 500.0
    for _ in range(80):
        middle = (low + high) / 2
        low, high = (middle, high) if shape(middle)[0] < peak_to_mean else (low, middle)
    return shape((low + high) / 2)


@dataclass(frozen=True, slots=True)
class Split:
    """The cheapest mix at a volume: replicas that run, the share of requests they take, and USD a month of the mix, of
    self-hosting everything and of the API alone."""

    replicas: int
    own_share: float
    usd: float
    own_usd: float
    api_usd: float


def hybrid(own: SelfHost, api_usd_per_request: float, daily: float) -> Split:
    """Base load on replicas of one's own, what exceeds them to the API, for the number that costs least.

    Spares are not kept when the API takes what a lost replica leaves; every count up to the peak's is tried.
    """
    hourly = day_shape(own.peak_to_mean) * daily / HOURS_PER_DAY
    most = math.ceil(float(hourly.max()) / (own.rps * SECONDS_PER_HOUR) - 1e-12)
    n = np.arange(most + 1)[:, None]
    taken = np.minimum(hourly[None, :], n * own.rps * SECONDS_PER_HOUR).sum(axis=1)
    usd = (
        n[:, 0] * own.replica_usd
        + np.where(n[:, 0] > 0, own.fixed_usd, 0.0)
        + DAYS_PER_MONTH * (taken * own.usd_per_request + (daily - taken) * api_usd_per_request)
    )
    best = int(np.argmin(usd))
    share = float(taken[best] / daily) if daily > 0 else 0.0
    return Split(best, share, float(usd[best]), own.usd(daily), daily * DAYS_PER_MONTH * api_usd_per_request)
