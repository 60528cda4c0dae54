"""Accepted corrections applied to what a plan is made from: history, lengths, forecast, capacity. Pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace

import numpy as np
import pandas as pd

from data.forecast_records import Forecast, SeriesForecast
from data.history import DataNote, TrafficHistory
from data.ledger.records import Correction
from data.records import Capacity, CapacityTable, Demand, FloatArray, IntArray, LengthSample
from reconcile.corrections import applies


def corrected_history(history: TrafficHistory, corrections: Sequence[Correction]) -> TrafficHistory:
    """History on today's level, with today's lengths.

    A level correction multiplies the hours before its `since` by its factor: a level that has changed is then one level
    to every forecasting method, and what was learnt of seasons is kept. Lengths are multiplied by their factors; a
    cache correction sets the share of cached input tokens. Every one is a note and an input of the plan.
    """
    frame, lengths = history.frame, dict(history.lengths)
    notes: list[DataNote] = []
    for one in corrections:
        if one.kind == "level":
            before = (frame["ts"] < pd.Timestamp(one.since, tz="UTC")) & _rows(frame, one)
            columns = ["requests", "input_tokens", "output_tokens"]
            frame = frame.assign(**{c: frame[c].where(~before, frame[c] * one.values["factor"]) for c in columns})
        elif one.kind in ("lengths", "cache"):
            for (llm, name), sample in lengths.items():
                if applies(one, {"llm": llm, "request_class": name}):
                    lengths[llm, name] = _lengths(sample, one)
        else:
            continue
        notes.append(DataNote("correction", one.kind, f"{_target(one)}: {_values(one)}; {one.evidence}"))
    return replace(history, frame=frame, lengths=lengths, notes=(*history.notes, *notes))


def _rows(frame: pd.DataFrame, one: Correction) -> pd.Series:
    mask = pd.Series(True, index=frame.index)
    for name, value in one.target.items():
        mask &= frame[name] == value
    return mask


def _target(one: Correction) -> str:
    return "/".join(one.target.values()) or "everything"


def _values(one: Correction) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in one.values.items())


def _lengths(sample: LengthSample, one: Correction) -> LengthSample:
    def scaled(tokens: IntArray, factor: float) -> IntArray:
        return np.asarray(np.maximum(np.rint(tokens * factor), np.minimum(tokens, 1)), dtype=np.int64)

    given = scaled(sample.input_tokens, one.values.get("input_tokens", 1.0))
    made = scaled(sample.output_tokens, one.values.get("output_tokens", 1.0))
    if "cache_hit" in one.values:
        cached = np.minimum(np.rint(given * one.values["cache_hit"]), given).astype(np.int64)
    else:
        cached = np.minimum(scaled(sample.cached_tokens, one.values.get("input_tokens", 1.0)), given)
    return replace(
        sample, input_tokens=given, output_tokens=made, cached_tokens=cached, source=f"{sample.source}, corrected"
    )


def corrected_forecast(forecast: Forecast, corrections: Sequence[Correction]) -> Forecast:
    """Quantiles moved from their median by the factor of their side, and scenario peaks with them; margins on peaks."""
    series = tuple(_recalibrated(one, corrections) for one in forecast.series)
    told = [one for one in corrections if one.kind in ("quantiles", "margin")]
    if not told:
        return forecast
    return replace(
        forecast,
        series=series,
        demand=_demand(forecast.demand, told),
        fresh=None if forecast.fresh is None else _demand(forecast.fresh, told),
        notes=(*forecast.notes, *(f"{one.kind} correction: {_target(one)}: {_values(one)}" for one in told)),
    )


def _sides(corrections: Iterable[Correction], labels: dict[str, str]) -> tuple[float, float]:
    lower = upper = 1.0
    for one in corrections:
        if one.kind == "quantiles" and applies(one, labels):
            lower, upper = lower * one.values["lower"], upper * one.values["upper"]
    return lower, upper


def _moved(values: FloatArray, middle: FloatArray, lower: float, upper: float) -> FloatArray:
    gap = values - middle
    return np.asarray(np.maximum(middle + gap * np.where(gap < 0, lower, upper), 0.0))


def _recalibrated(one: SeriesForecast, corrections: Sequence[Correction]) -> SeriesForecast:
    lower, upper = _sides(corrections, asdict(one.key))
    if lower == upper == 1.0:
        return one
    at = one.levels.index(0.5)

    def moved(values: FloatArray) -> FloatArray:
        return _moved(values, values[:, at : at + 1], lower, upper)

    return replace(
        one,
        hourly=moved(one.hourly),
        monthly_total=moved(one.monthly_total),
        monthly_peak_hour=moved(one.monthly_peak_hour),
    )


def _demand(demand: Demand, corrections: Sequence[Correction]) -> Demand:
    """Scenarios moved around their expectation as the quantiles are around the median; peaks times the margin. A lower
    block still never exceeds the one above it."""
    rps = demand.rps.copy()
    expected = (rps * demand.probabilities).sum(axis=3, keepdims=True)
    for i, key in enumerate(demand.series):
        lower, upper = _sides(corrections, asdict(key))
        rps[i] = _moved(rps[i], expected[i], lower, upper)
        for one in corrections:
            if one.kind == "margin" and applies(one, asdict(key)):
                rps[i, :, 0] *= one.values["factor"]
    return replace(demand, rps=np.minimum.accumulate(rps, axis=2))


def corrected_capacity(table: CapacityTable, corrections: Sequence[Correction]) -> CapacityTable:
    """Goodputs times their measured ratio, marked as calibrated."""
    told = [one for one in corrections if one.kind == "goodput"]
    if not told:
        return table
    return replace(
        table,
        rows=tuple(_calibrated(row, told) for row in table.rows),
        notes=(*table.notes, *(f"goodput correction: {_target(one)}: {_values(one)}; {one.evidence}" for one in told)),
    )


def _calibrated(row: Capacity, corrections: Sequence[Correction]) -> Capacity:
    labels = {name: str(value) for name, value in asdict(row.configuration).items()}
    labels["request_class"] = row.request_class
    factor = 1.0
    for one in corrections:
        if applies(one, labels):
            factor *= one.values["goodput"]
    if factor == 1.0:
        return row
    return replace(
        row,
        knee_rps=row.knee_rps * factor,
        operating_rps=row.operating_rps * factor,
        output_tokens_per_s=row.output_tokens_per_s * factor,
        provenance="calibrated",
    )
