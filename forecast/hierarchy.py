"""Sums of series along joint paths: totals of an LLM, a class, a region or all, coherent with their parts path by
path."""

from __future__ import annotations

import numpy as np

from data.forecast_records import GroupForecast
from data.records import Float32Array, FloatArray, SeriesKey
from forecast.scenarios import Month


def groups_of(keys: list[SeriesKey]) -> dict[str, list[int]]:
    """Group name -> positions of its series; groups of one series and groups with the same series are left out."""
    found: dict[str, list[int]] = {"all": list(range(len(keys)))}
    for field in ("llm", "request_class", "region"):
        for value in dict.fromkeys(getattr(key, field) for key in keys):
            found[f"{field} {value}"] = [i for i, key in enumerate(keys) if getattr(key, field) == value]
    unique: dict[tuple[int, ...], str] = {}
    for name, members in found.items():
        if len(members) > 1:
            unique.setdefault(tuple(members), name)
    return {name: list(members) for members, name in unique.items()}


class Sums:
    """Running sums of paths by group, fed one series at a time."""

    def __init__(self, keys: list[SeriesKey], paths: int, hours: int) -> None:
        self.members = groups_of(keys)
        self._of = {i: [name for name, found in self.members.items() if i in found] for i in range(len(keys))}
        self._sum = {name: np.zeros((paths, hours), dtype=np.float32) for name in self.members}

    def add(self, position: int, paths: Float32Array) -> None:
        for name in self._of[position]:
            self._sum[name] += paths

    def peak(self, name: str, months: tuple[Month, ...]) -> FloatArray:
        """Largest hour of a group's sum, [paths, months]."""
        return np.stack([self._sum[name][:, m.start : m.stop].max(axis=1) for m in months], axis=1).astype(np.float64)

    def quantiles(self, months: tuple[Month, ...], levels: list[float]) -> tuple[GroupForecast, ...]:
        found = []
        for name, members in self.members.items():
            whole = self._sum[name]
            totals = [np.quantile(whole[:, m.start : m.stop].sum(axis=1, dtype=np.float64), levels) for m in months]
            peaks = np.quantile(self.peak(name, months), levels, axis=0).T
            found.append(GroupForecast(name, len(members), np.stack(totals), np.asarray(peaks)))
        return tuple(found)
