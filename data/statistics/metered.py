"""Intervals that engines counted, made fit for counts by the hour."""

from __future__ import annotations

import numpy as np

from data.records import FloatArray, IntArray

HOUR_S = 3600


def within_hours(at: IntArray, width: IntArray, value: FloatArray) -> tuple[IntArray, IntArray, FloatArray]:
    """Intervals [n] (start and width in seconds, requests), those of several hours spread evenly over the hours that
    they cover: otherwise an hour would be given what was counted in all of them."""
    hours = np.maximum(width // HOUR_S, 1)
    which = np.repeat(np.arange(len(at)), hours)
    place = np.arange(len(which)) - np.repeat(np.cumsum(hours) - hours, hours)
    spread: FloatArray = value[which] / hours[which]
    return at[which] + place * HOUR_S, np.minimum(width[which], HOUR_S), spread
