"""Limits of sites, of change and of orders that a plan can be held to; all are off unless declared."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from configs.base import Name, NonNegative, Positive, Section


class Facility(Section):
    """The site that a region's GPUs stand in: what it can feed, cool and hold."""

    power_kw: Positive | None = Field(
        default=None, description="most power at the meter, cooling included; every running replica counts at full load"
    )
    pue: Annotated[float, Field(ge=1.0, le=3.0)] = Field(
        default=1.56, description="power usage effectiveness (Uptime Institute 2024: 1.56 on average)"
    )
    server_power_factor: Annotated[float, Field(ge=1.0, le=4.0)] = Field(
        default=1.82,
        description="watts of the server by watt of its GPUs' TDP (NVIDIA DGX H100: 10.2 kW for 8 GPUs of 700 W)",
    )
    racks: Positive | None = Field(default=None, description="racks there are; every GPU that stands there counts")
    gpus_per_rack: Annotated[int, Field(ge=1, le=576)] = Field(
        default=32, description="GPUs in a rack (four servers of eight; assumption, 2026-11)"
    )

    @model_validator(mode="after")
    def _limits_something(self) -> Facility:
        if self.power_kw is None and self.racks is None:
            raise ValueError("a facility without power_kw and racks limits nothing; give one of them, or leave it out")
        return self


class ChurnPolicy(Section):
    """How much of the fleet may change from one month to the next, and what a change costs."""

    gpus_max: Annotated[int, Field(ge=0)] | None = Field(
        default=None, description="most GPUs of a region whose replicas start or stop between two months"
    )
    usd_per_gpu: NonNegative = Field(
        default=0.0, description="one-time cost of every GPU whose replica starts or stops between two months"
    )


class VolumeDiscount(Section):
    """Orders of a purchase option that are large enough cost less, all GPUs of the order."""

    option: Name = Field(description="a purchase option, such as reserved_1y")
    gpu: Name | None = Field(default=None, description="the GPU it holds for; every GPU where left out")
    from_gpus: Annotated[int, Field(ge=2)] = Field(description="least GPUs of one order that get it")
    discount: Annotated[float, Field(gt=0.0, lt=1.0)] = Field(description="share of the price that is taken off")


def check_orders(
    minimum_gpus: dict[str, int], discounts: tuple[VolumeDiscount, ...], options: tuple[str, ...], owned: bool
) -> None:
    """Raises ValueError where a lot or a discount names an option that is not bought, or two contradict each other."""
    known = {*options, *(("owned",) if owned else ())} - {"on_demand", "spot"}
    for name in (*minimum_gpus, *(one.option for one in discounts)):
        if name in ("on_demand", "spot"):
            raise ValueError(f"{name} has no term: minimum_gpus and volume_discounts are for orders that run for one")
        if name not in known:
            raise ValueError(
                f"minimum_gpus or volume_discounts name {name!r}, which is not bought; options with a term: "
                f"{', '.join(sorted(known)) or 'none'}"
            )
    for one in discounts:
        for other in discounts:
            alike = one.option == other.option and (one.gpu == other.gpu or None in (one.gpu, other.gpu))
            if one is not other and alike and one.from_gpus <= other.from_gpus and one.discount >= other.discount:
                raise ValueError(
                    f"volume_discounts of {one.option} contradict each other: {one.discount:.0%} from {one.from_gpus} "
                    f"GPUs, but {other.discount:.0%} from {other.from_gpus}; a larger order must save more"
                )
