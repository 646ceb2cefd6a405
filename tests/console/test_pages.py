"""The console's pages over HTTP: connecting and back, knowledge, settings, contacts, search, actions, roles."""

import httpx
import pytest

from supportly.dev.processes import free_port
from tests.console.conftest import Account, Visitor, soup
from tests.serving import listening


def consent(visitor: Visitor, account: Account, provider: str, **fields: str) -> str:
    """The address to which the provider sends the user who agrees."""
    answer = visitor.send(f"{account.base}/integrations/{provider}/connect", **fields)
    assert answer.status_code == 200, answer.text
    page = soup(answer)
    leads = page.find("meta", {"http-equiv": "refresh"})["content"].removeprefix("0;url=")
    assert leads == page.find("main").find("a")["href"]
    return httpx.get(leads, follow_redirects=False).headers["location"]


def test_a_provider_is_connected_with_the_consoles_own_redirect_uri(account):
    visitor = account.visitor()
    back = consent(visitor, account, "zendesk", subdomain="supportly-demo")
    assert back.startswith(f"{account.console.url}/console/callback/zendesk?")
    answer = visitor.get(back)
    assert answer.url.path == f"{account.base}/integrations/zendesk"
    assert "Connected. Supportly can use this account now." in answer.text
    assert account.call("GET", "/zendesk").json()["connected"]


def test_the_app_keeps_its_own_redirect_uri_and_there_is_no_third(account):
    begun = account.call("POST", "/hubspot/connect", json={}).json()
    assert begun["redirect_uri"] == "http://127.0.0.1:1/oauth/callback/hubspot"
    url = f"{account.console.url}/api/v1/accounts/{account.id}/supportly_integrations/hubspot/connect"
    answer = httpx.post(url, headers={"api_access_token": account.admin}, json={"return_to": "https://evil.example"})
    assert (answer.status_code, answer.json()["details"]["field"]) == (422, "return_to")


def test_a_consent_that_another_browser_began_connects_nothing(account):
    back = consent(account.visitor(), account, "hubspot")
    other = account.visitor().get(back)
    assert (other.status_code, "was not begun in this browser" in other.text) == (422, True)
    nobody = Visitor(account.console.url).get(back)
    assert nobody.url.path == "/console/sign-in"
    assert "code=" not in str(nobody.url), "the code stands in no other address"
    assert not account.call("GET", "/hubspot").json()["connected"]


def test_a_part_of_the_host_that_is_wrong_is_asked_for_again_at_its_field(account):
    visitor = account.visitor()
    page = visitor.page(f"{account.base}/integrations/shopify/connect")
    assert "myshopify.com" in page.find("p", {"id": "part-shop-about"}).text
    answer = visitor.send(f"{account.base}/integrations/shopify/connect", shop="shop.example.com")
    assert answer.status_code == 422
    field = soup(answer).find("input", {"name": "shop"})
    assert (field["value"], field["aria-invalid"]) == ("shop.example.com", "true")


def test_an_agent_is_told_that_it_needs_an_administrator_and_changes_nothing(account):
    agent = account.visitor(account.agent)
    for path, fields in (
        ("zendesk/settings", {"settings.default_ticket_id": "7"}),
        ("zendesk/mapping", {"mapping": "own"}),
        ("zendesk/knowledge/toggle", {"enabled": "on"}),
        ("zendesk/knowledge/streams", {"choice": "own"}),
        ("zendesk/connect", {"subdomain": "acme"}),
        ("zendesk/disconnect", {}),
        ("zendesk/knowledge/deletions/confirm_deletes", {"run_id": "x"}),
    ):
        answer = agent.send(f"{account.base}/integrations/{path}", **fields)
        assert (answer.status_code, "This needs an administrator" in answer.text) == (403, True), path
    assert account.call("GET", "/zendesk").json()["settings"]["default_ticket_id"] is None


def test_a_setting_that_is_emptied_takes_its_default_and_the_others_stay(account):
    account.call("PUT", "/zendesk/settings", json={"settings": {"default_ticket_id": "7", "task_assignee_id": "8"}})
    answer = account.visitor().send(
        f"{account.base}/integrations/zendesk/settings",
        **{"settings.default_ticket_id": "", "settings.task_assignee_id": "8"},
    )
    assert "Settings saved." in answer.text
    stored = account.call("GET", "/zendesk").json()["settings"]
    assert (stored["default_ticket_id"], stored["task_assignee_id"]) == (None, "8")


def test_a_field_that_stands_twice_in_the_mapping_is_shown(account):
    fields = {"mapping": "own", "mapping_field": ["phone", "phone"], "mapping_source": ["phone_number", "name"]}
    answer = account.visitor().send(f"{account.base}/integrations/zendesk/mapping", **fields)
    assert answer.status_code == 422
    assert "stands twice" in answer.text
    back = account.visitor().send(f"{account.base}/integrations/zendesk/mapping", mapping="default")
    assert "Field mapping saved." in back.text


