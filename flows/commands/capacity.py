"""`fleetcast size`, `curve` and `loadtest`: arguments and exit codes."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.markup import escape

from flows.commands.options import (
    EXIT_BAD_INPUT,
    EXIT_INFEASIBLE,
    CalibrationOption,
    ConfigOption,
    DataOption,
    EngineOption,
    GpuOption,
    InputOption,
    JsonOption,
    KvOption,
    LlmOption,
    OutputOption,
    PrecisionOption,
    PrefixOption,
    TpOption,
    TpotOption,
    TtftOption,
    terminal,
)
from flows.commands.pool_options import (
    BackAfterOption,
    BackoffOption,
    DeadlineOption,
    DrainOption,
    LoseAtOption,
    LoseOption,
    PatienceOption,
    PriorityOption,
    QueueOption,
    ReplicasOption,
    RetriesOption,
    RoutingOption,
    SeqsOption,
    rules_of,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(epilog="Example: `fleetcast replay runs/RUN --trace day.csv --class chat`")(replay)
    app.command(epilog="Example: `fleetcast size --llm Llama-3.1-70B --gpu H100-SXM --precision fp8 --tp 4`")(size)
    app.command(epilog="Example: `fleetcast curve --class chat --gpu H100-SXM --precision fp8 --tp 4 --out curve`")(
        curve
    )
    app.command(epilog="Example: `fleetcast loadtest results/ --gpu H100-SXM --llm Llama-3.1-8B --out calibration`")(
        loadtest
    )


def replay(
    run: Annotated[Path, typer.Argument(help="A run folder that `fleetcast plan` wrote.")],
    trace: Annotated[
        Path | None, typer.Option(help="A trace of any known format, or an ingested dataset; else drawn requests.")
    ] = None,
    request_class: Annotated[str | None, typer.Option("--class", help="Which class the trace stands for.")] = None,
    mapping: Annotated[Path | None, typer.Option(help="YAML that names the columns of a request log.")] = None,
    load: Annotated[float, typer.Option(min=0.01, help="Multiple of the planned peak.")] = 1.0,
    minutes: Annotated[float, typer.Option(min=1.0, help="How long; the busiest so many of the trace.")] = 60.0,
    seed: Annotated[int, typer.Option(min=0, help="The same seed draws the same requests.")] = 0,
    as_json: JsonOption = False,
) -> None:
    """Play a peak hour against the planned fleet, request by request: whole, with a loss on the way, in a rollout."""
    from configs.errors import InputError
    from flows import replay as replayed
    from flows.progress import shown_on

    if (trace is None) != (request_class is None):
        raise InputError("replay", "--trace and --class together", "one of them", "Name the file and its class.")
    bundle = replayed.open_run(run)
    recorded = None
    if trace is not None and request_class is not None:
        recorded = replayed.read_trace(trace, mapping, request_class, minutes)
    with shown_on(Console(stderr=True), total=1, key="replay"):
        found = replayed.replay_run(bundle, recorded, load, minutes, seed)
    if as_json:
        sys.stdout.write(replayed.replay_json(found))
    else:
        replayed.show_replay(terminal(140), found)
    if not found.holds:
        raise typer.Exit(EXIT_INFEASIBLE)


def size(
    llm: LlmOption,
    gpu: GpuOption,
    precision: PrecisionOption = "bf16",
    tp: TpOption = 1,
    engine: EngineOption = "vllm",
    input_tokens: InputOption = 1000,
    output_tokens: OutputOption = 200,
    ttft_s: TtftOption = 2.0,
    tpot_s: TpotOption = 0.06,
    pp: Annotated[int, typer.Option(help="Pipeline parallelism: stages of a replica.")] = 1,
    ep: Annotated[
        bool, typer.Option("--expert-parallel", help="Spread a mixture's experts whole over the GPUs.")
    ] = False,
    dp: Annotated[
        int, typer.Option("--attention-data-parallel", help="Ranks of --tp GPUs that share a mixture's experts.")
    ] = 1,
    kv: KvOption = "bf16",
    adapters: Annotated[int, typer.Option(min=0, help="LoRA adapters of rank 16 resident at once.")] = 0,
    prefix: PrefixOption = 0.0,
    speculate: Annotated[str | None, typer.Option(help="Draft tokens and acceptance, e.g. 3:0.7.")] = None,
    prefill_on: Annotated[
        str | None, typer.Option(help="Prefill on replicas of their own: GPU or GPU:TP, e.g. H100-SXM:2.")
    ] = None,
    calibration: CalibrationOption = None,
    as_json: JsonOption = False,
) -> None:
    """Say whether one configuration loads, and what it serves at the SLO."""
    from data.records import SloTarget
    from flows.progress import report, shown_on
    from flows.show_size import show_size, size_json
    from flows.size import Question, examine, read_speculation

    slo = SloTarget(ttft_s, tpot_s, 95.0)
    known = tuple(calibration or ())
    options = (pp, ep, dp, kv, adapters, prefix, read_speculation(speculate), None, known, prefill_on)
    question = Question(llm, gpu, precision, tp, engine, input_tokens, output_tokens, slo, *options)
    with shown_on(Console(stderr=True), total=1, key="size"):
        report("simulating the configuration")
        answer = examine(question)
    if as_json:
        sys.stdout.write(size_json(answer))
    else:
        show_size(terminal(), answer)
    if answer.capacity.excuse is not None:
        raise typer.Exit(EXIT_INFEASIBLE)


def curve(
    gpu: GpuOption,
    precision: PrecisionOption = "bf16",
    tp: TpOption = 1,
    engine: EngineOption = "vllm",
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
    arrival_cv: Annotated[
        float | None,
        typer.Option(min=0.01, max=10.0, help="Variation of the gaps between arrivals; 1 is Poisson, the default."),
    ] = None,
    replicas: ReplicasOption = 1,
    routing: RoutingOption = None,
    max_num_seqs: SeqsOption = None,
    queue: QueueOption = None,
    patience: PatienceOption = None,
    deadline: DeadlineOption = None,
    retries: RetriesOption = 0,
    backoff: BackoffOption = None,
    priority: PriorityOption = None,
    lose: LoseOption = 0,
    lose_at: LoseAtOption = None,
    back_after: BackAfterOption = None,
    drain: DrainOption = False,
    out: Annotated[Path | None, typer.Option(help="A new folder for curve.json and curve.svg.")] = None,
    calibration: CalibrationOption = None,
    data_folder: DataOption = None,
    as_json: JsonOption = False,
) -> None:
    """Draw the service curve of one configuration: load to latency, goodput and errors, limits, when to scale. With an
    option of the pool: goodput, latency and what becomes of requests at every load of such a pool, by class."""
    from data.pool_curve_records import PoolCurve
    from data.records import SloTarget
    from flows.curve import CurveQuestion, curve_json, examine, show_curve, write_curve
    from flows.pool_curve import examine_pool, show_pool
    from flows.progress import report, shown_on

    # Lengths given without a class mean no scenario; a class without --config is the default scenario's.
    slo = SloTarget(ttft_s, tpot_s, 95.0)
    question = CurveQuestion(
        gpu, precision, tp, engine, config, tuple(request_class or ()), llm, input_tokens, output_tokens, slo, growth,
        time_to_ready_s, data_folder, tuple(calibration or ()), arrival_cv=arrival_cv,
    )  # fmt: skip
    rules = rules_of(
        replicas, routing, max_num_seqs, queue, patience, deadline, retries, backoff, priority, lose, lose_at,
        back_after, drain,
    )  # fmt: skip
    with shown_on(Console(stderr=True), total=1, key="curve" if rules is None else "pool curve"):
        report("drawing the service curve")
        answer = examine(question) if rules is None else examine_pool(question, rules)
    if out is not None:
        write_curve(answer, out)
    console = terminal(140)
    if as_json:
        sys.stdout.write(curve_json(answer))
    elif answer.curve is not None:
        if isinstance(answer.curve, PoolCurve):
            show_pool(console, answer.curve)
        else:
            show_curve(console, answer.curve)
        if out is not None:
            console.print(f"Picture: {out / 'curve.svg'}", soft_wrap=True)
    else:
        excuse = answer.capacity.excuse or "the SLO breaks at every load in simulation"
        console.print(f"[bold]Serves at the SLO:[/] nothing. {escape(str(excuse))}")
    if answer.curve is None:
        raise typer.Exit(EXIT_INFEASIBLE)


def loadtest(
    files: Annotated[list[Path], typer.Argument(help="Result files, or folders of them.", show_default=False)],
    llm: Annotated[str | None, typer.Option(help="What was served; default: the name in the files.")] = None,
    gpu: Annotated[str | None, typer.Option(help="What it ran on; without it the files are checked only.")] = None,
    precision: PrecisionOption = "bf16",
    kv_precision: KvOption = "bf16",
    tp: TpOption = 1,
    engine: EngineOption = "vllm",
    replicas: Annotated[int | None, typer.Option(min=1, help="Replicas behind the endpoint.")] = None,
    cached_tokens: Annotated[int, typer.Option(min=0, help="Prompt tokens that the prefix cache held.")] = 0,
    max_num_seqs: Annotated[int, typer.Option(min=0, help="The engine's limit of running sequences, if set.")] = 0,
    overlap: Annotated[
        bool | None,
        typer.Option(help="Whether iterations were scheduled ahead; default: the engine's default on the file's date."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="Folder for picture, JSON and calibration.")] = None,
    as_json: JsonOption = False,
) -> None:
    """Check load-test results, and calibrate the model to them (guidellm, aiperf, inference-perf, vllm bench)."""
    # Read before anything heavy is imported: a wrong file is answered in a second.
    from data.loadtests.read import read_load_tests

    tests = read_load_tests(files)
    from flows.loadtest import Question, examine, write
    from flows.loadtest import as_json as load_tests_json
    from flows.progress import report, shown_on
    from flows.show_loadtest import show_load_tests

    question = Question(llm, gpu, precision, kv_precision, tp, engine, replicas, cached_tokens, max_num_seqs, overlap)
    with shown_on(Console(stderr=True), total=1, key="loadtest"):
        report("fitting the load tests" if gpu else "checking the load tests")
        answers = examine(tests, question)
    written = [] if out is None else write(answers, out)
    if as_json:
        sys.stdout.write(load_tests_json(answers))
    else:
        show_load_tests(terminal(), answers, written)
    if gpu is not None and all(answer.fit is None for answer in answers):
        raise typer.Exit(EXIT_BAD_INPUT)
