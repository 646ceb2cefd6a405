"""Provider actions: one envelope for all of them."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, Field

from supportly.contracts.addresses import Linked
from supportly.contracts.operations import Operation


class ActionJob(Operation):
    """Run one action; `params` are validated already."""

    action: str
    params: dict[str, Any] = Field(default_factory=dict)


class ActionAnswer(BaseModel):
    """What a provider's action returns: normalised items or one result, and the provider's own words under `raw`."""

    items: list[Linked] | None = None
    result: Linked | None = None
    next_cursor: str | None = None
    raw: Any = None

    @classmethod
    def listed(cls, items: list[dict[str, Any]], next_cursor: str | None = None) -> ActionAnswer:
        """Normalised items, each with the provider's own row under `raw`: the rows stand together beside them."""
        shown = [{name: value for name, value in item.items() if name != "raw"} for item in items]
        return cls(items=shown, next_cursor=next_cursor, raw=[item.get("raw") for item in items])

    @classmethod
    def single(cls, item: dict[str, Any]) -> ActionAnswer:
        """One normalised thing with the provider's own row under `raw`."""
        return cls(result={name: value for name, value in item.items() if name != "raw"}, raw=item.get("raw"))


class ActionResult(ActionAnswer):
    """An action's answer with what was asked."""

    provider: str
    action: str
