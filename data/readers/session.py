"""DuckDB connections with bounded memory, and the two ways text enters a statement."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import duckdb

MEMORY_LIMIT = "900MB"
"""What DuckDB may hold before it spills to disk; Python and the readers' buffers come on top."""


def literal(text: str | Path) -> str:
    """A string as an SQL literal: quotes doubled, so that no name in a file can end it."""
    return "'" + str(text).replace("'", "''") + "'"


def ident(name: str) -> str:
    """A column name as a quoted SQL identifier."""
    return '"' + name.replace('"', '""') + '"'


@contextmanager
def session(scratch: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """An in-memory database that spills to `scratch`; times are UTC and nothing is fetched from a network."""
    connection = duckdb.connect(
        config={
            "memory_limit": MEMORY_LIMIT,
            "temp_directory": str(scratch / "spill"),
            "autoinstall_known_extensions": "false",
            "autoload_known_extensions": "false",
        }
    )
    try:
        connection.execute("SET TimeZone = 'UTC'")
        yield connection
    finally:
        connection.close()


def one_row(connection: duckdb.DuckDBPyConnection, sql: str) -> tuple[object, ...]:
    """The only row of an aggregate query."""
    row = connection.execute(sql).fetchone()
    if row is None:
        raise RuntimeError(f"no row from {sql}")
    return tuple(row)
