"""`fleetcast forecast`: what demand will be, how sure that is, and why; in the terminal and as JSON."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.text import Text

from configs.errors import InputError
from configs.loading import LoadedScenario, load_scenario
from data.forecast_records import Forecast, SeriesForecast, TenantForecast
from data.frames import KEYS
from data.history import TrafficHistory
from data.plain import finite
from flows import steps
from flows.progress import report
from forecast import vintage
from forecast.explain import in_words

CHART_ROWS, HISTORY_DAYS, MOST_CHARTS = 10, 56, 3


@dataclass(frozen=True, slots=True)
class Run:
    """One forecast with what it was made from."""

    loaded: LoadedScenario
    history: TrafficHistory
    forecast: Forecast


def make(config: str | None, data_folder: Path | None) -> Run:
    """Reads traffic and forecasts it, where the scenario's `compute` says. Raises InputError on bad input."""
    loaded = load_scenario(config)
    report("reading traffic")
    history = steps.ingest(loaded, data_folder)
    report("forecasting demand")
    scenario = loaded.scenario
    if scenario.compute.on == "here":
        return Run(loaded, history, steps.forecast(scenario, history))
    # Imported only here: Prefect takes longer to start than most forecasts.
    from flows.spread import on_cluster, series_on_cluster

    made = on_cluster(
        "fleetcast-forecast", scenario.compute, lambda: steps.forecast(scenario, history, series_on_cluster)
    )
    return Run(loaded, history, made)


def chosen(run: Run, series: str | None) -> list[SeriesForecast]:
    """All series, or those whose LLM/class/region contains `series`; InputError where none does."""
    every = list(run.forecast.series)
    found = [one for one in every if series is None or series in str(one.key)]
    if not found:
        known = ", ".join(str(one.key) for one in every[:8])
        raise InputError("--series", "part of a series' LLM/class/region", repr(series), f"There are: {known}.")
    return sorted(found, key=lambda one: -float(one.monthly_total[:, one.levels.index(0.5)].sum()))


def keep(run: Run, folder: Path) -> Path:
    """Writes the forecast as an immutable vintage."""
    scenario = run.loaded.scenario
    policy = scenario.forecast.model_dump(mode="json")
    return vintage.write_vintage(run.forecast, scenario.seed, policy, run.history.inputs, folder)


def scores(run: Run, path: Path) -> list[dict[str, Any]]:
    """An earlier vintage against the history there is now."""
    return [asdict(one) for one in vintage.score_vintage(vintage.read_vintage(path), run.history.frame)]


def as_json(run: Run, series: list[SeriesForecast]) -> str:
    """Everything but the hourly quantiles, which a vintage holds."""
    document = {
        "issued_from": run.forecast.issued_from,
        "series": [
            {
                "series": str(one.key),
                "grade": one.grade,
                "reason": one.reason,
                "method": one.method,
                "degradations": list(one.degradations),
                "levels": list(one.levels),
                "months": list(one.months),
                "monthly_requests": one.monthly_total.tolist(),
                "monthly_peak_hour_requests": one.monthly_peak_hour.tolist(),
                "parts": [asdict(part) for part in one.parts],
                "accuracy": [asdict(score) for score in one.accuracy],
                "explanation": in_words(one),
            }
            for one in series
        ],
        "groups": [
            {
                "name": one.name,
                "series": one.series,
                "monthly_requests": one.monthly_total.tolist(),
                "monthly_peak_hour_requests": one.monthly_peak_hour.tolist(),
            }
            for one in run.forecast.groups
        ],
        "tenants": [asdict(one) | {"monthly_total": one.monthly_total.tolist()} for one in run.forecast.tenants],
        "lengths": [asdict(one) | {"monthly_mean": one.monthly_mean.tolist()} for one in run.forecast.lengths],
        "reduction": asdict(run.forecast.reduction),
        "notes": list(run.forecast.notes),
    }
    return json.dumps(finite(document), indent=2, allow_nan=False) + "\n"


def _by_day(hours: pd.DatetimeIndex, values: np.ndarray) -> pd.DataFrame:
    return pd.DataFrame(values, index=hours).resample("D").mean()


