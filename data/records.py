"""Hardware, LLM, workload and capacity records that cross doors between rooms.

Standard library and numpy only, so that the kernels run where nothing else of ours is installed.
Units stand in the names; arrays are never written to after construction.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Precision = Literal["bf16", "fp8", "int8", "int4", "fp4"]
Provenance = Literal["measured", "calibrated", "fitted", "roofline"]
FloatArray = NDArray[np.float64]
IntArray = NDArray[np.int64]
BoolArray = NDArray[np.bool_]
Float32Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Source:
    """Where a figure comes from and on which day it was true."""

    citation: str
    as_of: str


@dataclass(frozen=True, slots=True)
class Gpu:
    """One accelerator as its vendor describes it; rates are dense (no sparsity).

    dense_flops maps a compute precision (bf16, fp8, int8, fp4) to FLOP/s; a precision that the hardware
    does not compute in is absent. link_bytes_per_s is one direction, one GPU.
    """

    name: str
    vendor: str
    memory_bytes: float
    memory_bandwidth_bytes_per_s: float
    dense_flops: Mapping[str, float]
    link_bytes_per_s: float
    link_kind: Literal["nvlink", "xgmi", "pcie", "other"]
    tdp_w: float
    source: Source
    note: str = ""
    like: str = ""
    """A measured GPU of its generation, whose efficiencies it borrows where it has none of its own."""
    fp8_kv_cache: bool = True
    """Whether engines' attention kernels read an fp8 KV cache on it; dequantising needs no fp8 cores."""
    host_gpus: int = 8
    """GPUs of one host, which one pod can have."""
    joined_gpus: int = 8
    """GPUs that its own links join; beyond them it is PCIe's or the network's turn."""


@dataclass(frozen=True, slots=True)
class Llm:
    """A decoder-only LLM as its `config.json` describes it. Absent features are 0."""

    name: str
    layers: int
    hidden: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate: int
    vocab: int
    tie_embeddings: bool
    source: Source
    max_positions: int = 0
    # mixture of experts
    experts: int = 0
    experts_per_token: int = 0
    shared_experts: int = 0
    moe_intermediate: int = 0
    dense_layers: int = 0
    # multi-head latent attention (DeepSeek)
    q_lora_rank: int = 0
    kv_lora_rank: int = 0
    qk_nope_head_dim: int = 0
    qk_rope_head_dim: int = 0
    v_head_dim: int = 0
    # sliding window and state-space layers
    sliding_window: int = 0
    sliding_layers: int = 0
    state_layers: int = 0
    state_bytes_per_sequence: float = 0.0
    state_in: int = 0
    """Columns of a state layer's input projections, and rows of its output projection."""
    state_out: int = 0
    attention_gate: bool = False
    """Whether the query projection is twice as wide, the other half gating the output (Qwen3-Next)."""
    native_precision: str = "bf16"
    note: str = ""


@dataclass(frozen=True, slots=True)
class BatchDefaults:
    """An engine's limits of a batch on GPUs with memory_bytes or more, save those with a part of `but_not` in their
    names."""

    max_num_seqs: int
    max_num_batched_tokens: int
    memory_bytes: float = 0.0
    but_not: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Engine:
    """A serving engine's memory and scheduling defaults; data/engine_limits.py says its batch's limits on a GPU."""

    name: str
    version: str
    gpu_memory_utilization: float
    max_num_seqs: int
    max_num_batched_tokens: int
    kv_block_tokens: int
    graph_bytes: float
    communication_bytes: float
    source: Source
    memory_rule: Literal["share_of_total", "share_of_free"] = "share_of_total"
    host_overhead_s: float = 0.0
    overlapped_scheduling: bool = False
    """Whether an iteration is scheduled while the one before it runs."""
    by_gpu_memory: tuple[BatchDefaults, ...] = ()
    """Other limits on some GPUs, the largest memory first."""
    overlapped_since: tuple[str, str] | None = None
    """Version and day of the first release that does; None where all do, or none."""
    graph_hides_quantize: bool = False
    """Whether tables of its GEMMs below 16 bits count quantise and launch times that its CUDA graph hides."""
    sampler_bytes_per_logit: float = 4.0
    """Peak memory of sampling, for every sequence and vocabulary entry."""
    fragmentation_bytes: float = 0.0
    """What its allocator reserves and cannot use, beside the share that it takes."""


