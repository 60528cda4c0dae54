"""Regions, markets, reserves and limits under which the fleet is planned."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.base import Name, NonNegative, Positive, Section, Share
from configs.plan_limits import ChurnPolicy, Facility, VolumeDiscount, check_orders


class Market(Section):
    """A price list: a provider and the name it gives the place."""

    provider: Name = Field(description="as in the price catalog")
    region: Name = Field(description="the provider's own name of it")


class Commitment(Section):
    """A commitment already held."""

    region: Name = Field(description="a key of `regions`")
    gpu: Name = Field(description="catalog name")
    gpus: Annotated[int, Field(ge=1)] = Field(description="how many are held")
    usd_per_gpu_h: Positive = Field(description="what each costs an hour, used or not")
    expires: Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")] = Field(
        description="first month (YYYY-MM) in which it is gone"
    )


class Region(Section):
    """A serving region: the markets it buys in and its quotas by GPU."""

    markets: tuple[Market, ...] = Field(
        description="where its GPUs are rented; may be empty where owned or commitments name the region"
    )
    gpu_quota: dict[Name, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="most GPUs of a type in this region, all purchase options together"
    )
    facility: Facility | None = Field(
        default=None, description="the site that all GPUs of the region stand in, where its power or floor is limited"
    )


class ReservePolicy(Section):
    """Capacity kept beyond the load, next to N+k and the rollout surge; each is off at its default."""

    canary_share: Annotated[float, Field(ge=0.0, le=0.4)] = Field(
        default=0.0, description="share of a pool's replicas on trial, whole replicas, not counted on"
    )
    maintenance_share: Annotated[float, Field(ge=0.0, le=0.4)] = Field(
        default=0.0, description="share of a pool's replicas drained for maintenance, whole replicas"
    )
    warm_share: Annotated[float, Field(ge=0.0, le=5.0)] = Field(
        default=0.0, description="largest relative growth of load within a replica's time to ready"
    )
    zones: Annotated[int, Field(ge=1, le=10)] = Field(default=1, description="zones a pool's replicas are spread over")
    zone_loss: bool = Field(default=False, description="protected classes are carried when any one zone is lost")
    region_loss: bool = Field(
        default=False, description="protected classes are carried when any one region is lost, where may_serve allows"
    )
    together: Literal["sum", "max"] = Field(
        default="sum", description="N+k, rollout, canary, maintenance and warm called on at once, or one at a time"
    )

    @model_validator(mode="after")
    def _zones_make_sense(self) -> ReservePolicy:
        if self.zone_loss and self.zones < 2:
            raise ValueError(f"zone_loss needs zones of at least 2, got {self.zones}: the only zone cannot be lost")
        return self


class ApiOverflow(Section):
    """A provider's API that may take requests of a class for an LLM."""

    llm: Name = Field(description="the planned LLM that it stands in for")
    request_class: Name = Field(description="the class it may serve")
    usd_per_request: Positive = Field(description="price of one request there")
    rps_max: Positive | None = Field(default=None, description="rate limit, requests/s; none where left out")


