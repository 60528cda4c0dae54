"""`fleetcast breakeven` and `sensitivity`: arguments and exit codes."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from flows.commands.options import (
    ConfigOption,
    DataOption,
    EngineOption,
    GpuOption,
    InputOption,
    JsonOption,
    LlmOption,
    OutputOption,
    PrecisionOption,
    PrefixOption,
    TpOption,
    TpotOption,
    TtftOption,
    terminal,
)


def register(app: typer.Typer) -> None:
    """Add the commands to the application."""
    app.command(
        epilog="Example: `fleetcast breakeven --llm Llama-3.3-70B --gpu H100-SXM --precision fp8 --tp 2 --daily 200000`"
    )(breakeven)
    app.command(epilog="Example: `fleetcast sensitivity runs/default-20261121T101500Z-1a2b3c4d --out sensitivity`")(
        sensitivity
    )


def breakeven(
    llm: LlmOption,
    gpu: GpuOption,
    precision: PrecisionOption = "bf16",
    tp: TpOption = 1,
    engine: EngineOption = "vllm",
    input_tokens: InputOption = 1000,
    output_tokens: OutputOption = 200,
    prefix: PrefixOption = 0.0,
    ttft_s: TtftOption = 2.0,
    tpot_s: TpotOption = 0.06,
    market: Annotated[
        str | None, typer.Option(help="provider/region of the price catalog; default: the cheapest.")
    ] = None,
    option: Annotated[
        str, typer.Option(help="on_demand, spot, capacity_block, reserved_1y or reserved_3y.")
    ] = "on_demand",
    usd_per_gpu_h: Annotated[float | None, typer.Option(min=1e-6, help="Your own price of a GPU-hour.")] = None,
    api: Annotated[
        list[str] | None, typer.Option(help="Key of an API price; repeatable; default: all of the LLM.")
    ] = None,
    litellm: Annotated[Path | None, typer.Option(help="LiteLLM's model_prices_and_context_window.json.")] = None,
    litellm_date: Annotated[str, typer.Option(help="The day that file was true, YYYY-MM-DD.")] = "undated",
    daily: Annotated[float | None, typer.Option(min=0.0, help="Requests a day, for the best mix.")] = None,
    peak_to_mean: Annotated[float, typer.Option(min=1.0, max=23.0, help="The day's busiest hour over its mean.")] = 2.0,
    spares: Annotated[int, typer.Option(min=0, help="Replicas kept beyond the load.")] = 1,
    bare: Annotated[bool, typer.Option(help="GPUs alone, without people and services.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Say from which volume and utilisation self-hosting an LLM is cheaper than an API, and the best mix of both."""
    from data.api_prices import load_api_prices, read_litellm
    from data.catalog import find_llm
    from data.records import SloTarget
    from flows.breakeven import choose, compare, find_price
    from flows.progress import report, shown_on
    from flows.show_breakeven import breakeven_json, show_breakeven
    from flows.size import Question

    prices = load_api_prices() + (() if litellm is None else read_litellm(litellm, litellm_date))
    chosen = choose(prices, find_llm(llm).name, api or ())
    price = find_price(gpu, market, option, usd_per_gpu_h)
    slo = SloTarget(ttft_s, tpot_s, 95.0)
    question = Question(llm, gpu, precision, tp, engine, input_tokens, output_tokens, slo, prefix_share=prefix)
    with shown_on(Console(stderr=True), total=1, key="breakeven"):
        report("simulating the configuration")
        found = compare(question, price, chosen, daily, peak_to_mean, spares, bare=bare)
    if as_json:
        sys.stdout.write(breakeven_json(found, datetime.now(UTC).date()))
    else:
        show_breakeven(terminal(), found, datetime.now(UTC).date())


def sensitivity(
    run: Annotated[Path | None, typer.Argument(help="A run folder of `fleetcast plan`.")] = None,
    config: ConfigOption = None,
    data_folder: DataOption = None,
    samples: Annotated[int | None, typer.Option(min=10, help="Joint draws; default: the scenario's own.")] = None,
    resolves: Annotated[int, typer.Option(min=0, help="Draws that are planned anew in full.")] = 0,
    switches: Annotated[
        bool, typer.Option(help="Find the value of each variable at which the decision changes, by planning anew.")
    ] = False,
    regret: Annotated[
        bool, typer.Option(help="Hold the plan of every named scenario in every other; name the least regret.")
    ] = False,
    most: Annotated[int, typer.Option(min=1, help="Plans made at most for --switches, beyond every end.")] = 120,
    processes: Annotated[int, typer.Option(min=1, help="Processes for planning anew.")] = 2,
    out: Annotated[
        Path | None, typer.Option(help="Folder for sensitivity.html, sensitivity.json and the pictures as SVG.")
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """Say what can change a plan's cost, its risk and the decision itself."""
    from configs.errors import InputError
    from data.sensitivity_file import sensitivity_json
    from flows.progress import report, shown_on
    from flows.sensitivity import examine_run, load
    from flows.show_sensitivity import show_sensitivity
    from reports.sensitivity_files import write_sensitivity

    if run is not None and config is not None:
        raise InputError("fleetcast sensitivity", "a run folder or --config", "both", "Leave one out.")
    steps = 2 + 2 * (resolves > 0) + switches + regret
    today = datetime.now(UTC).date()
    with shown_on(Console(stderr=True), steps, f"sensitivity {config} {resolves} {switches} {regret}"):
        report("reading the plan" if run is not None else "planning the scenario")
        planned = load(run, config, data_folder)
        found = examine_run(planned, today, samples, resolves, processes, report, switches, regret, most)
    if out is not None:
        write_sensitivity(found.answer, out, today)
    if as_json:
        sys.stdout.write(sensitivity_json(found.answer))
    else:
        show_sensitivity(terminal(), found.answer, today)
