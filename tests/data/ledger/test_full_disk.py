"""A disk that is really full, small file systems of their own, under both databases. Needs the right to mount."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.ledger.connect import connect, sqlite_url
from data.ledger.store import record
from tests.data.ledger.samples import sample_run
from tests.data.ledger.test_faults import sound, start

pytestmark = pytest.mark.slow

SPARE_BYTES = 3_000_000


@pytest.fixture
def disk() -> Iterator[Path]:
    """A file system of 120 MB; skipped where mounting is not allowed."""
    folder = Path(tempfile.mkdtemp())
    folder.chmod(0o755)
    done = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=120m", "tmpfs", str(folder)], capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        folder.rmdir()
        pytest.skip(f"a file system of its own cannot be mounted here: {done.stderr.strip()}")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=False)
    folder.rmdir()


def fill(disk: Path) -> Path:
    """A file that leaves SPARE_BYTES on the disk."""
    filler = disk / "filler"
    filler.write_bytes(b"\0" * (shutil.disk_usage(disk).free - SPARE_BYTES))
    return filler


def until_full(url: str) -> list[int]:
    """Records runs until the disk is full; the numbers of those whose commit returned."""
    process = start(url, 1, 2000)
    output, errors = process.communicate(timeout=300)
    assert process.returncode == 2, errors[-2000:]
    assert "nothing was recorded" in errors
    assert "Traceback" not in errors
    numbers = [int(line) for line in output.split() if line != "ready"]
    assert numbers
    return numbers


def test_sqlite(disk: Path) -> None:
    url = sqlite_url(disk / "ledger.sqlite")
    record(connect(url), sample_run(0))
    filler = fill(disk)
    numbers = until_full(url)
    filler.unlink()
    following = max(sound(url, [0, *numbers])) + 1
    record(connect(url), sample_run(following))
    assert following in sound(url, numbers)


def as_server(command: str) -> subprocess.CompletedProcess[str]:
    """Runs a command of the server: as `postgres` where we are root, which it refuses to be."""
    wrapped = ["su", "postgres", "-s", "/bin/bash", "-c", command] if os.getuid() == 0 else ["bash", "-c", command]
    return subprocess.run(wrapped, capture_output=True, text=True, cwd="/", check=False)


def test_postgresql(disk: Path) -> None:
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"))
    if not found:
        pytest.skip("no PostgreSQL in /usr/lib/postgresql")
    if os.getuid() == 0:
        shutil.chown(disk, "postgres")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = f"-p {port} -k {disk} -c listen_addresses=127.0.0.1 -c min_wal_size=2MB -c max_wal_size=8MB"
    control = f"{found[-1]}/pg_ctl -D {disk}/data -o '{settings}' -l /dev/null -w"
    made = as_server(f"{found[-1]}/initdb -D {disk}/data -A trust -U fleetcast --wal-segsize=1")
    assert made.returncode == 0, made.stderr
    assert as_server(f"{control} start").returncode == 0
    try:
        url = f"postgresql://fleetcast@127.0.0.1:{port}/postgres"
        record(connect(url), sample_run(0))
        filler = fill(disk)
        numbers = until_full(url)
        filler.unlink()
        # A server that had no room for its log may have stopped; its own recovery brings back what was committed.
        as_server(f"{control} -m fast restart")
        following = max(sound(url, [0, *numbers])) + 1
        record(connect(url), sample_run(following))
        assert following in sound(url, numbers)
    finally:
        as_server(f"{control} -m immediate stop")
