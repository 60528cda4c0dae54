"""The `fleetcast` command: one grammar, exit codes that scripts can rely on.

Exit codes: 0 done; 2 bad input (the message says what, where, expected, got and what to change); 3 no plan serves
every protected class, or the configuration asked about serves nothing (the message says which limit stops it); 130
interrupted.
"""

from __future__ import annotations

import signal
import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from configs.errors import InputError
from configs.loading import load_scenario
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
    from flows.plan import plan_flow
    from flows.progress import shown_on
    from flows.show import show_plan

    console = Console(stderr=True)
    with shown_on(console, total=5):
        done = plan_flow(config=config, out=str(out), data_folder=None if data_folder is None else str(data_folder))
    if as_json:
        sys.stdout.write((done.folder / "plan.json").read_text(encoding="utf-8"))
    else:
        # A pipe has no width of its own: 120 columns keep every table on one line.
        show_plan(Console(width=None if sys.stdout.isatty() else 120), done)
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
    as_json: JsonOption = False,
) -> None:
    """Say whether one configuration loads, and what it serves at the SLO."""
    from data.records import SloTarget
    from flows.show import show_size, size_json
    from flows.size import Question, examine

    slo = SloTarget(ttft_s, tpot_s, 95.0)
    answer = examine(Question(llm, gpu, precision, tp, engine, input_tokens, output_tokens, slo))
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
