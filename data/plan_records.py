"""What the optimizer is asked, and what it answers. Standard library and numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

from data.procurement_records import NOTHING, Procurement
from data.records import Capacity, Configuration, Demand, Excuse, Offer, SeriesKey
from data.scenario_records import SampleCheck, StochasticValue

PlanStatus = Literal["optimal", "feasible", "infeasible", "no_solution", "error"]


@dataclass(frozen=True, slots=True)
class HeldCommitment:
    """A commitment already paid for: counted as supply until the month `expires` (exclusive)."""

    region: str
    gpu: str
    gpus: int
    usd_per_gpu_h: float
    expires: str


@dataclass(frozen=True, slots=True)
class Reserves:
    """Capacity kept beyond the load, next to N+k and the rollout surge; all off by default.

    canary_share: share of a pool's replicas on trial, not counted on, rounded up. maintenance_share: likewise, drained.
    warm_share: largest relative growth of load within a replica's time to ready. zones: places a pool's replicas are
    spread over evenly; with zone_loss the rest carries the protected classes when one is lost. region_loss: protected
    classes are carried when any one region is lost, where residency allows. together: whether N+k, rollout, canary,
    maintenance and warm may be called on at once (`sum`) or one at a time (`max`); zone and region are always taken
    one at a time.
    """

    canary_share: float = 0.0
    maintenance_share: float = 0.0
    warm_share: float = 0.0
    zones: int = 1
    zone_loss: bool = False
    region_loss: bool = False
    together: Literal["sum", "max"] = "sum"


@dataclass(frozen=True, slots=True)
class ApiOffer:
    """A provider's API that can take requests of a class for an LLM: price a request, and most requests/s."""

    usd_per_request: float
    rps_max: float = float("inf")


@dataclass(frozen=True, slots=True)
class Facility:
    """The site a region's GPUs stand in: watts it may draw at the meter (None: not limited), power usage effectiveness,
    watts of a GPU with its share of the server by GPU, racks (None: not limited) and GPUs in one."""

    power_w: float | None = None
    pue: float = 1.0
    gpu_w: Mapping[str, float] = field(default_factory=dict)
    racks: float | None = None
    gpus_per_rack: int = 32


@dataclass(frozen=True, slots=True)
class VolumeTier:
    """Orders of a purchase option from so many GPUs on cost a share less, all GPUs of them; gpu empty: of any type."""

    option: str
    from_gpus: int
    discount: float
    gpu: str = ""


@dataclass(frozen=True, slots=True)
class LastPool:
    """A pool of the plan before: where a search may start."""

    configuration: Configuration
    region: str
    month: str


@dataclass(frozen=True, slots=True)
class FleetProblem:
    """Everything the fleet MIP needs, already checked.

    capacities: feasible rows only (class x configuration); quotas by (region, gpu), absent = unlimited;
    may_serve: origin region -> serving regions; shed_usd_per_request and protected by class.
    """

    demand: Demand
    capacities: tuple[Capacity, ...]
    offers: tuple[Offer, ...]
    regions: tuple[str, ...]
    quotas: Mapping[tuple[str, str], int]
    may_serve: Mapping[str, tuple[str, ...]]
    shed_usd_per_request: Mapping[str, float]
    protected: Mapping[str, bool]
    held: tuple[HeldCommitment, ...] = ()
    failures_per_pool: int = 1
    rollout_surge: float = 0.0
    on_demand_share_min: float = 0.0
    commitment_lead_time_months: int = 0
    budget_usd_per_month: float | None = None
    cvar_weight: float = 0.0
    cvar_alpha: float = 0.9
    mip_gap: float = 0.005
    time_limit_s: float = 20.0
    seed: int = 0
    planning_quantile: float = 0.95
    """Scenarios up to this cumulative probability, in order of load, are promised; pools are shown for the last."""
    residual_value: float = 0.9
    """Share of a commitment's cost after the horizon that later demand is assumed to be worth."""
    pool_start_usd: float = 0.0
    """One-time cost of bringing up a pool that did not run the month before."""
    reserves: Reserves = Reserves()
    whole_nodes: bool = False
    """Whether GPUs are bought in whole nodes of the offer's gpus_per_node; otherwise one by one."""
    lead_time_months: Mapping[str, int] = field(default_factory=dict)
    """By purchase option, where it differs from commitment_lead_time_months; an offer's own beats both."""
    api: Mapping[tuple[str, str], ApiOffer] = field(default_factory=dict)
    """(LLM, class) -> a provider's API for overflow."""
    spot_share_max: float = 0.0
    """Most of a region's GPUs of one type that may be spot; all of it can be lost at once."""
    spot_interrupted_share: float = 0.05
    """Share of hours in which spot GPUs are not there; unprotected load on them is shed then."""
    facilities: Mapping[str, Facility] = field(default_factory=dict)
    """By region; absent: neither power nor floor is limited."""
    churn_gpus_max: int | None = None
    """Most GPUs of a region whose replicas start or stop from one month to the next."""
    churn_usd_per_gpu: float = 0.0
    """One-time cost of every GPU whose replica starts or stops between two months."""
    minimum_gpus: Mapping[str, int] = field(default_factory=dict)
    """Least GPUs of an order by purchase option with a term."""
    volume_tiers: tuple[VolumeTier, ...] = ()
    """Discounts on large orders."""
    last: tuple[LastPool, ...] = ()
    """Pools of the plan before, from which the search starts; the answer is never worse for them."""