@dataclass(frozen=True, slots=True, order=True)
class Configuration:
    """One way to serve an LLM: the key of everything the kernels compute."""

    llm: str
    gpu: str
    precision: str
    kv_precision: str
    tensor_parallel: int
    engine: str
    pipeline_parallel: int = 1
    expert_parallel: int = 1
    max_num_seqs: int = 0
    """Of each scheduler, as is max_num_batched_tokens."""
    max_num_batched_tokens: int = 0
    attention_data_parallel: int = 1
    """Ranks (each of tensor_parallel x pipeline_parallel GPUs) that keep whole attention for requests of their own, and
    share a mixture's experts."""

    @property
    def gpus(self) -> int:
        """GPUs of one replica."""
        return self.tensor_parallel * self.pipeline_parallel * self.attention_data_parallel

    @property
    def schedulers(self) -> int:
        """Schedulers of one replica: a rank of data-parallel attention batches its own requests."""
        return self.attention_data_parallel

    @property
    def layout(self) -> str:
        """How the GPUs of a replica share the LLM: `TP8`, `TP4 PP2`, `TP1 DP8 EP8`."""
        more = {"PP": self.pipeline_parallel, "DP": self.attention_data_parallel, "EP": self.expert_parallel}
        return " ".join([f"TP{self.tensor_parallel}", *(f"{name}{many}" for name, many in more.items() if many > 1)])

    @property
    def label(self) -> str:
        """Short and unique: what tables and charts show."""
        return f"{self.llm} · {self.gpu} · {self.precision} · {self.layout}"


@dataclass(frozen=True, slots=True)
class SloLimit:
    """`percentile` (0-100) per cent of a class's requests take at most `seconds` (infinite: as long as they like)."""

    label: Literal["TTFT", "TPOT", "end to end"]
    seconds: float
    percentile: float


@dataclass(frozen=True, slots=True)
class SloTarget:
    """Limits that hold together, each at its own percentile (0-100), or at `percentile` where it has none."""

    ttft_s: float
    tpot_s: float
    percentile: float
    e2e_s: float | None = None
    ttft_percentile: float | None = None
    tpot_percentile: float | None = None
    e2e_percentile: float | None = None

    @property
    def limits(self) -> tuple[SloLimit, SloLimit, SloLimit]:
        """TTFT, TPOT and end to end."""
        own = (self.ttft_percentile, self.tpot_percentile, self.e2e_percentile)
        ttft, tpot, e2e = (self.percentile if one is None else one for one in own)
        return (
            SloLimit("TTFT", self.ttft_s, ttft),
            SloLimit("TPOT", self.tpot_s, tpot),
            SloLimit("end to end", math.inf if self.e2e_s is None else self.e2e_s, e2e),
        )

    @property
    def percentiles(self) -> tuple[float, ...]:
        """Those of the limits that are stated, in their order."""
        return tuple(one.percentile for one in self.limits if one.seconds < math.inf)

    @property
    def at(self) -> str:
        """`p95`, or the percentile of each limit where they differ."""
        stated = [one for one in self.limits if one.seconds < math.inf]
        if len(set(self.percentiles)) == 1:
            return f"p{stated[0].percentile:g}"
        return ", ".join(f"{one.label} p{one.percentile:g}" for one in stated)


@dataclass(frozen=True, slots=True)
class LengthSample:
    """Joint sample of a class's requests, shape [n]: input, output and cached input tokens, and weights."""

    input_tokens: IntArray
    output_tokens: IntArray
    cached_tokens: IntArray
    weight: FloatArray
    source: str

    @property
    def mean_context_tokens(self) -> float:
        """Mean tokens of KV cache that a request holds while it decodes: its input and half its output."""
        return float(np.average(self.input_tokens + self.output_tokens / 2, weights=self.weight))


@dataclass(frozen=True, slots=True)
class Excuse:
    """Why a candidate was rejected: the limit it broke, what it needed and what there was."""

    limit: str
    needed: float
    available: float
    unit: str
    advice: str

    def __str__(self) -> str:
        if (self.needed, self.available) == (1, 0):
            return f"{self.limit}: {self.advice}"
        return f"{self.limit}: needs {self.needed:,.3g} {self.unit}, has {self.available:,.3g} ({self.advice})"


