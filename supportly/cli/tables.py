"""`supportly migrate`: the tables, and the application role's password."""

from __future__ import annotations

from supportly.cli import showing
from supportly.cli.failing import CommandError
from supportly.cli.showing import Json
from supportly.cli.surroundings import settings
from supportly.dev.console import Report


def migrate(*, json: Json = False) -> None:
    """Bring the tables up to date, and give the application role the password in SUPPORTLY_DATABASE_URL, if any."""
    import psycopg
    from psycopg import sql
    from sqlalchemy.engine import make_url

    from supportly.storage import migrate as migrations

    chosen = settings()
    owner = chosen.admin_database_url
    if not owner:
        raise CommandError("SUPPORTLY_ADMIN_DATABASE_URL is not set: name PostgreSQL as the owner of the tables there.")
    migrations.upgrade(owner)
    application = make_url(chosen.database_url)
    if application.password:
        plain = make_url(owner).set(drivername="postgresql").render_as_string(hide_password=False)
        with psycopg.connect(plain) as connection:
            statement = sql.SQL("ALTER ROLE {} PASSWORD {}")
            role = sql.Identifier(application.username or "")
            connection.execute(statement.format(role, sql.Literal(application.password)))
    if json:
        showing.as_json({"migrated": True})
    else:
        Report().line("The tables are up to date.")
