"""axe-core on every page, light and dark, wide and narrow: it finds nothing, of any impact."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

pytestmark = pytest.mark.browser

PAGES = {
    "overview": "",
    "connection": "/integrations/zendesk",
    "not connected": "/integrations/salesforce",
    "connect": "/integrations/shopify/connect",
    "knowledge": "/integrations/zendesk/knowledge",
    "settings": "/integrations/zendesk/settings",
    "many settings": "/integrations/salesforce/settings",
    "actions": "/integrations/zendesk/actions?action=create_ticket",
    "search": "/search?q=reset+password",
    "nothing found": "/search?q=%20&provider=zendesk",
    "contacts": "/contacts",
    "contact": "/contacts?contact=880100&provider=zendesk",
    "bad contact": "/contacts?contact=x",
    "not found": "/nothing",
}


def barriers(page: Page) -> list[str]:
    """What axe finds: rule, impact, and where."""
    found = Axe().run(page).response
    assert len(found["passes"]) > 10, "axe has looked"
    return [
        f"{one['id']} ({one['impact']}): {node['html'][:160]}" for one in found["violations"] for node in one["nodes"]
    ]


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_no_page_has_a_barrier(zendesk, person, dark):
    zendesk.contact(880_100, name="Grace Hopper", email="grace.console@example.com")
    one = person(zendesk, dark=dark)
    page = one.tab()
    found = {}
    for name, path in PAGES.items():
        page.goto(zendesk.url + path)
        if name == "contact":
            page.wait_for_selector("#compare")
            page.click("text=Show what would change")
            page.wait_for_selector("#plan > *")
        if name in ("settings", "knowledge"):
            page.locator("[value=own]").first.check()
        found[name] = barriers(page)
    page.goto(zendesk.url + "/integrations/zendesk")
    page.get_by_role("button", name="Disconnect").click()
    found["dialog"] = barriers(page)
    page.goto(zendesk.url + "/integrations/zendesk/settings")
    page.fill("[name='settings.default_ticket_id']", "seven")
    page.click("text=Save settings")
    page.wait_for_selector(".wrong")
    found["wrong settings"] = barriers(page)
    page.set_viewport_size({"width": 360, "height": 740})
    for name in ("overview", "knowledge", "search"):
        page.goto(zendesk.url + PAGES[name])
        found[f"narrow {name}"] = barriers(page)
        assert page.evaluate("document.documentElement.scrollWidth <= innerWidth"), f"{name} scrolls sideways"
    page.click("text=Sign out")
    found["sign-in"] = barriers(page)
    assert {name: what for name, what in found.items() if what} == {}


def test_it_can_be_used_by_keyboard_alone(zendesk, person):
    page = person(zendesk).tab()
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.textContent") == "Skip to content"
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "main"
    page.goto(zendesk.url + "/integrations/zendesk")
    page.get_by_role("button", name="Disconnect").focus()
    page.keyboard.press("Enter")
    inside = "document.activeElement.closest('dialog') !== null"
    assert page.evaluate(inside)
    page.keyboard.press("Escape")
    assert page.evaluate("document.activeElement.textContent") == "Disconnect"


def test_the_check_finds_what_is_wrong(zendesk, person):
    page = person(zendesk).tab("/search")
    assert barriers(page) == []
    page.evaluate("document.querySelector('label[for=q]').remove(); document.querySelector('#q').placeholder = ''")
    page.evaluate("document.querySelector('.lead').style.color = '#bbb'")  # by script, which the policy lets be
    assert sorted({one.split(" ")[0] for one in barriers(page)}) == ["color-contrast", "label"]
