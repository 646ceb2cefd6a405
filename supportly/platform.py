"""Supportly's own API: contacts to read and mark, and who a token belongs to (shapes of Chatwoot)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson
from pydantic import ValidationError

from supportly.contracts.contacts import Contact
from supportly.errors import NotFound, ProviderFailure, Throttled, Unavailable
from supportly.http import DEFAULT_RETRY_AFTER, Answer, Outbound, retry_after

RETRY_AFTER_S: Final = 5.0
"""Seconds after which to ask again while Supportly is away: about a restart of its web process."""


class Platform:
    """Supportly's API at `url` (it ends in `/api/v1`), with a token that may read and write contacts.

    Raises NotFound for what Supportly does not know, Unavailable while it is away, Throttled when it wants a pause and
    ProviderFailure when it refuses our token or answers nonsense.
    """

    def __init__(self, outbound: Outbound, url: str, token: str) -> None:
        self._outbound = outbound
        self._url = url.rstrip("/")
        self._token = token

    async def contact(self, account_id: int, contact_id: int) -> Contact:
        """One contact."""
        answer = await self._ask("GET", f"/accounts/{account_id}/contacts/{contact_id}", self._token)
        if answer.status == 404:
            raise NotFound("Supportly does not know this contact.", details={"field": "contact_id"})
        payload = _body(answer).get("payload")
        given = {k: v for k, v in payload.items() if v is not None} if isinstance(payload, dict) else {}
        try:
            return Contact.model_validate(given)
        except ValidationError:
            raise _nonsense(answer) from None

    async def remember(self, account_id: int, contact_id: int, provider: str, record_id: str) -> None:
        """Write a record's id to `additional_attributes.external.{provider}_id`; everything else stays.

        The attributes go back whole: Supportly merges them one level deep, and `external` lies one level deeper.
        """
        contact = await self.contact(account_id, contact_id)
        attributes = contact.additional_attributes
        external = attributes.get("external")
        known = external if isinstance(external, dict) else {}
        if known.get(f"{provider}_id") == record_id:
            return
        merged = {**attributes, "external": {**known, f"{provider}_id": record_id}}
        path = f"/accounts/{account_id}/contacts/{contact_id}"
        answer = await self._ask("PUT", path, self._token, {"additional_attributes": merged})
        if answer.status == 404:
            raise NotFound("Supportly does not know this contact.", details={"field": "contact_id"})

    async def profile(self, token: str) -> list[tuple[int, str]] | None:
        """Accounts and roles that a caller's token has; None when Supportly does not know the token."""
        answer = await self._ask("GET", "/profile", token, caller=True)
        if answer.status == 401:
            return None
        accounts = _body(answer).get("accounts")
        if answer.status != 200 or not isinstance(accounts, list):
            raise _nonsense(answer)
        return [(int(a["id"]), str(a.get("role") or "agent")) for a in accounts if isinstance(a, dict) and "id" in a]

    async def _ask(
        self, method: str, path: str, token: str, json: Mapping[str, Any] | None = None, *, caller: bool = False
    ) -> Answer:
        headers = {"api_access_token": token}
        if json is not None:
            headers["Content-Type"] = "application/json"
        content = orjson.dumps(json) if json is not None else None
        try:
            answer = await self._outbound.send(
                method, self._url + path, headers=headers, content=content, peer="supportly"
            )
        except ProviderFailure:
            raise Unavailable("Supportly's own API cannot be reached.", retry_after=RETRY_AFTER_S) from None
        if answer.status == 429:
            pause = retry_after(answer.headers)
            raise Throttled("Supportly asks for a pause.", retry_after=DEFAULT_RETRY_AFTER if pause is None else pause)
        if answer.status >= 500:
            raise Unavailable(f"Supportly's own API answers with status {answer.status}.", retry_after=RETRY_AFTER_S)
        if answer.status in (401, 403) and not caller:
            raise ProviderFailure(
                "Supportly refuses the token of this service: check SUPPORTLY_SUPPORTLY_API_TOKEN.",
                provider_status=answer.status,
                code="supportly_refused",
            )
        if answer.status >= 400 and answer.status not in (401, 404):
            raise _nonsense(answer)
        return answer


def _body(answer: Answer) -> Mapping[str, Any]:
    try:
        return answer.body()
    except ProviderFailure:
        raise _nonsense(answer) from None


def _nonsense(answer: Answer) -> ProviderFailure:
    return ProviderFailure(
        "Supportly's own API answered in an unexpected way.", provider_status=answer.status, code="supportly_error"
    )
