"""The tables of the ledger. Rows are inserted, never changed: triggers refuse updates and deletes (migrations)."""

from __future__ import annotations

from sqlalchemy import Column, ForeignKey, Index, Integer, LargeBinary, MetaData, String, Table, Text

HEAD = "0001"
"""The migration that these tables stand at; a test holds it equal to the newest one."""

metadata = MetaData()

blob = Table(
    "blob",
    metadata,
    Column("sha256", String(64), primary_key=True, doc="of the content before compression"),
    Column("codec", String(8), nullable=False, doc="raw or zlib"),
    Column("size_bytes", Integer, nullable=False, doc="of the content before compression"),
    Column("content", LargeBinary, nullable=False),
)

run = Table(
    "run",
    metadata,
    Column("id", String(200), primary_key=True),
    Column("kind", String(20), nullable=False, doc="plan, reconcile or backtest"),
    Column("scenario", String(100), nullable=False, index=True),
    Column("fingerprint", String(64), nullable=False),
    Column("issued_from", String(40), nullable=False, doc="last observed hour, ISO 8601 UTC"),
    Column("recorded_at", String(40), nullable=False, doc="ISO 8601 UTC, microseconds"),
    Column("manifest", String(64), ForeignKey("blob.sha256"), nullable=False, doc="all entries of the run"),
)

entry = Table(
    "entry",
    metadata,
    Column("run_id", String(200), ForeignKey("run.id"), primary_key=True),
    Column("role", String(40), primary_key=True, doc="config, input, catalog, code, plan, price, ..."),
    Column("name", String(300), primary_key=True),
    Column("sha256", String(64), ForeignKey("blob.sha256"), nullable=False, index=True),
)

vintage = Table(
    "vintage",
    metadata,
    Column("run_id", String(200), ForeignKey("run.id"), primary_key=True),
    Column("series", Text, primary_key=True, doc="canonical JSON of the series' labels"),
    Column("scenario", String(100), nullable=False),
    Column("issued_from", String(40), nullable=False),
    Column("sha256", String(64), ForeignKey("blob.sha256"), nullable=False),
    Index("ix_vintage_scenario", "scenario", "series"),
)

actual = Table(
    "actual",
    metadata,
    Column("scenario", String(100), primary_key=True),
    Column("series", Text, primary_key=True),
    Column("month", String(7), primary_key=True, doc="YYYY-MM, UTC"),
    Column("version", Integer, primary_key=True, doc="the highest holds; earlier ones stay"),
    Column("recorded_at", String(40), nullable=False),
    Column("sha256", String(64), ForeignKey("blob.sha256"), nullable=False),
)

correction = Table(
    "correction",
    metadata,
    Column("id", String(16), primary_key=True, doc="first digits of the content's SHA-256"),
    Column("scenario", String(100), nullable=False, index=True),
    Column("kind", String(40), nullable=False),
    Column("proposed_by", String(200), ForeignKey("run.id"), nullable=False),
    Column("recorded_at", String(40), nullable=False),
    Column("sha256", String(64), ForeignKey("blob.sha256"), nullable=False),
)

review = Table(
    "review",
    metadata,
    Column("correction_id", String(16), ForeignKey("correction.id"), primary_key=True),
    Column("version", Integer, primary_key=True, doc="the highest holds"),
    Column("verdict", String(10), nullable=False, doc="accepted or rejected"),
    Column("reviewer", String(100), nullable=False),
    Column("note", Text, nullable=False),
    Column("recorded_at", String(40), nullable=False),
)

TABLES = (blob, run, entry, vintage, actual, correction, review)
