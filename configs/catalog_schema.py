"""Schemas of the hardware, LLM, engine and coefficient catalogs: adding one is one YAML entry."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.base import Name, NonNegative, Positive, Section
from configs.engine_serving import EngineServing
from configs.evaluation import KvPrecision

Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Factor = Annotated[float, Field(gt=0.02, lt=50.0)]


class CatalogSource(Section):
    """Where figures come from and when they were true."""

    citation: str = Field(min_length=1)
    as_of: str = Field(pattern=r"^\d{4}(-\d{2}(-\d{2})?)?$")


class GpuEntry(Section):
    """An accelerator; memory as its driver reports it, rates dense, link one direction of one GPU."""

    vendor: Name
    memory_mib: Positive
    bandwidth_gb_per_s: Positive
    dense_tflops: dict[Literal["bf16", "fp8", "int8", "fp4"], Positive]
    link_gb_per_s: Positive
    link: Literal["nvlink", "xgmi", "pcie", "other"]
    tdp_w: Positive
    also: tuple[str, ...] = Field(default=(), description="what drivers and benchmarks call it")
    like: Name | None = Field(
        default=None, description="measured GPU of the same generation to borrow efficiencies from"
    )
    fp8_kv_cache: bool = Field(
        default=True, description="whether engines' attention kernels read an fp8 KV cache on it"
    )
    host_gpus: Annotated[int, Field(ge=1)] = Field(default=8, description="GPUs of one host, which one pod can have")
    joined_gpus: Annotated[int, Field(ge=1)] = Field(
        default=8, description="GPUs that its own links join; beyond them a replica uses PCIe or the network"
    )
    source: Name
    note: str = ""


class GpuCatalog(Section):
    """data/catalog/gpus.yaml: sources by key, GPUs by name."""

    sources: dict[Name, CatalogSource]
    gpus: dict[Name, GpuEntry] = Field(min_length=1)


class LlmEntry(Section):
    """The fields of a Hugging Face `config.json` that decide memory and time; what does not apply is left out."""

    hugging_face: tuple[str, ...] = Field(min_length=1, description="ids under which the LLM is known")
    layers: Annotated[int, Field(ge=1)]
    hidden: Annotated[int, Field(ge=1)]
    heads: Annotated[int, Field(ge=1)]
    kv_heads: Annotated[int, Field(ge=1)]
    head_dim: Annotated[int, Field(ge=1)]
    intermediate: Count
    vocab: Annotated[int, Field(ge=1)]
    tie_embeddings: bool = False
    max_positions: Count = 0
    experts: Count = 0
    experts_per_token: Count = 0
    shared_experts: Count = 0
    moe_intermediate: Count = 0
    dense_layers: Count = 0
    q_lora_rank: Count = 0
    kv_lora_rank: Count = 0
    qk_nope_head_dim: Count = 0
    qk_rope_head_dim: Count = 0
    v_head_dim: Count = 0
    sliding_window: Count = 0
    sliding_layers: Count = 0
    state_layers: Count = 0
    state_in: Count = 0
    state_out: Count = 0
    state_bytes_per_sequence: NonNegative = 0.0
    attention_gate: bool = False
    native_precision: Literal["bf16", "fp8", "fp8_block", "int8", "int4", "fp4", "mxfp4"] = "bf16"
    source: Name


class LlmCatalog(Section):
    """data/catalog/llms.yaml: sources by key, LLMs by name."""

    sources: dict[Name, CatalogSource]
    llms: dict[Name, LlmEntry] = Field(min_length=1)


class OverlapSince(Section):
    """The first release that schedules ahead by default; measurements of older ones are read without."""

    version: str = Field(pattern=r"^\d+\.\d+$")
    day: str = Field(pattern=r"^\d{4}-\d{2}-\d{2}$", description="of its release")


class GpuMemoryDefaults(Section):
    """The limits of a batch on GPUs with so much memory, where they are others than elsewhere."""

    from_gib: Positive
    but_not: tuple[Name, ...] = Field(default=(), description="parts of the names of GPUs that it is not for")
    max_num_seqs: Annotated[int, Field(ge=1)]
    max_num_batched_tokens: Annotated[int, Field(ge=64)]


class EngineEntry(Section):
    """A serving engine's defaults and its host overhead an iteration."""

    version: str
    also: tuple[str, ...] = Field(default=(), description="what people and benchmarks call it")
    gpu_memory_utilization: Share
    memory_rule: Literal["share_of_total", "share_of_free"]
    max_num_seqs: Annotated[int, Field(ge=1)]
    max_num_batched_tokens: Annotated[int, Field(ge=64)]
    by_gpu_memory: tuple[GpuMemoryDefaults, ...] = Field(
        default=(), description="limits on larger GPUs; of several the one of the largest memory holds"
    )
    kv_block_tokens: Annotated[int, Field(ge=1)]
    graph_gib: NonNegative
    communication_gib: NonNegative
    fragmentation_gib: NonNegative = Field(
        description="what the allocator reserves and cannot use; the engine counts it nowhere, so that it lies in the "
        "memory that its share leaves free"
    )
    host_overhead_ms: NonNegative
    overlapped_scheduling: bool = Field(
        default=True, description="an iteration is scheduled while the one before runs: requests join one later"
    )
    overlapped_since: OverlapSince | None = Field(default=None, description="where it was not always so")
    graph_hides_quantize: bool = Field(
        default=False, description="tables of GEMMs below 16 bits count launches that its CUDA graph hides"
    )
    sampler_bytes_per_logit: NonNegative = Field(
        default=4.0, description="peak of sampling, a sequence and vocabulary entry"
    )
    serving: EngineServing | None = Field(
        default=None, description="for manifests; without it the engine is sized and planned, and nothing is emitted"
    )
    source: Name
    note: str = ""


