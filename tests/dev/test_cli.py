"""The command line: tokens on a real database, and sentences instead of stack traces."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from supportly.dev.stack import ROOT, Postgres, write_private


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    server = Postgres.start(tmp_path_factory.mktemp("database"))
    yield server
    server.stop()


def supportly(*arguments: str, **environment: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SUPPORTLY_")}
    return subprocess.run(
        [sys.executable, "-m", "supportly", *arguments],
        cwd=ROOT, env={**kept, **environment}, capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_tokens_are_shown_once_listed_and_revoked(database: Postgres, tmp_path: Path) -> None:
    # As a person does it beside `make up`: the command finds the running stack by itself.
    write_private(tmp_path / "stack.json", {"database_url": database.admin_url.replace("+psycopg", "")})
    write_private(tmp_path / "secrets.json", {"keys": "s1:" + "A" * 43 + "=", "token_pepper": "pepper"})
    here = {"SUPPORTLY_STACK_DIR": str(tmp_path)}

    assert "There are no tokens" in supportly("token", "list", **here).stdout
    made = supportly("token", "create", "--account", "7", "--role", "agent", "--name", "ticket sidebar", **here)
    assert made.returncode == 0, made.stderr
    plain = made.stdout.strip()
    assert len(plain) > 40
    assert "account 7, agent. It is not shown again." in made.stderr

    listed = supportly("token", "list", **here).stdout
    assert "ticket sidebar" in listed
    assert plain not in listed
    number = listed.splitlines()[1].split()[0]
    assert supportly("token", "revoke", number, **here).stdout.strip() == f"Token {number} is revoked."
    again = supportly("token", "revoke", number, **here)
    assert again.returncode == 1
    assert f"No working token has the id {number}" in again.stderr


def test_migrate_gives_the_application_role_its_password(database: Postgres) -> None:
    own = database.url.replace("supportly_app@", "supportly_app:s3cret'quote@")
    urls = {"SUPPORTLY_ADMIN_DATABASE_URL": database.admin_url, "SUPPORTLY_DATABASE_URL": own}
    done = supportly("migrate", **urls)
    assert (done.returncode, done.stdout.strip()) == (0, "The tables are up to date."), done.stderr
    with psycopg.connect(database.admin_url.replace("+psycopg", "")) as connection:
        stored = connection.execute("SELECT rolpassword FROM pg_authid WHERE rolname = 'supportly_app'").fetchone()
    assert stored is not None
    assert stored[0].startswith("SCRAM-SHA-256$")


def test_without_a_database_one_sentence_says_what_to_do(tmp_path: Path) -> None:
    away = {"SUPPORTLY_DATABASE_URL": "postgresql+psycopg://supportly_app@127.0.0.1:1/supportly"}
    failed = supportly("token", "list", **away)
    assert failed.returncode == 1
    assert "`make up` starts one here" in failed.stderr
    assert "Traceback" not in failed.stderr
    failed = supportly("migrate", SUPPORTLY_STACK_DIR=str(tmp_path))
    assert failed.returncode == 1
    assert "SUPPORTLY_ADMIN_DATABASE_URL is not set" in failed.stderr


def test_a_wrong_setting_is_one_sentence(tmp_path: Path) -> None:
    failed = supportly("stack", "up", SUPPORTLY_WORKERS="many", SUPPORTLY_STACK_DIR=str(tmp_path))
    assert (failed.returncode, failed.stdout) == (1, "")
    assert failed.stderr.strip() == "SUPPORTLY_WORKERS=many is not a number from 1 to 64: correct it or unset it."


def test_a_damaged_environment_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "rich.py").write_text("raise ModuleNotFoundError('gone', name='rich')")
    failed = supportly("token", "list", PYTHONPATH=str(tmp_path))
    assert failed.returncode == 1
    assert failed.stderr.strip() == (
        "The environment is damaged (the module rich is missing): `make clean`, then start again."
    )
