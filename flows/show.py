"""A plan in the terminal: the decision, the cost, what is short. Everything else is in the report."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import date

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from data.plan_records import FleetPlan
from flows.show_procurement import procurement_tables, sample_line
from flows.steps import Finished
from reports import cost_tables, page, standing, tables


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
    for part in procurement_tables(plan.procurement, _table):
        console.print(escape(part) if isinstance(part, str) else part, "")
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
    if plan.exposures:
        bare = tables.exposures(bundle)
        bare_head = ("series", "if lost", "month", "block", "req/s short", "why", "what would lift it")
        console.print(_table("Not served when a region is lost", bare_head, bare[:8], {4}), "")
        if len(bare) > 8:
            console.print(f"... and {len(bare) - 8} more in report.html")
    if plan.conflict:
        rules = ", ".join(plan.conflict)
        console.print(
            f"[yellow]![/] These rules contradict the promise to protected classes, together: {escape(rules)}. "
            "Lifting any one of them is enough.",
            "",
        )
    if line := one_type(plan):
        console.print(escape(line), "")
    if bundle.replay.rows:
        _, verdict, detail = page.replay_card(bundle)
        console.print(f"Replay {verdict}: {detail} (peak hour, whole and with reserves missing)", "")
    if plan.sample is not None:
        console.print(sample_line(plan.sample), "")
    stats = plan.stats
    days = ", ".join(sorted({one.source.as_of for one in bundle.problem.offers}))
    priced = f"prices as of {escape(days)}" if days else "no offers: what is held serves alone"
    console.print(
        f"[dim]{stats.status}: objective {stats.objective_usd:,.0f} USD, bound {stats.bound_usd:,.0f} USD, gap "
        f"{stats.gap:.2%} · goodput by {escape(tables.method(bundle))} · {priced}[/]"
    )
    begun = date.fromisoformat(str(bundle.provenance["begun"])[:10])
    for text in standing.of_plan(bundle, begun).lines[plan.sample is not None :]:
        # Fresh scenarios have said above how often it is short.
        console.print(f"[dim]{escape(text)}[/]", soft_wrap=True)
    console.print(f"Report: {done.folder / 'report.html'}", soft_wrap=True)


def one_type(plan: FleetPlan) -> str:
    """The plan beside the best fleet of one GPU type that keeps its promises, in words; empty where none was tried."""
    alone = [one for one in plan.baselines if one.name.endswith(" only")]
    serving = next((one for one in alone if one.serves_promise), None)
    kinds = sorted({pool.configuration.gpu for pool in plan.pools})
    if serving is not None and serving.saving < 0.0005:
        return f"As cheap as the best fleet of one GPU type ({serving.name})"
    if alone and len(kinds) == 1:
        # Whatever a rule of thumb makes of that type, there is nothing to be cheaper than.
        beside = " beside a provider's API" if any(one.api_usd > 0.0 for one in plan.costs) else ""
        return f"The plan is a fleet of one GPU type itself ({kinds[0]}{beside})"
    if serving is not None:
        return f"{serving.saving:.1%} cheaper than the best fleet of one GPU type ({serving.name})"
    return "No fleet of one GPU type serves what is promised within the limits" if alone else ""
