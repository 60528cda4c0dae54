"""`fleetcast doctor`: whether everything a plan needs is here, and the next step where it is not."""

from __future__ import annotations

import json
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from datetime import date
from pathlib import Path
from typing import Literal

from rich.console import Console
from rich.markup import escape

from configs.errors import InputError
from configs.loading import embedded_scenarios, load_scenario
from data.ages import age_days
from data.catalog import load_gpus, load_llms
from data.own_catalog import own_files
from data.prices import load_prices
from flows import provenance
from flows.environment import STATE
from flows.ledger import ledger_url, open_ledger
from reports.assumptions import STALE_DAYS

Status = Literal["ok", "warn", "fail"]
FREE_BYTES = 2e9
HARDWARE_DAYS = 365
"""Vendor facts change with a product, not with a month."""


@dataclass(frozen=True, slots=True)
class Check:
    """One finding: what was looked at, how it stands, what was found, and what to do where it is not ok."""

    name: str
    status: Status
    found: str
    next_step: str = ""


def examine(today: date) -> tuple[Check, ...]:
    """Every check; one that breaks is a failed check, not an end."""
    checks: tuple[tuple[str, Callable[[], Iterable[Check]]], ...] = (
        ("python", _python),
        ("state folder", _state),
        ("packages", _packages),
        ("device", _device),
        ("solver", _solver),
        ("report", _report),
        ("ledger", _ledger),
        ("catalogs", lambda: _catalogs(today)),
        ("scenarios", _scenarios),
        ("traces", _traces),
    )
    found: list[Check] = []
    for name, check in checks:
        try:
            found += check()
        except InputError as error:
            found.append(Check(name, "fail", f"expected {error.expected}, got {error.got}", error.fix))
        # Whatever is broken here is what doctor is asked to tell.
        except Exception as error:  # noqa: BLE001
            step = "Set the environment up anew: remove .venv, then `./run test`."
            found.append(Check(name, "fail", f"{type(error).__name__}: {error}"[:200], step))
    return tuple(found)


def _python() -> Iterable[Check]:
    here = platform.python_version()
    good = (3, 11) <= sys.version_info[:2] <= (3, 12)
    yield Check("python", "ok" if good else "fail", here, "" if good else "Install Python 3.11 or 3.12; set PYTHON.")
    yield Check("cores", "ok", f"{os.cpu_count()}")


def _state() -> Iterable[Check]:
    folder = STATE.resolve()
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.NamedTemporaryFile(dir=folder):
        free = shutil.disk_usage(folder).free
    enough = free > FREE_BYTES
    step = "" if enough else "Free some space, or set FLEETCAST_STATE to another disk."
    yield Check("state folder", "ok" if enough else "warn", f"{folder}, {free / 1e9:.0f} GB free", step)


def _packages() -> Iterable[Check]:
    found = provenance.versions()
    yield Check("packages", "ok", ", ".join(f"{name} {version}" for name, version in found.items() if name != "python"))


def _device() -> Iterable[Check]:
    from models.device import devices

    found = devices()
    on_cpu = found[0].startswith("cpu")
    if on_cpu and shutil.which("nvidia-smi"):
        step = "A GPU driver is here: FLEETCAST_EXTRAS=cuda ./run doctor installs the CUDA build of JAX."
        yield Check("device", "warn", f"{found[0]}, although nvidia-smi is on the PATH", step)
    else:
        told = f"{', '.join(found)}" + (" (enough: a plan takes a minute or two on two cores)" if on_cpu else "")
        yield Check("device", "ok", told)


def _solver() -> Iterable[Check]:
    from optimizer.self_test import solve_known

    answer, right, version = solve_known()
    good = abs(answer - right) < 1e-6
    step = "" if good else "Reinstall it: pip install --force-reinstall highspy."
    yield Check("solver", "ok" if good else "fail", f"{version} says {answer:g}, right is {right:g}", step)


def _report() -> Iterable[Check]:
    from reports.self_test import draws

    good = draws()
    step = "" if good else "Reinstall it: pip install --force-reinstall vl-convert-python."
    yield Check("report", "ok" if good else "fail", "charts are drawn" if good else "a chart is empty", step)


def _ledger() -> Iterable[Check]:
    from data.ledger.read import runs

    ledger = open_ledger()
    kind = ledger_url().split(":", 1)[0].split("+", 1)[0]
    count = len(runs(ledger))
    step = "" if count else "Make a first plan: fleetcast plan."
    yield Check("ledger", "ok", f"{kind}, {count} runs", step)


def _catalogs(today: date) -> Iterable[Check]:
    if mine := own_files():
        yield Check("own catalog", "ok", ", ".join(str(path) for path in mine))
    prices = load_prices()
    used = {row.source for row in prices.rows}
    ages = {name: age_days(one.as_of, today) for name, one in prices.sources.items() if name in used}
    limit = STALE_DAYS["price"]
    stale = sorted(name for name, age in ages.items() if age is None or age > limit)
    rows = sum(row.source in stale for row in prices.rows)
    found = (
        f"{len(prices.rows)} rows of {len(used)} sources, youngest {_days(min(_known(ages.values()), default=None))}"
    )
    if stale:
        step = f"Refresh data/catalog/prices.yaml: {', '.join(stale[:4])}."
        yield Check("prices", "warn", f"{found}; {rows} rows older than {limit} days", step)
    else:
        yield Check("prices", "ok", found)
    for name, facts in (("GPUs", load_gpus()), ("LLMs", load_llms())):
        found_ages = _known(age_days(one.source.as_of, today) for one in facts.values())
        oldest = max(found_ages, default=None)
        old = oldest is None or oldest > HARDWARE_DAYS
        step = f"Check data/catalog/{name.lower()}.yaml against the vendors." if old else ""
        yield Check(name, "warn" if old else "ok", f"{len(facts)}, oldest source {_days(oldest)}", step)


def _known(ages: Iterable[int | None]) -> list[int]:
    return [age for age in ages if age is not None]


def _days(age: int | None) -> str:
    return "without a date" if age is None else f"{age} days old"


def _scenarios() -> Iterable[Check]:
    names = list(embedded_scenarios())
    for name in names:
        load_scenario(name)
    yield Check("scenarios", "ok", ", ".join(names))


def _traces() -> Iterable[Check]:
    folder = os.environ.get("FLEETCAST_DATA")
    if folder is None:
        yield Check("traces", "ok", "downloaded when needed", "Without a network: set FLEETCAST_DATA to their folder.")
    elif Path(folder).is_dir():
        yield Check("traces", "ok", folder)
    else:
        yield Check("traces", "fail", f"FLEETCAST_DATA={folder} is no folder", "Correct FLEETCAST_DATA.")


def as_json(found: Iterable[Check]) -> str:
    """Every check, in order."""
    return json.dumps([asdict(one) for one in found], indent=2) + "\n"


SIGNS = {"ok": "[green]ok[/]  ", "warn": "[yellow]warn[/]", "fail": "[bold red]fail[/]"}


def show(console: Console, found: Iterable[Check]) -> None:
    """One line a check, and the next step below it where there is one."""
    for one in found:
        console.print(f"{SIGNS[one.status]}  {one.name:13} {escape(one.found)}", soft_wrap=True)
        if one.next_step:
            console.print(f"      {'':13} [dim]→ {escape(one.next_step)}[/]", soft_wrap=True)
