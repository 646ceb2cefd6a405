"""Supportly's own API: what is kept when we write, and what each answer means."""

import httpx
import orjson
import pytest

from supportly.errors import NotFound, ProviderFailure, Throttled, Unavailable
from supportly.http import Outbound
from supportly.platform import Platform

EXTERNAL = {"external": {"zendesk_id": "9"}, "city": "Oslo"}


def platform(answer) -> tuple[Platform, list[httpx.Request]]:
    seen: list[httpx.Request] = []

    def handle(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        if isinstance(answer, Exception):
            raise answer
        return answer

    outbound = Outbound(timeout_s=1, max_bytes=10_000, transport=httpx.MockTransport(handle))
    return Platform(outbound, "https://supportly.example/api/v1", "token"), seen


def contact(**fields) -> httpx.Response:
    return httpx.Response(200, json={"payload": {"id": 5, "name": None, "additional_attributes": None, **fields}})


async def test_a_contact_is_read_with_blanks():
    found = await platform(contact(email="a@example.com", unknown_field=1))[0].contact(1, 5)
    assert (found.id, found.name, found.email, found.additional_attributes) == (5, None, "a@example.com", {})


async def test_remembering_keeps_everything_else():
    asked, seen = platform(contact(additional_attributes=EXTERNAL))
    await asked.remember(1, 5, "hubspot", "151")
    read, written = seen
    assert read.url.path == written.url.path == "/api/v1/accounts/1/contacts/5"
    assert written.headers["api_access_token"] == "token"
    assert orjson.loads(written.content) == {
        "additional_attributes": {"city": "Oslo", "external": {"zendesk_id": "9", "hubspot_id": "151"}}
    }


async def test_what_is_known_already_is_not_written():
    asked, seen = platform(contact(additional_attributes=EXTERNAL))
    await asked.remember(1, 5, "zendesk", "9")
    assert [r.method for r in seen] == ["GET"]


@pytest.mark.parametrize(
    ("answer", "error", "retry_after"),
    [
        (httpx.Response(404, json={"error": "Resource could not be found"}), NotFound, None),
        (httpx.Response(429, headers={"Retry-After": "7"}), Throttled, 7),
        (httpx.Response(429), Throttled, 10),
        (httpx.Response(500), Unavailable, 5),
        (httpx.Response(401, json={}), ProviderFailure, None),
        (httpx.Response(422, json={}), ProviderFailure, None),
        (httpx.Response(200, text="<html>"), ProviderFailure, None),
        (httpx.Response(200, json={"payload": []}), ProviderFailure, None),
        (httpx.Response(200, json={"payload": {"id": "x"}}), ProviderFailure, None),
        (httpx.ConnectError("refused"), Unavailable, 5),
        (httpx.ReadTimeout("slow"), Unavailable, 5),
    ],
)
async def test_every_other_answer_is_a_clear_error(answer, error, retry_after):
    with pytest.raises(error) as raised:
        await platform(answer)[0].contact(1, 5)
    assert type(raised.value) is error
    assert raised.value.retry_after == retry_after


async def test_a_profile_names_accounts_and_roles():
    body = {"accounts": [{"id": 1, "role": "administrator"}, {"id": 2}, "odd"]}
    assert await platform(httpx.Response(200, json=body))[0].profile("t") == [(1, "administrator"), (2, "agent")]
    assert await platform(httpx.Response(401, json={}))[0].profile("t") is None
    with pytest.raises(ProviderFailure):
        await platform(httpx.Response(200, json=[]))[0].profile("t")
