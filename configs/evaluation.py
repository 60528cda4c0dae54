"""Which LLM x GPU x precision x parallelism configurations are evaluated, under which engine limits."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from configs.base import Name, Section, Share

WeightPrecision = Literal["bf16", "fp8", "int8", "int4", "fp4"]
KvPrecision = Literal["bf16", "fp8"]
Routing = Literal["round_robin", "random"]


class EvaluationPolicy(Section):
    """The grid and the engine's limits."""

    llms: tuple[Name, ...] = Field(min_length=1, description="catalog names or Hugging Face ids")
    gpus: tuple[Name, ...] = Field(min_length=1, description="catalog names")
    precisions: tuple[WeightPrecision, ...] = Field(
        default=("bf16", "fp8", "int4"),
        min_length=1,
        description="of the weights; list only those whose quality you accept",
    )
    kv_precision: KvPrecision = Field(default="bf16", description="of the KV cache")
    tensor_parallel: tuple[Literal[1, 2, 4, 8], ...] = Field(
        default=(1, 2, 4, 8), min_length=1, description="GPUs that share every layer of a replica"
    )
    pipeline_parallel: tuple[Literal[1, 2, 4, 8], ...] = Field(
        default=(1,), min_length=1, description="stages that a replica's layers are cut into"
    )
    expert_parallel: tuple[bool, ...] = Field(
        default=(False,),
        min_length=1,
        description="whether a mixture's experts are spread whole over a replica's GPUs (true) or each cut across them",
    )
    attention_data_parallel: tuple[Literal[1, 2, 4, 8, 16, 32], ...] = Field(
        default=(1,),
        min_length=1,
        description="ranks of a mixture's replica that each keep whole attention, and the KV cache, for requests of "
        "their own, and share the experts; its GPUs are tensor_parallel x pipeline_parallel x this",
    )
    engine: Name = Field(
        default="vllm",
        description="the serving engine whose scheduling, memory and limits are simulated: a catalog name",
    )
    gpu_memory_utilization: Annotated[float, Field(gt=0.1, le=0.98)] | None = Field(
        default=None, description="share of GPU memory the engine may take; default: the engine's own"
    )
    headroom: Annotated[float, Field(ge=0.0, lt=0.5)] = Field(
        default=0.02, description="approved safety share of GPU memory left free on top"
    )
    max_num_seqs: Annotated[int, Field(ge=1, le=8192)] | None = Field(
        default=None, description="most sequences in a batch; nothing: the engine's default on the GPU"
    )
    max_num_batched_tokens: Annotated[int, Field(ge=64, le=131_072)] | None = Field(
        default=None, description="most tokens in an iteration; nothing: the engine's default on the GPU"
    )
    calibration: tuple[str, ...] = Field(
        default=(), description="files that `fleetcast calibrate` and `loadtest` wrote, relative to this one"
    )
    operating_point: Share = Field(
        default=0.85, gt=0.0, description="share of the goodput knee at which replicas are run"
    )
    arrival_cv: Annotated[float, Field(gt=0.0, le=10.0)] = Field(
        default=1.0,
        description="coefficient of variation of the gaps between a pool's arrivals within a minute: 1 is Poisson, "
        "more burstier (gamma). `describe` measures it over the whole stream",
    )
    routing: Routing = Field(
        default="round_robin",
        description="how a pool shares its requests among replicas: dealt in turn, which evens out what each sees (a "
        "balancer that looks at queues does a little better), or picked at random, which does not",
    )
