"""Where the work of a plan is done. It changes no number, and so no run's fingerprint."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.base import Section


class ComputePolicy(Section):
    """One machine, or a Dask cluster for hundreds of series and for many scenarios at once."""

    on: Literal["here", "dask"] = Field(default="here", description="this machine, or a Dask cluster")
    scheduler: str | None = Field(
        default=None,
        description="address of a running Dask scheduler, e.g. tcp://10.0.0.5:8786; none: workers on this machine",
    )
    workers: Annotated[int, Field(ge=1, le=1024)] = Field(
        default=2, description="Dask workers to start on this machine where no scheduler is named"
    )
