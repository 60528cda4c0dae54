"""Measured serving runs from a CSV file, as configurations and loads; what cannot be used is named, not dropped.

Columns: model_path, system, backend, isl, osl, batch_size (clients of one attention rank), tp_size, silicon_tpot_ms, or
the other names of ALSO; optional precision, gemm_quant_mode, moe_quant_mode, pp_size, attention_dp_size, moe_tp_size,
moe_ep_size, silicon_ttft_ms, backend_version, kv_precision, id.
"""

from __future__ import annotations

import csv
import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from configs.errors import InputError
from data.catalog import find_engine, find_gpu, find_llm
from data.engine_limits import batch_limits
from data.records import Configuration, Engine, Llm

REQUIRED = ("model_path", "system", "backend", "isl", "osl", "batch_size", "tp_size", "silicon_tpot_ms")
ALSO = {
    "model_path": ("model", "llm", "model_name", "model_id"),
    "system": ("gpu", "gpu_name", "hardware", "accelerator"),
    "backend": ("engine", "framework"),
    "backend_version": ("engine_version", "framework_version"),
    "isl": ("input_tokens", "input_len", "prompt_tokens"),
    "osl": ("output_tokens", "output_len"),
    "batch_size": ("concurrency", "max_concurrency", "bs"),
    "tp_size": ("tp", "tensor_parallel", "tensor_parallel_size"),
    "pp_size": ("pp", "pipeline_parallel", "pipeline_parallel_size"),
    "silicon_tpot_ms": ("tpot_ms", "mean_tpot_ms", "measured_tpot_ms"),
    "silicon_ttft_ms": ("ttft_ms", "mean_ttft_ms", "measured_ttft_ms"),
    "gemm_quant_mode": ("quantization", "quant"),
    "kv_precision": ("kvcache_quant_mode", "kv_cache_dtype", "kv_dtype"),
}
"""Other names of columns, in order of preference."""
NAMED_PRECISION = re.compile(r"[-_.](nvfp4|mxfp4|fp4|fp8|int4|int8|4bit|8bit|awq|gptq|w\da\d+|bf16)(?![a-z0-9])")
NATIVE_INT4 = re.compile(r"kimi-k2(-thinking|\.[5-9])")
"""Published in int4 where the first of their catalog entry are not (model cards)."""
NODE_GPUS = 8
MISSING = ("", "none", "nan", "null", "na", "n/a", "-")
NAMED_RANKS = re.compile(r"_tp(?P<tp>\d+)(?:_0)?_ep(?P<ep>\d+)(?:_|$)")
PRECISIONS = (
    ("fp4", ("fp4",)),
    ("int4", ("int4", "w4a", "awq", "4bit")),
    ("fp8_block", ("fp8_block", "block_fp8", "fp8_wo_block", "blockwise")),
    ("fp8", ("fp8", "e4m3")),
    ("int8", ("int8", "w8a8", "w8a16", "8bit", "smoothquant", "sq")),
    ("int4", ("gptq",)),
    ("bf16", ("bf16", "bfloat16", "fp16", "float16", "half")),
)
"""What files call precisions: the first row of which a part is in the name, `w4a8_mxfp4_mxfp8` being fp4."""
BITS = {"bf16": 16, "fp8": 8, "fp8_block": 8, "int8": 8, "int4": 4, "fp4": 4}


def overlaps(engine: Engine, version: str) -> bool:
    """Whether that version of the engine schedules an iteration while the one before runs; none is an old one."""
    since = engine.overlapped_since
    return engine.overlapped_scheduling and (since is None or _release(version) >= _release(since[0]))


def _release(version: str) -> list[int]:
    return [int(part) for part in re.findall(r"[0-9]+", version)[:2]]


@dataclass(frozen=True, slots=True)
class Run:
    """One closed-loop run. TTFT is NaN where the file has none; concurrency is clients of one attention rank."""

    configuration: Configuration
    moe: bool
    concurrency: float
    input_tokens: float
    output_tokens: float
    tpot_s: float
    ttft_s: float
    version: str


