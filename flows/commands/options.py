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
JsonOption = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON on standard output only.")]


def terminal(width: int = 120) -> Console:
    """Standard output; a pipe has no width of its own: 120 columns keep every table on one line."""
    return Console(width=None if sys.stdout.isatty() else width)
