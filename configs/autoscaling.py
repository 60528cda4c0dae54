"""How pools are scaled: what starting takes, which burst must be carried, what the scaler may look at."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, model_validator

from configs.base import Name, NonNegative, Positive, Reference, Section


class StartUpTimes(Section):
    """Seconds until a new replica serves, by part. The defaults are assumptions (2026-11): measure your own."""

    node_s: NonNegative = Field(default=180.0, description="until the cloud hands over a node with its drivers ready")
    image_s: NonNegative = Field(default=90.0, description="pulling the engine's image (about 10 GB)")
    weights_gb_per_s: Positive = Field(default=1.0, description="rate at which a replica reads its weights")
    warm_up_s: NonNegative = Field(default=60.0, description="compiling, CUDA graphs, first requests")
    drain_s: NonNegative = Field(default=60.0, description="how long a replica that goes is still paid for")
    as_of: str = Field(default="2026-11", min_length=1, description="when these times were true: a day, month or year")


class Burst(Section):
    """The burst that must be carried at any hour, and what it may cost."""

    factor: Annotated[float, Field(ge=1.0, le=20.0)] = Field(default=1.5, description="load over the load before")
    ramp_s: NonNegative = Field(default=60.0, description="how fast it comes")
    hold_s: NonNegative = Field(default=900.0, description="how long it stays")
    short_s: NonNegative = Field(default=60.0, description="seconds a day that may be short of capacity")


class AutoscalingPolicy(Section):
    """What `fleetcast autoscale` may choose from, and what its choice must hold."""

    start_up: StartUpTimes = Field(default=StartUpTimes(), description="what a new replica waits for")
    burst: Burst = Field(default=Burst(), description="what must be carried at any hour")
    attainment: Annotated[float, Field(gt=0.0, lt=1.0)] | None = Field(
        default=None, description="share of requests within their SLO on any day; default: the SLO's lowest percentile"
    )
    interval_s: Annotated[int, Field(ge=5, le=300)] = Field(default=15, description="whole seconds between decisions")
    signals: tuple[Literal["queue", "concurrency", "tokens", "kv_cache", "rate"], ...] = Field(
        default=("queue", "concurrency", "tokens", "kv_cache", "rate"),
        min_length=1,
        description="what a scaler may look at",
    )
    forecast: bool = Field(default=True, description="may scale ahead by the forecast (a schedule)")
    max_replicas: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="most replicas of a pool; default: what the plan holds for it"
    )
    nodes_per_min: Positive | None = Field(default=None, description="how fast the cloud hands over nodes; no limit")
    traces: tuple[str, ...] = Field(
        default=(), description="files of real load, held against the policies at the pool's own peak"
    )
    namespace: Annotated[str, Field(pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")] = Field(
        default="llm-serving", description="Kubernetes namespace of the manifests"
    )
    prometheus: Annotated[str, Field(pattern=r"^https?://[A-Za-z0-9.:/_-]+$", max_length=200)] = Field(
        default="http://prometheus-server.monitoring:9090", description="where KEDA queries the signals"
    )
    images: dict[Name, Reference] = Field(
        default_factory=dict, description="container image by engine, where it is not the published one"
    )
    models: dict[Name, Reference] = Field(
        default_factory=dict, description="what the engine loads by LLM (Hugging Face id or path); default: the catalog"
    )

    @model_validator(mode="after")
    def _reachable(self) -> AutoscalingPolicy:
        if self.burst.factor > 1.0 and self.burst.hold_s == 0.0 and self.burst.ramp_s == 0.0:
            raise ValueError(
                "burst.hold_s and burst.ramp_s of 0 contradict a burst.factor over 1: it would not be there"
            )
        return self
