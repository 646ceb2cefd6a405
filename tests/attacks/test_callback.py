"""Attacks on the end of OAuth (RFC 9700, RFC 9207): who may finish which authorization, with which code.

Everything that is refused reads alike, and nothing of it reaches the provider's token endpoint: the code is not sent.
"""

import base64
import hashlib
import secrets
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from supportly.providers import PROVIDERS
from tests.attacks.consent import agree, belongs, host_part, iss
from tests.caller import until

EVERY = pytest.mark.parametrize("provider", ["hubspot", "pipedrive", "shopify"])
"""With PKCE, without it, and with a signed answer."""
TOKEN = {"hubspot": "/oauth", "pipedrive": "/oauth/token", "shopify": "/admin/oauth/access_token"}


@pytest.fixture
def spent(sandbox):
    """How many codes reached a provider's token endpoint, since the test began."""
    ring = sandbox("GET", "/requests?since=0")
    since = ring[-1]["n"] if ring else 0

    def count(provider):
        found = sandbox("GET", f"/requests?provider={provider}&since={since}&path={TOKEN[provider]}&method=POST")
        return sum("code" in (entry["body"] or {}) for entry in found)

    return count


def refused(answer):
    """The answer of everything that is not the end of an authorization of this caller, without its request id."""
    body = answer.json()
    assert (answer.status_code, body["code"]) == (422, "invalid_authorization"), answer.text
    assert body.pop("request_id") == answer.headers["x-request-id"]
    assert body["details"] == {}
    return body


def begun(sandbox, caller, provider, person="ada", **body):
    """An authorization that `person` has agreed to: the answer of `connect`, and what the provider returned."""
    started = caller.start(provider, **host_part(provider, person), **body)
    return started, agree(sandbox, provider, person, started["authorization_url"])


@EVERY
def test_a_state_that_is_not_this_callers_is_refused_alike(
    register, http, strict_http, sandbox, spent, fresh, provider
):
    """Missing, forged, foreign (tenant, actor, provider), swapped and expired: one answer, and the code stays here."""
    admin, other = register.caller(strict_http, fresh), register.caller(strict_http, fresh + 1)
    colleague = register.caller(strict_http, fresh)
    started, returned = begun(sandbox, admin, provider)
    _, theirs = begun(sandbox, other, provider, "mallory")
    _, second = begun(sandbox, admin, provider, "mallory")
    elsewhere = admin.start("schedly")
    without = {name: value for name, value in returned.items() if name != "state"}
    forged = secrets.token_urlsafe(32)
    tries = {
        "missing": admin.finish(provider, **without),
        "empty": admin.finish(provider, **{**returned, "state": ""}),
        "forged": admin.finish(provider, **{**returned, "state": forged}),
        "forged by a letter": admin.finish(provider, **{**returned, "state": returned["state"][:-1] + "~"}),
        "with a space": admin.finish(provider, **{**returned, "state": returned["state"] + " "}),
        "its hash": admin.finish(
            provider, **{**returned, "state": hashlib.sha256(returned["state"].encode()).hexdigest()}
        ),
        "another provider's": admin.finish(provider, **{**returned, "state": elsewhere["state"]}),
        "another tenant's": admin.finish(provider, **{**returned, "state": theirs["state"]}),
        "in another tenant": other.finish(provider, **returned),
        "of a colleague": colleague.finish(provider, **returned),
        "at another provider": admin.finish("schedly", **returned),
    }
    if provider == "shopify":
        del tries["at another provider"], tries["its hash"]
    answers = {how: refused(answer) for how, answer in tries.items()}
    assert len({str(answer) for answer in answers.values()}) == 1, answers
    assert spent(provider) == 0
    assert admin.connected() == other.connected() == {}
    # None of this has taken anything from those who were meant.
    for caller, theirs_, person in ((admin, returned, "ada"), (other, theirs, "mallory")):
        assert caller.finish(provider, **theirs_).status_code == 200
        assert belongs(person, caller.connected()[provider])
    # The second tab lost: what it holds is void by now, and reads like what never was.
    assert refused(admin.finish(provider, **second)) == next(iter(answers.values()))
    assert spent(provider) == 2
    assert started["state"] not in str(answers)


@EVERY
def test_an_expired_attempt_is_over(admin, owner, sandbox, spent, provider):
    _, returned = begun(sandbox, admin, provider)
    with owner.begin() as c:
        late = "update pending_authorizations set expires_at = now() - interval '1 second' where account_id = :a"
        assert c.execute(text(late), {"a": admin.account_id}).rowcount == 1
    expired = refused(admin.finish(provider, **returned))
    assert expired == refused(admin.finish(provider, code="x", state="never-was"))
    assert expired == refused(admin.finish(provider, code=returned["code"]))
    assert (spent(provider), admin.connected()) == (0, {})


