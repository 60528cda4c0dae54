"""A plan in the terminal: the decision, the cost, what is short. Everything else is in the report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.units import GB
from flows.size import Answer
from flows.steps import Finished
from reports import cost_tables, page, tables


def _table(title: str, head: Sequence[str], rows: Sequence[Sequence[str]], numeric: set[int]) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold", box=None, pad_edge=False, header_style="dim")
    for i, name in enumerate(head):
        table.add_column(name, justify="right" if i in numeric else "left")
    for row in rows:
        table.add_row(*(escape(cell) for cell in row))
    return table


def show_plan(console: Console, done: Finished) -> None:
    """Prints a plan; lists no more than a screen holds and names the file that has the rest."""
    bundle = done.bundle
    plan = bundle.plan
    console.print(f"[bold]{escape(page.headline(bundle))}[/]")
    for text in page.banners(bundle):
        console.print(f"[yellow]![/] {escape(text)}")
    console.print()
    bought = tables.commitments(bundle)
    if bought:
        bought_head = ("GPU", "region", "option", "from", "GPUs", "USD/GPU-h", "USD in horizon")
        console.print(_table("Commit now", bought_head, bought, {4, 5, 6}), "")
    month = tables.largest_month(bundle)
    if plan.pools:
        fleet = [row[:3] + row[4:9] for row in tables.pools(bundle)]
        head = ("LLM", "on", "region", "replicas", "reserve", "GPUs", "peak req/s", "req/s each")
        console.print(_table(f"Fleet in {month}", head, fleet, {3, 4, 5, 6, 7}), "")
    if plan.costs:
        costs = [(row[0], row[1], row[2], row[3], row[5], row[8]) for row in tables.costs(bundle)]
        cost_head = ("month", "commitments", "on demand", "held", "cash USD", "USD/1,000 requests")
        console.print(_table("Expected cost", cost_head, costs, {1, 2, 3, 4, 5}), "")
    if bundle.costs.lines:
        full = cost_tables.brief(bundle.costs)
        console.print(_table("Full cost over the horizon", ("what", "USD", "share"), full[:9], {1, 2}))
        left = f"... and {len(full) - 9} smaller lines; " if len(full) > 9 else ""
        console.print(f"{left}in all {bundle.costs.usd:,.0f} USD; budget.csv has them in FOCUS 1.2 columns", "")
    if plan.shortfalls:
        short = tables.shortfalls(bundle)
        short_head = ("series", "month", "block", "req/s short", "why", "what would lift it")
        console.print(_table("Not served", short_head, short[:8], {3}), "")
        if len(short) > 8:
            console.print(f"... and {len(short) - 8} more in report.html")
    if bundle.replay.rows:
        _, verdict, detail = page.replay_card(bundle)
        console.print(f"Replay {verdict}: {detail} (peak hour, whole and with reserves missing)", "")
    stats = plan.stats
    console.print(
        f"[dim]{stats.status}: objective {stats.objective_usd:,.0f} USD, bound {stats.bound_usd:,.0f} USD, gap "
        f"{stats.gap:.2%} · goodput by {escape(tables.method(bundle))} · prices as of "
        f"{escape(', '.join(sorted({o.source.as_of for o in bundle.problem.offers})))}[/]"
    )
    console.print(f"Report: {done.folder / 'report.html'}", soft_wrap=True)


def size_json(answer: Answer) -> str:
    """The answer of `fleetcast size` for machines: every field of all its records."""
    return json.dumps(asdict(answer), indent=2) + "\n"


def show_size(console: Console, answer: Answer) -> None:
    """Memory line by line, then the two verdicts, which are different questions."""
    m, c = answer.memory, answer.capacity
    console.print(f"[bold]{escape(m.configuration.label)}[/], {m.parameters / 1e9:.2f} B parameters")
    rows = [
        ("weights", m.weight_bytes, f"rule of thumb 1.2 x parameters: {m.rule_weight_bytes / GB:.1f} GB"),
        ("activations at the token budget", m.activation_bytes, ""),
        ("CUDA graphs", m.graph_bytes, ""),
        ("communication buffers", m.communication_bytes, ""),
        *([("LoRA adapters", m.adapter_bytes, "")] if m.adapter_bytes else []),
        ("safety headroom", m.headroom_bytes, ""),
        ("left to the driver by the engine's rule", m.left_to_others_bytes, ""),
        ("KV cache pool", m.kv_pool_bytes, f"{m.kv_capacity_tokens:,.0f} tokens"),
        ("GPU", m.total_bytes, "memory of one GPU"),
    ]
    table = [(name, f"{value / GB:.2f}", note) for name, value, note in rows]
    console.print(_table("Memory of one GPU", ("part", "GB", ""), table, {1}))
    console.print(
        f"KV cache: {m.kv_bytes_per_token / 1024:.1f} KiB a token a GPU (a rule blind to grouped-query attention says "
        f"{m.hidden_size_rule_kv_bytes_per_token / 1024:,.0f} in all), {m.concurrent_requests} requests of "
        f"{m.context_tokens:,.0f} tokens at once"
    )
    rungs = ", ".join(f"{n} x {tokens:,.0f}" for n, tokens in m.largest_context_at_concurrency if tokens)
    if rungs:
        console.print(f"Largest context to approve, requests x tokens: {rungs}")
    if answer.times is not None:
        t = answer.times
        console.print(
            f"Steady at {t.batch:.0f} requests: prefill {t.prefill_s:.3f} s, decode step {t.step_s * 1e3:.1f} ms, "
            f"{t.output_tokens_per_s:,.0f} output tokens/s, {t.joules_per_output_token:.2f} J each (at most "
            f"{t.joules_per_output_token_at_most:.2f}; energy {escape(t.energy_provenance)})"
        )
    console.print(f"[bold]Loads:[/] {'yes' if m.loads else 'no'}")
    if c.excuse is not None:
        console.print(f"[bold]Serves at the SLO:[/] nothing. {escape(str(c.excuse))}")
        return
    console.print(
        f"[bold]Serves at the SLO:[/] {c.knee_rps:.2f} requests/s a replica; run it at {c.operating_rps:.2f} (TTFT p95 "
        f"{c.ttft_s:.2f} s, TPOT p95 {c.tpot_s * 1e3:.0f} ms); {c.binding} breaks first. {escape(c.method)}, step time "
        f"{c.provenance}."
    )
