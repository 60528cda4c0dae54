"""`fleetcast init`, `report`, `explain`, `whatif` and `doctor`: arguments and exit codes."""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from configs.errors import InputError
from flows.commands.options import EXIT_BAD_INPUT, EXIT_INFEASIBLE, JsonOption, TpotOption, TtftOption, terminal

RunArgument = Annotated[
    str | None,
    typer.Argument(help="A run folder, or the beginning of its name below --out.", show_default="the newest"),
]
RunsOption = Annotated[Path, typer.Option("--out", help="Where run folders are.")]


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Example: `fleetcast init --dataset traffic --llm Llama-3.1-8B --gpu H100-SXM --out my.yaml`")(
        init
    )
    app.command(epilog="Example: `fleetcast whatif --set classes.chat.growth=+40% --set prices.h100.on_demand=-15%`")(
        whatif
    )
    app.command(epilog="Example: `fleetcast report runs/default-20261121T093000Z-0a1b2c --to report.html`")(report)
    app.command(epilog="Example: `fleetcast explain --month 2027-01`")(explain)
    app.command(epilog="Example: `fleetcast doctor --json`")(doctor)


def init(
    dataset: Annotated[
        Path | None, typer.Option(help="A folder that `fleetcast ingest` made.", show_default="asked for")
    ] = None,
    llm: Annotated[str | None, typer.Option(help="Catalog name or Hugging Face id.", show_default="asked for")] = None,
    gpu: Annotated[list[str] | None, typer.Option(help="GPU to consider; repeatable.", show_default="H100-SXM")] = None,
    market: Annotated[
        list[str] | None, typer.Option(help="PROVIDER/REGION to buy in; repeatable.", show_default="lambda/us-east-1")
    ] = None,
    region: Annotated[str, typer.Option(help="Your name for the place that serves.")] = "us-east",
    request_class: Annotated[str, typer.Option("--class", help="Your name for this kind of request.")] = "chat",
    ttft_s: TtftOption = 2.0,
    tpot_s: TpotOption = 0.06,
    months: Annotated[int, typer.Option(min=1, max=36, help="Months to plan.")] = 3,
    quota: Annotated[int | None, typer.Option(min=0, help="Most GPUs of a type.", show_default="unlimited")] = None,
    budget: Annotated[float | None, typer.Option(min=0, help="US dollars a month.", show_default="none")] = None,
    volume: Annotated[float, typer.Option(min=1e-6, help="Scaling of the history, declared in every output.")] = 1.0,
    out: Annotated[Path, typer.Option(help="The file to write.")] = Path("scenario.yaml"),
    as_json: JsonOption = False,
) -> None:
    """Write a commented starter scenario from your traffic; asks for what no flag gives."""
    from flows.starter import Answers, write

    asked = sys.stdin.isatty() and not as_json
    complete = None not in (dataset, llm) and bool(gpu and market)
    dataset = dataset or Path(
        _answer("Dataset (the folder that `fleetcast ingest` made)", "traffic", asked, "--dataset")
    )
    llm = llm or _answer("LLM (catalog name or Hugging Face id)", "Llama-3.1-8B", asked, "--llm")
    gpus = gpu or _several("GPUs to consider (`fleetcast size --gpu` takes the same names)", "H100-SXM", asked)
    markets = market or _several("Markets, PROVIDER/REGION", "lambda/us-east-1", asked)
    # Who has said everything on the command line is not asked about what is optional.
    if asked and budget is None and not complete:
        budget = typer.prompt("Budget, US dollars a month (0: none)", default=0.0, type=float, err=True) or None
    told = write(
        Answers(
            dataset, llm, request_class, tuple(gpus), tuple(markets), region,
            ttft_s, tpot_s, months, quota, budget, volume,
        ),
        out,
    )  # fmt: skip
    if as_json:
        sys.stdout.write(json.dumps({"scenario": str(out), "traffic": told}, indent=2) + "\n")
    else:
        console = terminal()
        console.print(f"Written: {out}", soft_wrap=True, highlight=False)
        console.print(told, soft_wrap=True, highlight=False)
        console.print(f"Next: fleetcast plan --config {out}", soft_wrap=True, highlight=False)


def _several(question: str, default: str, asked: bool) -> list[str]:
    """What the user types, separated by commas; the default where nobody can be asked."""
    text = typer.prompt(f"{question}, separated by commas", default=default, err=True) if asked else default
    return [one.strip() for one in str(text).split(",") if one.strip()]


