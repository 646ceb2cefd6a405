"""The console in a real Chromium: what people do there, from the sign-in to the sign-out."""

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from playwright.sync_api import Page, expect

from supportly.dev.processes import free_port
from supportly.storage import tokens
from supportly.storage.database import Database
from tests.console.conftest import PARTS, Console
from tests.serving import listening

pytestmark = pytest.mark.browser
WAIT = 60_000
"""Milliseconds; other work on the machine may slow it down."""
expect.set_options(timeout=WAIT)


@contextmanager
def paused(control: Callable[..., Any]) -> Iterator[None]:
    """Inside, a sync of Zendesk's articles runs and does not end, however slow the machine: it is asked for pauses."""
    articles = {"provider": "zendesk", "path": r"/api/v2/help_center/.*articles.*"}
    control("POST", "/faults", json={**articles, "status": 429, "retry_after": 1, "times": -1})
    try:
        yield
    finally:
        control("DELETE", "/faults")


def approve(page: Page, provider: str, name: str) -> None:
    """From the provider's page through its consent, and back."""
    for field, value in PARTS.get(provider, {}).items():
        page.fill(f"[name={field}]", value)
    page.click(f"button:has-text('Go to {name}')")
    page.click("button:has-text('Approve')")
    expect(page.get_by_role("status").filter(has_text="Connected.")).to_be_visible()


def test_all_ten_are_connected_through_their_consent_pages(account, person):
    page = person(account).tab()
    names = {one["provider"]: one["name"] for one in account.call("GET").json()["integrations"]}
    assert len(names) == 10
    for provider, name in names.items():
        page.goto(account.url)
        page.get_by_role("link", name=f"Connect {name}", exact=True).click()
        approve(page, provider, name)
        expect(page.locator("h1")).to_contain_text(name)
    page.goto(account.url)
    expect(page.get_by_text("10 of 10 connected")).to_be_visible()
    listed = account.call("GET").json()["integrations"]
    assert all(one["connected"] and not one["missing_scopes"] for one in listed)


def test_from_the_sign_in_to_the_sign_out(zendesk, person):
    page = person(zendesk, token="").tab("/search?q=reset+password")
    page.fill("#token", "spl_wrong")
    page.keyboard.press("Enter")
    expect(page.get_by_role("alert")).to_contain_text("not valid")
    expect(page.locator("#token")).to_be_focused()
    page.fill("#token", zendesk.admin)
    page.keyboard.press("Enter")
    expect(page.locator(".hit").first).to_contain_text("Reset your password")
    expect(page.locator(".hit mark").first).to_have_text("password")
    page.fill("#q", "my parcel never came")
    page.keyboard.press("Enter")
    expect(page.locator(".hit").first).to_contain_text("parcel")
    assert "parcel" in page.url
    page.go_back()
    expect(page.locator(".hit").first).to_contain_text("Reset your password")
    page.click("text=Sign out")
    expect(page.get_by_text("You are signed out")).to_be_visible()


def test_settings_are_changed_and_errors_stand_at_their_field(account, person):
    page = person(account).tab("/integrations/zendesk/settings")
    page.fill("[name='settings.sync_interval_minutes']", "5")
    page.fill("[name='settings.default_ticket_id']", "seven")
    page.click("text=Save settings")
    wrong = page.locator("[name='settings.sync_interval_minutes']")
    expect(wrong).to_have_attribute("aria-invalid", "true")
    expect(wrong).to_be_focused()
    expect(page.locator("#settings-default_ticket_id-error")).to_be_visible()
    expect(page.locator("[name='settings.default_ticket_id']")).to_have_value("seven")
    wrong.fill("30")
    page.fill("[name='settings.default_ticket_id']", "77")
    page.check("[name='settings.allow_closing_tickets']")
    page.click("text=Save settings")
    expect(page.get_by_text("Settings saved.")).to_be_visible()
    stored = account.call("GET", "/zendesk").json()["settings"]
    assert (stored["sync_interval_minutes"], stored["default_ticket_id"]) == (30, "77")
    assert stored["allow_closing_tickets"] is True

    page.check("#mapping-own")
    page.click("text=Add a field")
    expect(page.locator("[name=mapping_field]").last).to_be_focused()
    page.locator("[name=mapping_field]").last.fill("user_fields.plan")
    page.locator("[name=mapping_source]").last.fill("nonsense")
    page.get_by_role("button", name="Remove phone").click()
    page.click("text=Save mapping")
    expect(page.locator("[name=mapping_source][aria-invalid=true]")).to_have_value("nonsense")
    page.locator("[name=mapping_source]").last.fill("custom_attributes.plan")
    page.click("text=Save mapping")
    expect(page.get_by_text("Field mapping saved.")).to_be_visible()
    mapping = account.call("GET", "/zendesk").json()["settings"]["field_mapping"]
    assert mapping["user_fields.plan"] == "custom_attributes.plan"
    assert "phone" not in mapping
    assert mapping["email"] == "email"


