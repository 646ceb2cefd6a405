"""What somebody reaches who can write rows of PostgreSQL: no address to which a token or our secret goes is read there.

`tests/attacks/test_row_security.py` is about who may write which rows.
"""

from urllib.parse import urlsplit

import pytest
from sqlalchemy import text

from supportly.errors import ProviderFailure
from supportly.provider import Provider
from supportly.providers import PROVIDERS
from supportly.storage.tables import metadata
from tests.caller import consent
from tests.providers.harness import World

EVIL = (
    "evil.example", "https://evil.example", "evil.example/", "evil.example#", "evil.example?", "a@evil.example",
    "evil.example\\", "evil.example%2f", "evil.example:443/", "//evil.example", "evil.example\n", "[::1]", "",
)  # fmt: skip
FIELDS = [(provider, one.name) for provider in PROVIDERS for one in provider.connect_fields]


def hosts(provider: Provider, facts: dict[str, str]) -> set[str]:
    """Wherever a connection with these facts would send something."""
    known = provider.trusted(facts)
    found = {urlsplit(url).hostname or "" for url in (*provider.urls(facts), provider.base_url(known))}
    if provider.oauth.revoke:
        found.add(urlsplit(provider.revocation_url(facts)).hostname or "")
    return found | {host.removeprefix("*.") for host in provider.hosts(known)}


@pytest.mark.parametrize(("provider", "field"), FIELDS, ids=lambda one: getattr(one, "id", one))
async def test_a_host_part_is_read_again_as_if_a_user_had_typed_it(provider, field):
    tokens = await World(provider).tokens()
    facts = {**World(provider).parts, **tokens.facts}
    honest = hosts(provider, facts)
    optional = next(one for one in provider.connect_fields if one.name == field)
    for evil in EVIL:
        if not evil and not optional.required:
            continue  # nothing was named: the provider's default
        with pytest.raises(ProviderFailure, match="nothing was sent") as refused:
            hosts(provider, facts | {field: evil})
        assert refused.value.sent is False
        assert not refused.value.retryable
        assert "evil" not in str(refused.value)
    assert hosts(provider, facts) == honest


@pytest.mark.parametrize("provider", PROVIDERS, ids=lambda one: one.id)
async def test_no_fact_whatever_leads_to_a_host_of_others(provider):
    """Also those that came with tokens (`api_domain`, `instance_url`), and such as no row of ours ever had."""
    world = World(provider)
    tokens = await world.tokens()
    facts = {**world.parts, **tokens.facts}
    names = {*facts, "api_domain", "instance_url", "cloud_id", "subdomain", "shop", "domain", "site", "base", "host"}
    sent = 0
    for name in sorted(names):
        for evil in EVIL:
            try:
                found = hosts(provider, facts | {name: evil})
            except ProviderFailure:
                continue
            sent += 1
            for host in found - {"evil.example"}:
                assert not host.endswith("evil.example"), (name, evil)
            # A base URL may name it only where the list of hosts does not: then the call is not sent.
            assert "evil.example" not in provider.hosts(provider.trusted(facts | {name: evil})), (name, evil)
            assert all("evil" not in url for url in provider.urls(facts | {name: evil})), (name, evil)
    assert sent


def test_a_row_that_names_a_foreign_host_is_not_followed(admin, owner, register, sandbox):
    register.known(admin.account_id)
    contact = {"id": admin.account_id * 10, "account_id": admin.account_id, "name": "Ada", "email": "ada@example.com"}
    sandbox("POST", "/supportly/seed", json={"contacts": [contact]})
    started = admin.start("zendesk", subdomain="acme")
    assert admin.finish("zendesk", **consent(started["authorization_url"])).status_code == 200
    path = f"/zendesk/contacts/{admin.account_id * 10}"
    assert admin.call("GET", path).status_code == 200
    spoil = text("update connections set facts = facts || cast(:f as jsonb) where account_id = :a")
    with owner.begin() as c:
        assert c.execute(spoil, {"a": admin.account_id, "f": '{"subdomain": "evil.example/"}'}).rowcount == 1
    refused = admin.call("GET", path)
    assert refused.status_code == 502
    assert "nothing was sent" in refused.json()["error"]


def test_no_row_holds_an_address():
    columns = {f"{table.name}.{column.name}" for table in metadata.sorted_tables for column in table.columns}
    shown = {"documents.url", "contact_links.url"}  # to people; nothing here calls them
    assert {name for name in columns if "url" in name.partition(".")[2]} == shown
