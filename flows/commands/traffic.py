"""`fleetcast ingest`, `describe`, `generate` and `forecast`: arguments and exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from configs.loading import load_scenario
from flows.commands.options import EXIT_BAD_INPUT, ClassRulesOption, ConfigOption, DataOption, JsonOption, terminal


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Example: `fleetcast ingest trace.csv logs/*.jsonl.gz --out traffic`")(ingest)
    app.command(epilog="Example: `fleetcast describe traffic --classes classes.yaml`")(describe)
    app.command(epilog="Example: `fleetcast generate traffic --hours 24 --out day.parquet`")(generate)
    app.command(epilog="Example: `fleetcast forecast --config scenario.yaml --series chat --keep vintages`")(forecast)


def ingest(
    files: Annotated[list[str], typer.Argument(help="Traces, request logs or metric exports; patterns are expanded.")],
    out: Annotated[Path, typer.Option(help="The dataset folder: made, or added to.")],
    mapping: Annotated[Path | None, typer.Option(help="YAML that names the columns of a request log.")] = None,
    start: Annotated[str | None, typer.Option(help="The day of time 0 where times are relative.")] = None,
    time_zone: Annotated[str | None, typer.Option(help="Zone of times that carry none.", show_default="UTC")] = None,
    label: Annotated[list[str] | None, typer.Option(help="NAME=VALUE for every row: llm, service, tenant, ...")] = None,
    as_json: JsonOption = False,
) -> None:
    """Read traffic of any known format into a dataset, and say what became of every row."""
    from flows import ingest as ingestion
    from flows.progress import report, shown_on

    with shown_on(Console(stderr=True), total=1, key="ingest"):
        report("reading files")
        answers = ingestion.run(files, out, mapping, start, time_zone, label or ())
    if as_json:
        sys.stdout.write(ingestion.as_json(answers))
    else:
        ingestion.show(terminal(), answers)
    if any(one.error is not None for one in answers):
        raise typer.Exit(EXIT_BAD_INPUT)


def describe(
    dataset: Annotated[Path, typer.Argument(help="A folder that `fleetcast ingest` made.")],
    classes: ClassRulesOption = None,
    brief: Annotated[bool, typer.Option("--brief", help="One scan: rates by minute, sketched lengths.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Describe the traffic of a dataset: arrivals, lengths, tails, quality and drift of every class."""
    from flows import describe as description
    from flows.progress import report, shown_on

    with shown_on(Console(stderr=True), total=1, key=f"describe {dataset} {brief}"):
        report("reading the dataset")
        profile = description.run(dataset, classes, brief)
    if as_json:
        sys.stdout.write(description.as_json(profile))
    else:
        description.show(terminal(), profile)


def generate(
    dataset: Annotated[Path, typer.Argument(help="A folder that `fleetcast ingest` made.")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    classes: ClassRulesOption = None,
    name: Annotated[str | None, typer.Option("--class", help="Which class; default: what no rule matches.")] = None,
    hours: Annotated[float, typer.Option(min=1 / 60, help="How many hours of requests.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same requests.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write requests like those of a class: uneven, bursty, with lengths that go together; and compare them with it."""
    from flows import generate as generation
    from flows.progress import report, shown_on

    with shown_on(Console(stderr=True), total=1, key=f"generate {dataset}"):
        report("drawing requests")
        found = generation.run(dataset, classes, name, hours, seed, out)
    if as_json:
        sys.stdout.write(generation.as_json(found))
    else:
        generation.show(terminal(), found)


def forecast(
    config: ConfigOption = None,
    data_folder: DataOption = None,
    series: Annotated[str | None, typer.Option(help="Part of LLM/class/region; all series otherwise.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Write the forecast into this folder, never to be changed.")] = None,
    score: Annotated[
        Path | None, typer.Option(help="Score an earlier forecast against the history there is now.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Where the folder with forecast.html appears.")] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Forecast demand: quantiles, why they are what they are, and how good the method was on history."""
    load_scenario(config)
    import json

    from flows import forecast as made
    from flows.progress import shown_on
    from flows.write_forecast import write_forecast

    with shown_on(Console(stderr=True), total=2, key=f"forecast {config}"):
        run = made.make(config, data_folder)
    found = made.chosen(run, series)
    if keep is not None:
        Console(stderr=True).print(f"Kept: {made.keep(run, keep)}", soft_wrap=True)
    if score is not None:
        sys.stdout.write(json.dumps(made.scores(run, score), indent=2) + "\n")
        return
    folder = write_forecast(run, found, out)
    if as_json:
        sys.stdout.write(made.as_json(run, found))
    else:
        console = terminal()
        made.show(console, run, found)
        console.print(f"Report: {folder / 'forecast.html'}", soft_wrap=True)
