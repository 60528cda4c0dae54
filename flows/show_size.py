"""`fleetcast size` in the terminal: the two verdicts first, then where the memory goes and what it holds."""

from __future__ import annotations

import json
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from data.memory_records import MemoryBreakdown
from data.plain import finite
from data.units import GB
from flows.size import Answer
from models.disaggregation import Disaggregated
from models.phases import Phases
from models.simulator.knee import MOST_SEEDS

BAR_CELLS = 48
BESIDE_BAR = 74
"""Columns that the rest of a row of the memory table takes."""
PARTS = (
    ("weights", "weight_bytes", "blue"),
    ("KV cache", "kv_pool_bytes", "green"),
    ("activations", "activation_bytes", "magenta"),
    ("CUDA graphs", "graph_bytes", "cyan"),
    ("communication", "communication_bytes", "cyan"),
    ("LoRA adapters", "adapter_bytes", "yellow"),
    ("fragmentation", "fragmentation_bytes", "yellow"),
    ("safety headroom", "headroom_bytes", "bright_black"),
    ("left to the driver", "left_to_others_bytes", "bright_black"),
)
LIMITS = {
    "ttft": "TTFT",
    "tpot": "TPOT",
    "e2e": "end-to-end time",
    "kv_cache": "KV cache",
    "max_num_seqs": "batch limit",
}


def size_json(answer: Answer) -> str:
    """The answer of `fleetcast size` for machines: every field of all its records; null for what is not known."""
    return json.dumps(finite(asdict(answer)), indent=2, allow_nan=False) + "\n"


def show_size(console: Console, answer: Answer) -> None:
    """Header, verdicts, memory, what fits, times; one screen."""
    m = answer.memory
    one = m.configuration
    active = "" if m.active_parameters == m.parameters else f", {m.active_parameters / 1e9:.2f} B active a token"
    console.print(
        f"[bold]{escape(one.llm)}[/] on [bold]{one.gpus} x {escape(one.gpu)}[/] ({one.layout}) · "
        f"{one.precision} weights, {one.kv_precision} KV cache · {one.engine} · {m.parameters / 1e9:.2f} B parameters"
        f"{active}"
    )
    console.print()
    console.print(_verdicts(answer))
    if not m.runs_at_precision:
        return
    console.print()
    console.print(f"[bold]Memory of one GPU[/]: {m.total_bytes / GB:.1f} GB, activations at the token budget")
    console.print(_memory(m, max(8, min(BAR_CELLS, console.width - BESIDE_BAR))))
    if m.loads:
        console.print()
        _show_fits(console, m)
    if answer.times is not None:
        console.print()
        _show_times(console, answer.times)
    if answer.split is not None:
        console.print()
        _show_split(console, answer.split)


def _verdicts(answer: Answer) -> Table:
    m, c = answer.memory, answer.capacity
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 2, 0, 0))
    table.add_column(style="bold", no_wrap=True)
    table.add_column()
    if m.loads:
        table.add_row("Loads", f"[green]yes[/], with {m.kv_pool_bytes / GB:.1f} GB a GPU for the KV cache")
    elif not m.runs_at_precision:
        cannot = "read an fp8 KV cache" if c.excuse and c.excuse.limit == "KV precision" else None
        cannot = cannot or f"compute in {m.configuration.precision}"
        table.add_row("Loads", f"[red]no[/]: {escape(m.configuration.gpu)} cannot {cannot}")
    else:
        short = f"[red]no[/]: {-m.kv_pool_bytes / GB:.1f} GB a GPU too little"
        more = f"; with TP{answer.loads_from} it does" if answer.loads_from else "; nor with more tensor parallelism"
        table.add_row("Loads", short + more)
    if c.excuse is not None:
        table.add_row("Serves at the SLO", f"[red]nothing[/]. {escape(str(c.excuse))}")
        return table
    slo = c.slo
    ttft, tpot, _ = slo.limits
    table.add_row(
        "Serves at the SLO",
        f"[green]{c.knee_rps:.2f} requests/s[/] a replica; run it at {c.operating_rps:.2f}, "
        f"{c.output_tokens_per_s:,.0f} output tokens/s",
    )
    table.add_row(
        "",
        f"there TTFT p{ttft.percentile:g} {c.ttft_s:.2f} of {slo.ttft_s:g} s, TPOT p{tpot.percentile:g} "
        f"{c.tpot_s * 1e3:.0f} of {slo.tpot_s * 1e3:g} ms; {LIMITS.get(c.binding, c.binding)} breaks first",
    )
    table.add_row("", f"90 % band {band_in_words(c.knee_band, answer.knee_band_target)}")
    table.add_row("", f"[dim]{escape(c.method)}; step time {c.provenance}[/]")
    for note in answer.notes:
        table.add_row("", escape(note))
    return table


