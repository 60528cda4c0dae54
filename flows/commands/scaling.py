"""`fleetcast autoscale` and `emit`: arguments and exit codes."""

from __future__ import annotations

import json
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from configs.errors import InputError
from flows.commands.options import (
    EXIT_INFEASIBLE,
    ConfigOption,
    DataOption,
    JsonOption,
    PrecisionOption,
    TpOption,
    terminal,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Example: `fleetcast autoscale runs/default-20261121T100000Z-1a2b3c --trace day.csv`")(autoscale)
    app.command(epilog="Example: `fleetcast emit runs/default-20261121T100000Z-1a2b3c --out k8s`")(emit)


def autoscale(
    run: Annotated[Path | None, typer.Argument(help="A run folder of `fleetcast plan`.", show_default=False)] = None,
    config: ConfigOption = None,
    gpu: Annotated[str | None, typer.Option(help="Without a run folder: one configuration on this GPU.")] = None,
    precision: PrecisionOption = "bf16",
    tp: TpOption = 1,
    request_class: Annotated[list[str] | None, typer.Option("--class", help="A class that it serves.")] = None,
    peak_rps: Annotated[float, typer.Option("--peak", min=1e-6, help="Its peak, requests/s.")] = 100.0,
    trace: Annotated[list[Path] | None, typer.Option(help="A file of real load; repeatable.")] = None,
    out: Annotated[Path | None, typer.Option(help="A file for the JSON, which `fleetcast emit` reads.")] = None,
    html: Annotated[Path | None, typer.Option(help="A file for the tables and pictures as a page.")] = None,
    data_folder: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Choose scaling thresholds, replica limits and the warm reserve of every pool; say where reacting is too late."""
    if (run is None) == (gpu is None):
        raise InputError("fleetcast autoscale", "a run folder, or --gpu", "both or neither", "Name one of them.")
    from data.scaling_file import scaling_json
    from flows.autoscale import autoscale_one, autoscale_run
    from flows.progress import shown_on
    from flows.show_autoscale import show_autoscale

    with shown_on(Console(stderr=True), total=1, key="autoscale"):
        if run is not None:
            found = autoscale_run(run, config, trace or (), data_folder)
        else:
            assert gpu is not None
            from flows.scaling_pools import asked_configuration

            one, classes = asked_configuration(config, gpu, precision, tp, tuple(request_class or ()))
            found = autoscale_one(config, one, classes, peak_rps, trace or (), data_folder)
    pools, left = found.pools, found.unscaled
    text = scaling_json(pools, left)
    if out is not None:
        out.write_text(text, encoding="utf-8")
    if html is not None:
        from reports.scaling_page import render

        html.write_text(render(pools, datetime.now(UTC).date(), left), encoding="utf-8")
    if as_json:
        sys.stdout.write(text)
    else:
        show_autoscale(terminal(180), pools, datetime.now(UTC).date(), left)
    if not all(pool.chosen.holds for pool in pools):
        raise typer.Exit(EXIT_INFEASIBLE)


def emit(
    run: Annotated[Path, typer.Argument(help="A run folder of `fleetcast plan`.", show_default=False)],
    scaling: Annotated[
        Path | None,
        typer.Option(help="The file of `fleetcast autoscale RUN --out FILE`.", show_default="the plan's own"),
    ] = None,
    out: Annotated[Path, typer.Option(help="A new folder for the manifests.")] = Path("manifests"),
    as_json: JsonOption = False,
) -> None:
    """Write Kubernetes workloads, scalers (KEDA, HPA, KServe, plain JSON), quota requests and budgets of a plan."""
    from flows.emit import emit_run

    files = emit_run(run, scaling, out)
    if as_json:
        sys.stdout.write((out / "index.json").read_text(encoding="utf-8"))
        return
    console = terminal()
    for name in files:
        console.print(str(out / name), soft_wrap=True)
    for note in json.loads((out / "index.json").read_text(encoding="utf-8"))["notes"]:
        console.print(f"[yellow]![/] {escape(note)}", soft_wrap=True)
