"""Options and exit codes that commands share."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

EXIT_BAD_INPUT = 2
EXIT_INFEASIBLE = 3
EXIT_INTERRUPTED = 130

ConfigOption = Annotated[
    str | None,
    typer.Option("--config", "-c", help="A scenario file, or the name of an embedded one.", show_default="default"),
]
DataOption = Annotated[
    Path | None,
    typer.Option(
        "--data-folder",
        envvar="FLEETCAST_DATA",
        help="A folder that holds public traces by file name, for machines without a network.",
    ),
]
CalibrationOption = Annotated[
    list[Path] | None, typer.Option(help="File of `fleetcast calibrate` or `loadtest`; repeatable.")
]
LlmOption = Annotated[str, typer.Option(help="Catalog name, Hugging Face id, or a config.json.")]
GpuOption = Annotated[str, typer.Option(help="Catalog name, e.g. H100-SXM.")]
PrecisionOption = Annotated[str, typer.Option(help="Weights: bf16, fp8, int8, int4 or fp4.")]
TpOption = Annotated[int, typer.Option(help="Tensor parallelism: GPUs a replica.")]
EngineOption = Annotated[str, typer.Option(help="vllm, trtllm, sglang or another of the engine catalog.")]
KvOption = Annotated[str, typer.Option(help="KV cache: bf16 or fp8.")]
InputOption = Annotated[int, typer.Option("--input", min=1, help="Prompt tokens of a request.")]
OutputOption = Annotated[int, typer.Option("--output", min=1, help="Output tokens of a request.")]
TtftOption = Annotated[float, typer.Option("--ttft", min=1e-3, help="TTFT limit, seconds, p95.")]
TpotOption = Annotated[float, typer.Option("--tpot", min=1e-4, help="TPOT limit, seconds, p95.")]
PrefixOption = Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the prompt in the prefix cache.")]
ClassRulesOption = Annotated[Path | None, typer.Option(help="YAML of class rules; without it all is one class.")]
JsonOption = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON on standard output only.")]


def terminal(width: int = 120) -> Console:
    """Standard output; a pipe has no width of its own: 120 columns keep every table on one line."""
    return Console(width=None if sys.stdout.isatty() else width)
