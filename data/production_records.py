"""What a window of production metrics says of one replica."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

KvSource = Literal["kv_usage", "lengths"]


@dataclass(frozen=True, slots=True)
class Window:
    """A span in which a replica kept one load, as its own counters saw it.

    NaN where the engine does not say.
    """

    start_s: float
    """Since 1970, UTC."""
    replica: str
    batch: float
    """Requests that decode together, mean."""
    tpot_s: float
    """Between two tokens of a request, mean over tokens."""
    prompt_tokens_per_s: float
    """Computed ones: what the prefix cache holds is not."""
    input_tokens: float
    """Mean prompt, what the prefix cache holds included."""
    context_tokens: float
    """Mean tokens in the KV cache of a request that decodes."""
    context_from: KvSource
    tokens: float
    """Gaps between tokens that the means rest on."""
    ttft_s: float
    queue_s: float


@dataclass(frozen=True, slots=True)
class Windows:
    """Windows in order of time, how many were set aside and why, and what to know of them."""

    kept: tuple[Window, ...]
    rejected: dict[str, int]
    replicas: int
    engine: str
    window_s: float
    notes: tuple[str, ...]