def _answer(question: str, default: str, asked: bool, flag: str) -> str:
    """What the user types; an InputError where nobody can be asked."""
    if asked:
        return str(typer.prompt(question, default=default, err=True))
    raise InputError("fleetcast init", f"{flag}, since nobody can be asked here", "neither", f"Give {flag}.")


def whatif(
    run: RunArgument = None,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set", help="PATH=VALUE or PATH=+40%: a scenario key, classes.NAME.growth, prices.GPU[.OPTION]."
        ),
    ] = None,
    out: RunsOption = Path("runs"),
    seconds: Annotated[float, typer.Option(min=0.5, help="Most seconds for the solver.")] = 10.0,
    as_json: JsonOption = False,
) -> None:
    """Change something in the last plan and see the difference; only what it touches is computed again."""
    from configs.changes import EXAMPLE

    if not settings:
        raise InputError("fleetcast whatif", "at least one --set", "none", EXAMPLE)
    from flows import whatif as asked
    from flows.progress import shown_on
    from flows.recall import recall

    folder, bundle = recall(run, out)
    with shown_on(Console(stderr=True), total=3, key="whatif"):
        found = asked.what_if(folder, bundle, settings, seconds)
    if as_json:
        sys.stdout.write(asked.as_json(found, datetime.now(UTC).date()))
    else:
        asked.show(terminal(), found, datetime.now(UTC).date())
    if found.after.infeasible:
        raise typer.Exit(EXIT_INFEASIBLE)


def report(
    run: RunArgument = None,
    out: RunsOption = Path("runs"),
    to: Annotated[
        Path | None, typer.Option(help="The HTML file to write.", show_default="report.html in the run folder")
    ] = None,
    scaling: Annotated[
        Path | None, typer.Option(help="What `fleetcast autoscale --out` wrote.", show_default="the plan's own")
    ] = None,
    sensitivity: Annotated[
        Path | None,
        typer.Option(
            help="sensitivity.json that `fleetcast sensitivity RUN --out` wrote: re-solves, switching values and "
            "regrets too.",
            show_default="the plan's own",
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the report of a run again, from what its folder holds: nothing is computed anew."""
    from data.scaling_file import read_scaling
    from data.sensitivity_file import read_sensitivity
    from flows.recall import recall
    from flows.scaling_pools import standing_by, unscaled
    from reports.machine import plan_document
    from reports.page import render

    folder, bundle = recall(run, out)
    if scaling is not None:
        bundle = replace(bundle, scaling=read_scaling(scaling), unscaled=unscaled(standing_by(plan_document(bundle))))
    if sensitivity is not None:
        bundle = replace(bundle, sensitivity=read_sensitivity(sensitivity))
    path = to or folder / "report.html"
    try:
        path.write_text(render(bundle), encoding="utf-8")
    except OSError as error:
        fix = "Name a file in a folder that is there."
        raise InputError(f"--to {path}", "a file that can be written", str(error.strerror), fix) from None
    if as_json:
        sys.stdout.write(json.dumps({"run": folder.name, "report": str(path)}, indent=2) + "\n")
    else:
        terminal().print(f"Report: {path}", soft_wrap=True, highlight=False)


def explain(
    run: RunArgument = None,
    month: Annotated[
        str | None, typer.Option(help="The month whose routing is shown.", show_default="the first")
    ] = None,
    out: RunsOption = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Say why a plan is what it is: who is served where, what each rule and limit costs, why the others lost."""
    from flows import explain as explained
    from flows.recall import recall

    _, bundle = recall(run, out)
    months, today = bundle.problem.demand.months, datetime.now(UTC).date()
    if month is not None and month not in months:
        raise InputError("--month", f"a month of the plan: {', '.join(months)}", month, "Name one of them.")
    if as_json:
        sys.stdout.write(explained.as_json(bundle, today))
    else:
        explained.show(terminal(), bundle, month or months[0], today)


def doctor(as_json: JsonOption = False) -> None:
    """Check what a plan needs: environment, device, solver, ledger, ages of the catalogs; with the next step."""
    from flows import doctor as doctors

    found = doctors.examine(datetime.now(UTC).date())
    if as_json:
        sys.stdout.write(doctors.as_json(found))
    else:
        doctors.show(terminal(), found)
    if any(one.status == "fail" for one in found):
        raise typer.Exit(EXIT_BAD_INPUT)
