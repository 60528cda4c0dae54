"""Which roofline coefficients apply to a GPU, engine and precision, and where they come from.

Look-up order: the exact row; the same GPU under another engine; both again for the GPU it is `like` (same generation);
the median over all GPUs. Only the first two count as `fitted`; the rest are `roofline` guesses, and every result
computed with one says so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Protocol, TypeVar

from configs.catalog_schema import CoefficientCatalog
from data.records import Engine, Gpu, Provenance
from data.units import GB

MICRO = 1e-6


class _Fit(Protocol):
    @property
    def gpu(self) -> str: ...

    @property
    def engine(self) -> str: ...


F = TypeVar("F", bound=_Fit)


@dataclass(frozen=True, slots=True)
class Coefficients:
    """Seconds, shares of peak, and bytes/s; see models/step_time.py for the formulas."""

    gemm_t0_s: float
    gemm_eff_compute: float
    gemm_eff_memory: float
    gemm_p: float
    decode_t0_s: float
    decode_eff_memory: float
    prefill_t0_s: float
    prefill_eff_max: float
    prefill_s_half: float
    all_reduce_t0_s: float
    all_reduce_bytes_per_s: float
    provenance: Provenance


def _choose(fits: Sequence[F], gpu: Gpu, engine: str) -> tuple[Sequence[F], bool]:
    """Rows to take the median of, and whether they are this GPU's own."""
    for name in (gpu.name, gpu.like):
        own = [fit for fit in fits if fit.gpu == name]
        exact = [fit for fit in own if fit.engine == engine]
        if own:
            # Another engine's kernels on the same GPU are far closer than the same engine's on another GPU.
            return exact or own, name == gpu.name
    return fits, False


def _mid(fits: Sequence[F], field: str) -> float:
    return float(median(getattr(fit, field) for fit in fits))


def coefficients(
    catalog: CoefficientCatalog,
    gpu: Gpu,
    engine: Engine,
    compute_precision: str,
    kv_precision: str,
    tensor_parallel: int,
) -> Coefficients:
    """Coefficients of one configuration; compute_precision is bf16, int8, fp8, fp8_block or fp4."""
    # No int8 tables are public: its kernels have the shape of fp8's, at the rate of the GPU's int8 cores.
    tabled = "fp8" if compute_precision == "int8" else compute_precision
    gemm_rows = [fit for fit in catalog.gemm if fit.precision == tabled]
    gemm, gemm_own = _choose(gemm_rows, gpu, engine.name)
    t0 = _mid(gemm, "t0_us")
    if engine.graph_hides_quantize and compute_precision != "bf16":
        # The bf16 launch cost is what a step pays.
        bf16, _ = _choose([fit for fit in catalog.gemm if fit.precision == "bf16"], gpu, engine.name)
        t0 = min(t0, _mid(bf16, "t0_us"))
    decode_rows = [fit for fit in catalog.decode_attention if fit.kv_precision == kv_precision]
    decode, decode_own = _choose(decode_rows, gpu, engine.name)
    prefill, prefill_own = _choose(catalog.prefill_attention, gpu, engine.name)
    own = gemm_own and decode_own and prefill_own and tabled == compute_precision
    ring_t0_s, ring_bytes_per_s = 0.0, float("inf")
    if tensor_parallel > 1:
        sized = [fit for fit in catalog.all_reduce if fit.tensor_parallel == min(tensor_parallel, 8)]
        ring, ring_own = _choose(sized, gpu, engine.name)
        if ring_own:
            ring_t0_s, ring_bytes_per_s = _mid(ring, "t0_us") * MICRO, _mid(ring, "bus_gb_per_s") * GB
        else:
            # NVLink-class links reach 0.65 of their rate on fitted GPUs; cards on PCIe collapse with every rank
            # added (L40S: 19, 5 and 1.7 GB/s at 2, 4 and 8 ranks of a 32 GB/s link).
            own = False
            share = 0.65 if gpu.link_kind in ("nvlink", "xgmi", "other") else 1.2 / tensor_parallel
            ring_t0_s = (5.0 if gpu.link_kind != "pcie" else 3.2 * tensor_parallel) * MICRO
            ring_bytes_per_s = share * gpu.link_bytes_per_s
    return Coefficients(
        gemm_t0_s=t0 * MICRO,
        gemm_eff_compute=_mid(gemm, "eff_compute"),
        gemm_eff_memory=_mid(gemm, "eff_memory"),
        gemm_p=_mid(gemm, "p"),
        decode_t0_s=_mid(decode, "t0_us") * MICRO,
        decode_eff_memory=_mid(decode, "eff_memory"),
        prefill_t0_s=_mid(prefill, "t0_us") * MICRO,
        prefill_eff_max=_mid(prefill, "eff_max"),
        prefill_s_half=_mid(prefill, "s_half_tokens"),
        all_reduce_t0_s=ring_t0_s,
        all_reduce_bytes_per_s=ring_bytes_per_s,
        provenance="fitted" if own else "roofline",
    )
