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

    name: Name
    description: str = ""
    seed: Annotated[int, Field(ge=0, le=2**31 - 1)] = 0
    traffic: Traffic
    forecast: ForecastPolicy = ForecastPolicy()
    evaluate: EvaluationPolicy
    plan: PlanPolicy
    compute: ComputePolicy = ComputePolicy()
    costs: CostPolicy = CostPolicy()
    autoscaling: AutoscalingPolicy = AutoscalingPolicy()
    report: ReportPolicy = ReportPolicy()
    sensitivity: SensitivityPolicy = SensitivityPolicy()

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
