"""What planning by scenarios is worth, and how a plan fares in demand that it has not seen. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class StochasticValue:
    """Commitments made for all scenarios beside commitments made for their mean, US dollars of the plan's objective, by
    linear relaxations."""

    recourse_usd: float
    """The plan's problem: commitments chosen with all scenarios in view."""
    mean_demand_usd: float
    """The same scenarios lived through with the commitments that are best for mean demand."""

    @property
    def value_usd(self) -> float:
        """The value of the stochastic solution."""
        return max(self.mean_demand_usd - self.recourse_usd, 0.0)


@dataclass(frozen=True, slots=True)
class SampleCheck:
    """A plan in fresh demand scenarios: what it costs when its pools grow and shrink with each of them, and where the
    fleet that is provisioned for the design scenario is too small.

    Costs are cash of the horizon, US dollars, with whole replicas and nodes and every reserve of the plan, in its own
    scenarios (`planned_usd`, near the plan's expected cash) as in the fresh ones. over: protected load beyond what is
    carried with every reserve kept; short: beyond what all replicas carry. A month is counted once for each scenario; a
    block that is over or short counts all its hours.
    """

    scenarios: int
    planned_usd: float
    mean_usd: float
    p05_usd: float
    p50_usd: float
    p95_usd: float
    worst_usd: float
    stated_risk: float
    """Share of months that the plan allows to be over: 1 less the planning quantile."""
    months_over: float
    months_short: float
    hours_over_per_month: float
    hours_short_per_month: float
    unserved_share: float
    """Share of protected requests beyond what all replicas carry."""
    note: str
