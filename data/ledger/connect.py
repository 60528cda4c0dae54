"""Opening a ledger: an engine whose transactions hold on both databases, at the newest migration."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TypeVar

from sqlalchemy import Connection, Engine, create_engine, event, inspect, text
from sqlalchemy.engine import make_url
from sqlalchemy.exc import ArgumentError, DBAPIError, NoSuchModuleError, OperationalError

from configs.errors import InputError
from data.ledger.tables import HEAD

T = TypeVar("T")
Ledger = Engine
"""An open ledger, as the rooms above name it."""
MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_S = 60.0
ATTEMPTS = 5
LOCK = 0x464C4545
"""Key of PostgreSQL's advisory lock; one writer at a time, as SQLite has it: the loads here are a few a day."""


def sqlite_url(path: Path) -> str:
    """The URL of a ledger in a file."""
    return f"sqlite:///{path}"


def connect(url: str) -> Engine:
    """An engine for a ledger URL, its tables brought up to date. Two processes may do so at once.

    SQLite runs in WAL mode with full synchronisation: a commit that returned survives a power cut. Raises InputError
    for a URL that cannot be used, or a ledger that a newer version has written.
    """
    try:
        parsed = make_url(url)
        if parsed.drivername in ("postgres", "postgresql"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        if parsed.get_backend_name() not in ("sqlite", "postgresql"):
            raise ArgumentError(parsed.drivername)
        if parsed.get_backend_name() == "sqlite" and parsed.database:
            Path(parsed.database).parent.mkdir(parents=True, exist_ok=True)
        engine = create_engine(parsed, pool_pre_ping=True)
    except (ArgumentError, NoSuchModuleError):
        raise InputError(
            "ledger URL", "sqlite:///FILE or postgresql://USER@HOST/DATABASE", repr(url), "Correct FLEETCAST_LEDGER."
        ) from None
    except ModuleNotFoundError:
        raise InputError(
            "ledger URL", "the psycopg driver for PostgreSQL", "no such module", "Install fleetcast[postgres]."
        ) from None
    except OSError as error:
        raise InputError(
            f"ledger {url}", "a folder that can be written", str(error), "Change FLEETCAST_STATE."
        ) from None
    if engine.dialect.name == "sqlite":
        event.listen(engine, "connect", _prepare_sqlite)
        event.listen(engine, "begin", _begin_sqlite)
    migrate(engine)
    return engine


def _prepare_sqlite(connection: object, _record: object) -> None:
    # Python's driver would otherwise open transactions by itself, late, and commit before tables are created.
    connection.isolation_level = None  # type: ignore[attr-defined]
    cursor = connection.cursor()  # type: ignore[attr-defined]
    cursor.execute(f"PRAGMA busy_timeout = {int(BUSY_S * 1000)}")
    for pragma in ("journal_mode = WAL", "synchronous = FULL", "foreign_keys = ON", "cache_size = -65536"):
        cursor.execute(f"PRAGMA {pragma}")
    cursor.close()


def _begin_sqlite(connection: Connection) -> None:
    # A write transaction takes its lock at once: one that began as a reader could not wait for another writer.
    writes = connection.get_execution_options().get("writes", False)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _version(connection: Connection) -> str | None:
    if not inspect(connection).has_table("alembic_version"):
        return None
    found: str | None = connection.execute(text("SELECT version_num FROM alembic_version")).scalar()
    return found


def migrate(engine: Engine) -> None:
    """Runs the migrations that are missing, in one transaction. InputError for a ledger from a newer version."""
    if reading(engine, _version) == HEAD:
        return

    def upgrade(connection: Connection) -> None:
        # Read again under the lock: another process may have done it meanwhile.
        if _version(connection) == HEAD:
            return
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", str(MIGRATIONS))
        config.set_main_option("path_separator", "os")
        config.attributes["connection"] = connection
        try:
            command.upgrade(config, "head")
        except CommandError as error:
            raise InputError(
                "ledger", f"a ledger of version {HEAD} or older", str(error), "Use the newer fleetcast that wrote it."
            ) from None

    writing(engine, upgrade)


def reading(engine: Engine, work: Callable[[Connection], T]) -> T:
    """What `work` answers from one consistent view of the ledger; tried again when the connection is lost."""
    return _with_retries(engine, work, writes=False)


def writing(engine: Engine, work: Callable[[Connection], T]) -> T:
    """Runs `work` in one transaction: all of it is kept, or nothing, whatever happens in between.

    One writer at a time. A lost connection is tried again, so `work` must be safe to repeat after a commit whose
    confirmation was lost: check what is there first. Raises InputError when the disk is full or the database is away.
    """
    return _with_retries(engine, work, writes=True)


def _with_retries(engine: Engine, work: Callable[[Connection], T], writes: bool) -> T:
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with engine.connect() as plain:
                connection = plain.execution_options(writes=writes)
                if not writes and engine.dialect.name == "postgresql":
                    connection = plain.execution_options(isolation_level="REPEATABLE READ")
                with connection.begin():
                    if writes and engine.dialect.name == "postgresql":
                        connection.execute(text("SELECT pg_advisory_xact_lock(:key)"), {"key": LOCK})
                    return work(connection)
        except DBAPIError as error:
            where = f"ledger {engine.url.render_as_string(hide_password=True)}"
            said = str(error.orig).strip().splitlines()[0] if str(error.orig).strip() else type(error.orig).__name__
            if any(sign in said for sign in ("disk is full", "No space left", "disk I/O error", "could not extend")):
                raise InputError(
                    where, "room on the disk", said, "Free space and run again; nothing was recorded."
                ) from None
            lost = error.connection_invalidated or isinstance(error, OperationalError)
            if not lost:
                raise
            if attempt == ATTEMPTS:
                raise InputError(
                    where, "a database that answers", said, "Start it or correct the URL; nothing was recorded."
                ) from None
            engine.dispose()
            time.sleep(0.2 * 2**attempt)
    raise AssertionError("unreachable")
