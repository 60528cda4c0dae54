"""The same requests as each tool would have written them, in old and new layouts: one truth, many files.

Each layout follows the field names and units of the tool's own output; values are computed here from the requests.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

LEVELS = {"p001": 0.1, "p01": 1, "p05": 5, "p10": 10, "p25": 25, "p50": 50, "p75": 75, "p90": 90, "p95": 95, "p99": 99}


@dataclass(frozen=True)
class Truth:
    """Requests of one run; seconds and tokens."""

    start: np.ndarray
    inputs: np.ndarray
    outputs: np.ndarray
    ttft: np.ndarray
    e2e: np.ndarray
    rate: float = 4.0
    failed: int = 0

    @property
    def n(self) -> int:
        return len(self.start)

    @property
    def tpot(self) -> np.ndarray:
        return (self.e2e - self.ttft) / (self.outputs - 1)

    @property
    def duration(self) -> float:
        return float((self.start + self.e2e).max() - self.start.min())


def truth(n: int = 40, seed: int = 0, rate: float = 4.0, failed: int = 0) -> Truth:
    rng = np.random.default_rng(seed)
    outputs = rng.integers(20, 60, n)
    ttft = rng.uniform(0.03, 0.2, n)
    tpot = rng.uniform(0.008, 0.015, n)
    start = np.cumsum(rng.exponential(1 / rate, n))
    return Truth(start - start[0], rng.integers(100, 300, n), outputs, ttft, ttft + tpot * (outputs - 1), rate, failed)


def guidellm(t: Truth, layout: str = "0.8") -> str:
    def status(values: np.ndarray) -> dict[str, Any]:
        p = {name: float(np.percentile(values, q)) for name, q in LEVELS.items()}
        good = {
            "mean": float(values.mean()),
            "median": p["p50"],
            "count": len(values),
            "min": float(values.min()),
            "max": float(values.max()),
            "percentiles": p | {"p999": float(np.percentile(values, 99.9))},
        }
        return {"successful": good, "errored": {"mean": 0.0, "percentiles": dict.fromkeys(LEVELS, 0.0)}}

    def single(value: float) -> dict[str, Any]:
        return {"successful": {"mean": value, "percentiles": {}}}

    totals = {"successful": t.n, "errored": t.failed, "incomplete": 2, "total": t.n + t.failed + 2}
    metrics: dict[str, Any] = {
        "requests_per_second": single(t.n / t.duration),
        "request_concurrency": single(float(t.e2e.sum()) / t.duration),
        "request_latency": status(t.e2e),
        "prompt_token_count": status(t.inputs.astype(float)),
        "output_token_count": status(t.outputs.astype(float)),
        "time_to_first_token_ms": status(1e3 * t.ttft),
        "time_per_output_token_ms": status(1e3 * t.e2e / t.outputs),
        "inter_token_latency_ms": status(1e3 * t.tpot),
        "output_tokens_per_second": single(float(t.outputs.sum()) / t.duration),
    }
    rows: list[dict[str, Any]] = [
        {
            "prompt_tokens": int(i), "output_tokens": int(o), "time_to_first_token_ms": 1e3 * f,
            "request_start_time": 1.7e9 + s, "request_end_time": 1.7e9 + s + e,
        }
        for s, i, o, f, e in zip(t.start, t.inputs, t.outputs, t.ttft, t.e2e, strict=True)
    ]  # fmt: skip
    strategy = {"type_": "poisson", "rate": t.rate}
    one: dict[str, Any] = {"type_": "generative_benchmark", "metrics": metrics, "duration": t.duration}
    if layout == "0.8":
        one |= {
            "config": {"strategy": strategy, "backend": {"model": "m"}},
            "requests": {"successful": rows, "errored": []},
        }
        metrics["request_totals"] = totals
        return json.dumps({"metadata": {"version": 2, "guidellm_version": "0.8.1"}, "benchmarks": [one]})
    if layout == "0.4":
        for row in rows:
            times = {"request_start": row.pop("request_start_time"), "request_end": row.pop("request_end_time")}
            row["scheduler_info"] = {"request_timings": times}
        one |= {
            "scheduler": {"strategy": strategy},
            "benchmarker": {"backend": {"model": "m"}},
            "request_totals": totals,
            "requests": {"successful": rows},
        }
        return json.dumps({"benchmarks": [one]})
    for row in rows:
        row["start_time"], row["end_time"] = row.pop("request_start_time"), row.pop("request_end_time")
    one |= {
        "args": {"strategy": {"type_": "poisson", "rate": t.rate}}, "worker": {"backend_model": "m"},
        "request_totals": totals, "requests": {"successful": rows}, "start_time": 5.0, "end_time": 5.0 + t.duration,
    }  # fmt: skip
    return json.dumps({"benchmarks": [one]})


def guidellm_csv(t: Truth) -> str:
    columns: list[tuple[str, str, str, str]] = [
        ("Run Info", "Backend", "", json.dumps({"kind": "openai_http", "model": "m"})),
        ("Benchmark", "Strategy", "", f"poisson@{t.rate:.2f}"),
        ("Timings", "Duration", "Sec", str(t.duration)),
        ("Request Counts", "Successful", "", str(t.n)),
        ("Request Counts", "Errored", "", str(t.failed)),
        ("Server Throughput", "Successful Requests/Sec", "Mean", str(t.n / t.duration)),
        ("Token Throughput", "Successful Output Tokens/Sec", "Mean", str(t.outputs.sum() / t.duration)),
    ]
    for group, field, values in (
        ("Request Latency", "Successful Sec", t.e2e),
        ("Time to First Token", "Successful ms", 1e3 * t.ttft),
        ("Inter Token Latency", "Successful ms", 1e3 * t.tpot),
        ("Token Metrics", "Successful Input Tokens", t.inputs),
        ("Token Metrics", "Successful Output Tokens", t.outputs),
    ):
        levels = [float(np.percentile(values, q)) for q in [*LEVELS.values(), 99.9]]
        columns += [(group, field, "Mean", str(values.mean())), (group, field, "Percentiles", json.dumps(levels))]
    quoted = [['"' + cell.replace('"', '""') + '"' for cell in line] for line in zip(*columns, strict=True)]
    quoted[0] = [column[0] for column in columns]
    return "\n".join(",".join(line) for line in quoted) + "\n"


def aiperf(t: Truth, layout: str = "phases", unit: str = "ms") -> str:
    factor = {"ns": 1e9, "us": 1e6, "ms": 1e3, "s": 1.0}[unit]

    def metric(values: np.ndarray, name: str) -> dict[str, Any]:
        levels = {f"p{q}": float(np.percentile(values, q)) for q in (1, 5, 10, 25, 50, 75, 90, 95, 99)}
        return {
            "unit": name,
            "avg": float(values.mean()),
            "min": float(values.min()),
            "max": float(values.max()),
            **levels,
        }

    metrics: dict[str, Any] = {
        "request_throughput": {"unit": "requests/sec", "avg": t.n / t.duration},
        "request_count": {"unit": "requests", "avg": float(t.n)},
        "benchmark_duration": {"unit": "sec", "avg": t.duration},
        "request_latency": metric(factor * t.e2e, unit),
        "time_to_first_token": metric(factor * t.ttft, unit),
        "inter_token_latency": metric(factor * t.tpot, unit),
        "input_sequence_length": metric(t.inputs, "tokens"),
        "output_sequence_length": metric(t.outputs, "tokens"),
        "output_token_throughput": {"unit": "tokens/sec", "avg": float(t.outputs.sum()) / t.duration},
    }
    if t.failed:
        metrics["error_request_count"] = {"unit": "requests", "avg": float(t.failed)}
    if layout == "phases":
        load: dict[str, Any] = {
            "models": {"items": [{"name": "m"}]},
            "phases": [{"kind": "profiling", "type": "poisson", "rate": t.rate}],
        }
        return json.dumps({"aiperf_version": "0.13.0", **metrics, "input_config": load, "was_cancelled": False})
    if layout == "genai-perf":
        load = {"model_names": ["m"], "perf_analyzer": {"stimulus": {"request_rate": t.rate}}}
        return json.dumps({**metrics, "input_config": load})
    load = {"endpoint": {"model_names": ["m"]}, "loadgen": {"request_rate": t.rate, "request_rate_mode": "poisson"}}
    if layout == "records":
        return json.dumps({"records": metrics, "input_config": load})
    return json.dumps({**metrics, "input_config": load})


def aiperf_lines(t: Truth) -> str:
    lines = [
        {
            "metadata": {
                "request_start_ns": round(1.7e18 + 1e9 * s), "request_end_ns": round(1.7e18 + 1e9 * (s + e)),
                "benchmark_phase": "profiling", "was_cancelled": False,
            },
            "metrics": {
                "time_to_first_token": {"value": 1e3 * f, "unit": "ms"},
                "inter_token_latency": {"value": 1e3 * (e - f) / (o - 1), "unit": "ms"},
                "request_latency": {"value": 1e3 * e, "unit": "ms"},
                "input_sequence_length": {"value": int(i), "unit": "tokens"},
                "output_sequence_length": {"value": int(o), "unit": "tokens"},
            },
        }
        for s, i, o, f, e in zip(t.start, t.inputs, t.outputs, t.ttft, t.e2e, strict=True)
    ]  # fmt: skip
    bad = {**lines[0], "error": {"type": "HTTPError", "code": 500}}
    warm = {"metadata": {**lines[0]["metadata"], "benchmark_phase": "warmup"}, "metrics": {}}
    return "\n".join(json.dumps(line) for line in [warm, *lines, *[bad] * t.failed]) + "\n"


def aiperf_csv(t: Truth, total: bool = True) -> str:
    lines = [f"Metric,avg,min,max,{'sum,' if total else ''}p1,p5,p10,p25,p50,p75,p90,p95,p99,std"]
    for name, values in (
        ("Inter Token Latency (ms)", 1e3 * t.tpot), ("Request Latency (ms)", 1e3 * t.e2e),
        ("Time to First Token (ms)", 1e3 * t.ttft), ("Input Sequence Length (tokens)", t.inputs),
        ("Output Sequence Length (tokens)", t.outputs), ("Effective Concurrency", np.array([1.0])),
    ):  # fmt: skip
        head = [values.mean(), values.min(), values.max(), *([values.sum()] if total else [])]
        levels = [np.percentile(values, q) for q in (1, 5, 10, 25, 50, 75, 90, 95, 99)]
        lines.append(",".join([name, *(f"{v:.2f}" for v in [*head, *levels, values.std()])]))
    lines += ["", "Metric,Value", f"Benchmark Duration (sec),{t.duration:.2f}", f"Request Count,{t.n:.2f}"]
    lines += [f"Request Throughput (requests/sec),{t.n / t.duration:.2f}"]
    lines += [f"Output Token Throughput (tokens/sec),{t.outputs.sum() / t.duration:.2f}"]
    return "\n".join(lines) + "\n"


def inference_perf(t: Truth, layout: str = "new") -> str:
    def summary(values: np.ndarray) -> dict[str, float]:
        levels = {"median" if q == 50 else f"p{q:g}": float(np.percentile(values, q)) for q in (1, 50, 90, 95, 99)}
        return {"mean": float(values.mean()), "min": float(values.min()), "max": float(values.max()), **levels}

    load = {
        "count": t.n + t.failed, "schedule_delay": summary(np.full(3, -1e-4)), "requested_rate": t.rate,
        "achieved_rate": t.rate, "send_duration": float(t.start.max()),
    }  # fmt: skip
    good: dict[str, Any] = {
        "count": t.n,
        "latency": {
            "request_latency": summary(t.e2e), "time_to_first_token": summary(t.ttft),
            "time_per_output_token": summary(t.tpot), "normalized_time_per_output_token": summary(t.e2e / t.outputs),
        },
        "throughput": {
            "requests_per_sec": t.n / t.duration, "output_tokens_per_sec": float(t.outputs.sum()) / t.duration,
        },
        "output_len": summary(t.outputs),
    }  # fmt: skip
    if layout == "new":
        good["prompt_tokens"] = {"total": float(t.inputs.sum()), "cached": 0.0, **summary(t.inputs)}
        good["goodput_metrics"] = {"request_goodput": 1.5, "goodput_percentage": 60.0}
        whole = {"benchmark_time_seconds": t.duration, "load_summary": load, "successes": good}
    else:
        good["prompt_len"] = summary(t.inputs)
        whole = {"load_summary": load, "successes": good}
    return json.dumps({**whole, "failures": {"count": t.failed, "request_latency": None}})


def vllm(t: Truth, layout: str = "new", goodput: str = "request_goodput", detailed: bool = True) -> str:
    result: dict[str, Any] = {
        "date": "20260101-000000", "backend": "vllm", "model_id": "m", "num_prompts": t.n + t.failed,
        "request_rate": t.rate, "burstiness": 1.0, "max_concurrency": None, "duration": t.duration, "completed": t.n,
        "total_input_tokens": int(t.inputs.sum()), "total_output_tokens": int(t.outputs.sum()),
        "request_throughput": t.n / t.duration, goodput: 1.5, "output_throughput": float(t.outputs.sum()) / t.duration,
    }  # fmt: skip
    for name, values in (("ttft", t.ttft), ("tpot", t.tpot), ("e2el", t.e2e)):
        if layout == "old" and name == "e2el":
            continue
        result |= {f"mean_{name}_ms": 1e3 * float(values.mean()), f"median_{name}_ms": 1e3 * float(np.median(values))}
        result |= {
            f"p{q}_{name}_ms": 1e3 * float(np.percentile(values, q))
            for q in ((99,) if layout == "old" else (90, 95, 99))
        }
    if layout == "new":
        result["failed"] = t.failed
    if detailed:
        gaps = [[float(p)] * (o - 1) for p, o in zip(t.tpot, t.outputs.tolist(), strict=True)]
        result |= {
            "input_lens": [*t.inputs.tolist(), *[1] * t.failed], "output_lens": [*t.outputs.tolist(), *[0] * t.failed],
            "ttfts": [*t.ttft.tolist(), *[0.0] * t.failed],
            "itls": [*gaps, *[[]] * t.failed],
            "start_times": [*(t.start + 99.0).tolist(), *[99.0] * t.failed],
            "errors": [*[""] * t.n, *["refused"] * t.failed],
        }  # fmt: skip
    return json.dumps(result)


FORMATS: dict[str, Callable[[Truth], str]] = {
    "guidellm 0.8": guidellm,
    "guidellm 0.4": lambda t: guidellm(t, "0.4"),
    "guidellm 0.2": lambda t: guidellm(t, "0.2"),
    "guidellm csv": guidellm_csv,
    "aiperf phases": aiperf,
    "aiperf loadgen in s": lambda t: aiperf(t, "loadgen", "s"),
    "aiperf records in us": lambda t: aiperf(t, "records", "us"),
    "aiperf in ns": lambda t: aiperf(t, "phases", "ns"),
    "genai-perf": lambda t: aiperf(t, "genai-perf"),
    "aiperf jsonl": aiperf_lines,
    "aiperf csv": aiperf_csv,
    "aiperf csv without sums": lambda t: aiperf_csv(t, total=False),
    "inference-perf new": inference_perf,
    "inference-perf old": lambda t: inference_perf(t, "old"),
    "vllm new": vllm,
    "vllm old": lambda t: vllm(t, "old", "request_goodput:", detailed=False),
}


def written(folder: Path, text: str, name: str = "result.json") -> Path:
    path = folder / name
    path.write_text(text, encoding="utf-8")
    return path