def lead_months(problem: FleetProblem, offer: Offer) -> int:
    """Whole months from the order of an offer with a term to its start."""
    if offer.lead_time_months is not None:
        return offer.lead_time_months
    return problem.lead_time_months.get(offer.option, problem.commitment_lead_time_months)


def without_lead(problem: FleetProblem) -> FleetProblem:
    """The problem with commitments that start when they are ordered."""
    offers = tuple(replace(one, lead_time_months=None) for one in problem.offers)
    return replace(problem, offers=offers, commitment_lead_time_months=0, lead_time_months={})


@dataclass(frozen=True, slots=True)
class Pool:
    """Replicas of one configuration for one class set in one region and month, by purpose."""

    configuration: Configuration
    region: str
    month: str
    steady_replicas: int
    failure_replicas: int
    rollout_replicas: int
    peak_rps: float
    operating_rps_per_replica: float
    canary_replicas: int = 0
    maintenance_replicas: int = 0
    warm_replicas: int = 0
    zone_replicas: int = 0
    failover_replicas: int = 0

    @property
    def reserve(self) -> Mapping[str, int]:
        """Replicas beyond the steady ones by purpose."""
        return {
            "failure (N+k)": self.failure_replicas,
            "rollout": self.rollout_replicas,
            "canary": self.canary_replicas,
            "maintenance": self.maintenance_replicas,
            "warm": self.warm_replicas,
            "zone": self.zone_replicas,
            "region": self.failover_replicas,
        }

    @property
    def replicas(self) -> int:
        return self.steady_replicas + sum(self.reserve.values())

    @property
    def gpus(self) -> int:
        return self.replicas * self.configuration.gpus


@dataclass(frozen=True, slots=True)
class Route:
    """Where a series is served in a month of the design scenario, requests/s by block; an API has no configuration."""

    series: SeriesKey
    month: str
    configuration: Configuration | None
    region: str
    """Of the pool; empty for an API."""
    rps: Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Purchase:
    """GPUs bought: for a commitment, in the month it starts; for on-demand, the level of that month."""

    region: str
    gpu: str
    option: str
    month: str
    gpus: int
    usd_per_gpu_h: float
    term_months: int
    usd_in_horizon: float


@dataclass(frozen=True, slots=True)
class MonthCost:
    """Expected cost of a month, US dollars."""

    month: str
    committed_usd: float
    on_demand_usd: float
    held_usd: float
    idle_usd: float
    shed_usd: float
    start_usd: float = 0.0
    """One-time cost of pools that start in this month, and of GPUs whose replicas start or stop."""
    api_usd: float = 0.0
    """Requests sent to a provider's API."""

    @property
    def cash_usd(self) -> float:
        """What is paid; shed load is a price on risk, not money spent, and idle is part of committed. Spot hours count
        as on demand."""
        return self.committed_usd + self.on_demand_usd + self.held_usd + self.start_usd + self.api_usd


