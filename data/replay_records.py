"""What a replay says of a plan: every pool against its peak, whole and with something missing."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from data.curve_records import ClassTimes
from data.records import Configuration


@dataclass(frozen=True, slots=True)
class PoolReplay:
    """One pool in one situation: `replicas` share `rps`; promised_rps is what the plan counts on from each.

    knee_rps is what a replica was found to hold where it missed (0 where nothing does), else nan. classes has the times
    of every class over all seeds; holds is the verdict.
    """

    configuration: Configuration
    region: str
    month: str
    situation: str
    replicas: int
    rps: float
    promised_rps: float
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


@dataclass(frozen=True, slots=True)
class Situation:
    """Something that happens to a pool part of the way through: `away` replicas are missing from the start (a rollout
    holds them), `lost` die with what they hold, and `coming` takes the place of its load: requests/s by class with what
    other places had (empty: its load stays). Where protected_alone, classes that are not are turned away from then on,
    as the reserve foresees. kept says whether the plan keeps a reserve for it: only then does a miss break the plan."""

    name: str
    away: int = 0
    lost: int = 0
    coming: Mapping[str, float] = field(default_factory=dict)
    kept: bool = True
    protected_alone: bool = False
    unserved: str = ""
    """Load of what is lost that no pool has room for, in words: the situation is missed then, whatever the pools do."""

    @property
    def disturbs(self) -> bool:
        """Whether something changes on the way."""
        return self.lost > 0 or bool(self.coming)


@dataclass(frozen=True, slots=True)
class PoolRun:
    """One pool through one situation: requests followed over seconds, how many came again after their replica died, and
    the lowest share within SLO in any minute. breaks is empty where every SLO percentile holds."""

    configuration: Configuration
    region: str
    month: str
    situation: Situation
    replicas: int
    rps: float
    requests: int
    seconds: float
    retried: int
    classes: tuple[ClassTimes, ...]
    worst_minute: float
    breaks: str

    @property
    def verdict(self) -> str:
        """`holds`, `misses`, or that nothing is kept for what it misses."""
        if not self.breaks:
            return "holds"
        return "misses" if self.situation.kept else "misses, no reserve kept"