@dataclass(frozen=True, slots=True)
class StepCost:
    """Seconds of one engine iteration, by lane (first axis), in a form a simulator can scan over.

    An iteration that holds T tokens (granted prefill tokens G plus n decoding requests) with n decoding
    requests of KV sum K, and prefill work A = sum(granted * (already_prefilled + granted / 2)), takes

        linear(T) + [n > 0] * m * (d0 + d1 * n + d2 * K) + [G > 0] * (p0 + p1 * G + p2 * A)

    m is 1 in pure decode iterations and mixed_decode_factor where prefill shares the iteration: attention kernels that
    take both at once read the KV cache less efficiently.

    linear(T) is piecewise linear through `linear_s` [lanes, grid] at `tokens` [grid], extrapolated by its last
    slope; the other arrays have shape [lanes].
    """

    tokens: FloatArray
    linear_s: FloatArray
    decode_base_s: FloatArray
    decode_per_seq_s: FloatArray
    decode_per_kv_token_s: FloatArray
    prefill_base_s: FloatArray
    prefill_per_token_s: FloatArray
    prefill_per_attention_s: FloatArray
    mixed_decode_factor: FloatArray | None = None
    """None is 1 everywhere."""
    host_per_sequence_s: FloatArray | None = None
    """Host work h a decoding request, [lanes], that runs beside the GPU: an iteration of g seconds on the GPU takes
    (g^4 + (h n)^4)^(1/4). None is none."""
    pipeline_stages: FloatArray | None = None
    """Stages p that the layers are cut into, [lanes]; None is 1 everywhere.

    An iteration is then a round of p micro-batches, one in every stage, that share its work evenly: what it takes is
    what each takes through all stages, and linear counts the tokens of all. Fewer than p requests fill no round: n and
    K count p / n times as much. A chunk of prompt is not cut: it passes the stages whole, in linear(n + p G) with p
    times the work, and what that is more than the round is `late`, the longest of its prompt's chunks: the first and
    every later token of a request leave so long after the round in which they were made.
    """


@dataclass(frozen=True, slots=True)
class Capacity:
    """What one replica of a configuration does for one request class: a row of the capacity table.

    knee_rps is the highest arrival rate at which the SLO holds, operating_rps the rate it is run at.
    `excuse` is set where the configuration cannot serve the class; rates are then 0.
    """

    configuration: Configuration
    request_class: str
    slo: SloTarget
    knee_rps: float
    operating_rps: float
    ttft_s: float
    tpot_s: float
    output_tokens_per_s: float
    binding: str
    weight_bytes_per_gpu: float
    kv_capacity_tokens: float
    max_concurrency: float
    method: str
    provenance: Provenance
    excuse: Excuse | None = None
    knee_band: float = float("nan")
    """Relative half-width of the knee's 90 % confidence band over seeds; nan where it was not simulated."""
    pool_replicas: int = 1
    """Replicas that share the stream: where requests are dealt in turn, each of many carries more than one alone."""


@dataclass(frozen=True, slots=True)
class CapacityTable:
    """Every evaluated configuration x class, feasible or excused, and how it was computed."""

    rows: tuple[Capacity, ...]
    device: str
    evaluated_points: int
    notes: tuple[str, ...] = ()

    def feasible(self) -> tuple[Capacity, ...]:
        return tuple(row for row in self.rows if row.excuse is None)


@dataclass(frozen=True, slots=True)
class Offer:
    """A way to buy one GPU-hour in a serving region.

    term_months 0 is pay-as-you-go; quality says whether the price is a provider's own list or second-hand.
    """

    region: str
    gpu: str
    option: str
    usd_per_gpu_h: float
    term_months: int
    provider: str
    provider_region: str
    source: Source
    quality: Literal["list", "second_hand"] = "list"
    note: str = ""
    gpus_per_node: int = 1
    lead_time_months: int | None = None
    """Whole months from order to start; None: those of the plan for its option."""


@dataclass(frozen=True, slots=True)
class SeriesKey:
    """What a demand series is about."""

    llm: str
    request_class: str
    region: str

    def __str__(self) -> str:
        return f"{self.llm}/{self.request_class}/{self.region}"


@dataclass(frozen=True, slots=True)
class Block:
    """A representative part of a month: its name and how many hours of a 730-hour month it stands for."""

    name: str
    hours: float


@dataclass(frozen=True, slots=True)
class Demand:
    """Forecast demand: offered load in requests/s, shape [series, month, block, scenario].

    The first block is the peak: steady capacity carries it in every scenario. months are "YYYY-MM".
    """

    series: tuple[SeriesKey, ...]
    months: tuple[str, ...]
    blocks: tuple[Block, ...]
    probabilities: FloatArray
    rps: FloatArray
    notes: tuple[str, ...] = field(default=())
