"""The verbs for callers, on the running service."""

import json
import re

import httpx
import pytest

from supportly.cli.failing import Exit
from tests.caller import consent


def test_connecting_prints_the_address_and_takes_the_one_on_which_one_lands(supportly) -> None:
    begun = supportly("connect", "zendesk", "--part", "subdomain=acme", "--json")
    assert begun.code == 0, begun.err
    back = consent(begun.json["authorization_url"])
    landed = str(httpx.URL("http://127.0.0.1:1/oauth/callback/zendesk", params=back))
    done = supportly("connect", "zendesk", "--returned", landed)
    assert (done.code, done.err) == (0, "")
    assert done.out.startswith("Zendesk is connected: acme")
    ended = supportly("disconnect", "zendesk")
    assert ended.out.strip() == "zendesk is disconnected; the provider was told."
    again = supportly("disconnect", "zendesk", "--json")
    assert again.code == Exit.NOT_SO
    assert json.loads(again.err)["code"] == "not_connected"


def test_connecting_by_hand_reads_the_code_from_stdin(supportly) -> None:
    # Nobody answers: it says how to go on.
    paused = supportly("connect", "pipedrive")
    assert (paused.code, paused.err) == (0, "")
    url = re.search(r"http://\S+", paused.out)
    assert url
    assert "--returned 'ADDRESS'" in paused.out
    back = consent(url[0])
    done = supportly("connect", "pipedrive", "--returned", back["code"], "--json")
    assert done.json["status"] == "connected"


def test_what_was_not_granted_or_carries_no_code_is_a_sentence(supportly) -> None:
    denied = supportly("connect", "hubspot", "--returned", "https://x.example/?error=access_denied&state=s")
    assert (denied.code, denied.err.strip()) == (
        Exit.FAILED,
        "It was not granted at the provider (access_denied). Start again.",
    )
    empty = supportly("connect", "hubspot", "--returned", "https://x.example/?state=s")
    assert empty.code == Exit.WRONG_INPUT
    assert "no `code`" in empty.err
    part = supportly("connect", "zendesk", "--part", "subdomain")
    assert (part.code, part.err.strip()) == (Exit.WRONG_INPUT, "`subdomain` is not NAME=VALUE (part).")


def test_status_lists_all_providers(supportly, connected) -> None:
    told = supportly("status")
    assert told.code == 0, told.err
    line = next(line for line in told.out.splitlines() if "hubspot" in line)
    assert "connected" in line
    assert len(supportly("status", "--json").json["integrations"]) == 10


def test_a_contact_is_compared_synced_and_shown(supportly, connected, contact) -> None:
    plan = supportly("contact", "diff", connected, contact)
    assert plan.code == 0, plan.err
    assert f"Contact {contact} would be created in hubspot." in plan.out
    assert re.search(r"email\s+ada\d+@example.com", plan.out)
    assert "does not know contact" in supportly("contact", "show", connected, contact).out
    done = supportly("contact", "sync", connected, contact, "--key", f"sync-{contact}", "--json")
    assert done.json["status"] == "created"
    assert "is up to date" in supportly("contact", "diff", connected, contact).out
    shown = supportly("contact", "show", connected, contact)
    assert f"ada{contact}@example.com" in shown.out
    assert supportly("contact", "show", connected, contact, "--json").json["records"]


def test_actions_are_listed_and_run(supportly, connected) -> None:
    listed = supportly("action", "list", connected)
    assert re.search(r"get_deals\s+reads", listed.out)
    ran = supportly("action", "run", connected, "get_deals", "-p", "limit=2", "--json")
    assert ran.code == 0, ran.err
    assert len(ran.json["items"]) <= 2
    wrong = supportly("action", "run", connected, "get_deals", "-p", "limit=many")
    assert wrong.code == Exit.WRONG_INPUT
    assert "params.limit" in wrong.err
    unknown = supportly("action", "run", connected, "dance")
    assert unknown.code == Exit.WRONG_INPUT
    assert "allowed: " in unknown.err
    assert "request " in unknown.err
    assert "no JSON" in supportly("action", "run", connected, "get_deals", "--params", "{").err