@EVERY
def test_a_used_state_takes_no_second_code(admin, sandbox, spent, provider):
    _, returned = begun(sandbox, admin, provider)
    assert admin.finish(provider, **returned).status_code == 200
    refused(admin.finish(provider, **{**returned, "code": "another"}))
    # The same callback again is answered from what is stored, also after the connection is gone: it connects nothing.
    assert admin.finish(provider, **returned).status_code == 200
    assert admin.call("DELETE", f"/{provider}/disconnect").status_code == 200
    again = admin.finish(provider, **returned)
    assert (again.status_code, again.json()["connected"]) == (200, False), again.text
    assert (spent(provider), admin.connected()) == (1, {})


@EVERY
def test_a_stolen_code_is_worth_something_only_in_its_own_attempt(register, http, sandbox, fresh, provider):
    """Code injection: Mallory has Ada's code and puts it into an attempt of her own.

    PKCE and Shopify's signature bind a code to its attempt. The four without either are known by name: there a code
    is protected by its secrecy, its minute of life and its single use alone.
    """
    victim, mallory = register.caller(http, fresh), register.caller(http, fresh + 1)
    _, stolen = begun(sandbox, victim, provider)
    _, own = begun(sandbox, mallory, provider, "mallory")
    answer = mallory.finish(provider, **{**own, "code": stolen["code"]})
    bound = {p.id for p in PROVIDERS if p.oauth.pkce} | {"shopify"}
    assert {p.id for p in PROVIDERS} - bound == {"pipedrive", "stripe", "jira", "slack"}
    if provider in bound:
        assert (answer.status_code, answer.json()["code"]) == (422, "invalid_authorization"), answer.text
        assert mallory.connected() == {}
        # The attempt is burnt: its own code comes too late.
        assert mallory.finish(provider, **own).status_code == 422
    else:
        assert answer.status_code == 200
        assert belongs("ada", mallory.connected()[provider])


@EVERY
def test_a_planted_code_replaces_no_connection(register, http, sandbox, fresh, provider):
    """Login CSRF in the compatible mode: Mallory's code, without a state, in an administrator's callback."""
    admin, mallory = register.caller(http, fresh), register.caller(http, fresh + 1)
    _, returned = begun(sandbox, admin, provider)
    assert admin.finish(provider, **returned).status_code == 200
    _, planted = begun(sandbox, mallory, provider, "mallory")
    admin.start(provider, **host_part(provider, "mallory"), replace=True)
    signed = {k: v for k, v in planted.items() if k != "state"}
    for body in ({"code": planted["code"]}, signed):
        answer = admin.finish(provider, **body)
        assert answer.status_code in (409, 422), answer.text
    assert belongs("ada", admin.connected()[provider])


@EVERY
def test_a_code_of_another_server_is_not_sent(admin, sandbox, spent, provider):
    """Mix-up: the answer names, as its issuer, somebody else than the provider of the attempt (RFC 9207)."""
    wrong = (
        "https://evil.example", "", "http://app.hubspot.com", "https://app.hubspot.com.evil.example",
        "https://evil.example/app.hubspot.com", "https://app.hubspot.com@evil.example", "app.hubspot.com",
        "https://oauth.pipedrive.com.", "https://accounts.google.com", "null", "https://app.hubspot.com:444",
    )  # fmt: skip
    for issuer in wrong:
        _, returned = begun(sandbox, admin, provider)
        refused(admin.finish(provider, **{**returned, "iss": issuer}))
    assert (spent(provider), admin.connected()) == (0, {})
    started, returned = begun(sandbox, admin, provider)
    own = admin.finish(provider, **{**returned, "iss": iss(started["authorization_url"])})
    # Shopify signs what it returns, and this was added.
    assert own.status_code == (422 if provider == "shopify" else 200), own.text


def test_every_provider_knows_its_own_issuer():
    for provider in PROVIDERS:
        facts = provider.host_parts({field.name: field.example for field in provider.connect_fields})
        for url in provider.urls(facts):
            assert provider.issues("https://" + url.split("/")[2], facts), provider.id
        assert not provider.issues("https://evil.example", facts)
        assert not any(
            provider.issues("https://" + other.urls(parts)[0].split("/")[2], facts)
            for other in PROVIDERS
            if other is not provider
            for parts in [other.host_parts({field.name: field.example for field in other.connect_fields})]
        ), provider.id


def challenge(verifier):
    return base64.urlsafe_b64encode(hashlib.sha256(verifier.encode()).digest()).rstrip(b"=").decode()


