"""Who attacks and who is attacked: callers of the API with a token each, and what they do over HTTP."""

import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

import httpx
from sqlalchemy import Engine, insert

from supportly.storage import tokens
from supportly.storage.tables import api_tokens
from tests.conftest import Service


@dataclass
class Caller:
    """Somebody with a token for one account."""

    http: httpx.Client = field(repr=False)
    account_id: int
    token: str = field(repr=False)

    @property
    def base(self) -> str:
        return f"/api/v1/accounts/{self.account_id}/supportly_integrations"

    def call(self, method: str, path: str = "", **extra: Any) -> httpx.Response:
        headers = {"api_access_token": self.token, **extra.pop("headers", {})}
        return self.http.request(method, self.base + path, headers=headers, **extra)

    def through(self, http: httpx.Client) -> "Caller":
        """The same caller, at another API."""
        return Caller(http, self.account_id, self.token)

    def start(self, provider: str, **body: Any) -> dict[str, Any]:
        """What `connect` answers."""
        answer = self.call("POST", f"/{provider}/connect", json=body)
        assert answer.status_code == 200, answer.text
        return dict(answer.json())

    def finish(self, provider: str, **returned: Any) -> httpx.Response:
        return self.call("POST", f"/{provider}/callback", json=returned)

    def connected(self) -> dict[str, str]:
        """Provider -> name of the provider account that is connected."""
        listed = self.call("GET").json()["integrations"]
        return {i["provider"]: i["account_name"] for i in listed if i["status"] != "not_connected"}


@dataclass
class Register:
    """Makes callers."""

    service: Service
    owner: Engine

    def tokens(self, *wanted: tuple[int, str]) -> list[str]:
        """New API tokens, for (account, role) each, in one statement."""
        pepper = self.service.settings.token_pepper.get_secret_value()
        plain = [tokens.PREFIX + secrets.token_urlsafe(tokens.TOKEN_BYTES) for _ in wanted]
        rows = [
            {
                "id": uuid.uuid4(),
                "account_id": account_id,
                "role": role,
                "name": "attack",
                "prefix": token[: tokens.SHOWN],
                "token_hmac": tokens.digest(token, pepper),
            }
            for token, (account_id, role) in zip(plain, wanted, strict=True)
        ]
        with self.owner.begin() as connection:
            connection.execute(insert(api_tokens), rows)
        return plain

    def caller(self, http: httpx.Client, account_id: int, role: str = "administrator") -> Caller:
        return Caller(http, account_id, self.tokens((account_id, role))[0])

    def known(self, *accounts: int) -> None:
        """Let Supportly's double know accounts."""
        control = self.service.control
        have = control("GET", "/supportly/settings")["accounts"]
        control("POST", "/supportly/settings", json={"accounts": [*have, *accounts]})
