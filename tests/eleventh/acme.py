"""Acme, a throw-away eleventh provider, written by docs/adding-a-provider.md.

Quirks that no other has: the client signs its token requests, errors hide in a 200, and the next page is named by a
header.
"""

from __future__ import annotations

import hashlib
import hmac
from collections.abc import Mapping
from typing import Any

from supportly.contracts.actions import ActionAnswer
from supportly.contracts.contacts import ActivityJob, Contact, Record, RecordRef
from supportly.contracts.knowledge import Document, StreamPage
from supportly.errors import NotFound, ProviderFailure, SupportlyError, Throttled, TokenRefused
from supportly.http import Answer, Cost, Http, segment
from supportly.oauth import OAuth2, Scope
from supportly.provider import (
    Call,
    Identity,
    LogsActivities,
    PagedParams,
    Stream,
    StreamsKnowledge,
    WritesContacts,
    action,
)


def signed(client: Any, _method: str, url: str, headers: dict[str, str], body: str) -> tuple[str, dict[str, str], str]:
    """Acme's client authentication: HMAC-SHA256 of the form body with the client's secret."""
    signature = hmac.new(client.client_secret.encode(), body.encode(), hashlib.sha256).hexdigest()
    return url, {**headers, "X-Acme-Client": client.client_id, "X-Acme-Signature": signature}, body


class Acme(WritesContacts, LogsActivities, StreamsKnowledge):
    """Acme."""

    id, title = "acme", "Acme"
    base = "https://api.acme.test/v1"
    oauth = OAuth2(
        authorize="https://acme.test/oauth/authorize",
        token="https://api.acme.test/oauth/token",
        scopes=(Scope("people", "look contacts up and write them"), Scope("guides", "read guides")),
        client_auth=signed,
        rotation="single_use",
        pkce=True,
    )
    limits = (Cost("minute", limit=60_000, window_s=60),)
    mapping = {"full_name": "name", "mail": "email", "phone": "phone_number"}
    activity_kinds = ("note",)
    streams = (Stream("guides", "Guides", "Public guides", default=True),)

    async def identify(self, http: Http) -> Identity:
        me = (await http.get("/whoami")).body()
        return Identity(tenant_key=str(me["org"]), account_name=str(me["org_name"]))

    def read_error(self, answer: Answer) -> SupportlyError | None:
        body = answer.json() if answer.is_json else None
        fault = body.get("fault") if isinstance(body, dict) else None
        if fault is None:
            return super().read_error(answer)
        kinds: dict[str, SupportlyError] = {
            "token": TokenRefused("Acme refused the token.", provider_status=401),
            "missing": NotFound("Acme has no such record."),
            "slow_down": Throttled("Acme wants a pause.", retry_after=float(fault.get("pause", 1))),
        }
        return kinds.get(fault["kind"]) or ProviderFailure(fault["says"], provider_code=fault["kind"])

    async def by_id(self, call: Call, record_id: str) -> Record | None:
        try:
            return person((await call.http.get(f"/people/{segment(record_id)}")).body())
        except NotFound:
            return None

    async def by_email(self, call: Call, email: str) -> list[Record]:
        found = (await call.http.get("/people", {"mail": email})).body()
        return [person(item) for item in found["people"]]

    def current(self, record: Record) -> Mapping[str, str | None]:
        return {name: record.raw.get(name) for name in self.mapping}

    async def create(self, call: Call, contact: Contact, fields: Mapping[str, str]) -> Record:
        return person((await call.http.post("/people", dict(fields))).body())

    async def update(self, call: Call, record: Record, fields: Mapping[str, str]) -> Record:
        return person((await call.http.patch(f"/people/{segment(record.id)}", dict(fields))).body())

    async def log(self, call: Call, record: Record, job: ActivityJob) -> RecordRef:
        body = {"text": f"{job.content}\n[{call.marker}]"}
        return RecordRef(id=str((await call.http.post(f"/people/{segment(record.id)}/notes", body)).body()["id"]))

    async def find_logged(self, call: Call, record: Record, job: ActivityJob) -> RecordRef | None:
        notes = (await call.http.get(f"/people/{segment(record.id)}/notes")).body()["notes"]
        return next((RecordRef(id=str(n["id"])) for n in notes if call.marker in n["text"]), None)

    @action(params=PagedParams, description="People, a page at a time.", example={"limit": 5})
    async def list_people(self, call: Call, params: PagedParams) -> ActionAnswer:
        answer = await call.http.get("/people", {"count": params.limit, "from": params.cursor})
        people = answer.body()["people"]
        items = [person(item).model_dump(mode="json", exclude={"raw"}) for item in people]
        return ActionAnswer(items=items, next_cursor=answer.headers.get("x-acme-continue"), raw=people)

    async def read_stream(self, call: Call, stream: str, cursor: str | None, since: str | None) -> StreamPage:
        answer = await call.http.get("/guides", {"from": cursor})
        after = answer.headers.get("x-acme-continue")
        if after is not None and after == cursor:
            raise ProviderFailure("Acme repeated a page.")
        documents = [
            Document(stream=stream, external_id=str(g["id"]), title=g["name"], body=g["text"], url=g["link"])
            for g in answer.body()["guides"]
        ]
        return StreamPage(documents=documents, next=after)


def person(raw: dict[str, Any]) -> Record:
    """A person of Acme as a record."""
    return Record(id=str(raw["id"]), name=raw.get("full_name"), email=raw.get("mail"), phone=raw.get("phone"), raw=raw)