def test_pkce_is_not_talked_down(admin, sandbox, spent):
    for body in ({"code_challenge": "short"}, {"code_challenge_method": "plain"}, {"code_challenge": "x" * 129},
                 {"code_challenge": challenge("v" * 43), "code_challenge_method": "plain"}):  # fmt: skip
        assert admin.call("POST", "/hubspot/connect", json=body).status_code == 422
    verifier, wrong = secrets.token_urlsafe(48), secrets.token_urlsafe(48)
    _, returned = begun(sandbox, admin, "hubspot", code_challenge=challenge(verifier))
    # Left out, wrong, and the challenge itself (what `plain` would compare).
    refused(admin.finish("hubspot", **returned))
    refused(admin.finish("hubspot", **returned, code_verifier=wrong))
    refused(admin.finish("hubspot", **returned, code_verifier=challenge(verifier)))
    # By the code alone no other attempt is found that would not ask for a verifier.
    refused(admin.finish("hubspot", code=returned["code"]))
    refused(admin.finish("hubspot", code=returned["code"], code_verifier=wrong))
    assert spent("hubspot") == 0
    assert admin.finish("hubspot", **returned, code_verifier=verifier).status_code == 200


def test_a_callers_verifier_does_not_replace_the_services_own(admin, sandbox, spent):
    _, returned = begun(sandbox, admin, "hubspot")
    refused(admin.finish("hubspot", **returned, code_verifier=secrets.token_urlsafe(48)))
    assert spent("hubspot") == 0
    assert admin.finish("hubspot", **returned).status_code == 200


def test_a_verifier_is_not_shown_to_a_provider_without_pkce(admin, sandbox):
    """Slack and Jira refuse an exchange that carries one."""
    _, returned = begun(sandbox, admin, "pipedrive", code_challenge=challenge("v" * 43))
    since = sandbox("GET", "/requests?since=0")[-1]["n"]
    assert admin.finish("pipedrive", **returned, code_verifier="v" * 43).status_code == 200
    [sent] = sandbox("GET", f"/requests?provider=pipedrive&since={since}&path={TOKEN['pipedrive']}")
    assert "code" in sent["body"]
    assert "code_verifier" not in sent["body"]


@EVERY
def test_two_tabs_end_as_one_connection(admin, sandbox, provider):
    """Both tabs come back at once, for two provider accounts: one is connected, and it is one that somebody agreed to.

    Without `replace`, the later one is told whose connection stands.
    """
    for _ in range(3):
        tabs = [begun(sandbox, admin, provider, person)[1] for person in ("ada", "mallory")]
        with ThreadPoolExecutor(2) as pool:
            answers = list(pool.map(lambda returned: admin.finish(provider, **returned), tabs))
        codes = [a.json().get("code") for a in answers]
        assert sorted(a.status_code for a in answers) in ([200, 409], [200, 422]), [a.text for a in answers]
        winner = ("ada", "mallory")[[a.status_code for a in answers].index(200)]
        assert belongs(winner, admin.connected()[provider])
        assert {code for code in codes if code} <= {"different_account", "invalid_authorization"}
        # The loser's callback again is no second chance.
        loser = tabs[1 - [a.status_code for a in answers].index(200)]
        assert admin.finish(provider, **loser).status_code in (409, 422)
        assert belongs(winner, admin.connected()[provider])
        assert admin.call("DELETE", f"/{provider}/disconnect").status_code == 200
        until(lambda: admin.connected() == {})


def test_one_callback_twenty_times_at_once_is_one_exchange(admin, sandbox, spent):
    _, returned = begun(sandbox, admin, "pipedrive")
    with ThreadPoolExecutor(20) as pool:
        answers = list(pool.map(lambda _: admin.finish("pipedrive", **returned), range(20)))
    assert {a.status_code for a in answers} == {200}, [a.text for a in answers]
    assert spent("pipedrive") == 1


def test_one_code_in_two_attempts_at_once_is_sent_for_one_tenant_at_most(register, http, sandbox, fresh):
    """Without PKCE, a code that leaked may be raced for; two tenants never both get it."""
    callers = [register.caller(http, fresh + n) for n in range(2)]
    attempts = [begun(sandbox, caller, "pipedrive")[1] for caller in callers]
    raced = attempts[0]["code"]
    with ThreadPoolExecutor(2) as pool:
        answers = list(
            pool.map(
                lambda pair: pair[0].finish("pipedrive", **{**pair[1], "code": raced}),
                zip(callers, attempts, strict=True),
            )
        )
    assert sorted(a.status_code for a in answers) == [200, 422], [a.text for a in answers]
    assert sum("pipedrive" in caller.connected() for caller in callers) == 1
