"""One ledger into another: from a file to a server, or into a backup that is itself a ledger."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlalchemy import Connection, Engine, Table, func, insert, select

from configs.errors import InputError
from data.ledger import tables
from data.ledger.connect import connect, reading, writing
from data.ledger.read import verify

ROWS = 200


def _rows(connection: Connection, table: Table) -> Iterator[list[dict[str, Any]]]:
    answer = connection.execution_options(yield_per=ROWS).execute(select(table))
    for chunk in answer.mappings().partitions(ROWS):
        yield [dict(row) for row in chunk]


def copy(source: Engine, url: str) -> dict[str, int]:
    """Copies every row to the empty ledger at `url`, in one transaction, and verifies it. Rows copied by table.

    Raises InputError where that ledger is not empty: two histories cannot be merged.
    """
    target = connect(url)

    def write(into: Connection) -> dict[str, int]:
        if into.execute(select(func.count()).select_from(tables.run)).scalar_one():
            raise InputError("ledger to copy to", "an empty ledger", "one with runs", "Name another database.")

        def everything(connection: Connection) -> dict[str, int]:
            copied = {}
            for table in tables.TABLES:
                copied[table.name] = 0
                for chunk in _rows(connection, table):
                    into.execute(insert(table), chunk)
                    copied[table.name] += len(chunk)
            return copied

        return reading(source, everything)

    copied = writing(target, write)
    faults = verify(target)
    if faults:
        raise InputError("copied ledger", "the same contents", faults[0], "Copy again.")
    return copied
