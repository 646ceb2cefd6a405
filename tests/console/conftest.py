"""The console over HTTP and in a browser: API, worker, PostgreSQL and Temporal are real, the providers are doubles.

An API of its own runs here, because the console's redirect URI has to name the port on which it listens.
"""

import itertools
import os
import shutil
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import httpx
import pytest
from bs4 import BeautifulSoup
from playwright.sync_api import Browser, BrowserContext, ConsoleMessage, Page, sync_playwright

from supportly.dev.processes import free_port
from supportly.settings import Settings
from tests.serving import listening

PARTS = {
    "shopify": {"shop": "supportly-demo.myshopify.com"},
    "zendesk": {"subdomain": "supportly-demo"},
    "jira": {"site": "acme.atlassian.net"},
}
_accounts = itertools.count(20_000)


@dataclass
class Console:
    """A running console, and what stands behind it."""

    url: str
    service: Any
    settings: Settings

    def account(self) -> "Account":
        """An account that no other test uses."""
        number = next(_accounts)
        known = self.service.control("GET", "/supportly/settings")["accounts"]
        self.service.control("POST", "/supportly/settings", json={"accounts": [*known, number]})
        return Account(self, number, *(self.service.token(number, role) for role in ("administrator", "agent")))


@dataclass
class Account:
    """One account, with a token of each role."""

    console: Console
    id: int
    admin: str = field(repr=False)
    agent: str = field(repr=False)

    @property
    def base(self) -> str:
        return f"/console/accounts/{self.id}"

    @property
    def url(self) -> str:
        return self.console.url + self.base

    def call(self, method: str, path: str = "", **extra: Any) -> httpx.Response:
        """Ask the API, past the console."""
        url = f"{self.console.url}/api/v1/accounts/{self.id}/supportly_integrations{path}"
        headers = {"api_access_token": self.admin, **extra.pop("headers", {})}
        answer = httpx.request(method, url, headers=headers, timeout=70, **extra)
        assert answer.status_code < 300, answer.text
        return answer

    def connect(self, provider: str) -> None:
        """Connect past the console."""
        begun = self.call("POST", f"/{provider}/connect", json=PARTS.get(provider, {})).json()
        back = httpx.get(begun["authorization_url"], follow_redirects=False)
        self.call("POST", f"/{provider}/callback", json=dict(httpx.URL(back.headers["location"]).params))

    def contact(self, number: int, **fields: Any) -> int:
        """A contact of this account in Supportly; `number` has to be free in the whole test run."""
        record = {"id": number, "account_id": self.id, "name": "Ada Lovelace", **fields}
        self.console.service.control("POST", "/supportly/seed", json={"contacts": [record]})
        return number

    def visitor(self, token: str | None = None) -> "Visitor":
        """Somebody who has signed in."""
        visitor = Visitor(self.console.url)
        visitor.sign_in(self.admin if token is None else token)
        return visitor


class Visitor:
    """A browser without scripts: keeps cookies, follows redirects, sends forms as they stand on the page."""

    def __init__(self, url: str) -> None:
        self.http = httpx.Client(base_url=url, timeout=70, follow_redirects=True, headers={"Accept": "text/html"})

    def sign_in(self, token: str) -> httpx.Response:
        return self.http.post("/console/sign-in", data={"token": token})

    def get(self, path: str, **extra: Any) -> httpx.Response:
        return self.http.get(path, **extra)

    def page(self, path: str) -> BeautifulSoup:
        answer = self.get(path)
        assert answer.status_code == 200, answer.text
        return soup(answer)

    @property
    def csrf(self) -> str:
        return str(self.page("/console").find("input", {"name": "csrf"})["value"])

    def send(self, path: str, **fields: Any) -> httpx.Response:
        """A form, with the token that every form carries."""
        return self.http.post(path, data={"csrf": self.csrf, **fields})


def soup(answer: httpx.Response) -> BeautifulSoup:
    return BeautifulSoup(answer.text, "lxml")


@pytest.fixture(scope="session")
def console(service: Any) -> Iterator[Console]:
    """The console, for as long as the tests run."""
    port = free_port()
    url = f"http://127.0.0.1:{port}"
    settings = service.settings.model_copy(
        update={
            "console_callback_url": f"{url}/console/callback/{{provider}}",
            "temporal_ui_url": "http://127.0.0.1:9",
        }
    )
    with listening(settings, port, timeout_graceful_shutdown=5):
        yield Console(url, service, settings)


@pytest.fixture
def account(console: Console) -> Account:
    return console.account()


@pytest.fixture(scope="module")
def zendesk(console: Console) -> Account:
    """An account that is connected to Zendesk and has its articles, for tests that only look.

    For a module and no longer: tests of other modules revoke grants and reset the doubles.
    """
    found = console.account()
    console.service.control("POST", "/demo")
    found.connect("zendesk")
    found.call("POST", "/zendesk/knowledge/toggle", json={"enabled": True})
    found.call("POST", "/zendesk/knowledge/sync", headers={"Prefer": "wait=60"})
    return found


# --- a real browser --------------------------------------------------------------------------------------------------


def chromium() -> str:
    """Where Chromium is: SUPPORTLY_CHROMIUM, else the first on PATH; empty without one."""
    names = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
    return os.environ.get("SUPPORTLY_CHROMIUM") or next(filter(None, map(shutil.which, names)), "")


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Without Chromium a browser test is skipped before anything starts, and fails where SUPPORTLY_BROWSER=must."""
    if item.get_closest_marker("browser") and not chromium():
        why = "no Chromium is installed (`apt-get install chromium`, or name one in SUPPORTLY_CHROMIUM)"
        pytest.fail(why) if os.environ.get("SUPPORTLY_BROWSER") == "must" else pytest.skip(why)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Chromium, without a window. Playwright keeps an event loop running, which other modules' tests must not meet."""
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=chromium(), args=["--no-sandbox"])
        yield started
        started.close()


@dataclass
class Person:
    """Somebody at a browser window, who has signed in; whatever the browser complains about is collected."""

    account: Account
    context: BrowserContext
    complaints: list[str] = field(default_factory=list)

    def tab(self, path: str = "") -> Page:
        """A new tab on a page of the account."""
        page = self.context.new_page()
        page.on("pageerror", lambda error: self.complaints.append(str(error)))
        page.on("console", self._said)
        page.goto(self.account.url + path)
        return page

    def _said(self, message: ConsoleMessage) -> None:
        if message.type == "error" and "Content Security Policy" in message.text:
            self.complaints.append(message.text)


@pytest.fixture
def person(browser: Browser) -> Iterator[Any]:
    """`person(account, token=…, dark=…)`: at the end no script has failed, and the policy refused nothing."""
    people: list[Person] = []

    def arrives(account: Account, token: str | None = None, *, dark: bool = False, width: int = 1280) -> Person:
        context = browser.new_context(
            color_scheme="dark" if dark else "light", viewport={"width": width, "height": 860}, reduced_motion="reduce"
        )
        context.set_default_timeout(60_000)
        if token != "":
            context.request.post(f"{account.console.url}/console/sign-in", form={"token": token or account.admin})
        people.append(Person(account, context))
        return people[-1]

    yield arrives
    for one in people:
        one.context.close()
    assert [complaint for one in people for complaint in one.complaints] == []
