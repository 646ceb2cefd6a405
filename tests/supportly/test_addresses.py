"""Links that providers name: only those that lead to a page of the web get as far as a person."""

import pytest

from supportly.contracts.actions import ActionAnswer
from supportly.contracts.addresses import web_address
from supportly.contracts.contacts import Lookup, Record, RecordRef

GOOD = (
    "https://acme.zendesk.com/hc/en-us/articles/1-A?x=%20y#z",
    "http://help.example.com",
    "https://example.com:8443/a@b",
    "https://пример.example/",
)
BAD = (
    "javascript:alert(1)", "JAVASCRIPT:alert(1)", " javascript:alert(1)", "java\nscript:alert(1)", "data:text/html,x",
    "vbscript:x", "file:///etc/passwd", "ftp://example.com/", "//example.com/", "/path", "example.com", "", "https://",
    "https:///x", "https:example.com", "https://user@example.com/", "https://acme.com:pw@evil.example/",
    "https://exa mple.com/", "https://example.com/\n", "https://example.com/\\x", "https://example.com/\u202egpj.exe",
    "https://example.com/\u200b", "https://example.com/<b>", 'https://example.com/"onclick=x', "https://[::1",
    "https://example.com/" + "x" * 2_000, None, 5, ["https://example.com"], b"https://example.com",
)  # fmt: skip


@pytest.mark.parametrize("url", GOOD)
def test_a_page_of_the_web_may_be_linked(url):
    assert web_address(url) == url


@pytest.mark.parametrize("url", BAD, ids=lambda url: repr(url)[:40])
def test_anything_else_is_left_out(url):
    assert web_address(url) is None
    assert Record(id="1", url=url).url is None
    assert RecordRef(id="1", url=url).url is None
    assert ActionAnswer.listed([{"id": "1", "url": url, "raw": {}}]).items == [{"id": "1", "url": None}]
    assert ActionAnswer.single({"id": "1", "url": url}).result == {"id": "1", "url": None}
    found = Lookup(provider="x", contact_id=1, deals=[{"url": url}], activities=[{"url": url}, {"id": "2"}])
    assert (found.deals, found.activities) == ([{"url": None}], [{"url": None}, {"id": "2"}])
