"""Token lengths move too: mean tokens of a request, forecast as series of their own.

The log of a week's mean length is a local level (forecast/level.py), so that a drift in recent weeks carries into the
plan while a week of long prompts does not. Needs three weeks of token counts that are not a constant share of requests.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd

from data.forecast_records import LengthForecast
from data.records import FloatArray
from data.units import HOURS_PER_WEEK
from forecast.level import believe, standard_levels
from forecast.scenarios import Month

SIDES = (("input", "input_tokens"), ("output", "output_tokens"), ("cached", "cached_tokens"))
LEAST_WEEKS = 3
PATHS = 1000
CONSTANT = 1e-6


def weekly_means(tokens: FloatArray, per: FloatArray) -> FloatArray:
    """tokens / per by whole week back from the end, oldest first, NaN hours left out, weeks without any skipped."""
    weeks = min(len(tokens) // HOURS_PER_WEEK, 12)
    seen = ~(np.isnan(tokens) | np.isnan(per))
    above, below = np.where(seen, tokens, 0.0), np.where(seen, per, 0.0)
    top = above[len(above) - weeks * HOURS_PER_WEEK :].reshape(weeks, HOURS_PER_WEEK).sum(axis=1)
    bottom = below[len(below) - weeks * HOURS_PER_WEEK :].reshape(weeks, HOURS_PER_WEEK).sum(axis=1)
    keep = (top > 0.0) & (bottom > 0.0)
    return np.asarray(top[keep] / bottom[keep])


def length_forecasts(
    frame: pd.DataFrame, months: tuple[Month, ...], levels: Sequence[float], seed: int
) -> tuple[LengthForecast, ...]:
    """For every LLM and class whose lengths move: input and output tokens a request, and the cached share of input
    where history has `cached_tokens`; the distribution of the mean, not of single requests."""
    found = []
    rng = np.random.default_rng(seed)
    columns = ["requests", *(column for _, column in SIDES if column in frame)]
    by_hour = frame.groupby(["llm", "request_class", "ts"])[columns].sum(min_count=1).reset_index()
    for (llm, request_class), summed in by_hour.groupby(["llm", "request_class"]):
        for side, column in SIDES:
            if column not in summed:
                continue
            per = summed["input_tokens" if side == "cached" else "requests"].to_numpy(dtype=np.float64)
            tokens = summed[column].to_numpy(dtype=np.float64)
            means = weekly_means(tokens, per)
            if len(means) < LEAST_WEEKS or np.ptp(np.log(means)) < CONSTANT:
                continue
            belief = believe(np.log(means))
            weeks = -(-months[-1].stop // HOURS_PER_WEEK) if months else 0
            drawn = standard_levels(belief, rng.standard_normal((PATHS, 2 + 2 * weeks)), rng.random(PATHS))
            # From where they have come, no further: prompts do not go on shrinking as a season's course goes on.
            path = np.exp(belief.level + np.repeat(drawn, HOURS_PER_WEEK, axis=1))
            if side == "cached":
                path = np.minimum(path, 1.0)
            monthly = np.stack(
                [np.quantile(path[:, m.start : m.stop].mean(axis=1), list(levels)) for m in months]
            )  # fmt: skip
            seen = ~(np.isnan(tokens) | np.isnan(per))
            history = float(tokens[seen].sum() / per[seen].sum())
            middle = float(monthly[-1, list(levels).index(0.5)])
            ratio = middle / history
            unit = "of input cached" if side == "cached" else f"{side} tokens a request"
            found.append(
                LengthForecast(
                    str(llm),
                    str(request_class),
                    side,
                    tuple(levels),
                    tuple(m.label for m in months),
                    monthly,
                    ratio,
                    f"{llm}/{request_class}: {middle:,.3g} {unit} in {months[-1].label}, {history:,.3g} over all "
                    f"history",
                )
            )
    return tuple(found)
