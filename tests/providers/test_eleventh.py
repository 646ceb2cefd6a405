"""docs/adding-a-provider.md, followed: a provider that nobody has seen runs through the whole service."""

from collections.abc import Iterator

import httpx
import pytest

from supportly import providers
from tests.caller import consent, until
from tests.conftest import Service
from tests.eleventh.acme import Acme


@pytest.fixture
def acme() -> Iterator[Acme]:
    """The one line in PROVIDERS, for as long as the test runs."""
    provider = Acme()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(providers.BY_ID, "acme", provider)
        patch.setattr(providers, "PROVIDERS", (*providers.PROVIDERS, provider))
        yield provider


def test_a_new_provider_costs_a_file_a_double_and_a_line(acme: Acme, service: Service, account_id: int) -> None:
    token, contact = service.token(account_id), account_id * 10
    root = f"{service.api_url}/api/v1/accounts/{account_id}/supportly_integrations"
    service.control("POST", "/supportly/settings", json={"accounts": [1, 2, 3, account_id]})
    nova = {"id": contact, "account_id": account_id, "name": "Nova Kane", "email": "nova@example.com"}
    service.control("POST", "/supportly/seed", json={"contacts": [nova]})
    service.control(
        "POST",
        "/acme/seed",
        json={
            "guides": [
                {"name": f"Guide {n}", "text": f"# Guide {n}\n\nHow to descale boiler model {n}."} for n in range(5)
            ]
        },
    )
    with httpx.Client(base_url=root, headers={"api_access_token": token}, timeout=40) as api:
        started = api.post("/acme/connect", json={}).raise_for_status().json()
        connected = api.post("/acme/callback", json=consent(started["authorization_url"]))
        assert connected.status_code == 200, connected.text
        assert connected.json()["account_name"] == "Acme test org"

        assert api.get(f"/acme/contacts/{contact}").json()["records"] == []
        made = api.post(f"/acme/contacts/{contact}/sync").json()
        assert made["status"] == "created"
        assert api.post(f"/acme/contacts/{contact}/sync").json()["status"] == "unchanged"
        assert api.get(f"/acme/contacts/{contact}").json()["records"][0]["email"] == "nova@example.com"

        # An answer that is lost after the commit, and tokens that have ended: neither is seen by the caller.
        service.control("POST", "/acme/expire")
        service.control(
            "POST", "/faults", json={"provider": "acme", "method": "POST", "path": ".*/notes", "cut": "after_commit"}
        )
        logged = api.post(f"/acme/contacts/{contact}/activity", json={"content": "Asked about descaling."})
        assert logged.status_code == 200, logged.text
        notes = service.control("GET", "/acme/records?kind=notes")
        assert len(notes) == 1

        listed = api.post("/acme/action", json={"action": "list_people", "params": {"limit": 1}}).json()
        assert [item["name"] for item in listed["items"]] == ["Nova Kane"]

        assert api.post("/acme/knowledge/toggle", json={"enabled": True}).status_code in (200, 202)

        def synced():
            status = api.get("/knowledge/status").json()
            mine = next(p for p in status["providers"] if p["provider"] == "acme")
            return mine["documents"] == 5

        until(synced)
        hits = api.get("/knowledge/search", params={"q": "descale boiler model 3"}).json()["hits"]
        assert hits[0]["title"] == "Guide 3"
        assert api.delete("/acme/disconnect").status_code == 200
