"""What all pages share: the headers, the files that they load, and that nothing stands inline."""

import re
from pathlib import Path

import httpx
import pytest

from api.console import app, assets
from api.console.rendering import HEADERS, TEMPLATES

TEMPLATE_FILES = sorted((Path(app.__file__).parent / "templates").glob("*.html"))


@pytest.mark.parametrize("path", TEMPLATE_FILES, ids=lambda path: path.stem)
def test_nothing_stands_inline(path):
    """The policy would refuse it; and texts of providers are escaped everywhere, since nothing is marked safe."""
    text = path.read_text()
    assert not re.search(r"<style|\bstyle=|\bon[a-z]+=|javascript:|\|\s*safe\b|hx-on|hx-vals=.js", text)
    for tag in re.findall(r"<script\b[^>]*>", text):
        assert "src=" in tag
    assert TEMPLATES.autoescape is True


@pytest.mark.parametrize(
    "path", ["", "/search?q=x", "/contacts", "/integrations/zendesk", "/nothing", "/integrations/x"]
)
def test_every_page_carries_the_headers(account, path):
    answer = account.visitor().get(account.base + path)
    for name, value in HEADERS.items():
        assert answer.headers[name] == value
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cache-control"] == "no-store"
    policy = answer.headers["content-security-policy"]
    assert "unsafe" not in policy
    assert "frame-ancestors 'none'" in policy


def test_files_come_from_here_and_are_kept_under_their_version(console):
    assert set(assets.assets()) == {"console.css", "console.js", "htmx.js", "icon.svg"}
    for name in assets.assets():
        answer = httpx.get(console.url + assets.url(name))
        assert "immutable" in answer.headers["cache-control"]
        again = httpx.get(console.url + assets.url(name), headers={"If-None-Match": answer.headers["etag"]})
        assert (again.status_code, again.content) == (304, b"")
        old = httpx.get(f"{console.url}/console/static/{name}?v=older")
        assert old.headers["cache-control"] == "no-cache"
    assert b"htmx" in assets.get("htmx.js").content
    assert httpx.get(f"{console.url}/console/static/..%2fapp.py").status_code == 404


def test_unknown_addresses_foreign_accounts_and_unknown_providers_are_pages(account, console):
    visitor, other = account.visitor(), console.account()
    for path in (f"{account.base}/nothing", other.base, "/console/accounts/x", f"{account.base}/integrations/nobody"):
        answer = visitor.get(path)
        assert answer.status_code == 404
        assert answer.headers["content-type"].startswith("text/html")
        assert "<h1>Not found</h1>" in answer.text


def test_an_unforeseen_failure_is_a_page_that_tells_nothing_but_the_request_id(account, monkeypatch):
    visitor = account.visitor()

    async def broken(*_args, **_more):
        raise RuntimeError("secret detail")

    monkeypatch.setattr("api.console.gateway.Gateway.get", broken)
    answer = visitor.get(account.base)
    assert answer.status_code == 500
    assert "secret detail" not in answer.text
    assert answer.headers["x-request-id"] in answer.text
