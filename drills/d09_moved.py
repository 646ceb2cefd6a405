"""Sealed values moved between rows, fields, providers and tenants: each is refused where it does not belong."""

from __future__ import annotations

import random
import uuid
from typing import Final

import psycopg
from psycopg import sql

from drills.caller import Account
from drills.drill import Drill
from drills.grants import last_request
from drills.sealed import Cell, cells, fill, vault_of
from drills.stage import Stage, staged
from drills.tally import Tally
from supportly.crypto import CannotOpen, Vault
from supportly.storage import authorizations, connections, markers, operations
from supportly.storage.database import Database

ACCOUNTS: Final = 6
PROVIDERS: Final = ("hubspot", "zendesk")
ROWS: Final = 4
"""Rows of each kind and account: enough for moves within an account."""
KINDS: Final = ("another row", "another field", "another provider", "another tenant")
KEYS: Final = {"connections": "provider", "markers": "operation_id"}
"""Keys beside the account; `id` elsewhere."""


async def run(tally: Tally) -> None:
    """Move, read as the service reads, put back."""
    async with staged(keep_logs=tally.drill) as stage:
        accounts = {}
        for _ in range(ACCOUNTS):
            account = await stage.account()
            accounts[account.id] = account
            for provider in PROVIDERS:
                await account.connect(provider)
        assert stage.stack.postgres
        db = Database(stage.stack.postgres.url, 2)
        try:
            await fill(stage, db, list(accounts), ROWS, PROVIDERS)
            known = cells(stage)
            await _all_open_in_place(stage, db, known)
            for number in range(tally.tries, tally.wanted):
                kind = KINDS[number % len(KINDS)]
                source, target = _pair(known, kind, tally.rng(number))
                opened = await _moved(stage, db, accounts, source, target)
                said = f"{source.table}.{source.column} opened in {target.table}.{target.column}: {opened}"
                tally.add(f"{kind}: refused", lost=bool(opened), cause=said if opened else "")
        finally:
            await db.close()


async def _all_open_in_place(stage: Stage, db: Database, known: list[Cell]) -> None:
    """Where nothing was moved everything opens: what is refused afterwards is refused for having been moved."""
    for cell in known:
        if await _read(db, vault_of(stage), cell) in ("", "None"):
            raise AssertionError(f"{cell.table}.{cell.column} does not open in its own place")
        if cell.table == "pending_authorizations":
            _set(stage, cell, "status", "received")


def _pair(known: list[Cell], kind: str, rng: random.Random) -> tuple[Cell, Cell]:
    """A value, and a place where it does not belong, apart from it in what `kind` says."""

    def apart(one: Cell, other: Cell) -> bool:
        same = one.account == other.account
        if kind == "another tenant":
            return not same and one.place.field == other.place.field
        if kind == "another provider":
            return same and one.provider != other.provider and one.place.field == other.place.field
        if kind == "another field":
            return same and one.place.field != other.place.field
        return same and one.provider == other.provider and one.place.field == other.place.field

    while True:
        source = rng.choice(known)
        fits = [cell for cell in known if cell.place != source.place and apart(source, cell)]
        if fits:
            return source, rng.choice(fits)


async def _moved(stage: Stage, db: Database, accounts: dict[int, Account], source: Cell, target: Cell) -> str:
    """Put `source` into the place of `target`, read that as the service does, and put everything back.

    Answers what came of it: an empty text when it was refused.
    """
    saved = _write(stage, target, source.value)
    try:
        try:
            found = await _read(db, vault_of(stage), target)
        except CannotOpen:
            found = ""
        if target.table == "connections":
            found = found or await _called(stage, accounts[target.account], target.provider)
        return found
    finally:
        _write(stage, target, saved)
        if target.table == "pending_authorizations":
            _set(stage, target, "status", "received")


async def _called(stage: Stage, account: Account, provider: str) -> str:
    """A caller gets an error, and no call that carries a token reaches the provider."""
    since = last_request(stage)
    answer = await account.call("GET", f"/{provider}/contacts/1", headers={"Prefer": "wait=20"})
    if answer.status_code < 400 or not answer.json()["code"]:
        return f"a lookup answered {answer.status_code}"
    reached = [r for r in stage.requests(provider=provider, since=since) if "authorization" in r["headers"]]
    return f"{len(reached)} calls reached the provider" if reached else ""


async def _read(db: Database, vault: Vault, cell: Cell) -> str:
    """What the service makes of a value at its place; raises CannotOpen when it refuses it."""
    if cell.table == "connections":
        row = await connections.read(db, cell.account, cell.provider)
        assert row is not None
        return f"tokens of version {row.version}, {connections.open_tokens(vault, row)}"
    if cell.table == "revocations":
        return str(await connections.open_revocation(db, vault, cell.account, cell.provider, cell.row))
    if cell.table == "operations":
        return str(await operations.read(db, vault, cell.account, cell.row))
    if cell.table == "markers":
        return str(await markers.intend(db, vault, cell.account, cell.provider, cell.row, generation=1, lease_s=1))
    return str(await authorizations.begin_exchange(db, vault, cell.account, cell.provider, cell.row))


def _write(stage: Stage, cell: Cell, value: str) -> str:
    """Put a value into a cell, past the service; answers what stood there."""
    saved = _set(stage, cell, cell.column, value)
    assert isinstance(saved, str)
    return saved


def _set(stage: Stage, cell: Cell, column: str, value: str) -> object:
    key = KEYS.get(cell.table, "id")
    names = {"t": sql.Identifier(cell.table), "c": sql.Identifier(column), "k": sql.Identifier(key)}
    row: object = cell.row if key == "provider" else uuid.UUID(cell.row)
    with psycopg.connect(stage.stack.facts()["database_url"]) as connection:
        read = sql.SQL("select {c} from {t} where account_id = %s and {k} = %s for update").format(**names)
        found = connection.execute(read, [cell.account, row]).fetchone()
        assert found, f"{cell.table} has lost a row"
        change = sql.SQL("update {t} set {c} = %s where account_id = %s and {k} = %s").format(**names)
        connection.execute(change, [value, cell.account, row])
    return found[0]


DRILLS: Final = (
    Drill(
        "ciphertexts_moved",
        "Sealed values are moved to another row, field, provider or tenant: each is refused there, and none reaches a "
        "provider.",
        1000,
        run,
    ),
)
