"""What a plan says otherwise than the one before it, and why."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.markup import escape

from data.ledger import read
from data.ledger.connect import Ledger
from data.ledger.records import RunLine
from data.plain import configuration_of
from data.plan_records import LastPool
from reports.bundle import Changes

LEAST_SHARE = 0.005
"""Changes under half a percent are not told."""
SHOWN = 12
MOST = 8
"""Settings that are told by name."""
NO_REASON = ("name", "description", "compute", "report")
"""Sections of a scenario that change no number of a plan."""


def _by_month(plan: Mapping[str, Any]) -> dict[str, float]:
    return {str(one["month"]): float(one["cash_usd"]) for one in plan["costs"]}


def _gpus(plan: Mapping[str, Any], month: str) -> dict[str, int]:
    found: dict[str, int] = {}
    for pool in plan["pools"]:
        if pool["month"] == month:
            name = f"{pool['configuration']['gpu']} for {pool['configuration']['llm']} in {pool['region']}"
            found[name] = found.get(name, 0) + int(pool["gpus"])
    return found


def _orders(plan: Mapping[str, Any]) -> dict[str, float]:
    found: dict[str, float] = {}
    for one in plan.get("procurement", {}).get("orders", ()):
        if one["gpus"] and one["option"] != "held":
            name = f"{one['gpu']} {one['option']} in {one['region']} from {one['starts']}"
            found[name] = found.get(name, 0.0) + float(one["gpus"])
    return found


def _demand(plan: Mapping[str, Any], month: str) -> dict[str, float]:
    found = {}
    for one in plan["forecast"]:
        if month in one["months"]:
            totals = one["monthly_requests"][one["months"].index(month)]
            found["/".join(one["series"].values())] = float(totals[one["levels"].index(0.5)])
    return found


def _prices(plan: Mapping[str, Any]) -> dict[str, float]:
    return {f"{one['gpu']} {one['region']} {one['option']}": float(one["usd_per_gpu_h"]) for one in plan["prices"]}


def _moved(before: Mapping[str, float], after: Mapping[str, float]) -> list[tuple[str, float, float]]:
    found = []
    for name in sorted(before.keys() | after.keys()):
        old, new = float(before.get(name, 0.0)), float(after.get(name, 0.0))
        if abs(new - old) > LEAST_SHARE * max(abs(old), abs(new)):
            found.append((name, old, new))
    return found


def compare(before: Mapping[str, Any], after: Mapping[str, Any], corrections: tuple[str, ...]) -> tuple[str, ...]:
    """Lines that say what changed from one plan.json to the next: cost, fleet, demand, prices, corrections used."""
    lines = []
    shared = sorted(_by_month(before).keys() & _by_month(after).keys())
    costs = {m: (_by_month(before)[m], _by_month(after)[m]) for m in shared}
    for month, (old, new) in costs.items():
        if abs(new - old) > LEAST_SHARE * max(old, new, 1.0):
            lines.append(f"cost of {month}: {old:,.0f} -> {new:,.0f} USD ({new / max(old, 1.0) - 1.0:+.1%})")
    if shared:
        month = shared[0]
        for name, old, new in _moved(_gpus(before, month), _gpus(after, month)):
            lines.append(f"fleet of {month}: {name}: {old:.0f} -> {new:.0f} GPUs")
        for name, old, new in _moved(_demand(before, month), _demand(after, month)):
            change = f" ({new / old - 1.0:+.1%})" if old > 0 else ""
            lines.append(f"why: median demand of {name} in {month}: {old:,.0f} -> {new:,.0f} requests{change}")
    for name, old, new in _moved(_orders(before), _orders(after)):
        lines.append(f"order of {name}: {old:.0f} -> {new:.0f} GPUs")
    for name, old, new in _moved(_prices(before), _prices(after)):
        lines.append(f"why: price of {name}: {_price(old)} -> {_price(new)} USD/GPU-h")
    if before["fingerprint"] != after["fingerprint"] and before["history_until"] != after["history_until"]:
        lines.append(f"why: history until {after['history_until']}, was {before['history_until']}")
    lines += [f"why: {text}" for text in corrections]
    return tuple(lines)


def _price(usd_per_gpu_h: float) -> str:
    """Of an offer; 0 where there was none or is none any more."""
    return f"{usd_per_gpu_h:g}" if usd_per_gpu_h else "not offered"


def previous_plan(ledger: Ledger, scenario: str) -> tuple[RunLine, dict[str, Any]] | None:
    """The last recorded plan of a scenario, if there is one."""
    known = read.runs(ledger, scenario, "plan")
    if not known:
        return None
    run = read.find_run(ledger, known[-1].id)
    plan: dict[str, Any] = json.loads(read.content(ledger, run.entries["file", "plan.json"]))
    return run, plan


def pools_in(plan: Mapping[str, Any]) -> tuple[LastPool, ...]:
    """The pools of a plan.json."""
    return tuple(
        LastPool(
            configuration_of(pool["configuration"]),
            str(pool["region"]),
            str(pool["month"]),
        )
        for pool in plan["pools"]
    )


def last_pools(ledger: Ledger, scenario: str) -> tuple[LastPool, ...]:
    """The pools of a scenario's last recorded plan; none where there is no such plan."""
    before = previous_plan(ledger, scenario)
    return () if before is None else pools_in(before[1])


