"""Factors that a load test was fitted with, as a correction of the configuration that was tested.

One mechanism (models/corrections.py) applies what `fleetcast loadtest` and `fleetcast calibrate` find, so that a plan
made with the written file predicts the load test as the fit did.
"""

from __future__ import annotations

from dataclasses import dataclass

from configs.catalog_schema import CatalogSource, CoefficientCatalog, Correction
from data.records import Configuration

UNSOURCED = CatalogSource(citation="a fit under way", as_of="2026")


@dataclass(frozen=True, slots=True)
class Factors:
    """Multipliers of the catalog: compute and bandwidth efficiency, fixed costs; request_s is added to every TTFT."""

    compute: float = 1.0
    bandwidth: float = 1.0
    overhead: float = 1.0
    request_s: float = 0.0
    """Front-end, tokenizer and network: in the client's TTFT, in no iteration."""


@dataclass(frozen=True, slots=True)
class Evidence:
    """What a correction rests on: measured points, errors as shares of TPOT (held out: NaN becomes None), a verdict."""

    points: int = 1
    error_before: float = 0.0
    error_held_out: float | None = None
    identified: tuple[str, ...] = ()
    verdict: str = "not judged"
    source: CatalogSource = UNSOURCED


def correction(one: Configuration, factors: Factors, evidence: Evidence | None = None) -> Correction:
    """The factors as a correction of one configuration."""
    known = evidence or Evidence()
    return Correction(
        llm=one.llm,
        gpu=one.gpu,
        engine=one.engine,
        precision=one.precision,
        tensor_parallel=one.tensor_parallel,
        kv_precision="fp8" if one.kv_precision == "fp8" else "bf16",
        pipeline_parallel=one.pipeline_parallel,
        compute=factors.compute,
        bandwidth=factors.bandwidth,
        overhead=factors.overhead,
        request_ms=1e3 * factors.request_s,
        points=known.points,
        error_before=known.error_before,
        error_held_out=known.error_held_out,
        identified=known.identified,
        verdict=known.verdict,
        source=known.source,
    )


def corrected(catalog: CoefficientCatalog, one: Correction) -> CoefficientCatalog:
    """The catalog with this correction in place of others of its configuration."""
    others = (known for known in catalog.corrections if not one.covers(known))
    return catalog.model_copy(update={"corrections": (*others, one)})