def test_a_sync_runs_to_its_end_under_ones_eyes_and_held_deletions_wait_for_a_decision(account, person):
    control = account.console.service.control
    made = control("POST", "/zendesk/seed", json={"articles": [_article(number) for number in range(300)]})["ids"]
    account.connect("zendesk")
    page = person(account).tab("/integrations/zendesk/knowledge")
    with paused(control):
        page.get_by_role("switch", name="Knowledge sync").click()
        expect(page.locator("#progress progress")).to_be_visible()
        expect(page.locator("#progress")).to_contain_text("Running for")
    expect(page.locator("#progress .last-run")).to_contain_text("Succeeded", timeout=2 * WAIT)
    stored = _status(account)["documents"]
    assert stored >= 300
    documents = page.locator(".tile").first.locator("dd").first
    expect(documents).to_have_text(str(stored))

    control("POST", "/zendesk/seed", json={"articles": [{"id": key, "_deleted": True} for key in made]})
    for _ in range(2):  # missing in two complete walks in a row
        with page.expect_navigation():
            page.get_by_role("button", name="Sync now").click()
        expect(page.locator("#progress .last-run")).to_contain_text("Succeeded")
    held = page.locator("#held")
    now = _status(account)
    [waiting], stored = now["held_deletions"], now["documents"]
    gone = waiting["documents"]
    assert 250 < gone <= stored
    expect(held).to_contain_text(f"{gone} documents of {stored}")
    page.goto(account.url)
    expect(page.locator(".card-warn")).to_contain_text(f"{gone} deletions held back")
    page.get_by_role("link", name="Decide").click()
    held.get_by_role("button", name="Delete them").click()
    page.get_by_role("dialog").get_by_role("button", name="Cancel").click()
    held.get_by_role("button", name="Delete them").click()
    page.get_by_role("dialog").get_by_role("button", name="Delete", exact=True).click()
    expect(page.get_by_text("The held deletions are carried out")).to_be_visible()
    expect(documents).to_have_text(str(stored - gone))
    held.get_by_role("button", name="Undo").click()
    page.get_by_role("dialog").get_by_role("button", name="Bring back").click()
    expect(page.get_by_text("The documents are back.")).to_be_visible()
    expect(documents).to_have_text(str(stored))


def _status(account) -> dict[str, Any]:
    listed = account.call("GET", "/knowledge/status").json()["providers"]
    return next(one for one in listed if one["provider"] == "zendesk")


def _article(number: int) -> dict[str, object]:
    return {"title": f"Question {number}", "body": f"<p>The answer to question {number} is {number * 7}.</p>"}


def test_a_contact_is_compared_planned_and_synced_and_a_note_is_logged_once(zendesk, person):
    fields = {"phone_number": "+14155550199", "additional_attributes": {"company_name": "Analytical Engines"}}
    contact = zendesk.contact(880_001, email="ada.console@example.com", **fields)
    zendesk.console.service.control(
        "POST",
        "/zendesk/seed",
        json={"users": [{"name": "A. Lovelace", "email": "ada.console@example.com", "role": "end-user"}]},
    )
    page = person(zendesk).tab("/contacts")
    page.fill("#contact", str(contact))
    page.select_option("#provider", "zendesk")
    page.click("text=Look up")
    expect(page.locator(".differs").first).to_contain_text("A. Lovelace")
    page.click("text=Show what would change")
    expect(page.locator(".diff ins").filter(has_text="Analytical Engines")).to_be_visible()
    page.click("text=Write these changes")
    expect(page.locator("#plan")).to_contain_text("Updated at Zendesk")
    page.click("text=Show what would change")
    expect(page.locator("#plan")).to_contain_text("both sides are equal")
    before = _tickets(zendesk)
    page.fill("#content", "Called about the renewal.")
    page.click("text=Log it")
    expect(page.locator("#activity")).to_contain_text("The note is logged")
    page.click("text=Log it")
    page.wait_for_load_state("networkidle")
    expect(page.locator("#activity")).to_contain_text("The note is logged")
    assert _tickets(zendesk) == before + 1


