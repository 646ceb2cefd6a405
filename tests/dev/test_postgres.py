"""PostgreSQL alone: it keeps its data, survives what a crash leaves, and says what keeps it from starting."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from supportly.dev import faults, postgres
from supportly.dev.faults import StackError
from supportly.dev.postgres import Postgres


@pytest.fixture(autouse=True)
def without_tables(monkeypatch: pytest.MonkeyPatch) -> None:
    """The tables are the storage room's affair."""
    monkeypatch.setattr(Postgres, "migrate", lambda _: None)


def plain(server: Postgres) -> str:
    return server.admin_url.replace("+psycopg", "")


def test_it_says_how_many_deadlocks_it_has_ended(tmp_path: Path) -> None:
    server = Postgres.start(tmp_path)
    try:
        with psycopg.connect(plain(server)) as one, psycopg.connect(plain(server)) as other:
            other.execute("SET deadlock_timeout = '1h'")  # so that it is the first one that is ended
            one.execute("SELECT pg_advisory_xact_lock(1)")
            other.execute("SELECT pg_advisory_xact_lock(2)")
            assert server.deadlocks() == 0
            with ThreadPoolExecutor(1) as aside:
                waiting = aside.submit(other.execute, "SELECT pg_advisory_xact_lock(1)")
                with pytest.raises(psycopg.errors.DeadlockDetected):
                    one.execute("SELECT pg_advisory_xact_lock(2)")
                one.rollback()
                waiting.result()
        assert server.deadlocks() == 1
    finally:
        server.stop()
    assert server.deadlocks() == 1


def test_data_survives_a_stop_a_crash_and_a_stale_lock_file(tmp_path: Path) -> None:
    server = Postgres.start(tmp_path)
    with psycopg.connect(plain(server)) as connection:
        connection.execute("CREATE EXTENSION vector")
        connection.execute("CREATE TABLE t AS SELECT '[1,2]'::vector AS v")
    server.kill()
    server = Postgres.start(tmp_path, port=server.port)
    server.stop()
    # What a power cut leaves: a lock file, and its process id belongs to somebody else by now.
    lock = tmp_path / "data" / "postmaster.pid"
    lock.write_text(f"{os.getpid()}\n{tmp_path / 'data'}\n0\n1\n\n\n\nready\n")
    server = Postgres.start(tmp_path)
    try:
        with psycopg.connect(plain(server)) as connection:
            found = connection.execute("SELECT v::text, current_setting('server_version_num')::int FROM t").fetchone()
        assert found is not None
        assert found[0] == "[1,2]"
        assert found[1] >= 180_000
        assert server.url.startswith("postgresql+psycopg://supportly_app@127.0.0.1:")
        with pytest.raises(StackError, match=rf"PostgreSQL \(process {server.pid}\) already runs on"):
            postgres.FORMER_SERVER_S, before = 0.1, postgres.FORMER_SERVER_S
            try:
                Postgres.start(tmp_path)
            finally:
                postgres.FORMER_SERVER_S = before
    finally:
        server.stop()

    (tmp_path / "data" / "global" / "pg_control").write_bytes(b"")
    with pytest.raises(StackError, match=r"PostgreSQL does not start on .*: .*pg_control.*make clean"):
        Postgres.start(tmp_path)


def test_a_path_too_long_for_a_socket_and_a_half_made_cluster(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 25)
    (directory / "data.new").mkdir(parents=True)
    (directory / "data").mkdir()
    server = Postgres.start(directory)
    assert server.answers()
    assert server.sockets != directory
    server.stop()
    assert not server.answers()
    assert not server.sockets.exists()


def test_a_port_in_use_is_named_with_its_variable(tmp_path: Path, taken_port: int) -> None:
    with pytest.raises(StackError, match=f"Port {taken_port} is in use.*SUPPORTLY_POSTGRES_PORT"):
        Postgres.start(tmp_path, port=taken_port)


def test_missing_programs_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(postgres.importlib.util, "find_spec", lambda _: None)
    with pytest.raises(StackError, match="PostgreSQL's programs are missing.*make clean"):
        postgres.server_programs()


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a file system to fill")
def test_a_full_disk_is_one_sentence(tmp_path: Path) -> None:
    if os.system(f"mount -t tmpfs -o size=20m tmpfs {tmp_path} 2>/dev/null") != 0:
        pytest.skip("this system lets nobody mount a file system")
    try:
        with pytest.raises(StackError, match="The disk of .* is full: free some space, or set SUPPORTLY_STACK_DIR"):
            Postgres.start(tmp_path / "postgres")
    finally:
        os.system(f"umount {tmp_path}")


def test_errors_of_the_operating_system_become_sentences(tmp_path: Path) -> None:
    assert "is full" in str(faults.from_os_error(OSError(28, "No space left on device"), tmp_path))
    assert "cannot be written" in str(faults.from_os_error(PermissionError(13, "no", "/x"), tmp_path))
    assert "make clean" in str(faults.from_os_error(OSError(5, "Input/output error"), tmp_path))
