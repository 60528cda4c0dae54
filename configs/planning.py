"""Regions, markets, reserves and limits under which the fleet is planned."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from configs.base import Name, NonNegative, Positive, Section, Share


class Market(Section):
    """A price list: a provider and the name it gives the place."""

    provider: Name
    region: Name


class Commitment(Section):
    """A commitment already held."""

    region: Name
    gpu: Name
    gpus: Annotated[int, Field(ge=1)]
    usd_per_gpu_h: Positive
    expires: Annotated[str, Field(pattern=r"^\d{4}-(0[1-9]|1[0-2])$")] = Field(
        description="first month (YYYY-MM) in which it is gone"
    )


class Region(Section):
    """A serving region: the markets it buys in and its quotas by GPU."""

    markets: tuple[Market, ...] = Field(min_length=1)
    gpu_quota: dict[Name, Annotated[int, Field(ge=0)]] = Field(
        default_factory=dict, description="most GPUs of a type in this region, all purchase options together"
    )


class PlanPolicy(Section):
    """What a plan must hold, and what it may spend."""

    regions: dict[Name, Region] = Field(min_length=1)
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
    purchase_options: tuple[Name, ...] = Field(default=("on_demand", "reserved_1y", "reserved_3y"), min_length=1)
    commitment_lead_time_months: Annotated[int, Field(ge=0, le=24)] = 0
    on_demand_share_min: Share = Field(default=0.0, description="least share of GPUs kept on demand")
    commitments: tuple[Commitment, ...] = ()
    budget_usd_per_month: NonNegative | None = None
    cvar_weight: Share = 0.0
    cvar_alpha: Annotated[float, Field(gt=0.0, lt=1.0)] = 0.9
    residual_value: Share = Field(
        default=0.9,
        description="share of a commitment's cost after the horizon that later demand is assumed to be worth",
    )
    pool_start_usd: NonNegative = Field(
        default=1000.0,
        description="one-time cost of bringing up a pool: deployment, load test, sign-off (assumption, 2026-11)",
    )
    mip_gap: Annotated[float, Field(gt=0.0, lt=0.5)] = 0.005
    time_limit_s: Positive = 25.0

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
        return self
