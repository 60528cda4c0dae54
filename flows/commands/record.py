"""`fleetcast trace`, `ledger`, `backtest`, `reconcile` and `review`: arguments and exit codes."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from configs.errors import InputError
from configs.loading import load_scenario
from data.scenario_names import check_names
from flows.commands.options import EXIT_BAD_INPUT, ConfigOption, DataOption, JsonOption, terminal


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Example: `fleetcast trace burstgpt-2026 --number costs.0.cash_usd`")(trace)
    app.command(epilog="Example: `fleetcast ledger --copy-to postgresql://fleetcast@db/fleetcast`")(ledger)
    app.command(epilog="Example: `fleetcast backtest --config scenario.yaml`")(backtest)
    app.command(epilog="Example: `fleetcast reconcile --actuals november.csv --billing focus.csv`")(reconcile)
    app.command(epilog="Example: `fleetcast review 3f2a --accept --by ada --note 'confirmed with the product team'`")(
        review
    )


def trace(
    run: Annotated[str | None, typer.Argument(help="A run, or the beginning of its name; none lists the runs.")] = None,
    number: Annotated[
        str | None, typer.Option(help="A place in its plan.json, e.g. purchases.0.usd_per_gpu_h.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Lead from a run, or one of its numbers, to the inputs, code and catalog entries that made it."""
    from flows.ledger import open_ledger
    from flows.trace import runs_json, show_runs, show_trace, trace_json
    from flows.trace import trace as trace_run

    console, ledger = terminal(), open_ledger()
    if run is None:
        if number is not None:
            fix = "Name the run: `fleetcast trace RUN --number PLACE`; `fleetcast trace` lists them."
            raise InputError(f"--number {number}", "the run whose number it is", "none", fix)
        from data.ledger.read import runs

        if as_json:
            sys.stdout.write(runs_json(runs(ledger)))
        else:
            show_runs(console, runs(ledger))
        return
    found = trace_run(ledger, run, number)
    if as_json:
        sys.stdout.write(trace_json(found))
    else:
        show_trace(console, found)


def ledger(
    copy_to: Annotated[str | None, typer.Option(help="Copy everything to another ledger, e.g. a server.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read the whole ledger against its hashes; copy it elsewhere."""
    from data.ledger.copy import copy
    from data.ledger.read import runs, verify
    from flows.ledger import open_ledger

    console, opened = terminal(), open_ledger()
    faults = verify(opened)
    if as_json:
        copied = {} if faults or copy_to is None else copy(opened, copy_to)
        told = {"ledger": opened.url.render_as_string(), "runs": len(runs(opened)), "faults": list(faults)}
        sys.stdout.write(json.dumps(told | {"copied_rows": dict(copied)}, indent=2) + "\n")
        if faults:
            raise typer.Exit(EXIT_BAD_INPUT)
        return
    for text in faults:
        console.print(f"[bold red]fault[/] {escape(text)}", soft_wrap=True)
    if faults:
        raise typer.Exit(EXIT_BAD_INPUT)
    sound = f"{opened.url.render_as_string()}: {len(runs(opened))} runs, every content as its hash says"
    console.print(sound, soft_wrap=True)
    if copy_to is not None:
        copied = copy(opened, copy_to)
        console.print(", ".join(f"{name} {rows}" for name, rows in copied.items()) + " rows copied and verified")


def backtest(
    config: ConfigOption = None,
    data_folder: DataOption = None,
    weeks: Annotated[int, typer.Option(min=2, help="Weeks of history before the first planned month.")] = 4,
    every_days: Annotated[
        int | None, typer.Option(min=7, max=92, help="Plan every so many days instead of every calendar month.")
    ] = None,
    equal: Annotated[
        bool, typer.Option("--equal", help="Also scale every rule to Fleetcast's shortfall, in hindsight.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Walk history, planning each month from what was known; cost and shortfall beside three other rules."""
    loaded = load_scenario(config)
    check_names(loaded.scenario)
    from flows.backtest import backtest as walk_history
    from flows.backtest import backtest_json, show_backtest
    from flows.ledger import open_ledger
    from flows.progress import report, shown_on

    with shown_on(Console(stderr=True), total=3 + equal, key=f"backtest {config} {equal}"):
        found = walk_history(loaded, data_folder, open_ledger(), weeks, report, every_days, equal)
    if as_json:
        sys.stdout.write(backtest_json(found))
    else:
        show_backtest(terminal(), found)


def reconcile(
    actuals: Annotated[Path, typer.Option(help="CSV: ts, llm, request_class, region, requests, or day, hour counts.")],
    scenario: Annotated[str | None, typer.Option(help="Which planned scenario.", show_default="planned last")] = None,
    billing: Annotated[Path | None, typer.Option(help="What was billed, a CSV in FOCUS columns.")] = None,
    goodput: Annotated[Path | None, typer.Option(help="CSV of measured goodputs by configuration.")] = None,
    out: Annotated[Path, typer.Option(help="Where the folder of this reconciliation appears.")] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Set what was said against what happened; propose corrections for the next plan."""
    from flows.ledger import open_ledger
    from flows.progress import report, shown_on
    from flows.reconcile import reconcile_files
    from flows.show_reconcile import reconciliation_json, show_reconciliation, write_reconciliation

    with shown_on(Console(stderr=True), total=1, key="reconcile"):
        report("setting what was said against what happened")
        found = reconcile_files(open_ledger(), scenario, actuals, billing, goodput)
    folder = write_reconciliation(found, out)
    if as_json:
        sys.stdout.write(reconciliation_json(found))
    else:
        console = terminal()
        show_reconciliation(console, found)
        console.print(f"Report: {folder / 'reconciliation.html'}", soft_wrap=True)


def review(
    correction: Annotated[list[str] | None, typer.Argument(help="Ids, or their beginnings; none lists all.")] = None,
    accept: Annotated[bool | None, typer.Option("--accept/--reject", help="The verdict.")] = None,
    by: Annotated[str, typer.Option(help="Who decides.")] = "",
    note: Annotated[str, typer.Option(help="Why.")] = "",
    as_json: JsonOption = False,
) -> None:
    """List corrections, or accept or reject some; the next plan uses those accepted."""
    from flows.corrections import decide
    from flows.ledger import open_ledger
    from flows.show_reconcile import corrections_json, show_corrections

    found = decide(open_ledger(), correction or (), accept, by, note)
    if as_json:
        sys.stdout.write(corrections_json(found))
    else:
        show_corrections(terminal(), found)