def test_settings_are_set_and_wrong_ones_named(supportly, connected) -> None:
    done = supportly("settings", "set", connected, "sync_interval_minutes=45")
    assert re.search(r"sync_interval_minutes\s+45", done.out), done.err
    shown = supportly("settings", "show", connected)
    assert re.search(r"sync_interval_minutes\s+45\s+Minutes between", shown.out)
    wrong = supportly("settings", "set", connected, "sync_interval_minutes=5", "streams=7")
    assert wrong.code == Exit.WRONG_INPUT
    assert "settings.sync_interval_minutes: is not valid" in wrong.err
    assert "settings.streams: is not valid" in wrong.err
    unknown = supportly("settings", "set", connected, "nonsense=1")
    assert unknown.code == Exit.WRONG_INPUT
    assert "allowed: sync_interval_minutes, streams" in unknown.err
    assert supportly("settings", "set", connected, "sync_interval_minutes=null", "--json").json["settings"][
        "sync_interval_minutes"
    ] is None  # fmt: skip


def test_a_sync_is_watched_to_its_end_and_its_documents_are_found(supportly, service, connected) -> None:
    begun = supportly("sync", connected)
    assert begun.code == 0, begun.err
    assert "operation" in begun.out
    watched = supportly("sync", connected, "--watch", "--json")
    assert watched.code == 0, watched.err
    assert watched.json["operation"]["status"] == "succeeded"
    counts = watched.json["knowledge"]["last_run"]["counts"]
    assert counts["seen"] == counts["added"] + counts["changed"] + counts["unchanged"] + counts["failed"]
    told = supportly("sync", connected, "--watch")
    assert re.search(rf"seen\s+{counts['seen']}", told.out)
    found = supportly("search", "how", "much", "does", "it", "cost", "--json")
    assert found.code == 0, found.err
    assert found.json["query"] == "how much does it cost"
    assert supportly("search", "zzzz qqqq", "--provider", "slack").out.strip() == "Nothing was found."


def test_a_sync_that_cannot_begin_says_why(supportly) -> None:
    refused = supportly("sync", "slack", "--watch")
    assert refused.code == Exit.NOT_SO
    assert "Slack is not connected" in refused.err


def test_what_is_wrong_with_the_way_there_is_a_sentence(supportly, monkeypatch) -> None:
    monkeypatch.setenv("SUPPORTLY_API_TOKEN", "wrong")
    refused = supportly("status")
    assert (refused.code, refused.err.splitlines()[0]) == (Exit.NOT_ALLOWED, "This API token is not valid.")
    monkeypatch.setenv("SUPPORTLY_API_URL", "http://127.0.0.1:1")
    away = supportly("status")
    assert (away.code, away.err.strip()) == (Exit.LATER, "The service at http://127.0.0.1:1 cannot be reached.")
    monkeypatch.setenv("SUPPORTLY_API_URL", "somewhere")
    assert supportly("status").code == Exit.WRONG_INPUT
    monkeypatch.delenv("SUPPORTLY_API_URL")
    monkeypatch.setenv("SUPPORTLY_STACK_DIR", "/nonexistent")
    nowhere = supportly("status", "--json")
    assert nowhere.code == Exit.FAILED
    assert "SUPPORTLY_API_URL" in json.loads(nowhere.err)["error"]


@pytest.mark.parametrize(
    ("arguments", "code"), [(("statos",), 2), (("sync",), 2), (("contact", "show", "hubspot", "abc"), 2)]
)
def test_a_wrong_command_line_is_2(supportly, arguments, code) -> None:
    assert supportly(*arguments).code == code


def test_texts_of_providers_do_not_steer_the_terminal(supportly) -> None:
    from supportly.cli.showing import shown

    assert shown("a\x1b[31mred\x07\r\nb") == "a [31mred   b"
