"""An engine's command line and its signals' queries, in the words of its entry in data/catalog/engines.yaml."""

from __future__ import annotations

from dataclasses import dataclass

from configs.engine_serving import HOLE, EngineServing
from data.scaling_records import Signal

PORT = 8000


@dataclass(frozen=True, slots=True)
class Serving:
    """What one replica is started with. quantize: whether the engine itself makes fp8 of a 16-bit checkpoint."""

    engine: EngineServing
    model: str
    served_name: str
    tensor_parallel: int
    pipeline_parallel: int
    expert_parallel: int
    max_num_seqs: int
    max_num_batched_tokens: int
    max_model_len: int
    gpu_memory_utilization: float
    kv_precision: str
    quantize: bool
    data_parallel: int = 1
    """Ranks of attention."""


def command(one: Serving) -> list[str]:
    """The command line, an argument an entry: no shell reads it, so that no text in it can be more than an argument."""
    values = {
        "model": one.model,
        "served_name": one.served_name,
        "port": str(PORT),
        "tensor_parallel": str(one.tensor_parallel),
        "pipeline_parallel": str(one.pipeline_parallel),
        "expert_parallel": str(one.expert_parallel),
        "data_parallel": str(one.data_parallel),
        "max_num_seqs": str(one.max_num_seqs),
        "max_num_batched_tokens": str(one.max_num_batched_tokens),
        "max_model_len": str(one.max_model_len),
        "gpu_memory_utilization": f"{one.gpu_memory_utilization:g}",
        "kv_precision": {str(key): word for key, word in one.engine.kv_names.items()}.get(one.kv_precision, ""),
    }
    words = [*one.engine.command]
    words += one.engine.fp8_from_bf16 if one.quantize else ()
    # Experts are spread over ranks that the engine must be told of first.
    told = one.data_parallel == 1 or bool(one.engine.ranks)
    words += one.engine.experts if one.expert_parallel > 1 and told else ()
    words += one.engine.ranks if one.data_parallel > 1 else ()
    # One pass: what is filled in is not looked at for holes again.
    return [HOLE.sub(lambda hole: values[hole[1]], word) for word in words]


def unsaid(one: Serving) -> str:
    """What was planned that the engine's command line has no words for, to be set by hand; empty where nothing."""
    said = one.engine.says("experts")
    missing = []
    if one.pipeline_parallel > 1 and "pipeline_parallel" not in said:
        missing.append(f"{one.pipeline_parallel} pipeline stages")
    if one.expert_parallel > 1 and not (one.engine.experts and (one.data_parallel == 1 or one.engine.ranks)):
        missing.append(f"experts over {one.expert_parallel} ranks")
    if one.data_parallel > 1 and not one.engine.ranks:
        missing.append(f"{one.data_parallel} ranks of attention")
    if one.kv_precision != "bf16" and "kv_precision" not in said:
        missing.append(f"an {one.kv_precision} KV cache")
    return f"set by hand what its command line does not say: {', '.join(missing)}" if missing else ""


def query(
    engine: EngineServing, signal: Signal, namespace: str, pods: str, kv_tokens: float, window_s: float,
    schedulers: int = 1,
) -> str:  # fmt: skip
    """PromQL for a signal summed over a pool, averaged over window_s. Names in it are RFC 1123 and need no escaping.

    kv_tokens: of one scheduler, of which a replica has `schedulers`, each with a gauge of its own. Tokens in flight are
    KV-cache shares times the tokens that the cache holds (no engine counts waiting requests' tokens); a rate is that of
    finished requests where the engine does not count arrivals, which trails in overload.
    """
    of = f'{{namespace="{namespace}",pod=~"{pods}-.*"}}'

    def gauge(metric: str) -> str:
        return f"sum(avg_over_time({metric}{of}[{window_s:.0f}s]))"

    queries = {
        "queue": gauge(engine.waiting),
        "concurrency": f"{gauge(engine.running)} + {gauge(engine.waiting)}",
        "tokens": f"{gauge(engine.kv_share)} * {kv_tokens:.0f}",
        "kv_cache": gauge(engine.kv_share) if schedulers == 1 else f"{gauge(engine.kv_share)} / {schedulers}",
        "rate": f"sum(rate({engine.finished}{of}[{window_s:.0f}s]))",
    }
    return queries[signal]
