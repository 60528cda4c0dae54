"""The configurations that a policy asks for: every LLM x GPU x precision x way to share a replica's GPUs."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

from configs.evaluation import EvaluationPolicy
from data.engine_limits import batch_limits
from data.records import Configuration, Engine, Gpu, Llm


def configurations(
    llms: Sequence[Llm], gpus: Sequence[Gpu], engine: Engine, policy: EvaluationPolicy
) -> tuple[Configuration, ...]:
    """The cartesian grid of a policy, in a stable order."""
    limits = {gpu.name: batch_limits(engine, gpu, policy.max_num_seqs, policy.max_num_batched_tokens) for gpu in gpus}
    return tuple(
        Configuration(
            llm=llm.name,
            gpu=gpu.name,
            precision=precision,
            kv_precision=policy.kv_precision,
            tensor_parallel=tp,
            engine=engine.name,
            pipeline_parallel=stages,
            expert_parallel=experts,
            max_num_seqs=limits[gpu.name].max_num_seqs,
            max_num_batched_tokens=limits[gpu.name].max_num_batched_tokens,
            attention_data_parallel=ranks,
        )
        for llm, gpu, precision in product(llms, gpus, policy.precisions)
        for tp, stages, experts, ranks in layouts(llm, policy)
    )


def layouts(llm: Llm, policy: EvaluationPolicy) -> tuple[tuple[int, int, int, int], ...]:
    """Tensor, pipeline, expert and attention-data parallelism of one LLM's replicas, each layout once: a dense LLM has
    no experts to share or to spread."""
    found: dict[tuple[int, int, int, int], None] = {}
    for tp, stages, ranks, spread in product(
        policy.tensor_parallel, policy.pipeline_parallel, policy.attention_data_parallel, policy.expert_parallel
    ):
        sharing = ranks if llm.experts else 1
        found[tp, stages, tp * sharing if spread and llm.experts else 1, sharing] = None
    return tuple(found)
