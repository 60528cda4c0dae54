"""Self-host or API in the terminal."""

from __future__ import annotations

import json
from dataclasses import asdict
from datetime import date

from rich.console import Console
from rich.markup import escape

from data.ages import ages_of
from data.plain import finite
from data.units import SECONDS_PER_HOUR
from flows.breakeven import Compared, Comparison
from flows.show import _table
from reports.standing import Standing


def breakeven_json(found: Comparison, today: date) -> str:
    """The whole comparison for machines."""
    return json.dumps(finite(asdict(found) | standing_of(found, today).document), indent=2, allow_nan=False) + "\n"


def _count(value: float | None) -> str:
    return "never" if value is None else f"{value:,.0f}" if value < 1e6 else f"{value / 1e6:,.1f} M"


def _row(one: Compared) -> tuple[str, ...]:
    c = one.crossing
    return (
        one.api.key, f"{one.usd_per_mtok:.3f}", _count(c.first_daily), _count(one.daily_tokens), _count(c.always_daily),
        "" if c.utilisation is None else f"{c.utilisation:.0%}",
        f"{c.replica_utilisation:.0%}" if c.replica_utilisation < 10 else "over 10x",
    )  # fmt: skip


def show_breakeven(console: Console, found: Comparison, today: date, most: int = 20) -> None:
    """Price of self-hosting by utilisation, then every API with its break-even."""
    own, price = found.own, found.price
    console.print(
        f"[bold]{escape(found.configuration)}[/], {found.input_tokens:,} tokens in, {found.output_tokens:,} out"
    )
    console.print(
        f"{own.rps:.2f} requests/s a replica ({escape(found.success_criterion)}); {price.usd_per_gpu_h:.2f} USD/GPU-h "
        f"({escape(price.region)}, {price.option.replace('_', '-')}, {escape(price.source.as_of)}); peak over mean "
        f"{own.peak_to_mean:g}, {own.spares} spare"
    )
    months = ", ".join(f"{name} {usd:,.0f}" for name, usd in found.monthly.items())
    console.print(f"USD a month: {months}")
    each = ", ".join(f"{usd:.3f} at {u:.0%}" for u, usd in found.own_usd_per_mtok.items())
    console.print(f"GPU hours alone, USD a million tokens by utilisation: {each}", "")
    head = (
        "API",
        "USD/Mtok",
        "cheaper from, req/day",
        "tokens/day",
        "for good from",
        "utilisation there",
        "one replica pays at",
    )
    console.print(
        _table("Self-hosting is cheaper from", head, [_row(one) for one in found.rows[:most]], {1, 2, 3, 4, 5, 6})
    )
    if len(found.rows) > most:
        console.print(f"... and {len(found.rows) - most} dearer ones; --json has all")
    if found.daily is not None:
        rows = [
            (
                one.api.key, f"{one.split.own_usd:,.0f}", f"{one.split.api_usd:,.0f}", f"{one.split.usd:,.0f}",
                f"{one.split.replicas}", f"{one.split.own_share:.0%}",
            )
            for one in found.rows[:most]
            if one.split is not None
        ]  # fmt: skip
        mix = ("API", "all self-hosted", "all API", "best mix", "replicas", "of requests")
        title = f"\n{found.daily:,.0f} requests a day, USD a month"
        console.print(_table(title, mix, rows, {1, 2, 3, 4, 5}))
    dates = ", ".join(sorted({one.api.source.as_of for one in found.rows}))
    busy = own.rps * SECONDS_PER_HOUR * 24 / own.peak_to_mean
    console.print(f"[dim]One replica carries {busy:,.0f} requests a day at this peak; API prices as of {dates}[/]")
    for text in standing_of(found, today).lines:
        console.print(escape(text), soft_wrap=True)


def standing_of(found: Comparison, today: date) -> Standing:
    """What the load asked for leaves uncarried, and how old prices and the cost of people are."""
    own = found.own
    busiest = own.peak_to_mean
    short = (
        f"self-hosting alone is short in hours over {busiest:g} times the day's mean, or with more than {own.spares} "
        "of its replicas gone; in the best mix an API takes those, and its rate limit is not modelled. How often that "
        "is, a plan of real traffic says (`fleetcast plan`)"
    )
    dated = [("GPU price", found.price.source.as_of)]
    dated += [("API prices", one.api.source.as_of) for one in found.rows]
    dated += [("cost assumptions", as_of) for as_of in found.assumed_as_of]
    return Standing(short, ages_of([*dated, ("GPU figures", found.gpu_as_of)], today))
