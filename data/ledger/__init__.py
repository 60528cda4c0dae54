"""The ledger: what was said and what happened, append-only and content-addressed, on SQLite or PostgreSQL."""