def test_the_knowledge_page_shows_what_the_api_says(zendesk):
    page = zendesk.visitor().page(f"{zendesk.base}/integrations/zendesk/knowledge")
    listed = zendesk.call("GET", "/knowledge/status").json()["providers"]
    [known] = [one for one in listed if one["provider"] == "zendesk"]
    tiles = [tile.find("dd").text for tile in page.find_all("div", class_="tile")]
    assert tiles[0] == str(known["documents"])
    runs = zendesk.call("GET", "/zendesk/knowledge/runs").json()["runs"]
    assert len(page.select("table.runs tbody tr")) == min(len(runs), 12)
    assert runs[0]["run_id"] == known["last_run"]["run_id"]
    assert len(zendesk.call("GET", "/zendesk/knowledge/runs?limit=1").json()["runs"]) == 1
    links = [link["href"] for link in page.find_all("a", class_="outside")]
    assert any(f"/schedules/acct%2F{zendesk.id}%2Fzendesk" in link for link in links)


def test_streams_are_chosen_and_unchosen(account):
    account.connect("zendesk")
    visitor, path = account.visitor(), f"{account.base}/integrations/zendesk/knowledge"
    streams = [one["value"] for one in visitor.page(path).find_all("input", {"name": "stream"})]
    assert len(streams) > 1
    visitor.send(f"{path}/streams", choice="own", stream=streams)
    assert account.call("GET", "/zendesk").json()["settings"]["streams"] == streams
    visitor.send(f"{path}/streams", choice="default", stream=streams[:1])
    assert account.call("GET", "/zendesk").json()["settings"]["streams"] is None
    wrong = visitor.send(f"{path}/streams", choice="own", stream="nothing")
    assert (wrong.status_code, "has no stream" in wrong.text) == (422, True)


def test_search_shows_passages_as_text_with_score_tier_and_source(zendesk):
    body = "<p>Xylophone returns: write &lt;script&gt;alert(1)&lt;/script&gt; into the box.</p>"
    zendesk.console.service.control(
        "POST", "/zendesk/seed", json={"articles": [{"title": "Xylophone <img src=x>", "body": body}]}
    )
    zendesk.call("POST", "/zendesk/knowledge/sync", headers={"Prefer": "wait=60"})
    answer = zendesk.visitor().get(f"{zendesk.base}/search", params={"q": "xylophone <script>"})
    hit = soup(answer).find("li", class_="hit")
    assert "Xylophone" in hit.find("h3").text
    assert hit.find("img") is None
    assert soup(answer).find("ol").find("script") is None
    assert hit.find("meter")
    assert hit.find("span", class_="tag").text == "instant"
    assert "Zendesk" in hit.find("p", class_="hit-foot").text
    none = zendesk.visitor().get(f"{zendesk.base}/search", params={"q": "reset password", "provider": "slack"})
    assert "Nothing was found" in none.text
    assert zendesk.visitor().get(f"{zendesk.base}/search", params={"q": "x", "provider": "nobody"}).status_code == 422


def test_a_contact_that_nobody_knows_and_a_number_that_is_none(zendesk):
    visitor = zendesk.visitor()
    part = visitor.get(f"{zendesk.base}/contacts/999999999/zendesk", headers={"HX-Request": "true"})
    assert (part.status_code, "<html" in part.text) == (404, False)
    assert "does not know this contact" in part.text
    assert visitor.get(f"{zendesk.base}/contacts?contact=x").status_code == 422
    contact = zendesk.contact(880_200, email="nobody.console@example.com")
    plan = visitor.send(f"{zendesk.base}/contacts/{contact}/zendesk/plan")
    assert "A sync would create a new record" in plan.text
    assert "workflows/acct%2F" in plan.text


def test_an_action_runs_from_its_form_and_says_what_is_missing(zendesk):
    visitor, path = zendesk.visitor(), f"{zendesk.base}/integrations/zendesk/actions"
    asked = visitor.send(f"{path}/search_articles", **{"params.query": "password", "params.limit": "2"})
    assert asked.status_code == 200, asked.text
    assert "Reset your password" in asked.text
    wrong = visitor.send(f"{path}/search_articles", **{"params.query": "password", "params.limit": "many"})
    field = soup(wrong).find("input", {"name": "params.limit"})
    assert (wrong.status_code, field["value"], field["aria-invalid"]) == (422, "many", "true")
    assert visitor.send(f"{path}/nothing").status_code == 404


def test_without_a_temporal_ui_there_are_no_links_to_it(zendesk):
    page = f"{zendesk.base}/integrations/zendesk/knowledge"
    assert "http://127.0.0.1:9/namespaces/default/" in zendesk.visitor().get(page).text
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    with listening(zendesk.console.settings.model_copy(update={"temporal_ui_url": ""}), port):
        visitor = Visitor(url)
        visitor.sign_in(zendesk.admin)
        text = visitor.get(page).text
    assert "Sync now" in text
    assert "/namespaces/" not in text


@pytest.mark.parametrize("path", ["/integrations/zendesk/knowledge/deletions/x", "/contacts/1/zendesk/x"])
def test_a_form_for_nothing_is_not_found(zendesk, path):
    assert zendesk.visitor().send(zendesk.base + path).status_code == 404
