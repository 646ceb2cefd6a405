"""Operations: what a caller may ask about later, and what an Idempotency-Key stands for.

Status: `running` -> `succeeded` | `failed`. Results and errors are sealed; the column `error` holds the code alone.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any, Literal, cast

import orjson
from sqlalchemy import Row, and_, func, or_, select, update
from sqlalchemy.dialects.postgresql import insert

from supportly.crypto import Binding, Vault
from supportly.errors import ErrorPayload, KeyReused
from supportly.storage.database import Database
from supportly.storage.tables import binding
from supportly.storage.tables import operations as rows
from supportly.telemetry import metrics

Status = Literal["running", "succeeded", "failed"]


@dataclass(frozen=True)
class Operation:
    """One operation. `result` is set when it succeeded, `error` when it failed."""

    id: str
    provider: str
    kind: str
    status: Status
    workflow_id: str | None
    run_id: str | None
    created_at: datetime
    finished_at: datetime | None
    result: Any = field(default=None, repr=False)
    error: ErrorPayload | None = field(default=None, repr=False)
    new: bool = False
    """True for the caller that made the row."""


def key_hash(key: str) -> str:
    """The stored form of an Idempotency-Key."""
    return sha256(key.encode()).hexdigest()


async def open_operation(
    db: Database,
    vault: Vault,
    *,
    account_id: int,
    provider: str,
    kind: str,
    request_hash: str,
    key: str | None = None,
    operation_id: str | None = None,
    workflow_id: str | None = None,
    run_id: str | None = None,
) -> Operation:
    """Make a running operation, or answer the one that the same key made. Raises KeyReused for another request."""
    values = {
        "account_id": account_id,
        "id": uuid.UUID(operation_id) if operation_id else uuid.uuid4(),
        "provider": provider,
        "kind": kind,
        "workflow_id": workflow_id,
        "run_id": run_id,
        "key_hash": key_hash(key) if key is not None else None,
        "request_hash": request_hash,
        "status": "running",
    }
    async with db.tenant(account_id) as c:
        statement = insert(rows).values(values).on_conflict_do_nothing().returning(rows)
        row = (await c.execute(statement)).one_or_none()
        if row is not None:
            return _operation(vault, row, new=True)
        same = and_(rows.c.account_id == account_id, rows.c.key_hash == values["key_hash"])
        row = (await c.execute(select(rows).where(same))).one()
    if row.request_hash != request_hash:
        raise KeyReused("This Idempotency-Key was used for another request; take a new one.", field="Idempotency-Key")
    return _operation(vault, row)


async def attach(db: Database, account_id: int, operation_id: str, workflow_id: str, run_id: str | None) -> None:
    """Say which run of which workflow does the work."""
    async with db.tenant(account_id) as c:
        await c.execute(
            update(rows).where(_at(account_id, operation_id)).values(workflow_id=workflow_id, run_id=run_id)
        )


async def take_over(db: Database, account_id: int, operation_id: str, *, after: timedelta) -> bool:
    """Claim a running operation whose maker has been silent for `after`; False while it may still be at work."""
    async with db.tenant(account_id) as c:
        statement = (
            update(rows)
            .where(_at(account_id, operation_id), rows.c.status == "running", rows.c.created_at < func.now() - after)
            .values(created_at=func.now())
        )
        return (await c.execute(statement)).rowcount == 1


async def finish(
    db: Database,
    vault: Vault,
    account_id: int,
    operation_id: str,
    *,
    result: Any = None,
    error: ErrorPayload | None = None,
) -> None:
    """Store how an operation ended, once; others that joined the same run end with it.

    An unknown id, or none, changes nothing.

    `result` is JSON of the answer without its operation id.
    """
    if not operation_id:
        return
    plain = orjson.dumps(result if error is None else error)
    status: Status = "succeeded" if error is None else "failed"
    async with db.tenant(account_id) as c:
        own = (await c.execute(select(rows).where(_at(account_id, operation_id)))).one_or_none()
        if own is None:
            return
        joined = and_(rows.c.run_id.is_not(None), rows.c.workflow_id == own.workflow_id, rows.c.run_id == own.run_id)
        query = select(rows.c.id, rows.c.provider, rows.c.kind).where(
            rows.c.account_id == account_id, or_(rows.c.id == own.id, joined), rows.c.status == "running"
        )
        ended = (await c.execute(query.with_for_update())).all()
        for row in ended:
            await c.execute(
                update(rows)
                .where(_at(account_id, str(row.id)))
                .values(
                    status=status,
                    result=vault.seal(plain, _binding(account_id, row.provider, row.id)),
                    error={"code": error["code"]} if error else None,
                    finished_at=func.now(),
                )
            )
    for row in ended:
        metrics.OPERATIONS.labels(row.provider, row.kind, error["code"] if error else status).inc()


async def forget(db: Database, account_id: int, operation_id: str) -> None:
    """Drop a running operation that did nothing, so that its key is free again."""
    async with db.tenant(account_id) as c:
        await c.execute(rows.delete().where(_at(account_id, operation_id), rows.c.status == "running"))


async def read(db: Database, vault: Vault, account_id: int, operation_id: str) -> Operation | None:
    """One operation of this account; None for any other id."""
    try:
        wanted = str(uuid.UUID(operation_id))
    except ValueError:
        return None
    async with db.tenant(account_id) as c:
        row = (await c.execute(select(rows).where(_at(account_id, wanted)))).one_or_none()
    return _operation(vault, row) if row else None


def _at(account_id: int, operation_id: str) -> Any:
    return and_(rows.c.account_id == account_id, rows.c.id == uuid.UUID(operation_id))


def _binding(account_id: int, provider: str, operation_id: object) -> Binding:
    return binding(rows.c.result, account_id, provider, operation_id)


def _operation(vault: Vault, row: Row[Any], *, new: bool = False) -> Operation:
    stored = (
        orjson.loads(vault.open(row.result, _binding(row.account_id, row.provider, row.id))) if row.result else None
    )
    return Operation(
        id=str(row.id),
        provider=row.provider,
        kind=row.kind,
        status=row.status,
        workflow_id=row.workflow_id,
        run_id=row.run_id,
        created_at=row.created_at,
        finished_at=row.finished_at,
        result=stored if row.status == "succeeded" else None,
        error=cast("ErrorPayload", stored) if row.status == "failed" else None,
        new=new,
    )


def request_hash(*parts: Any) -> str:
    """A stable fingerprint of a request: what it asks, where, with which body."""
    return sha256(orjson.dumps(parts, option=orjson.OPT_SORT_KEYS)).hexdigest()


def as_json(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result as it will come back out of the store (dates as text)."""
    return cast("dict[str, Any]", orjson.loads(orjson.dumps(result)))
