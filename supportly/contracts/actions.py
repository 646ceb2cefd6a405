"""Provider actions: one envelope for all of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from supportly.contracts.operations import Operation


class ActionJob(Operation):
    """Run one action; `params` are validated already."""

    action: str
    params: dict[str, Any] = Field(default_factory=dict)


class ActionAnswer(BaseModel):
    """What a provider's action returns: normalised items or one result, and the provider's own words under `raw`."""

    items: list[dict[str, Any]] | None = None
    result: dict[str, Any] | None = None
    next_cursor: str | None = None
    raw: Any = None


class ActionResult(ActionAnswer):
    """An action's answer with what was asked."""

    provider: str
    action: str
