"""Blobs, runs, entries, forecast vintages, actuals, corrections and their reviews; nothing may be changed later."""

from __future__ import annotations

import sqlalchemy as sa
from alembic import op

revision = "0001"
down_revision = None

TABLES = ("blob", "run", "entry", "vintage", "actual", "correction", "review")


def _text(name: str, length: int | None = None) -> sa.Column[str]:
    return sa.Column(name, sa.Text() if length is None else sa.String(length), nullable=False)


def upgrade() -> None:
    """Creates the tables and the triggers that keep them append-only."""
    op.create_table(
        "blob",
        sa.Column("sha256", sa.String(64), primary_key=True),
        _text("codec", 8),
        sa.Column("size_bytes", sa.Integer(), nullable=False),
        sa.Column("content", sa.LargeBinary(), nullable=False),
    )
    op.create_table(
        "run",
        sa.Column("id", sa.String(200), primary_key=True),
        _text("kind", 20),
        sa.Column("scenario", sa.String(100), nullable=False, index=True),
        _text("fingerprint", 64),
        _text("issued_from", 40),
        _text("recorded_at", 40),
        sa.Column("manifest", sa.String(64), sa.ForeignKey("blob.sha256"), nullable=False),
    )
    op.create_table(
        "entry",
        sa.Column("run_id", sa.String(200), sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("role", sa.String(40), primary_key=True),
        sa.Column("name", sa.String(300), primary_key=True),
        sa.Column("sha256", sa.String(64), sa.ForeignKey("blob.sha256"), nullable=False, index=True),
    )
    op.create_table(
        "vintage",
        sa.Column("run_id", sa.String(200), sa.ForeignKey("run.id"), primary_key=True),
        sa.Column("series", sa.Text(), primary_key=True),
        _text("scenario", 100),
        _text("issued_from", 40),
        sa.Column("sha256", sa.String(64), sa.ForeignKey("blob.sha256"), nullable=False),
    )
    op.create_index("ix_vintage_scenario", "vintage", ["scenario", "series"])
    op.create_table(
        "actual",
        sa.Column("scenario", sa.String(100), primary_key=True),
        sa.Column("series", sa.Text(), primary_key=True),
        sa.Column("month", sa.String(7), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        _text("recorded_at", 40),
        sa.Column("sha256", sa.String(64), sa.ForeignKey("blob.sha256"), nullable=False),
    )
    op.create_table(
        "correction",
        sa.Column("id", sa.String(16), primary_key=True),
        sa.Column("scenario", sa.String(100), nullable=False, index=True),
        _text("kind", 40),
        sa.Column("proposed_by", sa.String(200), sa.ForeignKey("run.id"), nullable=False),
        _text("recorded_at", 40),
        sa.Column("sha256", sa.String(64), sa.ForeignKey("blob.sha256"), nullable=False),
    )
    op.create_table(
        "review",
        sa.Column("correction_id", sa.String(16), sa.ForeignKey("correction.id"), primary_key=True),
        sa.Column("version", sa.Integer(), primary_key=True, autoincrement=False),
        _text("verdict", 10),
        _text("reviewer", 100),
        _text("note"),
        _text("recorded_at", 40),
    )
    if op.get_bind().dialect.name == "sqlite":
        for table in TABLES:
            for action in ("UPDATE", "DELETE"):
                op.execute(
                    f"CREATE TRIGGER {table}_no_{action.lower()} BEFORE {action} ON {table} "
                    "BEGIN SELECT RAISE(ABORT, 'the ledger is append-only'); END"
                )
        return
    op.execute(
        "CREATE FUNCTION fleetcast_append_only() RETURNS trigger LANGUAGE plpgsql AS "
        "$$ BEGIN RAISE EXCEPTION 'the ledger is append-only'; END $$"
    )
    for table in TABLES:
        op.execute(
            f"CREATE TRIGGER {table}_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {table} "
            "FOR EACH STATEMENT EXECUTE FUNCTION fleetcast_append_only()"
        )
