"""What to order, by when, and what is left of what is held. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Action = Literal["buy", "defer", "drop"]


@dataclass(frozen=True, slots=True)
class Order:
    """A commitment to order now, to order later, or not to order (or not to renew).

    buy: it must be ordered in the first month of the plan at the latest, so before the next monthly plan could do it.
    defer: a later monthly plan can still order it in time. drop: the plan orders none of it; option `held` is a
    commitment that is left to expire.
    """

    action: Action
    region: str
    gpu: str
    option: str
    term_months: int
    gpus: int
    """0 where nothing is ordered; for `held`, the GPUs that expire."""
    order_by: str
    """First day of the last month in which it can be ordered, YYYY-MM-DD: its start less the lead time; the day of
    expiry for `held`; empty where nothing is ordered."""
    starts: str
    """Month in which it starts to serve; empty where nothing is ordered."""
    usd_per_gpu_h: float
    usd_of_term: float
    """What the order commits to over its whole term, US dollars."""
    regret_usd: float
    """What the other choice costs, US dollars of the plan's objective. buy, defer: the same replicas without this order
    in its month, fed by what else is on sale then (this or another option a month later included). drop: one lot of it
    from the first month it can start. inf where the same replicas cannot be fed otherwise; 0 for `held`."""
    reason: str


@dataclass(frozen=True, slots=True)
class Coverage:
    """GPUs of one type in one region and month, design scenario unless said otherwise."""

    region: str
    gpu: str
    month: str
    used_gpus: int
    expected_used_gpus: float
    """Mean over scenarios."""
    held_gpus: int
    """Commitments that were there before this plan."""
    committed_gpus: int
    """Commitments that this plan orders."""
    on_demand_gpus: int
    spot_gpus: int
    quota_gpus: int | None
    utilisation: float
    """Mean share of the committed GPUs, held ones included, that is in use over scenarios; nan without any."""

    @property
    def coverage(self) -> float:
        """Share of the used GPUs that commitments cover; 1 where nothing is used."""
        firm = self.held_gpus + self.committed_gpus
        return min(firm, self.used_gpus) / self.used_gpus if self.used_gpus else 1.0


@dataclass(frozen=True, slots=True)
class CommitmentUse:
    """One commitment, held or ordered: how much of it is used within the horizon, and when it ends.

    Commitments of one GPU and region are used in the order in which they came, held ones first.
    """

    region: str
    gpu: str
    option: str
    """`held` for those from before this plan."""
    gpus: int
    starts: str
    """Empty for held ones."""
    expires: str
    """First month in which it is gone."""
    utilisation: float
    """Mean share in use over the months of the horizon in which it runs and over scenarios."""
    needed_after: int | None
    """GPUs in use in the month it expires; None where that is after the horizon."""
    renew_by: str
    """First day of the last month in which a successor without a gap can be ordered, YYYY-MM-DD, at the shortest lead
    time on offer; empty where nothing is on offer."""


@dataclass(frozen=True, slots=True)
class RunOut:
    """When GPUs of a type in a region run out: what is committed, or the quota."""

    region: str
    gpu: str
    limit: Literal["commitments", "quota"]
    """commitments: those held before this plan, without any new order."""
    month: str
    """First month in which more is used than is committed, or the quota leaves no room for one more replica."""
    limit_gpus: int
    """There in that month."""
    used_gpus: int
    """Used, or asked for by growth, in that month, design scenario."""
    extrapolated: bool
    """Whether the month lies after the horizon, where demand is taken to grow on as within it."""


@dataclass(frozen=True, slots=True)
class Procurement:
    """The plan as a buyer reads it; orders in the order of their deadline, dearest regret first."""

    orders: tuple[Order, ...] = ()
    wait_usd: float = 0.0
    """What ordering nothing in the first month costs, all `buy` orders together; inf where the same replicas cannot be
    fed otherwise."""
    coverage: tuple[Coverage, ...] = ()
    commitments: tuple[CommitmentUse, ...] = ()
    run_outs: tuple[RunOut, ...] = ()


NOTHING = Procurement()
