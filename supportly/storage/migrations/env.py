"""Alembic's entry: runs the revisions on the database that `supportly.storage.migrate` names."""

from __future__ import annotations

from alembic import context
from sqlalchemy import create_engine

from supportly.storage.knowledge_tables import documents

engine = create_engine(context.config.attributes["url"])
with engine.connect() as connection:
    context.configure(connection=connection, target_metadata=documents.metadata)
    with context.begin_transaction():
        # Two processes that start at once migrate one after the other.
        connection.exec_driver_sql("select pg_advisory_xact_lock(7220145)")
        context.run_migrations()
engine.dispose()
