"""What alembic runs: migrations on the connection that data/ledger/connect.py hands over, inside its transaction."""

from __future__ import annotations

from alembic import context

from data.ledger.tables import metadata

context.configure(connection=context.config.attributes["connection"], target_metadata=metadata)
context.run_migrations()
