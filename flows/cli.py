"""The `fleetcast` command: one grammar, exit codes that scripts can rely on.

Exit codes: 0 done; 2 bad input (the message says what, where, expected, got and what to change); 3 no plan serves
every protected class, or the configuration asked about serves nothing (the message says which limit stops it); 130
interrupted.
"""

from __future__ import annotations

import json
import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from configs.errors import InputError
from configs.loading import load_scenario
from flows import kernel_commands
from flows.environment import prepare
from flows.interrupt import install

EXIT_BAD_INPUT = 2
EXIT_INFEASIBLE = 3
EXIT_INTERRUPTED = 130

app = typer.Typer(
    name="fleetcast",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="markdown",
    help="Capacity planning for LLM inference: from traffic history to a reserved, costed GPU fleet plan.",
    epilog="Exit codes: 0 done, 2 bad input, 3 protected demand cannot be served, 130 interrupted.",
)

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
JsonOption = Annotated[bool, typer.Option("--json", help="Print machine-readable JSON on standard output only.")]


@app.callback()
def fleetcast() -> None:
    """Capacity planning for LLM inference."""


@app.command(epilog="Example: `fleetcast plan --config scenario.yaml --out runs`")
def plan(
    config: ConfigOption = None,
    out: Annotated[Path, typer.Option(help="Where the run folder appears.")] = Path("runs"),
    data_folder: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a fleet plan: ingest, forecast, evaluate, optimise, report."""
    # Checked before anything heavy is imported: a wrong key is answered in a second.
    load_scenario(config)
    from flows.changes import show_changes
    from flows.plan import plan_flow
    from flows.progress import shown_on
    from flows.show import show_plan

    console = Console(stderr=True)
    with shown_on(console, total=6):
        done = plan_flow(config=config, out=str(out), data_folder=None if data_folder is None else str(data_folder))
    if as_json:
        sys.stdout.write((done.folder / "plan.json").read_text(encoding="utf-8"))
    else:
        # A pipe has no width of its own: 120 columns keep every table on one line.
        console = Console(width=None if sys.stdout.isatty() else 120)
        show_plan(console, done)
        show_changes(console, done.folder)
    if done.bundle.infeasible:
        raise typer.Exit(EXIT_INFEASIBLE)


@app.command(epilog="Example: `fleetcast size --llm Llama-3.1-70B --gpu H100-SXM --precision fp8 --tp 4`")
def size(
    llm: Annotated[str, typer.Option(help="Catalog name, Hugging Face id, or a config.json.")],
    gpu: Annotated[str, typer.Option(help="Catalog name, e.g. H100-SXM.")],
    precision: Annotated[str, typer.Option(help="Weights: bf16, fp8, int8, int4 or fp4.")] = "bf16",
    tp: Annotated[int, typer.Option(help="Tensor parallelism: GPUs a replica.")] = 1,
    engine: Annotated[str, typer.Option(help="vllm, trtllm or sglang.")] = "vllm",
    input_tokens: Annotated[int, typer.Option("--input", min=1, help="Prompt tokens of a request.")] = 1000,
    output_tokens: Annotated[int, typer.Option("--output", min=1, help="Output tokens of a request.")] = 200,
    ttft_s: Annotated[float, typer.Option("--ttft", min=1e-3, help="TTFT limit, seconds, p95.")] = 2.0,
    tpot_s: Annotated[float, typer.Option("--tpot", min=1e-4, help="TPOT limit, seconds, p95.")] = 0.06,
    pp: Annotated[int, typer.Option(help="Pipeline parallelism: stages of a replica.")] = 1,
    kv: Annotated[str, typer.Option(help="KV cache: bf16 or fp8.")] = "bf16",
    adapters: Annotated[int, typer.Option(min=0, help="LoRA adapters of rank 16 resident at once.")] = 0,
    prefix: Annotated[float, typer.Option(min=0.0, max=1.0, help="Share of the prompt in the prefix cache.")] = 0.0,
    speculate: Annotated[str | None, typer.Option(help="Draft tokens and acceptance, e.g. 3:0.7.")] = None,
    calibration: Annotated[list[Path] | None, typer.Option(help="File of `fleetcast calibrate`; repeatable.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether one configuration loads, and what it serves at the SLO."""
    from data.records import SloTarget
    from flows.show import show_size, size_json
    from flows.size import Question, examine, read_speculation

    slo = SloTarget(ttft_s, tpot_s, 95.0)
    options = (pp, kv, adapters, prefix, read_speculation(speculate), None, tuple(calibration or ()))
    answer = examine(Question(llm, gpu, precision, tp, engine, input_tokens, output_tokens, slo, *options))
    if as_json:
        sys.stdout.write(size_json(answer))
    else:
        show_size(Console(width=None if sys.stdout.isatty() else 120), answer)
    if answer.capacity.excuse is not None:
        raise typer.Exit(EXIT_INFEASIBLE)


@app.command(epilog="Example: `fleetcast ingest trace.csv logs/*.jsonl.gz --out traffic`")
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

    answers = ingestion.run(files, out, mapping, start, time_zone, label or ())
    if as_json:
        sys.stdout.write(ingestion.as_json(answers))
    else:
        ingestion.show(Console(width=None if sys.stdout.isatty() else 120), answers)
    if any(one.error is not None for one in answers):
        raise typer.Exit(EXIT_BAD_INPUT)


@app.command(epilog="Example: `fleetcast describe traffic --classes classes.yaml`")
def describe(
    dataset: Annotated[Path, typer.Argument(help="A folder that `fleetcast ingest` made.")],
    classes: Annotated[Path | None, typer.Option(help="YAML of class rules; without it all is one class.")] = None,
    brief: Annotated[bool, typer.Option("--brief", help="One scan: rates by minute, sketched lengths.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Describe the traffic of a dataset: arrivals, lengths, tails, quality and drift of every class."""
    from flows import describe as description

    profile = description.run(dataset, classes, brief)
    if as_json:
        sys.stdout.write(description.as_json(profile))
    else:
        description.show(Console(width=None if sys.stdout.isatty() else 120), profile)


@app.command(epilog="Example: `fleetcast trace burstgpt-2026 --number costs.0.cash_usd`")
def trace(
    run: Annotated[str | None, typer.Argument(help="A run, or the beginning of its name; none lists the runs.")] = None,
    number: Annotated[
        str | None, typer.Option(help="A place in its plan.json, e.g. purchases.0.usd_per_gpu_h.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Lead from a run, or one of its numbers, to the inputs, code and catalog entries that made it."""
    from flows.ledger import open_ledger
    from flows.trace import show_runs, show_trace, trace_json
    from flows.trace import trace as trace_run

    console, ledger = Console(width=None if sys.stdout.isatty() else 120), open_ledger()
    if run is None:
        from data.ledger.read import runs

        show_runs(console, runs(ledger))
        return
    found = trace_run(ledger, run, number)
    if as_json:
        sys.stdout.write(trace_json(found))
    else:
        show_trace(console, found)


FileOption = Path | None


@app.command(epilog="Example: `fleetcast ledger --copy-to postgresql://fleetcast@db/fleetcast`")
def ledger(
    copy_to: Annotated[str | None, typer.Option(help="Copy everything to another ledger, e.g. a server.")] = None,
) -> None:
    """Read the whole ledger against its hashes; copy it elsewhere."""
    from data.ledger.copy import copy
    from data.ledger.read import runs, verify
    from flows.ledger import open_ledger

    console, opened = Console(width=None if sys.stdout.isatty() else 120), open_ledger()
    faults = verify(opened)
    for text in faults:
        console.print(f"[bold red]fault[/] {escape(text)}", soft_wrap=True)
    if faults:
        raise typer.Exit(EXIT_BAD_INPUT)
    told = f"{opened.url.render_as_string()}: {len(runs(opened))} runs, every content as its hash says"
    console.print(told, soft_wrap=True)
    if copy_to is not None:
        copied = copy(opened, copy_to)
        console.print(", ".join(f"{name} {rows}" for name, rows in copied.items()) + " rows copied and verified")


@app.command(epilog="Example: `fleetcast backtest --config scenario.yaml`")
def backtest(
    config: ConfigOption = None,
    data_folder: DataOption = None,
    weeks: Annotated[int, typer.Option(min=2, help="Weeks of history before the first planned month.")] = 4,
    as_json: JsonOption = False,
) -> None:
    """Walk history, planning each month from what was known; cost and shortfall beside three other rules."""
    loaded = load_scenario(config)
    from flows.backtest import backtest as walk_history
    from flows.backtest import backtest_json, show_backtest
    from flows.ledger import open_ledger
    from flows.progress import report, shown_on

    with shown_on(Console(stderr=True), total=2):
        found = walk_history(loaded, data_folder, open_ledger(), weeks, report)
    if as_json:
        sys.stdout.write(backtest_json(found))
    else:
        show_backtest(Console(width=None if sys.stdout.isatty() else 120), found)


@app.command(epilog="Example: `fleetcast reconcile --actuals november.csv --billing focus.csv`")
def reconcile(
    actuals: Annotated[Path, typer.Option(help="CSV: ts, llm, request_class, region, requests, or day, hour counts.")],
    scenario: Annotated[str | None, typer.Option(help="Which planned scenario.", show_default="planned last")] = None,
    billing: Annotated[FileOption, typer.Option(help="What was billed, a CSV in FOCUS columns.")] = None,
    goodput: Annotated[FileOption, typer.Option(help="CSV of measured goodputs by configuration.")] = None,
    out: Annotated[Path, typer.Option(help="Where the folder of this reconciliation appears.")] = Path("runs"),
    as_json: JsonOption = False,
) -> None:
    """Set what was said against what happened; propose corrections for the next plan."""
    from flows.ledger import open_ledger
    from flows.reconcile import reconcile_files
    from flows.show_reconcile import show_reconciliation, write_reconciliation

    found = reconcile_files(open_ledger(), scenario, actuals, billing, goodput)
    folder = write_reconciliation(found, out)
    if as_json:
        from flows.reconcile import document

        sys.stdout.write(json.dumps(document(found), indent=2) + "\n")
    else:
        console = Console(width=None if sys.stdout.isatty() else 120)
        show_reconciliation(console, found)
        console.print(f"Report: {folder / 'reconciliation.html'}", soft_wrap=True)


@app.command(epilog="Example: `fleetcast review 3f2a --accept --by ada --note 'confirmed with the product team'`")
def review(
    correction: Annotated[str | None, typer.Argument(help="An id, or its beginning; none lists all.")] = None,
    accept: Annotated[bool | None, typer.Option("--accept/--reject", help="The verdict.")] = None,
    by: Annotated[str, typer.Option(help="Who decides.")] = "",
    note: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """List corrections, or accept or reject one; the next plan uses those accepted."""
    from flows.corrections import decide
    from flows.ledger import open_ledger
    from flows.show_reconcile import show_corrections

    ledger = open_ledger()
    show_corrections(Console(width=None if sys.stdout.isatty() else 120), decide(ledger, correction, accept, by, note))


@app.command(epilog="Example: `fleetcast loadtest results/ --gpu H100-SXM --llm Llama-3.1-8B --out calibration`")
def loadtest(
    files: Annotated[list[Path], typer.Argument(help="Result files, or folders of them.", show_default=False)],
    llm: Annotated[str | None, typer.Option(help="What was served; default: the name in the files.")] = None,
    gpu: Annotated[str | None, typer.Option(help="What it ran on; without it the files are checked only.")] = None,
    precision: Annotated[str, typer.Option(help="Weights: bf16, fp8, int8, int4 or fp4.")] = "bf16",
    kv_precision: Annotated[str, typer.Option(help="KV cache: bf16 or fp8.")] = "bf16",
    tp: Annotated[int, typer.Option(help="Tensor parallelism: GPUs a replica.")] = 1,
    engine: Annotated[str, typer.Option(help="vllm, trtllm or sglang.")] = "vllm",
    replicas: Annotated[int | None, typer.Option(min=1, help="Replicas behind the endpoint.")] = None,
    cached_tokens: Annotated[int, typer.Option(min=0, help="Prompt tokens that the prefix cache held.")] = 0,
    max_num_seqs: Annotated[int, typer.Option(min=0, help="The engine's limit of running sequences, if set.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder for picture, JSON and calibrated catalog.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check load-test results, and calibrate the model to them (guidellm, aiperf, inference-perf, vllm bench)."""
    # Read before anything heavy is imported: a wrong file is answered in a second.
    from data.loadtests.read import read_load_tests

    tests = read_load_tests(files)
    from flows.loadtest import Question, examine, write
    from flows.loadtest import as_json as load_tests_json
    from flows.show_loadtest import show_load_tests

    question = Question(llm, gpu, precision, kv_precision, tp, engine, replicas, cached_tokens, max_num_seqs)
    answers = examine(tests, question)
    written = [] if out is None else write(answers, out)
    if as_json:
        sys.stdout.write(load_tests_json(answers))
    else:
        show_load_tests(Console(width=None if sys.stdout.isatty() else 120), answers, written)
    if gpu is not None and all(answer.fit is None for answer in answers):
        raise typer.Exit(EXIT_BAD_INPUT)


@app.command(epilog="Example: `fleetcast curve --class chat --gpu H100-SXM --precision fp8 --tp 4 --out curve`")
def curve(
    gpu: Annotated[str, typer.Option(help="Catalog name, e.g. H100-SXM.")],
    precision: Annotated[str, typer.Option(help="Weights: bf16, fp8, int8, int4 or fp4.")] = "bf16",
    tp: Annotated[int, typer.Option(help="Tensor parallelism: GPUs a replica.")] = 1,
    engine: Annotated[str, typer.Option(help="vllm, trtllm or sglang.")] = "vllm",
    config: ConfigOption = None,
    request_class: Annotated[
        list[str] | None, typer.Option("--class", help="A class of the scenario; several are mixed in their shares.")
    ] = None,
    llm: Annotated[str | None, typer.Option(help="Another LLM than the class's, or the LLM for --input.")] = None,
    input_tokens: Annotated[int, typer.Option("--input", min=1, help="Prompt tokens, without a class.")] = 1000,
    output_tokens: Annotated[int, typer.Option("--output", min=1, help="Output tokens, without a class.")] = 200,
    ttft_s: Annotated[float, typer.Option("--ttft", min=1e-3, help="TTFT limit at p95, without a class.")] = 2.0,
    tpot_s: Annotated[float, typer.Option("--tpot", min=1e-4, help="TPOT limit at p95, without a class.")] = 0.06,
    growth: Annotated[float, typer.Option(min=0.0, help="Share by which load grows a minute, at its steepest.")] = 0.01,
    time_to_ready_s: Annotated[
        float, typer.Option("--ready", min=1.0, help="Seconds until a new replica serves.")
    ] = 300,
    out: Annotated[Path | None, typer.Option(help="A new folder for curve.json and curve.svg.")] = None,
    data_folder: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the service curve of one configuration: load to latency, goodput and errors, limits, when to scale."""
    from data.records import SloTarget
    from flows.curve import CurveQuestion, curve_json, examine, show_curve, write_curve

    # Lengths given without a class mean no scenario; a class without --config is the default scenario's.
    slo = SloTarget(ttft_s, tpot_s, 95.0)
    question = CurveQuestion(
        gpu, precision, tp, engine, config, tuple(request_class or ()), llm, input_tokens, output_tokens, slo, growth,
        time_to_ready_s, data_folder,
    )  # fmt: skip
    answer = examine(question)
    if out is not None:
        write_curve(answer, out)
    console = Console(width=None if sys.stdout.isatty() else 140)
    if as_json:
        sys.stdout.write(curve_json(answer))
    elif answer.curve is not None:
        show_curve(console, answer.curve)
        if out is not None:
            console.print(f"Picture: {out / 'curve.svg'}", soft_wrap=True)
    else:
        excuse = answer.capacity.excuse or "the SLO breaks at every load in simulation"
        console.print(f"[bold]Serves at the SLO:[/] nothing. {escape(str(excuse))}")
    if answer.curve is None:
        raise typer.Exit(EXIT_INFEASIBLE)


kernel_commands.register(app)


@app.command(epilog="Example: `fleetcast generate traffic --hours 24 --out day.parquet`")
def generate(
    dataset: Annotated[Path, typer.Argument(help="A folder that `fleetcast ingest` made.")],
    out: Annotated[Path, typer.Option(help="The Parquet file to write.")],
    classes: Annotated[Path | None, typer.Option(help="YAML of class rules; without it all is one class.")] = None,
    name: Annotated[str | None, typer.Option("--class", help="Which class; default: what no rule matches.")] = None,
    hours: Annotated[float, typer.Option(min=1 / 60, help="How many hours of requests.")] = 1.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed gives the same requests.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Write requests like those of a class: uneven, bursty, with lengths that go together; and compare them with it."""
    from flows import generate as generation

    found = generation.run(dataset, classes, name, hours, seed, out)
    if as_json:
        sys.stdout.write(generation.as_json(found))
    else:
        generation.show(Console(width=None if sys.stdout.isatty() else 120), found)


@app.command(epilog="Example: `fleetcast forecast --config scenario.yaml --series chat --keep vintages`")
def forecast(
    config: ConfigOption = None,
    data_folder: DataOption = None,
    series: Annotated[str | None, typer.Option(help="Part of LLM/class/region; all series otherwise.")] = None,
    keep: Annotated[Path | None, typer.Option(help="Write the forecast into this folder, never to be changed.")] = None,
    score: Annotated[
        Path | None, typer.Option(help="Score an earlier forecast against the history there is now.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Forecast demand: quantiles, why they are what they are, and how good the method was on history."""
    load_scenario(config)
    import json

    from flows import forecast as made
    from flows.progress import shown_on

    with shown_on(Console(stderr=True), total=2):
        run = made.make(config, data_folder)
    found = made.chosen(run, series)
    if keep is not None:
        Console(stderr=True).print(f"Kept: {made.keep(run, keep)}", soft_wrap=True)
    if score is not None:
        sys.stdout.write(json.dumps(made.scores(run, score), indent=2) + "\n")
    elif as_json:
        sys.stdout.write(made.as_json(run, found))
    else:
        made.show(Console(width=None if sys.stdout.isatty() else 120), run, found)


def main() -> None:
    """Entry point: environment first, then the command; expected errors end without a traceback."""
    prepare()
    interruption = install()
    try:
        app()
    except InputError as error:
        Console(stderr=True, highlight=False).print(f"[bold red]Error[/] {escape(str(error))}", soft_wrap=True)
        sys.exit(EXIT_BAD_INPUT)
    except BaseException:
        if not interruption.requested:
            raise
        # Whatever shape the interruption has taken on its way up, it is one.
        Console(stderr=True).print("Interrupted: no run folder is left half-written.")
        sys.exit(EXIT_INTERRUPTED)
    finally:
        # From here on there is nothing left to interrupt: a late Ctrl-C would only break the clean-up of libraries.
        signal.signal(signal.SIGINT, signal.SIG_IGN)


if __name__ == "__main__":
    main()
