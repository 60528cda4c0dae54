"""`fleetcast sweep` and `fleetcast calibrate`: arguments and exit codes; the work is in the modules of those names."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.options import (
    EXIT_INFEASIBLE,
    CalibrationOption,
    EngineOption,
    JsonOption,
    KvOption,
    PrecisionOption,
    terminal,
)

CALIBRATE_EXAMPLE = """Columns of a load-test file: concurrency, input_tokens, output_tokens, tpot_ms. Example:
`fleetcast calibrate --llm Llama-3.1-8B --gpu L40S --metrics metrics.json --out calibration.yaml`"""


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Example: `fleetcast sweep --llm Llama-3.1-70B --gpu H100-SXM --gpu H200-SXM`")(sweep)
    app.command(epilog=CALIBRATE_EXAMPLE)(calibrate)


def sweep(
    llm: Annotated[list[str], typer.Option(help="Catalog name, Hugging Face id or config.json; repeatable.")],
    gpu: Annotated[list[str], typer.Option(help="Catalog name; repeatable.")],
    precision: Annotated[
        list[str] | None, typer.Option(help="Weights; repeatable.", show_default="bf16, fp8, int4")
    ] = None,
    tp: Annotated[
        list[int] | None, typer.Option(help="Tensor parallelism; repeatable.", show_default="1, 2, 4, 8")
    ] = None,
    pp: Annotated[list[int] | None, typer.Option(help="Pipeline parallelism; repeatable.", show_default="1")] = None,
    engine: EngineOption = "vllm",
    kv: KvOption = "bf16",
    input_tokens: Annotated[
        list[int] | None, typer.Option("--input", min=1, help="Prompt tokens; repeatable.", show_default="1000")
    ] = None,
    output_tokens: Annotated[
        list[int] | None, typer.Option("--output", min=1, help="Output tokens; repeatable.", show_default="200")
    ] = None,
    batches: Annotated[int, typer.Option(min=1, max=4096, help="Batch sizes from 1 to max_num_seqs.")] = 32,
    ttft_s: Annotated[float, typer.Option("--ttft", min=1e-3, help="TTFT limit of a prompt without queue, s.")] = 2.0,
    tpot_s: Annotated[float, typer.Option("--tpot", min=1e-4, help="TPOT limit, seconds.")] = 0.06,
    price: Annotated[
        list[str] | None, typer.Option(help="GPU=USD an hour; repeatable.", show_default="cheapest on demand")
    ] = None,
    calibration: CalibrationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Sweep configurations and batches: the Pareto front of cost, TPOT and throughput, and what is out and why."""
    from flows import sweep as swept
    from flows.progress import report, shown_on

    grid = swept.Grid(
        llm, gpu, precision or ["bf16", "fp8", "int4"], tp or [1, 2, 4, 8], pp or [1], engine, kv,
        input_tokens or [1000], output_tokens or [200], batches, ttft_s, tpot_s, price or [],
        tuple(calibration or ()),
    )  # fmt: skip
    with shown_on(Console(stderr=True), total=1, key="sweep"):
        report("sweeping the grid")
        found = swept.run(grid)
    if as_json:
        sys.stdout.write(swept.as_json(found))
    else:
        swept.show(terminal(), found)
    if not found.front:
        raise typer.Exit(EXIT_INFEASIBLE)


def calibrate(
    llm: Annotated[str, typer.Option(help="Catalog name, Hugging Face id or config.json.")],
    gpu: Annotated[str, typer.Option(help="Catalog name.")],
    runs: Annotated[Path | None, typer.Option(help="CSV file of closed-loop load tests of one replica.")] = None,
    metrics: Annotated[
        list[Path] | None, typer.Option(help="Prometheus range queries of the engine's metrics; repeatable.")
    ] = None,
    precision: PrecisionOption = "bf16",
    tp: Annotated[int, typer.Option(help="Tensor parallelism of the replica.")] = 1,
    engine: EngineOption = "vllm",
    kv: KvOption = "bf16",
    window_s: Annotated[float, typer.Option("--window", min=1.0, help="Width of the windows, seconds.")] = 300.0,
    served: Annotated[str | None, typer.Option(help="model_name in the metrics, where several are served.")] = None,
    kv_tokens: Annotated[
        float | None,
        typer.Option(min=1.0, help="KV cache of one replica, as its log says.", show_default="none"),
    ] = None,
    input_tokens: Annotated[
        float | None, typer.Option("--input", min=1.0, help="Mean prompt, where the metrics lack it.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="File to write; others' corrections in it are kept.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Fit the step time to your load tests or production metrics, and say how far to trust it. Exit code 3: they
    contradict each other."""
    from flows import calibrate as fitting
    from flows.progress import report, shown_on

    asked = fitting.Asked(
        llm, gpu, precision, tp, engine, kv, runs, tuple(metrics or ()), window_s, served,
        math.nan if kv_tokens is None else kv_tokens, math.nan if input_tokens is None else input_tokens,
    )  # fmt: skip
    with shown_on(Console(stderr=True), total=1, key="calibrate"):
        report("fitting the step time")
        fitted = fitting.fit(asked)
    written = out if out is not None and fitted.usable else None
    if written is not None:
        fitting.write(fitted, written)
    if as_json:
        sys.stdout.write(fitting.as_json(fitted))
    else:
        fitting.show(terminal(), fitted, written)
    if not fitted.usable:
        raise typer.Exit(EXIT_INFEASIBLE)
