"""Memory of one configuration, part by part. Standard library only."""

from __future__ import annotations

from dataclasses import dataclass

from data.records import Configuration


@dataclass(frozen=True, slots=True)
class MemoryBreakdown:
    """Bytes on each GPU of a replica. The parts, the pool and what the engine does not take add up to the total."""

    configuration: Configuration
    parameters: float
    active_parameters: float
    total_bytes: float
    weight_bytes: float
    activation_bytes: float
    graph_bytes: float
    communication_bytes: float
    adapter_bytes: float
    """LoRA adapters resident at once."""
    headroom_bytes: float
    left_to_others_bytes: float
    """What the engine's utilization rule leaves to the driver and other processes, less fragmentation."""
    kv_pool_bytes: float
    """Negative where the weights do not fit."""
    kv_bytes_per_token: float
    """At the context asked for: sliding windows make it fall with length."""
    kv_capacity_tokens: float
    context_tokens: float
    concurrent_requests: int
    """Requests of context_tokens each that fit at once, within max_num_seqs."""
    seqs_bind: bool
    """Whether max_num_seqs, not the KV cache, limits them."""
    largest_context_tokens: float
    """Of a single request: what fits, or the LLM's own limit."""
    largest_context_at_concurrency: tuple[tuple[int, float], ...]
    """(requests at once, longest context of each in tokens): approve no more than a rung; 0 tokens where none fits."""
    hidden_size_rule_kv_bytes_per_token: float
    """Rule of thumb for comparison: 2 x layers x hidden x bytes, blind to grouped-query attention."""
    rule_weight_bytes: float
    """Rule of thumb for comparison: 1.2 x parameters x bytes over the GPUs."""
    runs_at_precision: bool
    """Whether the GPU computes in the weights' precision and reads the cache's."""
    fragmentation_bytes: float = 0.0
    """What the allocator reserves and cannot use. KV blocks that are not full are in kv_bytes_per_token."""

    @property
    def loads(self) -> bool:
        """Whether the weights and one token's KV fit, on hardware that computes in the precision."""
        return self.runs_at_precision and self.kv_capacity_tokens >= 1.0
