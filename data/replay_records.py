"""What a replay says of a plan: every pool against its peak, whole and with something missing."""

from __future__ import annotations

from dataclasses import dataclass

from data.curve_records import ClassTimes
from data.records import Configuration


@dataclass(frozen=True, slots=True)
class PoolReplay:
    """One pool in one situation: `replicas` share `rps`. knee_rps is what a replica was found to hold where it missed
    (0 where nothing does), else nan. classes has the times of every class over all seeds; holds is the verdict."""

    configuration: Configuration
    region: str
    month: str
    situation: str
    replicas: int
    rps: float
    classes: tuple[ClassTimes, ...]
    holds: bool
    breaks: str
    knee_rps: float = float("nan")


@dataclass(frozen=True, slots=True)
class Derating:
    """A configuration whose replicas carry less than it was planned with, and by which factor."""

    configuration: Configuration
    request_classes: tuple[str, ...]
    factor: float
    because: str


@dataclass(frozen=True, slots=True)
class Replay:
    """All pools of the largest month in every situation; `rounds` re-solves were made, with these deratings."""

    rows: tuple[PoolReplay, ...]
    deratings: tuple[Derating, ...]
    rounds: int
    method: str

    @property
    def holds(self) -> bool:
        return all(row.holds for row in self.rows)
