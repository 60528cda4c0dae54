"""Children that run the plan and reconcile flows until they are killed: `python -m ... FOLDER KILLS SEED`.

FOLDER holds made.pickle (a Made and its bundle), run/ (the written files) and actuals.csv; the ledger is named by
FLEETCAST_LEDGER, and run folders appear in FOLDER/runs. The flows are the real ones; what only computes (forecast,
search, pictures) is done once and handed to them, so that the kills fall where something is written. Each child is a
fork, killed with SIGKILL at a random moment of its first rounds, about as often before as after its first record. Ids
whose flow returned are appended to FOLDER/committed before the child goes on. After every kill the ledger is opened,
its runs are counted and set beside the folders that can be seen; after every tenth it is read whole; a fault ends the
process with its text.
"""

from __future__ import annotations

import os
import pickle
import random
import shutil
import signal
import sys
import time
from pathlib import Path
from typing import Any

from data.ledger import read
from data.ledger.connect import sqlite_url
from flows import plan as planning
from flows import show_reconcile, steps
from flows.ledger import URL, open_ledger
from flows.reconcile import reconcile_files

WHOLE_EVERY = 10
LONGER = 1.1
"""Factor on the longest wait after a child that died before it had recorded anything; the inverse after another."""


def computed(folder: Path) -> tuple[Any, planning.Steps]:
    """The scenario, and the steps of a plan of which only writing is left to do."""
    made, bundle = pickle.loads((folder / "made.pickle").read_bytes())
    steps.bundle = lambda _: bundle
    planning.with_scaling = lambda one: one
    planning.with_sensitivity = lambda one, _: one
    show_reconcile.waterfall = lambda *_: ""
    show_reconcile.reconciliation_page = lambda *_: "<html></html>"
    planned = steps.Planned(made.capacity, made.problem, made.plan)
    return made.loaded, planning.Steps(
        ingest=lambda *_: made.history,
        forecast=lambda *_: made.forecast,
        evaluate=lambda *_: made.capacity,
        optimize=lambda *_: (made.problem, made.plan),
        check=lambda *_: (planned, made.replay),
        draw=lambda *_: (),
        write=lambda _, scratch, __: shutil.copytree(folder / "run", scratch, dirs_exist_ok=True),
    )


def one_round(folder: Path, loaded: Any, do: planning.Steps, out: Path) -> tuple[str, str]:
    """A plan and its reconciliation, to their folders; their ids."""
    plan = planning.plan_by(do, loaded, str(out), None).folder.name
    found = reconcile_files(open_ledger(), None, folder / "actuals.csv")
    return plan, show_reconcile.write_reconciliation(found, out).name


def work(folder: Path, number: int) -> None:
    """A child's life: a plan, its reconciliation, and again."""
    loaded, do = computed(folder)
    committed = (folder / "committed").open("a", encoding="utf-8")
    open_ledger()
    (folder / f"ready-{number}").touch()
    while True:
        for run_id in one_round(folder, loaded, do, folder / "runs"):
            committed.write(run_id + "\n")
            committed.flush()


def warm(folder: Path) -> float:
    """One round into a ledger of its own, so that what is computed once a process is not computed in every child; the
    seconds that a second one takes."""
    loaded, do = computed(folder)
    real = os.environ[URL]
    os.environ[URL] = sqlite_url(folder / "warm.sqlite")
    begin = time.perf_counter()
    for _ in range(2):
        begin = time.perf_counter()
        one_round(folder, loaded, do, folder / "warm")
    os.environ[URL] = real
    return time.perf_counter() - begin


def check(folder: Path, whole: bool) -> None:
    """Every committed id is there, once, and no folder without its run; on a whole check everything is what its hash
    says. Nothing is ever changed, so that damage which a kill left is still there at the next whole check."""
    ledger = open_ledger()
    faults = read.verify(ledger) if whole else ()
    if faults:
        sys.exit(f"faults: {faults}")
    there = [one.id for one in read.runs(ledger)]
    committed = (folder / "committed").read_text(encoding="utf-8").split()
    lost = set(committed) - set(there)
    seen = {one.name for one in (folder / "runs").glob("*") if not one.name.startswith(".")}
    if seen - set(there):
        sys.exit(f"folders that the ledger does not know: {seen - set(there)}")
    if lost or len(set(there)) != len(there):
        sys.exit(f"lost: {lost}; {len(there)} runs, {len(set(there))} ids")
    ledger.dispose()


def main() -> None:
    folder, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    (folder / "committed").touch()
    most_s, before = 2.0 * warm(folder), 0
    for number in range(kills):
        child = os.fork()
        if child == 0:
            try:
                work(folder, number)
            except BaseException as error:  # noqa: BLE001 - told to the parent, whatever it is
                (folder / "error").write_text(repr(error), encoding="utf-8")
            os._exit(1)
        while not (folder / f"ready-{number}").exists() and not (folder / "error").exists():
            time.sleep(0.005)
        time.sleep(rng.uniform(0.0, most_s))
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)
        if (folder / "error").exists():
            sys.exit((folder / "error").read_text(encoding="utf-8"))
        check(folder, whole=number % WHOLE_EVERY == 0 or number == kills - 1)
        # A server, or a busy machine, is slower than the round that was timed: as many are to die before as after.
        after = len((folder / "committed").read_text(encoding="utf-8").split())
        most_s *= LONGER if after == before else 1.0 / LONGER
        before = after
    print(len((folder / "committed").read_text(encoding="utf-8").split()))


if __name__ == "__main__":
    main()