def band_in_words(band: float, target: float) -> str:
    """`± 2.6 % (at most 3 % asked: met)`, or that it was not met with all the seeds there may be."""
    met = "met" if band <= target else f"not met with {MOST_SEEDS} seeds"
    return f"± {band * 100:.1f} % (at most {target * 100:g} % asked: {met})"


def _memory(m: MemoryBreakdown, cells: int) -> Table:
    """Every part with a bar to scale; what does not fit is longer than the GPU."""
    table = Table(box=None, show_header=False, pad_edge=False, padding=(0, 1, 0, 0))
    table.add_column(no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(justify="right", no_wrap=True)
    table.add_column(no_wrap=True)
    for name, field, style in PARTS:
        value = getattr(m, field)
        if name == "LoRA adapters" and not value:
            continue
        share = value / m.total_bytes
        bar = Text(_bar(share, cells), style=style)
        if field == "weight_bytes":
            bar.append(f"  1.2 x parameters would be {m.rule_weight_bytes / GB:.1f}", style="dim")
        if field == "fragmentation_bytes":
            where = "in what the engine's share leaves free" if m.left_to_others_bytes > 0 else "the KV cache gives way"
            bar.append(f"  the allocator's, {where}", style="dim")
        if field == "kv_pool_bytes":
            bar.append(f"  {m.kv_capacity_tokens:,.0f} tokens" if value > 0 else "  nothing is left", style="dim")
        table.add_row(name, f"{value / GB:.2f} GB", f"{share:.0%}", bar)
    return table


def _bar(share: float, cells: int) -> str:
    """Blocks to an eighth of a cell; more than the whole GPU ends in an arrow."""
    if share <= 0:
        return ""
    eighths = round(min(share, 1.0) * cells * 8)
    whole, rest = divmod(max(eighths, 1), 8)
    return "█" * whole + (" ▏▎▍▌▋▊▉"[rest] if rest else "") + ("▶" if share > 1 else "")


def _show_fits(console: Console, m: MemoryBreakdown) -> None:
    limit = "the engine's limit of sequences" if m.seqs_bind else "the KV cache"
    console.print(
        f"[bold]What fits[/]: {m.concurrent_requests} requests of {m.context_tokens:,.0f} tokens at once, by {limit}; "
        f"{m.kv_bytes_per_token / 1024:.1f} KiB a token a GPU [dim](by hidden size "
        f"{m.hidden_size_rule_kv_bytes_per_token / 1024:,.0f} over all GPUs)[/]"
    )
    table = Table(box=None, pad_edge=False, show_header=False)
    table.add_column(no_wrap=True)
    rungs = [(n, tokens) for n, tokens in m.largest_context_at_concurrency if tokens]
    for _ in rungs:
        table.add_column(justify="right", no_wrap=True)
    table.add_row("requests at once", *(f"{n:,}" for n, _ in rungs), style="dim")
    table.add_row("tokens each, at most", *(f"{tokens:,.0f}" for _, tokens in rungs))
    console.print(table)


def _show_times(console: Console, t: Phases) -> None:
    console.print(f"[bold]Full[/], at {t.batch:.0f} requests that decode together")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("prefill of a prompt", "decode step", "TPOT with prefills", "output tokens/s", "J an output token"):
        table.add_column(name, justify="right")
    joules, most = t.joules_per_output_token, t.joules_per_output_token_at_most
    table.add_row(
        f"{t.prefill_s * 1e3:,.0f} ms", f"{t.step_s * 1e3:.1f} ms", f"{t.tpot_s * 1e3:.1f} ms",
        f"{t.output_tokens_per_s:,.0f}", f"{joules:.2f}, at most {most:.2f}",
    )  # fmt: skip
    console.print(table)
    console.print(f"[dim]Energy {t.energy_provenance}[/]")


def _show_split(console: Console, split: Disaggregated) -> None:
    console.print(
        "[bold]Prefill and decode apart[/], in balance and without queues: at most "
        f"{split.requests_per_s_per_gpu:.3g} requests/s a GPU"
    )
    table = Table(box=None, pad_edge=False, header_style="dim")
    for name in ("prefill replica", "decode replica", "prefill for each decode", "KV transfer", "TTFT idle", "TPOT"):
        table.add_column(name, justify="right")
    table.add_row(
        f"{split.prefill_rps:.3g} req/s", f"{split.decode_rps:.3g} req/s at {split.batch:.0f}",
        f"{split.prefill_per_decode:.2f}", f"{split.transfer_s * 1e3:.1f} ms", f"{split.ttft_s * 1e3:,.0f} ms",
        f"{split.tpot_s * 1e3:.1f} ms",
    )  # fmt: skip
    console.print(table)
