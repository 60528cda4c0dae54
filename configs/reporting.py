"""What the report draws beyond the plan."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from configs.base import Section


class ReportPolicy(Section):
    """What the report takes extra time for."""

    service_curves: Annotated[int, Field(ge=0, le=20)] = Field(
        default=8,
        description="configurations, largest first, whose service curve is simulated (some 4 s each on a core); only "
        "pools of these get scaling thresholds",
    )