def changes(
    ledger: Ledger,
    scenario: str,
    plan: Mapping[str, Any],
    in_force: Mapping[str, str],
    settings: Mapping[str, Any] | None = None,
) -> Changes:
    """Against which run a plan is compared, and what changed; corrections (id -> text) are told when the run before it
    did not use them yet. settings: the plan's scenario, whole; None where it is not compared."""
    before = previous_plan(ledger, scenario)
    if before is None:
        return Changes()
    run, old = before
    used = {name.removeprefix("correction/") for role, name in run.entries if role == "input"}
    fresh = tuple(f"correction {key}: {text}" for key, text in in_force.items() if key not in used)
    moved: tuple[str, ...] = ()
    if settings is not None and ("config", "effective") in run.entries:
        moved = settings_moved(json.loads(read.content(ledger, run.entries["config", "effective"])), settings)
    return Changes(run.id, explained(old, plan, compare(old, plan, (*moved, *fresh))))


def settings_moved(before: Mapping[str, Any], after: Mapping[str, Any]) -> tuple[str, ...]:
    """What was set otherwise in two scenarios given whole, by the keys that a user writes; the first MOST, then how
    many more."""
    old, new = dict(_leaves(before)), dict(_leaves(after))
    keys = [key for key in {**old, **new} if old.get(key) != new.get(key) and key.split(".")[0] not in NO_REASON]
    told = [f"setting {key}: {_brief(old.get(key))} -> {_brief(new.get(key))}" for key in keys[:MOST]]
    return (*told, *([f"{len(keys) - MOST} more settings"] if len(keys) > MOST else ()))


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Values by their dotted path; lists of plain values are values, those of sections go by number."""
    if isinstance(value, Mapping):
        for key, one in value.items():
            yield from _leaves(one, f"{path}.{key}" if path else str(key))
    elif isinstance(value, list) and (not value or any(isinstance(one, Mapping) for one in value)):
        for number, one in enumerate(value):
            yield from _leaves(one, f"{path}.{number}")
    else:
        yield path, value


def _brief(value: Any) -> str:
    plain = isinstance(value, int | float) and not isinstance(value, bool)
    text = "none" if value is None else f"{value:,.12g}" if plain else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def explained(before: Mapping[str, Any], after: Mapping[str, Any], lines: tuple[str, ...]) -> tuple[str, ...]:
    """The lines of `compare`, with a reason where none of them is one."""
    if not lines or any(line.startswith("why: ") for line in lines):
        return lines
    if before["fingerprint"] != after["fingerprint"]:
        return (*lines, "why: a setting, a catalog or the code is another one (`fleetcast trace` names them by hash)")
    gap = float(after["status"]["gap"] or 0.0)
    return (*lines, f"why: nothing that goes in; both plans are proven within {gap:.1%} of the least cost, no closer")


def show_changes(console: Console, folder: Path) -> None:
    """Prints what a run folder's changes.json says; nothing for a first plan."""
    told = json.loads((folder / "changes.json").read_text(encoding="utf-8"))
    if told["since"] is None:
        return
    console.print(f"[bold]Since {escape(told['since'])}[/]" + ("" if told["changes"] else ": nothing changed"))
    for text in told["changes"][:SHOWN]:
        console.print(f"  {escape(text)}", soft_wrap=True)
    if len(told["changes"]) > SHOWN:
        console.print(f"  ... and {len(told['changes']) - SHOWN} more in changes.json")
