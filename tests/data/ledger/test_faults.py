"""Two writers at once, kill -9, a full disk, a lost connection: nothing half-written, lost or doubled."""

from __future__ import annotations

import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import pytest
from sqlalchemy import text

from configs.errors import InputError
from data.ledger import read
from data.ledger.connect import connect, reading, sqlite_url, writing
from data.ledger.content import put
from data.ledger.records import series_label
from data.ledger.store import record
from tests.conftest import REPOSITORY
from tests.data.ledger.conftest import postgres_server
from tests.data.ledger.samples import SCENARIO, actual, key, sample_run


def start(url: str, first: int, count: int, *limit: int) -> subprocess.Popen[str]:
    arguments = [sys.executable, "-m", "tests.data.ledger.writer", url, str(first), str(count), *map(str, limit)]
    return subprocess.Popen(arguments, cwd=REPOSITORY, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def sound(url: str, committed: Iterable[int]) -> set[int]:
    """Asserts that a ledger is whole and holds what was committed; returns the numbers of its runs."""
    ledger = connect(url)
    if ledger.dialect.name == "sqlite":
        assert reading(ledger, lambda c: c.execute(text("PRAGMA integrity_check")).scalar()) == "ok"
        assert reading(ledger, lambda c: c.execute(text("PRAGMA foreign_key_check")).all()) == []
    assert read.verify(ledger) == ()
    numbers = [int(one.id.removeprefix("run-")) for one in read.runs(ledger)]
    assert len(numbers) == len(set(numbers))
    assert set(committed) <= set(numbers)
    corrections = read.corrections(ledger)
    assert sorted(round((one.correction.values["factor"] - 1.0) * 1000) for one in corrections) == sorted(numbers)
    if numbers:
        label = series_label(key())
        known = reading(ledger, lambda c: read.newest_actuals(c, SCENARIO, [label]))[label]
        longest = actual(0, 7 * (max(numbers) + 1))
        # Each run draws its own actuals: the last one written is overlaid on the longer of the earlier ones.
        assert known.first_hour == longest.first_hour
        assert known.end == longest.end
        assert not np.isnan(known.requests).any()
    ledger.dispose()
    return set(numbers)


def seconds_to_write(url: str, runs: int) -> float:
    """From a writer's start to its last commit: how long one has to wait on this machine, as busy as it is."""
    process = start(url, 0, runs)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    begin = time.perf_counter()
    _, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return time.perf_counter() - begin


def kill_many(url: str, kills: int, seed: int) -> None:
    rng = random.Random(seed)
    most_s = seconds_to_write(url, 6)
    committed = set(range(6))
    following, seen = 6, 0
    for _ in range(kills):
        process = start(url, following, 1000)
        assert process.stdout is not None
        assert process.stdout.readline() == "ready\n"
        time.sleep(rng.uniform(0.0, most_s))
        process.send_signal(signal.SIGKILL)
        output, errors = process.communicate()
        assert errors == ""
        committed |= {int(line) for line in output.split()}
        following = max(sound(url, committed), default=-1) + 1
        seen += bool(output)
    assert kills < 20 or seen > kills // 10, "the kills came before anything was written"
    # The next run goes on.
    record(connect(url), sample_run(following))
    assert following in sound(url, committed)


def test_a_killed_writer_leaves_whole_runs_only(url: str) -> None:
    kill_many(url, kills=3, seed=1)


@pytest.mark.slow
def test_two_hundred_kills(url: str) -> None:
    """Of a writer alone; tests/flows/test_kills.py does as many of the flows."""
    kill_many(url, kills=200, seed=2)


def test_two_writers_at_once_on_a_new_ledger(url: str) -> None:
    processes = [start(url, 0, 8), start(url, 100, 8)]
    for one in processes:
        _, errors = one.communicate(timeout=120)
        assert one.returncode == 0, errors
    assert len(sound(url, [*range(8), *range(100, 108)])) == 16


def test_a_full_disk_leaves_what_was_there_and_says_so(tmp_path: Path) -> None:
    path = tmp_path / "ledger.sqlite"
    url = sqlite_url(path)
    record(connect(url), sample_run(0))
    process = start(url, 1, 1000, 600_000)
    output, errors = process.communicate(timeout=120)
    assert process.returncode == 2, errors
    assert "room on the disk" in errors
    assert "Traceback" not in errors
    numbers = [int(line) for line in output.split() if line != "ready"]
    assert numbers
    following = max(sound(url, numbers)) + 1
    record(connect(url), sample_run(following))
    assert following in sound(url, numbers)


def test_a_lost_connection_is_tried_again_and_records_once() -> None:
    server = postgres_server()
    ledger = connect(server)
    killed = []

    def work(connection):  # type: ignore[no-untyped-def]
        put(connection, [b"lost and found"])
        if not killed:
            killed.append(connection.execute(text("SELECT pg_backend_pid()")).scalar())
            other = connect(server)
            reading(other, lambda c: c.execute(text("SELECT pg_terminate_backend(:pid)"), {"pid": killed[0]}))
        return connection.execute(text("SELECT 1")).scalar()

    assert writing(ledger, work) == 1
    assert len(killed) == 1


def test_a_writer_waits_for_another_one(url: str) -> None:
    ledger, other = connect(url), connect(url)
    inside, order = threading.Event(), []

    def slow(connection):  # type: ignore[no-untyped-def]
        inside.set()
        time.sleep(0.5)
        put(connection, [b"first"])
        order.append("first")

    thread = threading.Thread(target=lambda: writing(ledger, slow))
    thread.start()
    inside.wait()
    record(other, sample_run(1))
    order.append("second")
    thread.join()
    assert order == ["first", "second"]


def test_an_exception_in_the_middle_leaves_nothing(url: str) -> None:
    ledger = connect(url)

    def broken(connection):  # type: ignore[no-untyped-def]
        put(connection, [b"half"])
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        writing(ledger, broken)
    assert reading(ledger, lambda c: c.execute(text("SELECT count(*) FROM blob")).scalar()) == 0


def test_a_database_that_is_away_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("psycopg", reason="the psycopg driver is not installed (fleetcast[postgres])")
    monkeypatch.setattr("data.ledger.connect.ATTEMPTS", 2)
    with pytest.raises(InputError, match="a database that answers"):
        connect("postgresql://nobody@127.0.0.1:1/none?connect_timeout=2")
