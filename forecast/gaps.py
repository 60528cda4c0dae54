"""What an unobserved hour was like: not zero, not the mean, but as the hours about it and days like its own say."""

from __future__ import annotations

import numpy as np

from data.records import BoolArray, FloatArray

DAY = 24
LEAST_SEEN, FEW_DAYS = 8, 10
"""Hours of a day that must be observed before the rest of it is told from other days: one, where under so many days
have them."""
NEAR_HOURS = 3.0
"""Hours this far away tell a third as much of how alike two days are."""


def observed_days(days: FloatArray) -> BoolArray:
    """Which of some days [n, 24] are known well enough to be completed, [n]; NaN: unobserved."""
    count = (~np.isnan(days)).sum(axis=1)
    return np.asarray(count >= LEAST_SEEN if (count >= LEAST_SEEN).sum() >= FEW_DAYS else count > 0)


def completed_days(days: FloatArray) -> FloatArray:
    """Days [n, 24] with every unobserved hour (NaN) taken from the day that was most alike in the hours about it and in
    which it was observed; where no day observed that hour, the mean of its own day. Each day has an observed hour.

    A value that has been keeps spread, tails and what neighbouring hours have in common, which a mean would not.
    """
    seen = ~np.isnan(days)
    if seen.all():
        return days
    complete, known = days.copy(), np.where(seen, days, 0.0)
    weight = seen.astype(np.float64)
    for hour in np.flatnonzero(~seen.all(axis=0)).tolist():
        lacks, has = np.flatnonzero(~seen[:, hour]), np.flatnonzero(seen[:, hour])
        if not len(has):
            complete[lacks, hour] = known[lacks].sum(axis=1) / weight[lacks].sum(axis=1)
            continue
        near = np.exp(-np.abs(np.arange(DAY) - hour) / NEAR_HOURS)
        mine, theirs = weight[lacks] * near, weight[has]
        common = mine @ theirs.T
        apart = (
            (np.square(known[lacks]) * near) @ theirs.T
            - 2.0 * (known[lacks] * near) @ known[has].T
            + mine @ np.square(known[has]).T
        )
        far = np.divide(apart, common, out=np.full_like(apart, np.inf), where=common > 0.0)
        nearest = np.argmin(far, axis=1)
        # Days without an hour in common with any take the next one that has the hour, each its own.
        alone = ~(common > 0.0).any(axis=1)
        nearest[alone] = np.searchsorted(has, lacks[alone]) % len(has)
        complete[lacks, hour] = known[has[nearest], hour]
    return complete
