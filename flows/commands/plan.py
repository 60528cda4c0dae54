"""`fleetcast plan`: arguments and exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from configs.loading import load_scenario
from data.scenario_names import check_names
from flows.commands.options import EXIT_INFEASIBLE, ConfigOption, DataOption, JsonOption, terminal


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Example: `fleetcast plan --config scenario.yaml --out runs`")(plan)


def plan(
    config: ConfigOption = None,
    out: Annotated[Path, typer.Option(help="Where the run folder appears.")] = Path("runs"),
    data_folder: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a fleet plan: ingest, forecast, evaluate, optimise, report."""
    # Checked before anything heavy is imported: a wrong key is answered in a second.
    check_names(load_scenario(config).scenario)
    from flows.changes import show_changes
    from flows.plan import plan as make_plan
    from flows.progress import shown_on
    from flows.show import show_plan

    console = Console(stderr=True)
    with shown_on(console, total=8, key=f"plan {config}"):
        done = make_plan(config, str(out), None if data_folder is None else str(data_folder))
    if as_json:
        sys.stdout.write((done.folder / "plan.json").read_text(encoding="utf-8"))
    else:
        # A pipe has no width of its own: 120 columns keep every table on one line.
        console = terminal()
        show_plan(console, done)
        show_changes(console, done.folder)
    if done.bundle.infeasible:
        raise typer.Exit(EXIT_INFEASIBLE)
