"""A declared SLO as the rooms behind `data` know it."""

from __future__ import annotations

from configs.slo import Slo
from data.records import SloTarget


def slo_target(slo: Slo) -> SloTarget:
    """The same limits at the same percentiles."""
    return SloTarget(
        slo.ttft_s, slo.tpot_s, slo.percentile, slo.e2e_s, slo.ttft_percentile, slo.tpot_percentile, slo.e2e_percentile
    )
