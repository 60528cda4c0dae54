"""The one path by which the ledger's tables come to be and change: numbered migrations, run by alembic."""
