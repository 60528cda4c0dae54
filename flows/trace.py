"""`fleetcast trace`: from a run, or one number in its plan, to the inputs, code and catalog entries that made it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from configs.errors import InputError
from data.ledger import read
from data.ledger.connect import Ledger
from data.ledger.records import RunLine

FORECAST = ("config", "input", "code", "correction")
CAPACITY = ("config", "gpu", "llm", "engine", "catalog", "service_curve", "code", "correction")
MADE_BY: dict[str, tuple[str, ...]] = {
    "forecast": FORECAST,
    "prices": ("config", "catalog", "price"),
    "rejected": CAPACITY,
}
"""The roles that make a top-level part of plan.json; parts not named are decisions, which everything makes."""
EVERYTHING = tuple(dict.fromkeys((*FORECAST, *CAPACITY, "scenarios", "price", "assumption")))


@dataclass(frozen=True, slots=True)
class Origin:
    """One thing a number rests on: role, name, SHA-256, and what of it applies."""

    role: str
    name: str
    sha256: str
    detail: str


@dataclass(frozen=True, slots=True)
class Trace:
    """A run, the number asked about (its place in plan.json, or in the result of a reconciliation or backtest, and its
    value), and what it rests on."""

    run: RunLine
    place: str
    value: Any
    origins: tuple[Origin, ...]


def _step(node: Any, part: str, place: str) -> Any:
    if isinstance(node, list) and part.isdigit() and int(part) < len(node):
        return node[int(part)]
    if isinstance(node, dict) and part in node:
        return node[part]
    known = f"0 to {len(node) - 1}" if isinstance(node, list) else ", ".join(node) if isinstance(node, dict) else "none"
    raise InputError(f"--number {place}", f"a place in plan.json; below here: {known}", repr(part), "Correct it.")


def _named(node: Any) -> set[str]:
    """All strings in a part of the plan: GPUs, regions, LLMs, months."""
    if isinstance(node, dict):
        return set().union(*map(_named, node.values())) if node else set()
    if isinstance(node, list):
        return set().union(*map(_named, node)) if node else set()
    return {node} if isinstance(node, str) else set()


def _price_detail(ledger: Ledger, key: str, names: set[str]) -> str:
    offers = json.loads(read.content(ledger, key))
    picked = [o for o in offers if {o["gpu"], o["region"], o["option"]} <= names]
    return "; ".join(
        f"{o['gpu']} {o['region']} {o['option']}: {o['usd_per_gpu_h']:g} USD/GPU-h ({o['source']['citation']}, "
        f"{o['source']['as_of']})"
        for o in picked
    )


def _capacity_detail(ledger: Ledger, key: str, node: Any) -> str:
    configuration = node.get("configuration") if isinstance(node, dict) else None
    if not isinstance(configuration, dict):
        return ""
    rows = [
        row
        for row in json.loads(read.content(ledger, key))
        if all(configuration.get(name) == value for name, value in row["configuration"].items())
    ]
    return "; ".join(
        f"{r['request_class']}: {r['operating_rps']:.4g} req/s ({r['method']}, {r['provenance']})" for r in rows
    )


def trace(ledger: Ledger, name: str, number: str | None = None) -> Trace:
    """What a run, or the number at a place such as `costs.0.cash_usd` of its plan.json, was made from.

    Raises InputError for an unknown run or place. Contents are verified against their hashes as they are read.
    """
    run = read.find_run(ledger, name)
    if number is None:
        origins = tuple(Origin(r, n, key, "") for (r, n), key in sorted(run.entries.items()) if r != "file")
        return Trace(run, "", None, origins)
    results = [key for (role, _), key in run.entries.items() if role == "result"]
    plan_key = run.entries.get(("file", "plan.json")) or results[0]
    parts = number.split(".")
    node: Any = json.loads(read.content(ledger, plan_key))
    around: Any = {}
    for part in parts:
        around = node if isinstance(node, dict) else around
        node = _step(node, part, number)
    if isinstance(node, dict):
        around = node
    names = _named(around)
    roles = MADE_BY.get(parts[0], EVERYTHING)
    found = []
    for (role, entry), key in sorted(run.entries.items()):
        if role not in roles:
            continue
        if role in ("gpu", "llm") and names & _catalog_names(run, role) and entry not in names:
            continue
        detail = ""
        if role == "price":
            detail = _price_detail(ledger, key, names)
        elif role == "service_curve":
            detail = _capacity_detail(ledger, key, around)
        elif role in ("input", "code", "gpu", "llm"):
            detail = _short(json.loads(read.content(ledger, key)))
        found.append(Origin(role, entry, key, detail))
    for label, key in read.vintages_of(ledger, run.id).items():
        series = json.loads(label)
        if not names & {series["llm"], series["request_class"]} or set(series.values()) & names:
            found.append(Origin("forecast", "/".join(series.values()), key, f"vintage of {run.issued_from}"))
    return Trace(run, number, node, tuple(found))


def _catalog_names(run: RunLine, role: str) -> set[str]:
    return {name for r, name in run.entries if r == role}


def _short(content: dict[str, Any]) -> str:
    source = content.get("source")
    if isinstance(source, dict):
        return f"{source['citation']}, {source['as_of']}"
    return ", ".join(f"{name} {str(value)[:12]}" for name, value in content.items())


def trace_json(found: Trace) -> str:
    """The trace for machines."""
    run = {n: getattr(found.run, n) for n in ("id", "kind", "scenario", "fingerprint", "issued_from", "recorded_at")}
    origins = [{"role": o.role, "name": o.name, "sha256": o.sha256, "detail": o.detail} for o in found.origins]
    return json.dumps({"run": run, "place": found.place, "value": found.value, "origins": origins}, indent=2) + "\n"


LISTED = ("id", "kind", "scenario", "fingerprint", "issued_from", "recorded_at")


def runs_json(lines: Sequence[RunLine]) -> str:
    """The runs of a ledger for machines, newest last."""
    return json.dumps([{name: getattr(one, name) for name in LISTED} for one in lines], indent=2) + "\n"


def show_trace(console: Console, found: Trace) -> None:
    """A trace in the terminal."""
    run = found.run
    console.print(f"[bold]{escape(run.id)}[/]: {run.kind} of {escape(run.scenario)}, recorded {run.recorded_at[:19]}Z")
    console.print(f"history until {run.issued_from} · fingerprint {run.fingerprint} · manifest {run.manifest[:12]}")
    if found.place:
        console.print(f"[bold]{escape(found.place)}[/] = {escape(json.dumps(found.value)[:400])}")
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("rests on", "name", "sha256", "detail"):
        table.add_column(head, overflow="fold")
    for one in found.origins:
        table.add_row(one.role, escape(one.name), one.sha256[:12], escape(one.detail))
    console.print(table)


def show_runs(console: Console, lines: Sequence[RunLine]) -> None:
    """The runs of a ledger, newest last."""
    table = Table(box=None, pad_edge=False, header_style="dim")
    for head in ("run", "kind", "scenario", "history until", "recorded"):
        table.add_column(head)
    for one in lines:
        table.add_row(escape(one.id), one.kind, escape(one.scenario), one.issued_from, one.recorded_at[:19] + "Z")
    console.print(table)
