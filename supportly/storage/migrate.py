"""Runs the Alembic migrations. Also used by `make up`, the tests and `python -m supportly migrate`."""

from __future__ import annotations

from pathlib import Path

from alembic import command
from alembic.config import Config


def config(url: str) -> Config:
    """Alembic's configuration for the database at `url` (the owner's, not the application's)."""
    found = Config()
    found.set_main_option("script_location", str(Path(__file__).parent / "migrations"))
    found.attributes["url"] = url
    return found


def upgrade(url: str) -> None:
    """Bring the database at `url` to the newest revision; does nothing when it is there already."""
    command.upgrade(config(url), "head")
