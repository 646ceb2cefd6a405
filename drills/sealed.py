"""Everything that is sealed in the database: filled with rows of every kind, listed, and opened."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from psycopg import sql

from drills.stage import Stage
from supportly.crypto import Binding, KeyRing, Vault
from supportly.oauth import Tokens, new_state
from supportly.storage import authorizations, markers, operations, revocations
from supportly.storage.database import Database
from supportly.storage.tables import Sealed, binding, sealed_columns

LATER: Final = timedelta(hours=1)


@dataclass(frozen=True)
class Cell:
    """One sealed value, and where it stands."""

    table: str
    column: str
    account: int
    provider: str
    row: str
    """Key of the row beside the account."""
    place: Binding
    value: str


def vault_of(stage: Stage) -> Vault:
    """What opens the stage's values with its present ring."""
    return Vault(KeyRing(stage.settings.keys.get_secret_value()))


def cells(stage: Stage) -> list[Cell]:
    """Every sealed value of every account."""
    found = []
    for column in sealed_columns():
        assert isinstance(column.type, Sealed)
        [key] = [part.name for part in column.table.primary_key.columns if part.name != "account_id"]
        names = ["account_id", "provider", key, column.type.owner, column.name]
        query = sql.SQL("select {} from {} where {} is not null").format(
            sql.SQL(", ").join(map(sql.Identifier, names)),
            sql.Identifier(column.table.name),
            sql.Identifier(column.name),
        )
        for account, provider, row, owner, value in stage.rows(query.as_string()):
            place = binding(column, account, provider, owner)
            found.append(Cell(column.table.name, column.name, account, provider, str(row), place, value))
    return found


async def fill(stage: Stage, db: Database, accounts: Sequence[int], each: int, providers: Sequence[str]) -> None:
    """Give every account `each` rows of what comes and goes: operations, markers, authorizations, revocations."""
    vault = vault_of(stage)
    for account in accounts:
        for number in range(each):
            await _row_of_each(db, vault, account, providers[number % len(providers)])


async def _row_of_each(db: Database, vault: Vault, account: int, provider: str) -> None:
    operation = str(uuid.uuid4())
    await operations.open_operation(
        db, vault, account_id=account, provider=provider, kind="lookup", request_hash="drill", operation_id=operation
    )
    await operations.finish(db, vault, account, operation, result={"of": operation, "records": [{"id": "1"}] * 5})
    await markers.intend(db, vault, account, provider, operation, generation=1, lease_s=30)
    await markers.close(db, vault, account, provider, operation, "done", operation.encode())
    await _authorization(db, vault, account, provider)
    tokens = Tokens(f"gone-{operation}", f"gone-too-{operation}", facts={})
    async with db.tenant(account) as c:
        # Of a provider account that nobody has: nothing voids it, and without a workflow nothing revokes it.
        await revocations.discard_in(c, vault, account, provider, operation, replace(tokens))


async def _authorization(db: Database, vault: Vault, account: int, provider: str) -> None:
    """A callback that was received, so that code and verifier lie in its row."""
    state: Any = new_state()
    await authorizations.open_attempt(
        db,
        vault,
        account_id=account,
        provider=provider,
        actor="drill",
        facts={},
        redirect_uri="https://example.com/back",
        state=state,
        code_challenge=None,
        verifier=f"verifier-{state}",
        replace=False,
        expires_at=datetime.now(UTC) + LATER,
    )
    returned = {"code": f"code-{state}", "state": state}
    await authorizations.receive(
        db, vault, account_id=account, provider=provider, actor="drill", returned=returned, strict=True
    )
