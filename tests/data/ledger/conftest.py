"""Every test of the ledger runs on SQLite and, where FLEETCAST_TEST_POSTGRES_URL names a server, on PostgreSQL."""

from __future__ import annotations

import os
import secrets
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from data.ledger.connect import sqlite_url

POSTGRES = "FLEETCAST_TEST_POSTGRES_URL"


def postgres_server() -> str:
    """The server tests may use, or a skip that says how to name one."""
    url = os.environ.get(POSTGRES)
    if not url:
        pytest.skip(f"no PostgreSQL: set {POSTGRES}=postgresql://USER@HOST/DATABASE to run this test on it")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """An empty ledger's URL: a file of its own, or a schema of its own."""
    if request.param == "sqlite":
        yield sqlite_url(tmp_path / "ledger.sqlite")
        return
    server, schema = postgres_server(), f"test_{secrets.token_hex(6)}"
    admin = create_engine(server.replace("postgresql://", "postgresql+psycopg://", 1))
    with admin.begin() as connection:
        connection.execute(text(f"CREATE SCHEMA {schema}"))
    yield f"{server}?options=-csearch_path%3D{schema}"
    with admin.begin() as connection:
        connection.execute(text(f"DROP SCHEMA {schema} CASCADE"))
    admin.dispose()
