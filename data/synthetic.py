"""The documented synthetic workload: what the embedded default plans for.

Requests in hour t are Poisson with mean  m x day(t) x week(t) x growth(t) x g(t),  where

- day(t) = 1 + A (0.85 cos(x) + 0.15 cos(2x)), x = 2 pi (hour - peak) / 24: one broad daily peak. A = 0.7 gives a peak
  to mean near 1.7 and a trough near 0.35, within what BurstGPT (2024, arXiv 2401.17644) and Azure's coding and
  conversation services (DynamoLLM, arXiv 2408.00741) show;
- week(t) is 1 on weekdays and `weekend_ratio` on weekends: 0.55 by default; BurstGPT's conversations fall to 0.5-0.6
  at weekends, coding services lower (DynamoLLM);
- growth compounds monthly;
- g(t) is gamma with mean 1 and coefficient of variation `burstiness_cv`, correlated from hour to hour (0.6): arrival
  counts of LLM services are over-dispersed (BurstGPT fits a gamma process; ServeGen, arXiv 2505.09999).

Every parameter is the user's to set; the seed makes a history reproducible.
"""

from __future__ import annotations

import hashlib
import json

import numpy as np
import pandas as pd
from scipy import stats

from configs.traffic import Synthetic
from data.records import FloatArray
from data.units import HOURS_PER_MONTH, HOURS_PER_WEEK

HOUR_CORRELATION = 0.6


def correlated_gamma(n: int, cv: float, correlation: float, rng: np.random.Generator) -> FloatArray:
    """n gamma variables of mean 1 and a coefficient of variation, each correlated with the one before (a Gaussian
    copula over a first-order autoregression); ones where cv is 0, and nothing is drawn."""
    if cv <= 0:
        return np.ones(n)
    z = np.empty(n)
    steps = rng.standard_normal(n)
    z[0] = steps[0]
    for t in range(1, n):
        z[t] = correlation * z[t - 1] + np.sqrt(1.0 - correlation**2) * steps[t]
    k = cv**-2
    drawn: FloatArray = stats.gamma.ppf(stats.norm.cdf(z), k, scale=1.0 / k)
    return drawn


def hourly_requests(spec: Synthetic, seed: int) -> pd.Series:
    """Requests by UTC hour for spec.weeks weeks; before growth their mean is spec.mean_requests_per_hour."""
    hours = spec.weeks * HOURS_PER_WEEK
    ts = pd.date_range(pd.Timestamp(spec.first_day, tz="UTC"), periods=hours, freq="h")
    x = 2.0 * np.pi * (ts.hour.to_numpy() - spec.peak_hour_utc) / 24.0
    shape = 1.0 + spec.daily_amplitude * (0.85 * np.cos(x) + 0.15 * np.cos(2.0 * x))
    shape = shape * np.where(ts.day_of_week.to_numpy() >= 5, spec.weekend_ratio, 1.0)
    shape = shape / shape.mean()
    growth = (1.0 + spec.growth_per_month) ** (np.arange(hours) / HOURS_PER_MONTH)
    rng = np.random.default_rng(seed)
    noise = correlated_gamma(hours, spec.burstiness_cv, HOUR_CORRELATION, rng)
    mean = spec.mean_requests_per_hour * shape * growth * noise
    return pd.Series(rng.poisson(mean).astype(float), index=ts, name="requests")


def parameters_sha256(spec: Synthetic, seed: int) -> str:
    """What stands for a file's hash where there is no file."""
    text = json.dumps([spec.model_dump(mode="json"), seed], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()
