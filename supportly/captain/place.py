"""For whom a tool works: an account, and a client that carries the caller's own token to the API."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, replace
from typing import Any, Final, TypeVar

from mcp.server.mcpserver import Context
from mcp.server.mcpserver.exceptions import ToolError
from pydantic import BaseModel

from supportly.client import Account, Ask, AsyncClient
from supportly.errors import SupportlyError

PATIENCE_S: Final = 45.0
"""Seconds that a tool follows work that goes on: clients commonly give a call up after a minute."""

T = TypeVar("T", bound=BaseModel)


@dataclass(frozen=True)
class Place:
    """One account, asked on behalf of one caller."""

    client: AsyncClient
    me: Account
    request_id: str = ""
    """Goes along, so that the log shows which calls belong to which tool call."""

    async def send(self, ask: Ask[T]) -> T:
        """The API's answer. Its errors become the tool's, with the code that docs/api.md lists."""
        if self.request_id:
            ask = replace(ask, headers={**ask.headers, "X-Request-Id": self.request_id})
        try:
            return await self.client.send(ask, patience_s=PATIENCE_S)
        except SupportlyError as error:
            raise ToolError(explained(error)) from None


def explained(error: SupportlyError) -> str:
    """An error as the model reads it: code, sentence, and what would help."""
    told = [f"{error.own_code}: {error.message}"]
    details = error.details
    told += [f"{p['field']}: {p['problem']}" for p in details.get("problems", []) if isinstance(p, dict)]
    if details.get("field"):
        told.append(f"field: {details['field']}")
    for name in ("allowed", "choices", "candidates", "alternatives", "operation_id"):
        if details.get(name):
            told.append(f"{name}: {details[name]}")
    if error.retry_after:
        told.append(f"again after {error.retry_after:.0f} s")
    return "\n".join(told)


Whereabouts = Callable[[Context[Any, Any]], AbstractAsyncContextManager[Place]]
"""Finds the place of a tool call."""