def read_runs(path: Path) -> tuple[tuple[Run, ...], dict[str, int]]:
    """Usable runs, and how many rows were left out for which reason.

    Raises InputError where the file is missing or lacks a required column.
    """
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file, restkey="", restval="")
            reader.fieldnames = _named_columns(reader.fieldnames or ())
            missing = [name for name in REQUIRED if name not in reader.fieldnames]
            if missing:
                raise InputError(str(path), f"columns {', '.join(REQUIRED)}", f"no {', '.join(missing)}", "Add them.")
            rows = list(reader)
    except (FileNotFoundError, IsADirectoryError):
        raise InputError(str(path), "a CSV file of measured runs", "no such file", "Check the path.") from None
    except (UnicodeDecodeError, csv.Error) as error:
        raise InputError(str(path), "a CSV file in UTF-8", str(error), "Save it as CSV in UTF-8.") from None
    runs: list[Run] = []
    left_out: dict[str, int] = {}
    for row in rows:
        found = _run(row)
        if isinstance(found, Run):
            runs.append(found)
        else:
            left_out[found] = left_out.get(found, 0) + 1
    return tuple(runs), left_out


def _named_columns(columns: Sequence[str]) -> list[str]:
    """Columns by the names of this module; where one is there already, its other names stay what they are."""
    found = [column.strip() for column in columns]
    for name, others in ALSO.items():
        other = next((one for one in others if one in found), None)
        if name not in found and other is not None:
            found[found.index(other)] = name
    return found


def _number(row: dict[str, str], name: str, default: float = math.nan) -> float:
    """A number; the default where there is none, NaN for anything else."""
    text = (row.get(name) or "").strip()
    try:
        return float(text) if text.lower() not in MISSING else default
    except ValueError:
        return math.nan


def _count(row: dict[str, str], name: str, default: int) -> int:
    """A whole number of at least 1, or ValueError naming the column; blank and 0 mean the default."""
    value = _number(row, name, 0.0)
    if not (math.isfinite(value) and value >= 0.0 and value == int(value)):
        raise ValueError(f"{name} is not a whole number")
    return int(value) or default


def _named(row: dict[str, str], column: str) -> str | None:
    """The precision that a column names, if it names a known one."""
    text = (row.get(column) or "").strip().lower().replace("-", "_")
    return next((precision for precision, parts in PRECISIONS if any(part in text for part in parts)), None)


def _precision(row: dict[str, str], llm: Llm) -> str | None:
    """The GEMM's precision, else the checkpoint's, else what the LLM's name ends in, else the published one."""
    stated = [name for name in ("gemm_quant_mode", "precision") if (row.get(name) or "").strip().lower() not in MISSING]
    named = _named(row, stated[0]) if stated else None
    if not stated:
        endings = "_".join(NAMED_PRECISION.findall(row["model_path"].lower()))
        native = "int4" if NATIVE_INT4.search(row["model_path"].lower()) else llm.native_precision
        named = _named({"": endings}, "") if endings else native.replace("mxfp4", "fp4")
    # Mixtures quantise their experts, nearly all of their bytes, whatever the attention's GEMMs use.
    experts = _named(row, "moe_quant_mode") if llm.experts else None
    if llm.native_precision == "mxfp4" and not experts and "bf16" not in row["model_path"].lower():
        experts = "fp4"
    if experts and named and BITS[experts] < BITS[named]:
        return experts
    # Block-scaled checkpoints (DeepSeek's; Qwen's own fp8 ones, but those that say they are static) have block-scaled
    # GEMMs whatever the file calls them.
    path = row["model_path"].strip().lower()
    latent = llm.native_precision == "fp8_block" and llm.kv_lora_rank
    blocks = latent or (path.startswith("qwen/") and path.endswith("-fp8"))
    return "fp8_block" if blocks and named == "fp8" else named


