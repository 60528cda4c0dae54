"""How long the report of a run takes to build, and how large it is: `python -m benchmarks.report runs/RUN`.

The bars are 3 s and 3 MB; wall time counts on a machine that does nothing else, CPU time everywhere.
"""

from __future__ import annotations

import argparse
import json
import resource
import time
from pathlib import Path

from flows.recall import recall
from reports.page import render


def cpu_s() -> float:
    """Seconds of CPU that this process has used."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main() -> None:
    """What the command line asks for. The first time includes the start of the chart renderer, as a command's does."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", help="a run folder, or the beginning of its name below --out")
    parser.add_argument("--out", type=Path, default=Path("runs"))
    parser.add_argument("--times", type=int, default=3)
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    folder, bundle = recall(given.run, given.out)
    found = []
    for _ in range(given.times):
        wall, cpu = time.perf_counter(), cpu_s()
        page = render(bundle)
        found.append({"wall_s": time.perf_counter() - wall, "cpu_s": cpu_s() - cpu, "bytes": len(page.encode("utf-8"))})
    if given.json:
        print(json.dumps({"run": folder.name, "builds": found}, indent=2))
        return
    for one in found:
        print(f"{one['wall_s']:.2f} s wall, {one['cpu_s']:.2f} s CPU, {one['bytes'] / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