@dataclass(frozen=True, slots=True)
class PlacedCost:
    """The part of a month's pool starts or API calls that falls in one place, expected US dollars.

    item: "pool start" (of an LLM's pools on a GPU in the region where they start, churn included) or "provider API" (of
    a class in the region its requests come from); quantity: pools started, or requests sent.
    """

    item: str
    month: str
    region: str
    llm: str
    usd: float
    gpu: str = ""
    request_class: str = ""
    quantity: float = 0.0


@dataclass(frozen=True, slots=True)
class Shortfall:
    """Demand that is not served, with the constraint that stops it and the cheapest way to lift it."""

    series: SeriesKey
    month: str
    block: str
    expected_rps: float
    worst_rps: float
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class Exposure:
    """Protected demand that no pool could carry if a region were lost, though others may serve it: the most of any
    promised scenario and block, with the constraint that stops it and the cheapest way to lift it."""

    series: SeriesKey
    month: str
    lost_region: str
    block: str
    worst_rps: float
    cause: str
    remedy: str


@dataclass(frozen=True, slots=True)
class BindingConstraint:
    """A limit that costs money: its shadow price in US dollars per unit."""

    name: str
    where: str
    limit: float
    unit: str
    shadow_usd_per_unit: float


@dataclass(frozen=True, slots=True)
class MarginalCost:
    """What one more unit of demand costs over the horizon: a shadow price of the linear relaxation."""

    where: str
    mean: float
    """Mean demand now, in the unit."""
    unit: str
    usd_per_unit: float


@dataclass(frozen=True, slots=True)
class Rejected:
    """A configuration that is not in the plan, and why."""

    configuration: Configuration
    request_class: str
    excuse: Excuse
    region: str = ""
    """Where it was rejected; everywhere where empty."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """What a simpler rule would pay: its objective beside the plan's, and whether it serves what is promised."""

    name: str
    objective_usd: float
    saving: float
    """Share of the baseline's objective that the plan saves."""
    serves_promise: bool


@dataclass(frozen=True, slots=True)
class RulePrice:
    """What a rule of the plan costs: the relaxation's value with it less without it, US dollars over the horizon."""

    rule: str
    usd: float


@dataclass(frozen=True, slots=True)
class SolveStats:
    """How the answer was found: objective, proven bound, relative gap, size and seconds."""

    status: PlanStatus
    termination: str
    objective_usd: float
    bound_usd: float
    gap: float
    columns: int
    rows: int
    integers: int
    build_s: float
    solve_s: float
    solver: str


@dataclass(frozen=True, slots=True)
class FleetPlan:
    """The plan: pools, purchases, cost, what is short and why, and the proof of how good it is."""

    stats: SolveStats
    pools: tuple[Pool, ...] = ()
    routes: tuple[Route, ...] = ()
    """Which pool serves which series in the design scenario; what none serves is a shortfall."""
    purchases: tuple[Purchase, ...] = ()
    costs: tuple[MonthCost, ...] = ()
    placed: tuple[PlacedCost, ...] = ()
    """Where pool starts and API calls fall; by item and month they sum to `costs`."""
    shortfalls: tuple[Shortfall, ...] = ()
    exposures: tuple[Exposure, ...] = ()
    """Where the promise to carry the loss of a region is broken; none where it is not made."""
    binding: tuple[BindingConstraint, ...] = ()
    marginal: tuple[MarginalCost, ...] = ()
    """What one more request/s of each series costs, dearest first."""
    conflict: tuple[str, ...] = ()
    """Rules that cannot be kept together with the promise to protected classes; without any one of them it holds."""
    rejected: tuple[Rejected, ...] = ()
    reserve_usd: Mapping[str, float] = field(default_factory=dict)
    scenario_usd: tuple[float, ...] = ()
    """Cash of the whole horizon in each demand scenario, in the order of the demand's probabilities."""
    design_scenario: int = 0
    baselines: tuple[Baseline, ...] = ()
    """Simpler rules on the same problem, cheapest first."""
    rule_prices: tuple[RulePrice, ...] = ()
    """What each rule that is on costs, by solving the linear relaxation again without it."""
    notes: tuple[str, ...] = ()
    procurement: Procurement = NOTHING
    """What to order by when, and what becomes of what is held."""
    stochastic: StochasticValue | None = None
    """What committing with all scenarios in view is worth; None with one scenario or nothing to commit to."""
    sample: SampleCheck | None = None
    """The plan in fresh scenarios; None where that is switched off."""