class EngineCatalog(Section):
    """data/catalog/engines.yaml: sources by key, engines by name."""

    sources: dict[Name, CatalogSource]
    engines: dict[Name, EngineEntry] = Field(min_length=1)


class GemmFit(Section):
    """t = t0 + ((F / (eff_compute P))^p + (B / (eff_memory BW))^p)^(1/p)."""

    gpu: Name
    engine: Name
    precision: Literal["bf16", "fp8", "fp8_block", "fp4"]
    t0_us: NonNegative
    eff_compute: Share
    eff_memory: Share
    p: Annotated[float, Field(ge=1.0)]


class DecodeAttentionFit(Section):
    """t = t0 + KV bytes / (eff_memory BW), a layer."""

    gpu: Name
    engine: Name
    kv_precision: Literal["bf16", "fp8"]
    t0_us: NonNegative
    eff_memory: Share


class PrefillAttentionFit(Section):
    """t = t0 + F / (eff_max s / (s + s_half) P), a layer."""

    gpu: Name
    engine: Name
    t0_us: NonNegative
    eff_max: Share
    s_half_tokens: Positive


class AllReduceFit(Section):
    """t = t0 + 2 (n - 1) / n bytes / bus bandwidth."""

    gpu: Name
    engine: Name
    tensor_parallel: Annotated[int, Field(ge=2)]
    t0_us: NonNegative
    bus_gb_per_s: Positive


class Correction(Section):
    """What one's own measurements change for an LLM, GPU, engine and precision.

    `fleetcast calibrate` adds shares and times (models/calibrate.py), `fleetcast loadtest` multiplies efficiencies
    and fixed costs (models/loadtest_fit.py).
    """

    llm: Name
    gpu: Name
    engine: Name
    precision: Name
    tensor_parallel: Annotated[int, Field(ge=1, description="of the measured replica; others use the nearest")]
    kv_precision: KvPrecision | None = Field(default=None, description="of the measured cache; nothing: for any")
    pipeline_parallel: Annotated[int, Field(ge=1)] | None = Field(
        default=None, description="stages of the measured replica; nothing: for any"
    )
    device: Annotated[float, Field(gt=-0.7, lt=3.0, description="share added to device time of decode")] = 0.0
    host_ms: Annotated[float, Field(gt=-10.0, lt=100.0, description="added to every iteration")] = 0.0
    per_sequence_us: Annotated[
        float, Field(gt=-1000.0, lt=10_000.0, description="added for every decoding request")
    ] = 0.0
    prefill: Annotated[float, Field(gt=-0.7, lt=5.0, description="share added to compute time of prefill")] = 0.0
    compute: Factor = Field(default=1.0, description="times the compute efficiencies of GEMMs and prefill attention")
    bandwidth: Factor = Field(default=1.0, description="times the memory efficiencies of GEMMs and decode attention")
    overhead: Factor = Field(default=1.0, description="times launch times and the host's time an iteration")
    request_ms: NonNegative = Field(
        default=0.0, description="front-end and network in every TTFT, in no iteration: take it off the TTFT target"
    )
    points: Annotated[int, Field(ge=1)]
    error_before: NonNegative
    error_held_out: NonNegative | None = None
    identified: tuple[Name, ...] = ()
    verdict: str
    source: CatalogSource

    @property
    def measured(self) -> tuple[str | int | None, ...]:
        """What it was measured on: two corrections of the same would contradict each other."""
        return (
            self.llm, self.gpu, self.engine, self.precision, self.tensor_parallel, self.kv_precision,
            self.pipeline_parallel,
        )  # fmt: skip

    def covers(self, other: Correction) -> bool:
        """Whether the other was measured on the same, or does not say what this one says of cache and stages."""
        pairs = zip(self.measured, other.measured, strict=True)
        return all(theirs in (mine, None) for mine, theirs in pairs)


class CorrectionFile(Section):
    """A file that `fleetcast calibrate` or `loadtest` writes and `evaluate.calibration` names."""

    corrections: tuple[Correction, ...] = Field(min_length=1)


class CoefficientCatalog(Section):
    """data/catalog/coefficients.yaml: sources by key, and what was fitted to operator tables."""

    source: CatalogSource
    gemm: tuple[GemmFit, ...]
    decode_attention: tuple[DecodeAttentionFit, ...]
    prefill_attention: tuple[PrefillAttentionFit, ...]
    all_reduce: tuple[AllReduceFit, ...]
    corrections: tuple[Correction, ...] = ()
