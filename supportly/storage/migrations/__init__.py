"""Alembic revisions; `supportly.storage.migrate` runs them."""