def fan_chart(history: pd.Series, one: SeriesForecast, width: int) -> Text:
    """Daily means of history's last weeks and of the forecast's hourly quantiles, one column a day or more.

    history: hourly requests, UTC. Line: history, then the median; shade: between the lowest and the highest level.
    """
    past = history.iloc[-HISTORY_DAYS * 24 :].resample("D").mean().to_numpy()
    future = _by_day(pd.DatetimeIndex(one.hours), one.hourly).to_numpy()
    low, middle, high = future[:, 0], future[:, one.levels.index(0.5)], future[:, -1]
    days = len(past) + len(future)
    step = max(-(-days // max(width - 12, 20)), 1)

    def thinned(values: np.ndarray) -> np.ndarray:
        whole = np.concatenate([values, np.full(-len(values) % step, np.nan)]).reshape(-1, step)
        seen = ~np.isnan(whole)
        total = np.where(seen, whole, 0.0).sum(axis=1)
        return np.asarray(np.divide(total, seen.sum(axis=1), out=np.full(len(whole), np.nan), where=seen.any(axis=1)))

    past, low, middle, high = (thinned(values) for values in (past, low, middle, high))
    top = max(float(np.nanmax(np.concatenate([past, high]))), 1e-12)

    def row_of(value: float) -> int:
        return -1 if np.isnan(value) else min(int(value / top * CHART_ROWS), CHART_ROWS - 1)

    text = Text()
    for row in range(CHART_ROWS - 1, -1, -1):
        label = f"{top * (row + 1) / CHART_ROWS:>10,.0f} " if row % 3 == 0 else " " * 11
        text.append(label, style="dim")
        for value in past:
            text.append("━" if row_of(value) == row else " ")
        text.append("│", style="dim")
        for bottom, centre, upper in zip(low, middle, high, strict=True):
            if row_of(centre) == row:
                text.append("━", style="bold cyan")
            else:
                text.append("░" if row_of(bottom) <= row <= row_of(upper) else " ", style="cyan")
        text.append("\n")
    unit = f"{step} day{'s' if step > 1 else ''} a column"
    shade = f"shade: {one.levels[0]:.0%} to {one.levels[-1]:.0%} of hours"
    text.append(" " * 11 + f"requests an hour, daily means; {unit}; {shade}", style="dim")
    return text


def _percent(found: dict[float, float]) -> str:
    return f"{found[0.8]:.0%}" if 0.8 in found else ""


def backtest_table(series: Sequence[SeriesForecast]) -> Table:
    """Accuracy on past windows: the forecast, then what it adds over its yardsticks."""
    table = Table(title="On history", title_justify="left", title_style="bold", box=None, header_style="dim")
    cover_head = "80 % hour/peak/total"
    head = ("series", "grade", "method", "windows", "WAPE", "worst", "from", "bias", "adds", "DM p", cover_head)
    for i, name in enumerate(head):
        table.add_column(name, justify="right" if 3 <= i <= 9 else "left")
    for one in series:
        if not one.accuracy:
            table.add_row(escape(str(one.key)), one.grade, escape(one.method), "0", *[""] * 7)
        for i, a in enumerate(one.accuracy):
            cover = [_percent(found) for found in (a.hour_coverage, a.peak_coverage, a.total_coverage)]
            table.add_row(
                escape(str(one.key)) if i == 0 else "",
                one.grade if i == 0 else "",
                a.method,
                str(a.windows),
                f"{a.wape:.3f}",
                "" if a.worst_wape is None else f"{a.worst_wape:.3f}",
                a.worst_from or "",
                f"{a.bias:+.1%}",
                "" if a.value_added is None else f"{a.value_added:+.0%}",
                "" if a.dm_p is None else f"{a.dm_p:.3f}",
                "/".join(part or "-" for part in cover) if any(cover) else "",
            )
    return table


def totals_table(run: Run) -> Table | None:
    """Coherent sums by group, the last month; None without groups."""
    if not run.forecast.groups:
        return None
    levels = run.forecast.series[0].levels
    table = Table(title="Sums", title_justify="left", title_style="bold", box=None, header_style="dim")
    for i, name in enumerate(("group", "series", "month", *(f"{level:.0%}" for level in levels), "peak hour 95 %")):
        table.add_column(name, justify="left" if i in (0, 2) else "right")
    near = min(range(len(levels)), key=lambda i: abs(levels[i] - 0.95))
    for one in run.forecast.groups:
        month = run.forecast.series[0].months[-1]
        cells = [f"{value:,.0f}" for value in one.monthly_total[-1]]
        table.add_row(escape(one.name), str(one.series), month, *cells, f"{one.monthly_peak_hour[-1, near]:,.0f}")
    return table


def tenants_table(tenants: Sequence[TenantForecast]) -> Table:
    """Shares and totals of the last month by tenant; the tenants of a series add up to it."""
    table = Table(title="Tenants", title_justify="left", title_style="bold", box=None, header_style="dim")
    levels = tenants[0].levels
    for i, name in enumerate(("tenant", "series", "share", "month", *(f"{level:.0%}" for level in levels))):
        table.add_column(name, justify="left" if i in (0, 1, 3) else "right")
    for one in tenants:
        cells = [f"{value:,.0f}" for value in one.monthly_total[-1]]
        table.add_row(escape(one.tenant), escape(str(one.key)), f"{one.share:.1%}", one.months[-1], *cells)
    return table


def show(console: Console, run: Run, series: list[SeriesForecast]) -> None:
    """Fan charts of the largest series, each explained, then the backtest and the sums."""
    frames = run.history.frame.groupby(KEYS)
    history = {"/".join(map(str, key)): one.set_index("ts")["requests"] for key, one in frames}
    for one in series[:MOST_CHARTS]:
        console.print(f"[bold]{escape(str(one.key))}[/]")
        console.print(fan_chart(history[str(one.key)], one, console.width))
        for text in in_words(one):
            console.print(f"  {escape(text)}")
        console.print()
    if len(series) > MOST_CHARTS:
        console.print(f"... and {len(series) - MOST_CHARTS} more series; --series shows one, --json all\n")
    console.print(backtest_table(series))
    if run.forecast.tenants:
        console.print(tenants_table(run.forecast.tenants))
    sums = totals_table(run)
    if sums is not None:
        console.print(sums)
    for note in run.forecast.notes:
        console.print(f"[yellow]![/] {escape(note)}")
