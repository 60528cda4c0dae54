"""Children that record plans and reconciliations until they are killed: `python -m ... FOLDER KILLS SEED`.

FOLDER holds made.pickle (a Made and its bundle), run/ (the written files) and actuals.csv; the ledger is named by
FLEETCAST_LEDGER. Everything heavy is imported once here; each child is a fork, killed with SIGKILL
at a random moment of its first two or so recordings.
Ids whose recording returned are appended to FOLDER/committed before the child goes on. After every kill the ledger
is opened and its runs are counted, after every tenth it is read whole; a fault ends the process with its text.
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

from data.ledger import read
from data.ledger.connect import connect, sqlite_url
from flows.ledger import open_ledger, record_plan, unique_id
from flows.reconcile import reconcile_files

WHOLE_EVERY = 10


def work(folder: Path, number: int) -> None:
    """A child's life: a plan, its reconciliation, and again."""
    made, bundle = pickle.loads((folder / "made.pickle").read_bytes())
    committed = (folder / "committed").open("a", encoding="utf-8")

    def note(run_id: str) -> None:
        committed.write(run_id + "\n")
        committed.flush()

    ledger = open_ledger()
    (folder / f"ready-{number}").touch()
    while True:
        scratch = folder / f"scratch-{number}"
        shutil.rmtree(scratch, ignore_errors=True)
        shutil.copytree(folder / "run", scratch)
        note(record_plan(ledger, made, bundle, scratch, unique_id(f"small-{number}"), made.history))
        note(reconcile_files(ledger, None, folder / "actuals.csv").run_id)


def warm(folder: Path) -> float:
    """One recording into a ledger of its own, so that what is computed once a process is not computed in every child;
    the seconds that a second one takes."""
    made, bundle = pickle.loads((folder / "made.pickle").read_bytes())
    scratch = folder / "warm"
    shutil.copytree(folder / "run", scratch)
    elsewhere = connect(sqlite_url(folder / "warm.sqlite"))
    begin = time.perf_counter()
    for name in ("warm", "again"):
        begin = time.perf_counter()
        record_plan(elsewhere, made, bundle, scratch, name, made.history)
        reconcile_files(elsewhere, None, folder / "actuals.csv")
    elsewhere.dispose()
    return time.perf_counter() - begin


def check(folder: Path, whole: bool) -> None:
    """Every committed id is there, once; on a whole check everything is what its hash says. Nothing is ever changed, so
    that damage which a kill left is still there at the next whole check."""
    ledger = open_ledger()
    faults = read.verify(ledger) if whole else ()
    if faults:
        sys.exit(f"faults: {faults}")
    there = [one.id for one in read.runs(ledger)]
    committed = (folder / "committed").read_text(encoding="utf-8").split()
    lost = set(committed) - set(there)
    if lost or len(set(there)) != len(there):
        sys.exit(f"lost: {lost}; {len(there)} runs, {len(set(there))} ids")
    ledger.dispose()


def main() -> None:
    folder, kills, rng = Path(sys.argv[1]), int(sys.argv[2]), random.Random(int(sys.argv[3]))
    (folder / "committed").touch()
    most_s = 2.0 * warm(folder)
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
    print(len((folder / "committed").read_text(encoding="utf-8").split()))


if __name__ == "__main__":
    main()
