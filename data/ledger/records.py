"""What goes into the ledger and comes out of it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.ledger.content import canonical, pack, unpack
from data.records import FloatArray, SeriesKey

HOUR = np.timedelta64(1, "h")


def series_label(key: SeriesKey) -> str:
    """A series as the ledger names it: canonical JSON of its labels."""
    return canonical(asdict(key)).decode()


def series_key(label: str) -> SeriesKey:
    """The inverse of series_label."""
    return SeriesKey(**json.loads(label))


@dataclass(frozen=True, slots=True)
class Entry:
    """Something that made a run or that it made: a role (config, input, catalog, code, plan, ...), a name, bytes."""

    role: str
    name: str
    content: bytes


@dataclass(frozen=True, slots=True)
class Vintage:
    """What one run said of one series: requests an hour by quantile, [hours, levels], from the hour after issued_from;
    totals and peak hours of whole months, [months, levels]."""

    run_id: str
    key: SeriesKey
    issued_from: np.datetime64
    first_hour: np.datetime64
    levels: tuple[float, ...]
    hourly: FloatArray
    months: tuple[str, ...] = ()
    monthly_total: FloatArray | None = None
    monthly_peak_hour: FloatArray | None = None
    method: str = ""

    def packed(self) -> bytes:
        """Equal forecasts have equal bytes: the run's name is not part of them."""
        meta = {
            "issued_from": str(self.issued_from.astype("datetime64[h]")),
            "first_hour": str(self.first_hour.astype("datetime64[h]")),
            "levels": list(self.levels),
            "months": list(self.months),
            "method": self.method,
        }
        arrays: dict[str, NDArray[Any]] = {"hourly": self.hourly}
        if self.monthly_total is not None and self.monthly_peak_hour is not None:
            arrays |= {"monthly_total": self.monthly_total, "monthly_peak_hour": self.monthly_peak_hour}
        return pack(meta, arrays)

    @staticmethod
    def unpacked(run_id: str, key: SeriesKey, content: bytes) -> Vintage:
        """A vintage as it was recorded."""
        meta, arrays = unpack(content)
        return Vintage(
            run_id,
            key,
            np.datetime64(meta["issued_from"], "h"),
            np.datetime64(meta["first_hour"], "h"),
            tuple(meta["levels"]),
            arrays["hourly"],
            tuple(meta["months"]),
            arrays.get("monthly_total"),
            arrays.get("monthly_peak_hour"),
            meta["method"],
        )


@dataclass(frozen=True, slots=True)
class Actual:
    """What happened in one series: requests of every hour from first_hour on, NaN where nothing was observed."""

    key: SeriesKey
    first_hour: np.datetime64
    requests: FloatArray

    @property
    def end(self) -> np.datetime64:
        """The hour after the last."""
        return np.datetime64(self.first_hour + len(self.requests) * HOUR)

    def between(self, start: np.datetime64, stop: np.datetime64) -> FloatArray:
        """Requests of [start, stop), NaN outside of what is known."""
        wanted = int((stop - start) / HOUR)
        shift = int((start - self.first_hour) / HOUR)
        found = np.full(max(wanted, 0), np.nan)
        low, high = max(shift, 0), min(shift + wanted, len(self.requests))
        if high > low:
            found[low - shift : high - shift] = self.requests[low:high]
        return found


@dataclass(frozen=True, slots=True)
class Run:
    """One run as it is recorded, whole or not at all."""

    id: str
    kind: str
    scenario: str
    fingerprint: str
    issued_from: str
    entries: tuple[Entry, ...]
    vintages: tuple[Vintage, ...] = ()
    actuals: tuple[Actual, ...] = ()
    corrections: tuple[Correction, ...] = ()


@dataclass(frozen=True, slots=True)
class RunLine:
    """One run as it is listed; entries map (role, name) to the SHA-256 of the content."""

    id: str
    kind: str
    scenario: str
    fingerprint: str
    issued_from: str
    recorded_at: str
    manifest: str
    entries: Mapping[tuple[str, str], str]


@dataclass(frozen=True, slots=True)
class Correction:
    """A change to what the next plan assumes, proposed with its evidence and used once someone has accepted it.

    kind: level, quantiles, lengths, cache, goodput or margin. target: the labels of what it applies to, a subset of a
    series' (or a configuration's) labels. values: its figures, by name. since: the hour from which it holds, or empty.
    until: the last hour that its evidence saw, so that the same evidence is not used twice. holds: ids of the accepted
    corrections of its kind and target that the plans it was measured on were made with; None where it was recorded
    before that was kept.
    """

    scenario: str
    kind: str
    target: Mapping[str, str]
    values: Mapping[str, float]
    since: str
    until: str
    evidence: str
    holds: tuple[str, ...] | None = None

    def content(self) -> bytes:
        """Canonical bytes: the same correction proposed twice is one."""
        fields = asdict(self)
        if self.holds is None:
            del fields["holds"]
        return canonical(fields)

    @staticmethod
    def of(content: bytes) -> Correction:
        """A correction as it was recorded."""
        fields = json.loads(content)
        if "holds" in fields:
            fields["holds"] = tuple(fields["holds"])
        return Correction(**fields)


@dataclass(frozen=True, slots=True)
class PlanCorrections:
    """When a plan was recorded (ISO 8601 UTC), and the ids of the corrections it was made with."""

    recorded_at: str
    ids: frozenset[str]


@dataclass(frozen=True, slots=True)
class CorrectionLine:
    """A correction in the ledger with its latest review; verdict is open, accepted or rejected.

    supersedes: ids of older ones whose place it takes once accepted; superseded_by: of accepted ones that took its
    place (reconcile/standing.py; empty as the ledger reads it)."""

    id: str
    correction: Correction
    proposed_by: str
    recorded_at: str
    verdict: str
    reviewer: str = ""
    note: str = ""
    supersedes: tuple[str, ...] = ()
    superseded_by: tuple[str, ...] = ()
