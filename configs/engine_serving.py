"""Schema of how an engine is started and read: its image, its command line in its own words, and its metrics' names."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import Field, field_validator, model_validator

from configs.base import Reference, Section
from configs.evaluation import KvPrecision

HOLE = re.compile(r"\{([a-z_]*)\}")
FILLED = (
    "model", "served_name", "port", "tensor_parallel", "pipeline_parallel", "expert_parallel", "data_parallel",
    "max_num_seqs", "max_num_batched_tokens", "max_model_len", "gpu_memory_utilization", "kv_precision",
)  # fmt: skip
"""What `{...}` in a word of a command line may stand for."""
NEEDED = ("model", "port", "tensor_parallel", "max_num_seqs", "max_num_batched_tokens", "max_model_len")
"""Without one of these a replica is another one than was planned."""

Word = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[\x21-\x7e]+$")]
Path = Annotated[str, Field(pattern=r"^/[A-Za-z0-9._/-]*$", max_length=100)]
Metric = Annotated[str, Field(pattern=r"^[A-Za-z_:][A-Za-z0-9_:]*$", max_length=100)]


class EngineServing(Section):
    """How one replica is started, and where and under which names it tells its health and its load."""

    image: Reference = Field(description="published container image; `autoscaling.images` names another")
    health: Path = Field(description="answers 200 when the engine serves")
    metrics: Path = Field(description="where Prometheus reads")
    running: Metric = Field(description="gauge of requests in the batch")
    waiting: Metric = Field(description="gauge of requests in the queue")
    kv_share: Metric = Field(description="gauge of the KV cache's used share, 0 to 1")
    finished: Metric = Field(description="counter of finished requests")
    command: tuple[Word, ...] = Field(min_length=1, description="the command line, an argument a word")
    fp8_from_bf16: tuple[Word, ...] = Field(
        default=(), description="added where it makes fp8 of a 16-bit checkpoint; nothing: it does not"
    )
    experts: tuple[Word, ...] = Field(default=(), description="added where experts are spread over ranks")
    ranks: tuple[Word, ...] = Field(default=(), description="added where ranks keep attention for their own requests")
    kv_names: dict[KvPrecision, Word] = Field(
        default_factory=dict, description="what `{kv_precision}` is called; needed where it is in the command"
    )

    @field_validator("command", "fp8_from_bf16", "experts", "ranks")
    @classmethod
    def _known_holes(cls, words: tuple[str, ...]) -> tuple[str, ...]:
        for word in words:
            unknown = [name for name in HOLE.findall(word) if name not in FILLED]
            if unknown or "{" in HOLE.sub("", word) or "}" in HOLE.sub("", word):
                raise ValueError(f"{word!r}: braces hold one of {', '.join(FILLED)}")
        return words

    @model_validator(mode="after")
    def _complete(self) -> EngineServing:
        named = self.says("")
        missing = [name for name in NEEDED if name not in named]
        if missing:
            raise ValueError(f"command says nothing of {', '.join(missing)}: write {{{missing[0]}}} as its value")
        if "kv_precision" in named and set(self.kv_names) != {"bf16", "fp8"}:
            raise ValueError("kv_names says what bf16 and fp8 are called in {kv_precision}")
        return self

    def says(self, added: str) -> frozenset[str]:
        """What the command line, with the words of `added` (a field's name; empty: none), has a place for."""
        words = self.command + (getattr(self, added) if added else ())
        return frozenset(name for word in words for name in HOLE.findall(word))
