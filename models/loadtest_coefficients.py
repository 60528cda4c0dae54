"""Catalog coefficients moved by the factors that a load test was fitted with.

What is written is what the product looks up: the exact rows of one GPU, engine and precision, so that a plan made with
the calibrated catalog predicts the load test as the fit did.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

from configs.catalog_schema import (
    AllReduceFit,
    CatalogSource,
    CoefficientCatalog,
    DecodeAttentionFit,
    GemmFit,
    PrefillAttentionFit,
)
from data.records import Configuration, Engine, Gpu
from data.units import GB
from models.coefficients import MICRO, coefficients
from models.rows import compute_precision


@dataclass(frozen=True, slots=True)
class Factors:
    """Multipliers of the catalog: compute and bandwidth efficiency, fixed costs; request_s is added to every TTFT."""

    compute: float = 1.0
    bandwidth: float = 1.0
    overhead: float = 1.0
    request_s: float = 0.0
    """Front-end, tokenizer and network: in the client's TTFT, in no iteration."""


def scaled(
    catalog: CoefficientCatalog, engine: Engine, gpu: Gpu, one: Configuration, factors: Factors, source: str = ""
) -> tuple[CoefficientCatalog, Engine]:
    """The catalog and the engine with this configuration's coefficients times the factors; shares stay at most 1.

    An engine without rows of its own borrows those of the GPU, calibrated ones among them.
    """
    compute = compute_precision(one.precision, gpu) or "bf16"
    # TensorRT-LLM's launch costs are looked up among its bf16 rows (models/coefficients.py).
    wanted = [compute, *(["bf16"] if engine.name == "trtllm" and compute != "bf16" else [])]
    mine = {"gpu": gpu.name, "engine": engine.name}

    def share(value: float, factor: float) -> float:
        return min(value * factor, 1.0)

    gemms, fit = [], None
    for precision in wanted:
        fit = coefficients(catalog, gpu, engine.name, precision, one.kv_precision, one.tensor_parallel)
        gemms.append(
            GemmFit.model_validate(
                mine
                | {
                    "precision": precision,
                    "t0_us": fit.gemm_t0_s * factors.overhead / MICRO,
                    "eff_compute": share(fit.gemm_eff_compute, factors.compute),
                    "eff_memory": share(fit.gemm_eff_memory, factors.bandwidth),
                    "p": fit.gemm_p,
                }
            )
        )
    assert fit is not None
    decode = DecodeAttentionFit.model_validate(
        mine
        | {
            "kv_precision": one.kv_precision,
            "t0_us": fit.decode_t0_s * factors.overhead / MICRO,
            "eff_memory": share(fit.decode_eff_memory, factors.bandwidth),
        }
    )
    prefill = PrefillAttentionFit.model_validate(
        mine
        | {
            "t0_us": fit.prefill_t0_s * factors.overhead / MICRO,
            "eff_max": share(fit.prefill_eff_max, factors.compute),
            "s_half_tokens": fit.prefill_s_half,
        }
    )

    rings = []
    if one.tensor_parallel > 1:
        rings.append(
            AllReduceFit.model_validate(
                mine
                | {
                    "tensor_parallel": min(one.tensor_parallel, 8),
                    "t0_us": fit.all_reduce_t0_s * factors.overhead / MICRO,
                    "bus_gb_per_s": fit.all_reduce_bytes_per_s / GB,
                }
            )
        )

    def others(rows: Any, key: str = "", values: tuple[Any, ...] = ()) -> list[Any]:
        same = [r for r in rows if (r.gpu, r.engine) == (gpu.name, engine.name)]
        return [r for r in rows if r not in same or (key and getattr(r, key) not in values)]

    moved = catalog.model_copy(
        update={
            "source": catalog.source
            if not source
            else CatalogSource(citation=f"{catalog.source.citation}; {source}", as_of=catalog.source.as_of),
            "gemm": (*others(catalog.gemm, "precision", tuple(wanted)), *gemms),
            "decode_attention": (*others(catalog.decode_attention, "kv_precision", (one.kv_precision,)), decode),
            "prefill_attention": (*others(catalog.prefill_attention), prefill),
            "all_reduce": (
                *others(catalog.all_reduce, "tensor_parallel", tuple(r.tensor_parallel for r in rings)),
                *rings,
            ),
        }
    )
    return moved, replace(engine, host_overhead_s=engine.host_overhead_s * factors.overhead)
