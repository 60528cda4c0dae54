"""How long a reconciliation takes, and how much memory: many series and vintages in a ledger.

    python -m benchmarks.reconcile [--series 1000] [--vintages 12] [--hours 744] [--ledger URL] [--json]

Fills an empty ledger (default: a temporary SQLite file) with monthly vintages of synthetic series and their actuals,
then reconciles everything in a process of its own: errors by horizon, series and group, drift, proposals. Prints
seconds and peak memory of that process, and the seconds the filling took.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from data.ledger.connect import connect, sqlite_url
from data.ledger.read import said_and_done
from data.ledger.records import HOUR, Actual, Run, Vintage
from data.ledger.store import record
from data.records import SeriesKey
from flows.reconcile import Heard, listening
from reconcile.corrections import propose
from reconcile.fleet import reconcile_fleet

SCENARIO = "benchmark"
LEVELS = (0.05, 0.1, 0.5, 0.9, 0.95, 0.99)
FACTORS = np.array([0.6, 0.7, 1.0, 1.35, 1.5, 1.8])
START = np.datetime64("2025-01-01T00", "h")


def key(number: int) -> SeriesKey:
    """10 LLMs, 20 classes, 5 regions."""
    return SeriesKey(f"llm-{number % 10}", f"class-{number // 10 % 20}", f"region-{number // 200 % 5}-{number // 1000}")


def fill(url: str, series: int, vintages: int, hours: int) -> None:
    """One run a month, each with a vintage of every series; actuals reach to the end of the last vintage."""
    ledger = connect(url)
    rng = np.random.default_rng(1)
    months = [np.datetime64("2025-02", "M") + np.timedelta64(i, "M") for i in range(vintages)]
    end = months[-1].astype("datetime64[h]") + hours * HOUR
    total = int((end - START) / HOUR)
    season = 100.0 + 60.0 * np.sin(np.arange(total) * 2 * np.pi / 24)
    actuals = [season * rng.gamma(20.0, 1 / 20.0, total) for _ in range(series)]
    for i, month in enumerate(months):
        first = month.astype("datetime64[h]")
        at = int((first - START) / HOUR)
        name = f"run-{i:03d}"
        length = int(((month + np.timedelta64(1, "M")).astype("datetime64[h]") - first) / HOUR)
        whole = (str(month),) if length <= hours else ()

        def vintage(n: int, name: str = name, first: Any = first, at: int = at, whole: Any = whole) -> Vintage:
            hourly = (season[at : at + hours] * rng.gamma(400.0, 1 / 400.0, hours))[:, None] * FACTORS
            totals = hourly[:, 2].sum() * np.linspace(0.9, 1.1, len(LEVELS))[None] * np.ones((len(whole), 1))
            peaks = hourly.max(axis=0)[None] * np.ones((len(whole), 1))
            return Vintage(name, key(n), first - HOUR, first, LEVELS, hourly, whole, totals, peaks)

        said = tuple(map(vintage, range(series)))
        known = tuple(Actual(key(n), START, actuals[n]) for n in range(series)) if i == len(months) - 1 else ()
        record(ledger, Run(name, "plan", SCENARIO, f"{i:012x}", str(first), (), said, known))


def reconcile_all(url: str) -> dict[str, float]:
    """Seconds, peak memory in bytes and what was found."""
    begin, cpu = time.perf_counter(), time.process_time()
    ledger = connect(url)
    heard = Heard({}, {}, {})
    found = reconcile_fleet(listening(said_and_done(ledger, SCENARIO), {}, heard))
    proposals = propose(SCENARIO, found)
    return {
        "seconds": time.perf_counter() - begin,
        "cpu_seconds": time.process_time() - cpu,
        "peak_bytes": float(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024),
        "series": float(len(found.series)),
        "vintages": float(found.vintages),
        "proposals": float(len(proposals)),
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--series", type=int, default=1000)
    parser.add_argument("--vintages", type=int, default=12)
    parser.add_argument("--hours", type=int, default=744)
    parser.add_argument("--ledger", help="an empty ledger to fill; default: a temporary SQLite file")
    parser.add_argument("--only", action="store_true", help=argparse.SUPPRESS)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.only:
        print(json.dumps(reconcile_all(given.ledger)))
        return
    with tempfile.TemporaryDirectory() as folder:
        url = given.ledger or sqlite_url(Path(folder) / "ledger.sqlite")
        begin = time.perf_counter()
        fill(url, given.series, given.vintages, given.hours)
        filled = time.perf_counter() - begin
        # A process of its own: the memory of filling is not counted.
        done = subprocess.run(
            [sys.executable, "-m", "benchmarks.reconcile", "--only", "--ledger", url],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    result = json.loads(done.stdout) | {"fill_seconds": filled}
    if given.json:
        print(json.dumps(result))
        return
    print(
        f"{result['series']:,.0f} series, {result['vintages']:,.0f} vintages of {given.hours} h: reconciled in "
        f"{result['seconds']:.1f} s ({result['cpu_seconds']:.1f} s of CPU), "
        f"peak memory {result['peak_bytes'] / 1e9:.2f} GB (filled in {filled:.0f} s)"
    )


if __name__ == "__main__":
    main()