def _tickets(account) -> int:
    return len(account.console.service.control("GET", "/zendesk/records?kind=tickets"))


def test_disconnecting_asks_first(account, person):
    account.connect("hubspot")
    page = person(account).tab("/integrations/hubspot")
    page.get_by_role("button", name="Disconnect").click()
    dialog = page.get_by_role("dialog")
    expect(dialog).to_contain_text("Disconnect HubSpot?")
    page.keyboard.press("Escape")
    expect(dialog).to_be_hidden()
    assert account.call("GET", "/hubspot").json()["connected"]
    page.get_by_role("button", name="Disconnect").click()
    dialog.get_by_role("button", name="Disconnect").click()
    expect(page.get_by_text("Tokens are destroyed")).to_be_visible()
    assert not account.call("GET", "/hubspot").json()["connected"]


def test_two_tabs_connect_two_providers_at_once_and_a_sign_out_counts_for_both(account, person):
    one = person(account)
    first, second = one.tab("/integrations/calendly/connect"), one.tab("/integrations/slack/connect")
    first.click("button:has-text('Go to')")
    second.click("button:has-text('Go to')")
    for page in (first, second):
        page.click("button:has-text('Approve')")
        expect(page.get_by_text("Connected. Supportly")).to_be_visible()
    second.click("text=Sign out")
    expect(second.get_by_text("You are signed out")).to_be_visible()
    first.get_by_role("link", name="Settings").click()
    expect(first).to_have_url(re.compile("/console/sign-in"))


def test_a_person_who_declines_comes_back_to_a_page_that_says_so(account, person):
    page = person(account).tab("/integrations/hubspot/connect")
    page.click("button:has-text('Go to')")
    page.click("button:has-text('Deny')")
    expect(page.get_by_role("heading", name="You did not approve")).to_be_visible()
    page.get_by_role("link", name="Try again").click()
    approve(page, "hubspot", "HubSpot")


def test_a_token_that_is_revoked_while_a_page_polls_leads_to_the_sign_in_and_back(account, person):
    page = person(account, token=account.agent).tab("/search?q=invoice")

    async def revoke() -> None:
        db = Database(account.console.service.postgres.admin_url, 1)
        found = await tokens.find(db, account.agent, account.console.settings.token_pepper.get_secret_value())
        assert found
        assert await tokens.revoke(db, found[0])
        await db.close()

    account.console.service.worker.thread.run(revoke())
    page.fill("#q", "refund")
    page.keyboard.press("Enter")  # htmx asks for a part of the page, and is sent away as a whole
    expect(page.get_by_text("the token was revoked")).to_be_visible()
    page.fill("#token", account.admin)
    page.keyboard.press("Enter")
    expect(page).to_have_url(re.compile("/search"))


def test_an_agent_looks_and_syncs_and_changes_nothing(zendesk, person):
    one = person(zendesk, token=zendesk.agent)
    page = one.tab("/integrations/zendesk")
    expect(page.get_by_role("heading", name="Permissions")).to_be_visible()
    for name in ("Disconnect", "Connect again"):
        expect(page.get_by_text(name, exact=True)).to_have_count(0)
    page.get_by_role("link", name="Settings").click()
    expect(page.locator("[name='settings.sync_interval_minutes']")).to_be_disabled()
    page.get_by_role("link", name="Knowledge").click()
    expect(page.get_by_role("switch")).to_have_count(0)
    page.get_by_role("button", name="Sync now").click()
    expect(page.locator("#progress .last-run")).to_contain_text("Succeeded")
    page.goto(f"{zendesk.url}/integrations/hubspot/connect")
    expect(page.get_by_text("This needs an administrator")).to_be_visible()


def test_a_page_says_so_when_the_service_goes_away_and_when_it_is_back(console, person):
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = console.settings.model_copy(update={"console_callback_url": f"{url}/console/callback/{{provider}}"})
    with paused(console.service.control):
        with listening(settings, port, timeout_graceful_shutdown=5):
            account = Console(url, console.service, settings).account()
            account.connect("zendesk")
            account.call("POST", "/zendesk/knowledge/toggle", json={"enabled": True})
            page = person(account).tab("/integrations/zendesk/knowledge")
            expect(page.locator("#progress progress")).to_be_visible()
        expect(page.locator("#trouble")).to_be_visible()
        expect(page.locator("#progress progress")).to_be_visible()
    with listening(settings, port, timeout_graceful_shutdown=5):
        expect(page.locator("#trouble")).to_be_hidden()
        expect(page.locator("#progress .last-run")).to_be_visible()
        page.close()
