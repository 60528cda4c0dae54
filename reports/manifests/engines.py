"""Each serving engine's own names for the same limits, and for the signals a scaler reads.

Sources, read 2026-11: engine arguments and production metrics of vLLM (v0.8 to v0.32), server arguments and production
metrics of SGLang, trtllm-serve of TensorRT-LLM (0.18 to 1.x; `--kv_cache_free_gpu_memory_fraction` is the older of two
spellings that newer versions take).
"""

from __future__ import annotations

from dataclasses import dataclass

from data.scaling_records import Signal

PORT = 8000


@dataclass(frozen=True, slots=True)
class Serving:
    """What one replica is started with. quantize: whether the engine itself makes fp8 of a 16-bit checkpoint."""

    engine: str
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


@dataclass(frozen=True, slots=True)
class EngineFace:
    """How an engine is reached: its image, where it tells its health and metrics, and its names for them."""

    image: str
    health: str
    metrics: str
    running: str
    waiting: str
    kv_share: str
    finished: str


FACES = {
    "vllm": EngineFace(
        "vllm/vllm-openai:v0.19.0", "/health", "/metrics", "vllm:num_requests_running", "vllm:num_requests_waiting",
        "vllm:kv_cache_usage_perc", "vllm:request_success_total",
    ),
    "sglang": EngineFace(
        "lmsysorg/sglang:v0.5.6", "/health", "/metrics", "sglang:num_running_reqs", "sglang:num_queue_reqs",
        "sglang:token_usage", "sglang:num_requests_total",
    ),
    "trtllm": EngineFace(
        "nvcr.io/nvidia/tensorrt-llm/release:1.0.0", "/health", "/prometheus/metrics", "trtllm_num_requests_running",
        "trtllm_num_requests_waiting", "trtllm_kv_cache_utilization", "trtllm_request_success_total",
    ),
}  # fmt: skip


def command(one: Serving) -> list[str]:
    """The command line, an argument an entry: no shell reads it, so that no text in it can be more than an argument."""
    return {"vllm": _vllm, "sglang": _sglang, "trtllm": _trtllm}[one.engine](one)


def _vllm(one: Serving) -> list[str]:
    found = [
        "vllm", "serve", one.model,
        "--served-model-name", one.served_name,
        "--host", "0.0.0.0",
        "--port", str(PORT),
        "--tensor-parallel-size", str(one.tensor_parallel),
        "--pipeline-parallel-size", str(one.pipeline_parallel),
        "--max-num-seqs", str(one.max_num_seqs),
        "--max-num-batched-tokens", str(one.max_num_batched_tokens),
        "--max-model-len", str(one.max_model_len),
        "--gpu-memory-utilization", f"{one.gpu_memory_utilization:g}",
        "--kv-cache-dtype", "fp8" if one.kv_precision == "fp8" else "auto",
    ]  # fmt: skip
    found += ["--quantization", "fp8"] if one.quantize else []
    found += ["--data-parallel-size", str(one.data_parallel)] if one.data_parallel > 1 else []
    return [*found, "--enable-expert-parallel"] if one.expert_parallel > 1 else found


def _sglang(one: Serving) -> list[str]:
    found = [
        "python3", "-m", "sglang.launch_server",
        "--model-path", one.model,
        "--served-model-name", one.served_name,
        "--host", "0.0.0.0",
        "--port", str(PORT),
        "--tp-size", str(one.tensor_parallel),
        "--pp-size", str(one.pipeline_parallel),
        "--max-running-requests", str(one.max_num_seqs),
        "--chunked-prefill-size", str(one.max_num_batched_tokens),
        "--context-length", str(one.max_model_len),
        "--mem-fraction-static", f"{one.gpu_memory_utilization:g}",
        "--kv-cache-dtype", "fp8_e4m3" if one.kv_precision == "fp8" else "auto",
        "--enable-metrics",
    ]  # fmt: skip
    found += ["--quantization", "fp8"] if one.quantize else []
    return [*found, "--ep-size", str(one.expert_parallel)] if one.expert_parallel > 1 else found


def _trtllm(one: Serving) -> list[str]:
    found = [
        "trtllm-serve", one.model,
        "--backend", "pytorch",
        "--host", "0.0.0.0",
        "--port", str(PORT),
        "--tp_size", str(one.tensor_parallel),
        "--pp_size", str(one.pipeline_parallel),
        "--max_batch_size", str(one.max_num_seqs),
        "--max_num_tokens", str(one.max_num_batched_tokens),
        "--max_seq_len", str(one.max_model_len),
        "--kv_cache_free_gpu_memory_fraction", f"{one.gpu_memory_utilization:g}",
    ]  # fmt: skip
    return [*found, "--ep_size", str(one.expert_parallel)] if one.expert_parallel > 1 else found


def query(engine: str, signal: Signal, namespace: str, pods: str, kv_tokens: float, window_s: float) -> str:
    """PromQL for a signal summed over a pool, averaged over window_s. Names in it are RFC 1123 and need no escaping.

    Tokens in flight are KV-cache shares times the tokens that the cache holds (no engine counts waiting requests'
    tokens); a rate is that of finished requests where the engine does not count arrivals, which trails in overload.
    """
    face = FACES[engine]
    of = f'{{namespace="{namespace}",pod=~"{pods}-.*"}}'

    def gauge(metric: str) -> str:
        return f"sum(avg_over_time({metric}{of}[{window_s:.0f}s]))"

    queries = {
        "queue": gauge(face.waiting),
        "concurrency": f"{gauge(face.running)} + {gauge(face.waiting)}",
        "tokens": f"{gauge(face.kv_share)} * {kv_tokens:.0f}",
        "kv_cache": gauge(face.kv_share),
        "rate": f"sum(rate({face.finished}{of}[{window_s:.0f}s]))",
    }
    return queries[signal]