def _kv_precision(row: dict[str, str], engine: str, llm: Llm, precision: str) -> str:
    """As the file says; else what the engine picks: vLLM and SGLang keep bf16, TensorRT-LLM obeys the checkpoint, and
    those made for it (ModelOpt recipes: fp8 of dense LLMs, nvfp4 of all but latent ones) set an fp8 cache."""
    named = _named(row, "kv_precision")
    if named in ("bf16", "fp8"):
        return named
    recipe = precision == "fp8" and not llm.experts
    recipe |= precision == "fp4" and llm.native_precision != "mxfp4" and not llm.kv_lora_rank
    return "fp8" if engine == "trtllm" and recipe else "bf16"


def _ranks(row: dict[str, str]) -> tuple[int, int, int]:
    """Ranks of tensor, expert and attention data parallelism.

    Two habits of public files are undone. Some state the product of tensor and expert ranks as tp_size although the
    run's name says otherwise (`_tp2_ep2_` with tp_size 4; 64 x 8 rows that repeat the 8 x 8 rows to the last digit).
    Others leave attention_dp_size blank where the experts' ranks outnumber those of tensor parallelism: the rest is
    attention data parallelism, for every rank of a group serves both.
    """
    tensor, experts = _count(row, "tp_size", 1), _count(row, "moe_ep_size", 1)
    data = _count(row, "attention_dp_size", 0)
    named = NAMED_RANKS.search(row.get("id") or "")
    if named and int(named["ep"]) == experts > 1:
        if data > 1:
            data = experts
        else:
            tensor = int(named["tp"])
    elif tensor > NODE_GPUS and experts > 1 and tensor % experts == 0:
        # Undone only where the ranks then serve both attention and experts.
        group, rest = _count(row, "moe_tp_size", 1) * experts, tensor // experts
        tensor = rest if rest * max(data, 1) == group or (not data and group % rest == 0) else tensor
    if not data:
        group = _count(row, "moe_tp_size", 1) * experts
        data = group // tensor if group % tensor == 0 else 1
    return tensor, experts, max(data, 1)


def _run(row: dict[str, str]) -> Run | str:
    """The run of a row, or why it cannot be used."""
    try:
        llm = find_llm(row["model_path"].strip())
    except InputError:
        return f"unknown LLM {row['model_path']!r}"
    try:
        gpu = find_gpu(row["system"].strip()).name
    except InputError:
        return f"unknown GPU {row['system']!r}"
    try:
        engine = find_engine(row["backend"].strip())
    except InputError:
        return f"unknown engine {row['backend']!r}"
    precision = _precision(row, llm)
    if precision is None:
        return f"unknown precision {row.get('gemm_quant_mode') or row.get('precision')!r}"
    needed = {name: _number(row, name) for name in ("isl", "osl", "batch_size", "tp_size", "silicon_tpot_ms")}
    for name, value in needed.items():
        if not (math.isfinite(value) and value > 0):
            return f"{name} is not a positive number"
    try:
        stages = _count(row, "pp_size", 1)
        tensor, experts, data = _ranks(row)
    except ValueError as error:
        return str(error)
    ttft_ms = _number(row, "silicon_ttft_ms")
    return Run(
        configuration=Configuration(
            llm=llm.name,
            gpu=gpu,
            precision=precision,
            kv_precision=_kv_precision(row, engine.name, llm, precision),
            tensor_parallel=tensor,
            engine=engine.name,
            pipeline_parallel=stages,
            expert_parallel=experts,
            **batch_limits(engine, find_gpu(gpu))._asdict(),
            attention_data_parallel=data if llm.experts else 1,
        ),
        moe=llm.experts > 0,
        concurrency=needed["batch_size"] * max(_count(row, "attention_dp_size", data) / data, 1.0),
        input_tokens=needed["isl"],
        output_tokens=needed["osl"],
        tpot_s=needed["silicon_tpot_ms"] * 1e-3,
        ttft_s=ttft_ms * 1e-3 if math.isfinite(ttft_ms) and ttft_ms > 0.0 else math.nan,
        version=(row.get("backend_version") or "").strip(),
    )
