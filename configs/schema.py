"""The whole configuration of a plan."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from configs.autoscaling import AutoscalingPolicy
from configs.base import Name, Section
from configs.compute import ComputePolicy
from configs.costs import CostPolicy
from configs.evaluation import EvaluationPolicy
from configs.forecasting import ForecastPolicy
from configs.planning import PlanPolicy
from configs.reporting import ReportPolicy
from configs.sensitivity import SensitivityPolicy
from configs.traffic import Traffic


class Scenario(Section):
    """One planning run: traffic, forecast, evaluation and plan policies, and a seed."""

    name: Name = Field(description="names run folders, ledger entries and manifests")
    description: str = Field(default="", description="one line under the report's title")
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = Field(
        default=0, description="of everything random: the same seed and inputs give the same plan.json, byte for byte"
    )
    traffic: Traffic = Field(description="history, token lengths and request classes")
    forecast: ForecastPolicy = Field(
        default=ForecastPolicy(), description="how far ahead, how it is tested, how uncertainty is drawn"
    )
    evaluate: EvaluationPolicy = Field(description="which LLMs, GPUs, precisions and engines are considered")
    plan: PlanPolicy = Field(description="regions, purchases, reserves, limits and the solver")
    compute: ComputePolicy = Field(default=ComputePolicy(), description="where the work is done; changes no number")
    costs: CostPolicy = Field(default=CostPolicy(), description="what beyond GPUs is counted, and whose cost it is")
    autoscaling: AutoscalingPolicy = Field(
        default=AutoscalingPolicy(), description="start-up times, bursts and signals of scalers"
    )
    report: ReportPolicy = Field(default=ReportPolicy(), description="what the report draws")
    sensitivity: SensitivityPolicy = Field(
        default=SensitivityPolicy(), description="ranges of what can change the plan, and named what-ifs"
    )

    @model_validator(mode="after")
    def _rooms_agree(self) -> Scenario:
        for one in self.traffic.series:
            if one.llm not in self.evaluate.llms:
                raise ValueError(
                    f"traffic names LLM {one.llm!r}, evaluate.llms does not: {', '.join(self.evaluate.llms)}"
                )
            for origin in one.regions:
                if origin not in self.plan.regions and origin not in self.plan.may_serve:
                    raise ValueError(
                        f"traffic of {one.llm}/{one.request_class} comes from region {origin!r}, which is "
                        f"neither in plan.regions ({', '.join(self.plan.regions)}) nor in plan.may_serve"
                    )
        return self