class OwnedHardware(Section):
    """Hardware that can be bought: its price is capital over its life plus running costs, per GPU-hour."""

    region: Name = Field(description="a key of `regions`")
    gpu: Name = Field(description="catalog name")
    usd_per_gpu_h: Positive = Field(description="depreciation, hosting and upkeep of one GPU-hour")
    life_months: Annotated[int, Field(ge=1, le=120)] = Field(
        default=48, description="months over which it is written off"
    )
    lead_time_months: Annotated[int, Field(ge=0, le=24)] | None = Field(
        default=None,
        description="whole months from order to service; where left out plan.lead_time_months.owned, else 4",
    )
    gpus_per_node: Annotated[int, Field(ge=1, le=72)] = Field(default=8, description="sold in nodes of so many")
    source: str = Field(min_length=1, description="where the price comes from")
    as_of: Annotated[str, Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")] = Field(description="the day the price was true")


class PlanPolicy(Section):
    """What a plan must hold, and what it may spend."""

    regions: dict[Name, Region] = Field(min_length=1, description="places that serve, by your own name for them")
    may_serve: dict[Name, tuple[Name, ...]] = Field(
        default_factory=dict, description="origin region -> regions that may serve it; default: itself"
    )
    failures_per_pool: Annotated[int, Field(ge=0, le=10)] = Field(
        default=1, description="replicas a pool may lose and still hold its SLO (N+k)"
    )
    rollout_surge: Share = Field(default=0.0, description="extra replicas during a rollout, share of the pool")
    planning_quantile: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.95, description="quantile of the peak hour that steady capacity carries"
    )
    purchase_options: tuple[Name, ...] = Field(
        default=("on_demand", "reserved_1y", "reserved_3y"),
        min_length=1,
        description="what may be bought: on_demand, spot, reserved_1y, reserved_3y, capacity_block",
    )
    commitment_lead_time_months: Annotated[int, Field(ge=0, le=24)] = Field(
        default=0, description="whole months from the order of a commitment to its start"
    )
    on_demand_share_min: Share = Field(default=0.0, description="least share of GPUs kept on demand")
    commitments: tuple[Commitment, ...] = Field(default=(), description="what is held already")
    budget_usd_per_month: NonNegative | None = Field(
        default=None,
        description="most that a month's expected commitments and hours may cost; the start of pools is not counted",
    )
    cvar_weight: Share = Field(
        default=0.0,
        description="weight of the mean cost of the worst scenarios in the objective; 0 plans for the expected cost",
    )
    cvar_alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(
        default=0.9, description="share of scenarios that are not among the worst"
    )
    residual_value: Share = Field(
        default=0.9,
        description="share of a commitment's cost after the horizon that later demand is assumed to be worth",
    )
    pool_start_usd: NonNegative = Field(
        default=1000.0,
        description="one-time cost of bringing up a pool: deployment, load test, sign-off (assumption, 2026-11)",
    )
    reserves: ReservePolicy = Field(default=ReservePolicy(), description="what is kept beyond failures per pool")
    whole_nodes: bool = Field(
        default=False, description="buy GPUs in whole nodes as sold (slower to prove), instead of one by one"
    )
    lead_time_months: dict[Name, Annotated[int, Field(ge=0, le=24)]] = Field(
        default_factory=dict, description="by purchase option, where it differs from commitment_lead_time_months"
    )
    minimum_gpus: dict[Name, Annotated[int, Field(ge=1)]] = Field(
        default_factory=dict, description="least GPUs of an order, by purchase option with a term"
    )
    volume_discounts: tuple[VolumeDiscount, ...] = Field(
        default=(), description="what large orders save; an order is one offer that starts in one month"
    )
    churn: ChurnPolicy = Field(default=ChurnPolicy(), description="how much a fleet may change from month to month")
    api: tuple[ApiOverflow, ...] = Field(default=(), description="provider APIs that may take overflow")
    owned: tuple[OwnedHardware, ...] = Field(default=(), description="hardware that can be bought")
    spot_share_max: Annotated[float, Field(ge=0.0, le=0.95)] = Field(
        default=0.0, description="most of a region's GPUs of a type that may be spot; needs spot in purchase_options"
    )
    spot_interrupted_share: Annotated[float, Field(ge=0.0, le=0.9)] = Field(
        default=0.05, description="share of hours in which spot GPUs are not there (assumption, 2026-11)"
    )
    fresh_scenarios: Annotated[int, Field(ge=0, le=20_000)] = Field(
        default=1000,
        description="demand scenarios, drawn anew, that the finished plan is tried on (up to 100 series); 0: none",
    )
    warm_start: bool = Field(
        default=False,
        description="start the search from the scenario's last recorded plan: never worse, but the answer then depends "
        "on the ledger",
    )
    mip_gap: Annotated[float, Field(gt=0.0, lt=0.5)] = Field(
        default=0.005, description="proven distance to the least cost at which the search stops"
    )
    time_limit_s: Positive = Field(default=25.0, description="most seconds for one search")

    @model_validator(mode="after")
    def _names_exist(self) -> PlanPolicy:
        known = set(self.regions)
        for origin, servers in self.may_serve.items():
            for place in servers:
                if place not in known:
                    raise ValueError(f"may_serve[{origin}] names region {place!r}; known: {', '.join(sorted(known))}")
        for held in self.commitments:
            if held.region not in known:
                raise ValueError(f"a commitment names region {held.region!r}; known: {', '.join(sorted(known))}")
        for one in self.owned:
            if one.region not in known:
                raise ValueError(f"owned hardware names region {one.region!r}; known: {', '.join(sorted(known))}")
        own = {held.region for held in self.commitments} | {one.region for one in self.owned}
        for name, region in self.regions.items():
            if not region.markets and name not in own:
                raise ValueError(
                    f"regions.{name}.markets is empty, and neither owned nor commitments name the region: no GPUs there"
                )
        if self.reserves.region_loss and len(known) < 2:
            raise ValueError("reserves.region_loss contradicts a single region: there is nowhere to fail over to")
        if self.on_demand_share_min > 0.0 and "on_demand" not in self.purchase_options:
            raise ValueError("on_demand_share_min contradicts purchase_options: on_demand is not among them")
        if self.spot_share_max > 0.0 and "spot" not in self.purchase_options:
            raise ValueError("spot_share_max contradicts purchase_options: spot is not among them")
        if self.spot_share_max + self.on_demand_share_min > 1.0:
            raise ValueError("spot_share_max and on_demand_share_min contradict each other: together over 1")
        check_orders(self.minimum_gpus, self.volume_discounts, self.purchase_options, bool(self.owned))
        return self
