"""How many sequences and tokens a batch of an engine holds on a GPU. Standard library only."""

from __future__ import annotations

from typing import NamedTuple

from data.records import Engine, Gpu


class BatchLimits(NamedTuple):
    """Most sequences at once, and most tokens of an iteration."""

    max_num_seqs: int
    max_num_batched_tokens: int


def batch_limits(
    engine: Engine, gpu: Gpu, max_num_seqs: int | None = None, max_num_batched_tokens: int | None = None
) -> BatchLimits:
    """The limits that are set, and where none is (None or 0) the engine's defaults on that GPU.

    A default of sequences is no more than the tokens: a sequence takes one an iteration at least.
    """
    defaults = next(
        (
            one
            for one in engine.by_gpu_memory
            if gpu.memory_bytes >= one.memory_bytes
            and not any(part.lower() in gpu.name.lower() for part in one.but_not)
        ),
        engine,
    )
    tokens = max_num_batched_tokens or defaults.max_num_batched_tokens
    return BatchLimits(max_num_seqs or min(defaults.max_num_seqs, tokens), tokens)
